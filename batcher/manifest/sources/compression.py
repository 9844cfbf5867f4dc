"""Compressed manifests: bytes in, the bytes they hold out, as a stream and never more than a few blocks.

Stands between where bytes come from and whoever looks at what they mean. The end is believed only when the
format's own checksum has been met: a file that is cut off or damaged raises, after all bytes before that.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from enum import StrEnum

from batcher.errors import ManifestError
from batcher.manifest.optional_packages import needed
from batcher.manifest.sources.local import BLOCK_BYTES, Source, Unread
from batcher.model.submission import CountedBy

PARQUET_MARK, ZIP_MARK = b"PAR1", b"PK\x03\x04"
"""With what a manifest begins that has no lines."""

ZSTD_PIECE_BYTES = (1 << 6, 1 << 12)
"""How much of zstd is unpacked at once, at least and at most: four bytes can hold 128 KiB, so a piece that
brought much is followed by a smaller one."""


class Packing(StrEnum):
    """How a manifest is compressed."""

    GZIP = "gzip"
    ZSTD = "zstd"


def packing_of(head: bytes) -> Packing | None:
    """How something that begins with ``head`` is compressed."""
    if head.startswith(b"\x1f\x8b"):
        return Packing.GZIP
    skippable = head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50  # parallel compressors begin so
    return Packing.ZSTD if head.startswith(b"\x28\xb5\x2f\xfd") or skippable else None


class Unpacked(Source):
    """What a compressed source holds."""

    def __init__(self, packed: Source, packing: Packing) -> None:
        super().__init__(packed.name, checkable=packed.checkable)
        self._packed = packed
        self._packing = packing
        self._blocks = unpack(packed.name, iter(packed.read, b""), packing)

    def _pull(self) -> bytes:
        return next(self._blocks, b"")

    def all_blocks(self) -> Iterator[bytes]:
        """All that it holds, unpacked once more."""
        return unpack(self.name, self._packed.all_blocks(), self._packing)

    def close(self) -> None:
        """Close the compressed source too."""
        super().close()
        self._packed.close()


def unpack(name: str, blocks: Iterator[bytes], packing: Packing) -> Iterator[bytes]:
    """Unpack blocks; several members or frames in a row are one stream.

    Raises:
        ManifestError: it is cut off or damaged; says how far it could be read.
    """
    pieces = _gunzipped(blocks) if packing is Packing.GZIP else _unzstandard(blocks)
    lines, size, has_lines, where = 0, 0, True, CountedBy.LINE.place(name, 1)
    while True:
        try:
            piece = next(pieces)
        except StopIteration:
            return
        except Unread as exc:
            raise exc.at(where) from exc
        except _Truncated:
            what, cause = "is cut off", None
        except _Damaged as exc:
            what, cause = f"is damaged ({exc})", exc
        else:
            if piece:  # an empty one would be taken for the end
                if not size:
                    has_lines = not piece.startswith((PARQUET_MARK, ZIP_MARK))
                lines, size = lines + piece.count(b"\n"), size + len(piece)
                where = CountedBy.LINE.place(name, lines + 1) if has_lines else name
                yield piece
            continue
        raise ManifestError(
            f"{where}: the {packing} data {what} here, after {size:,} bytes of what it "
            "holds. Fetch or compress the file again"
        ) from cause


class _Truncated(Exception):
    """The data ends before its own end."""


class _Damaged(Exception):
    """The data is not what its format says."""


def _gunzipped(blocks: Iterator[bytes]) -> Iterator[bytes]:
    member, begun = zlib.decompressobj(wbits=31), False
    for block in blocks:
        rest = block
        while rest:
            if not begun and not (rest := rest.lstrip(b"\0")):
                break  # zeros may fill up what follows a member
            begun = True
            try:
                piece = member.decompress(rest, BLOCK_BYTES)
            except zlib.error as exc:
                raise _Damaged(str(exc).rpartition(": ")[2]) from exc
            rest = member.unconsumed_tail
            if member.eof:
                rest, member, begun = member.unused_data, zlib.decompressobj(wbits=31), False
            if piece:
                yield piece
    # What the last calls could not hand over for its length.
    while begun and (piece := member.decompress(member.unconsumed_tail, BLOCK_BYTES)):
        yield piece
    if begun and not member.eof:
        raise _Truncated


def _unzstandard(blocks: Iterator[bytes]) -> Iterator[bytes]:
    with needed("zstandard", "a manifest compressed with zstd"):
        import zstandard
    unpacker = zstandard.ZstdDecompressor()
    frame, begun = unpacker.decompressobj(), False
    least, most = ZSTD_PIECE_BYTES
    size = least
    for block in blocks:
        pieces: list[bytes] = []
        rest, at = block, 0
        while at < len(rest):
            begun = True
            try:
                piece = frame.decompress(rest[at : at + size])
            except zstandard.ZstdError as exc:
                yield b"".join(pieces)
                raise _Damaged(str(exc).rpartition(": ")[2]) from exc
            pieces.append(piece)
            at += size
            size = max(least, size // 4) if len(piece) > BLOCK_BYTES else min(most, size * 2)
            if frame.eof:
                rest, at = frame.unused_data + rest[at:], 0
                frame, begun = unpacker.decompressobj(), False
            if sum(map(len, pieces)) >= BLOCK_BYTES:
                yield b"".join(pieces)
                pieces = []
        if piece := b"".join(pieces):
            yield piece
    if begun:
        raise _Truncated
