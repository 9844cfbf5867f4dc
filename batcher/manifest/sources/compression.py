"""Compressed manifests: packed bytes in, unpacked bytes out, as a stream of a few blocks.

Used by :mod:`batcher.manifest.formats.detect` for a source whose first bytes show a compression. The end
counts only with the format's own checksum: a file that is cut off or damaged raises, after all bytes before
that.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from typing import Protocol

from batcher.errors import ManifestError
from batcher.manifest.optional_packages import needed
from batcher.manifest.sources.local import BLOCK_BYTES, Source, Unread
from batcher.model.submission import CountedBy

PARQUET_MARK, ZIP_MARK = b"PAR1", b"PK\x03\x04"
OLD_OFFICE_MARK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""The first bytes of manifests without lines; the last is that of Microsoft Office before 2007, and of
documents with a password since."""

PIECE_BYTES = (1 << 6, 1 << 12)
"""The number of packed bytes that are unpacked in one call, at least and at most: four bytes of zstd can hold
128 KiB, so a piece that brought much is followed by a smaller one."""


MOST_MEMORY_BYTES = 1 << 27
"""The memory that unpacking may take; zstd has the same limit by itself."""
_TOO_MUCH_MEMORY = ("too much memory", "Memory usage limit")
"""How the libraries say that it would take more."""


class Packing(StrEnum):
    """The compressions of manifests."""

    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    XZ = "xz"


def packing_of(head: bytes) -> Packing | None:
    """Return the compression of a file that begins with ``head``; None when it has none."""
    if head.startswith(b"\x1f\x8b"):
        return Packing.GZIP
    if head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return Packing.BZIP2
    if head.startswith(b"\xfd7zXZ\x00"):
        return Packing.XZ
    skippable = head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50  # parallel compressors begin so
    return Packing.ZSTD if head.startswith(b"\x28\xb5\x2f\xfd") or skippable else None


class Unpacked(Source):
    """The unpacked bytes of a compressed source."""

    def __init__(self, packed: Source, packing: Packing) -> None:
        super().__init__(packed.name, checkable=packed.checkable)
        self._packed = packed
        self._packing = packing
        self._blocks = unpack(packed.name, iter(packed.read, b""), packing)

    def _pull(self) -> bytes:
        return next(self._blocks, b"")

    def all_blocks(self) -> Iterator[bytes]:
        """Yield all bytes, unpacked a second time."""
        return unpack(self.name, self._packed.all_blocks(), self._packing)

    def has_changed(self) -> bool:
        """Whether the compressed bytes have changed."""
        return self._packed.has_changed()

    def close(self) -> None:
        """Close the compressed source too."""
        super().close()
        self._packed.close()


def unpack(name: str, blocks: Iterator[bytes], packing: Packing) -> Iterator[bytes]:
    """Unpack blocks; several members or frames in a row are one stream.

    Raises:
        ManifestError: it is cut off or damaged; the message says how far it could be read.
    """
    pieces = _unpacked(blocks, *_decompressor(packing))
    lines, size, has_lines, where = 0, 0, True, CountedBy.LINE.place(name, 1)
    try:
        for piece in pieces:
            if not size:
                has_lines = not piece.startswith((PARQUET_MARK, ZIP_MARK, OLD_OFFICE_MARK))
            lines, size = lines + piece.count(b"\n"), size + len(piece)
            where = CountedBy.LINE.place(name, lines + 1) if has_lines else name
            yield piece
    except Unread as exc:
        raise exc.at(where) from exc
    except _TooLarge as exc:
        command = "zstd -d --long=31" if packing is Packing.ZSTD else "xz -d"
        raise ManifestError(
            f"{name}: unpacking this {packing} file takes more than {MOST_MEMORY_BYTES >> 20} MiB of "
            f"memory: it was compressed with a large window. Unpack it first: {command} FILE"
        ) from exc.__cause__
    except _Spoilt as exc:
        raise ManifestError(
            f"{where}: the {packing} data {exc} here, after {size:,} unpacked "
            "bytes. Fetch or compress the file again"
        ) from exc.__cause__


class _TooLarge(Exception):
    """Unpacking it takes more memory than is allowed."""


class _Spoilt(Exception):
    """The data ends before its own end, or is not what its format says."""


class _Member(Protocol):
    """A member of gzip or a frame of zstd, as both libraries unpack one."""

    @property
    def eof(self) -> bool:
        """True when its end and its checksum were read."""

    @property
    def unused_data(self) -> bytes:
        """The bytes after its end."""

    def decompress(self, data: bytes, /) -> bytes:
        """Unpack the next bytes."""


def _decompressor(packing: Packing) -> tuple[Callable[[], _Member], type[Exception], bytes]:
    """Return the constructor of a member, the error of a damaged one, and the filling between two members."""
    if packing is Packing.GZIP:
        return partial(zlib.decompressobj, wbits=31), zlib.error, b"\0"
    if packing is Packing.BZIP2:
        import bz2

        return bz2.BZ2Decompressor, OSError, b""
    if packing is Packing.XZ:
        import lzma

        return partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, MOST_MEMORY_BYTES), lzma.LZMAError, b"\0"
    with needed("zstandard", "a manifest compressed with zstd"):
        import zstandard
    return zstandard.ZstdDecompressor().decompressobj, zstandard.ZstdError, b""


def _unpacked(
    blocks: Iterator[bytes], begin: Callable[[], _Member], damage: type[Exception], filling: bytes
) -> Iterator[bytes]:
    """Unpack members one after the other, in pieces of bounded size.

    The stream reader of zstandard cannot be used: it takes a cut-off frame for a whole one. The one of gzip
    would be a second mechanism.
    """
    member, begun = begin(), False
    least, most = PIECE_BYTES
    size = least
    for block in blocks:
        pieces: list[bytes] = []
        rest, at = block, 0
        while at < len(rest):
            if not begun:
                rest, at = rest[at:].lstrip(filling), 0
                begun = bool(rest)
                continue
            try:
                piece = member.decompress(rest[at : at + size])
            except damage as exc:
                if unpacked := b"".join(pieces):
                    yield unpacked
                if any(words in str(exc) for words in _TOO_MUCH_MEMORY):
                    raise _TooLarge from exc
                raise _Spoilt(f"is damaged ({str(exc).rpartition(': ')[2]})") from exc
            pieces.append(piece)
            at += size
            size = max(least, size // 4) if len(piece) > BLOCK_BYTES else min(most, size * 2)
            if member.eof:
                rest, at = member.unused_data + rest[at:], 0
                member, begun = begin(), False
            if sum(map(len, pieces)) >= BLOCK_BYTES:
                yield b"".join(pieces)
                pieces = []
        if piece := b"".join(pieces):
            yield piece
    if begun:
        raise _Spoilt("is cut off")
