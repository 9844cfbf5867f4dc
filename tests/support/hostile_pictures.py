"""Small files that are large, or endless, for a program that decodes pictures."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Iterator

from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
RGB, RGBA, GREY, ONE_BIT = (8, 2), (8, 6), (8, 0), (1, 0)
"""Bits and colour type of a PNG."""


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def zeros(n_bytes: int) -> bytes:
    """Zeros as zlib packs them: about a thousandth of their number."""
    packing = zlib.compressobj(9)
    part = b"\0" * (1 << 20)
    packed = [packing.compress(part[: min(len(part), n_bytes - at)]) for at in range(0, n_bytes, len(part))]
    return b"".join(packed) + packing.flush()


def png(
    width: int,
    height: int,
    kind: tuple[int, int] = GREY,
    *,
    data: bytes | None = None,
    extra: Iterable[bytes] = (),
) -> bytes:
    """A PNG of zeros with a given header.

    Args:
        width: in the header.
        height: in the header.
        kind: bits and colour type.
        data: its packed pixels; None for all of them.
        extra: chunks between the header and the pixels.
    """
    bits, colour = kind
    channels = {0: 1, 2: 3, 6: 4}[colour]
    if data is None:
        data = zeros((1 + (width * bits * channels + 7) // 8) * height)
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    pixels = [chunk(b"IDAT", data)]
    return PNG_SIGNATURE + b"".join([chunk(b"IHDR", head), *extra, *pixels, chunk(b"IEND", b"")])


def drawn(kind: str, size: tuple[int, int], mode: str = "RGB", **options: object) -> bytes:
    """A picture whose left half is of another colour, small as a file."""
    made = Image.new(mode, size)
    made.paste(tuple(90 for _ in made.getbands()), (0, 0, max(1, size[0] // 2), size[1]))
    file = io.BytesIO()
    made.save(file, kind, **options)
    return file.getvalue()


def animated(kind: str, frames: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture with many frames, each of another colour."""
    made = [Image.new("RGB", size, (n % 256, n // 256, 90)) for n in range(frames)]
    file = io.BytesIO()
    made[0].save(file, kind, save_all=True, append_images=made[1:])
    return file.getvalue()


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header claims another size."""
    at = next(n for n in (jpeg.find(b"\xff\xc0"), jpeg.find(b"\xff\xc2")) if n > 0)
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    """A JPEG with an additional segment at its beginning."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data + jpeg[2:]


def with_scans(jpeg: bytes, scans: int) -> bytes:
    """A progressive JPEG whose last scan comes many times."""
    begin = jpeg.rfind(b"\xff\xda")
    return jpeg[:begin] + jpeg[begin:-2] * scans + jpeg[-2:]


def exif(entries: int, count: int = 1 << 30, kind: int = 2) -> bytes:
    """EXIF data whose entries claim to be long."""
    directory = b"".join(struct.pack("<HHII", 0x100 + n, kind, count, 8) for n in range(entries))
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, entries) + directory + struct.pack("<I", 8)


def many_chunks(n: int, name: bytes = b"prVt", data: bytes = b"") -> Iterator[bytes]:
    """Equal chunks, one after the other."""
    one = chunk(name, data)
    return (one for _ in range(n))
