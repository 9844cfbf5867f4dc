"""Compressed manifests: read as a stream to an end that their checksums confirm."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from batcher.errors import ManifestError
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import open_manifest
from batcher.manifest.sources.compression import Packing, unpack
from batcher.model.submission import Row

TENCENT = Defaults(vendor="Tencent", definition="10")
LINES = [f"{1397757890000000000 + 7919 * number}\n".encode() for number in range(30_000)]
DATA = b"file_id\n" + b"".join(LINES)


def framed(data: bytes) -> bytes:
    """A zstd frame that says nothing of its length, with a checksum."""
    packer = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return packer.compress(data) + packer.flush()


PACK: dict[Packing, Callable[[bytes], bytes]] = {
    Packing.GZIP: lambda data: gzip.compress(data, mtime=0),
    Packing.ZSTD: framed,
    Packing.BZIP2: bz2.compress,
    Packing.XZ: lzma.compress,
}
SUFFIX = {Packing.GZIP: ".gz", Packing.ZSTD: ".zst", Packing.BZIP2: ".bz2", Packing.XZ: ".xz"}


def pieces(data: bytes, size: int) -> list[bytes]:
    """Data in pieces, as it may arrive."""
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("packing", Packing)
@pytest.mark.parametrize("size", [1 << 18, 4096, 1000])
def test_unpacked_bytes_are_all_that_was_packed(packing: Packing, size: int) -> None:
    """Blocks may have any size, and several members or frames in a row are one stream."""
    packed = PACK[packing](DATA[:100_000]) + PACK[packing](b"") + PACK[packing](DATA[100_000:])
    assert b"".join(unpack("a", iter(pieces(packed, size)), packing)) == DATA


def test_single_bytes_and_padding_are_read() -> None:
    """A pipe may give bytes singly; zeros after a member are filling."""
    packed = gzip.compress(b"file_id\n1\n") + b"\0" * 100 + gzip.compress(b"2\n") + b"\0" * 9
    assert b"".join(unpack("a", iter(pieces(packed, 1)), Packing.GZIP)) == b"file_id\n1\n2\n"
    skipped = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    packed = skipped + framed(b"file_id\n1\n") + skipped + framed(b"2\n")
    assert b"".join(unpack("a", iter(pieces(packed, 1)), Packing.ZSTD)) == b"file_id\n1\n2\n"


def test_file_of_a_parallel_compressor_is_known(tmp_path: Path) -> None:
    """It may begin with a frame to be skipped."""
    path = tmp_path / "a.csv.zst"
    path.write_bytes(b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + framed(b"file_id\n12\n"))
    with open_manifest(str(path), defaults=TENCENT) as manifest:
        assert [row.file_id for row in manifest if isinstance(row, Row)] == ["12"]


def cut(packed: bytes) -> bytes:
    """Two thirds of it."""
    return packed[: len(packed) * 2 // 3]


def without_end(packed: bytes) -> bytes:
    """All but the last byte of the checksum."""
    return packed[:-1]


def flipped(packed: bytes) -> bytes:
    """With one wrong byte."""
    at = len(packed) * 2 // 3
    return packed[:at] + bytes([packed[at] ^ 0xFF]) + packed[at + 1 :]


def with_rest(packed: bytes) -> bytes:
    """With something else after it."""
    return packed + b"and more"


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
@pytest.mark.parametrize(
    ("spoil", "word"),
    [(cut, "cut off"), (without_end, "cut off"), (flipped, "damaged"), (with_rest, "damaged")],
)
def test_damaged_file_is_refused_before_anything_is_sent(
    tmp_path: Path, packing: Packing, spoil: Callable[[bytes], bytes], word: str
) -> None:
    """The check of a local file names it, the line and how far it could be read; so does reading a stream."""
    path = tmp_path / f"archive.csv{SUFFIX[packing]}"
    data = spoil(PACK[packing](DATA))
    path.write_bytes(data)
    with open_manifest(str(path), defaults=TENCENT) as manifest, pytest.raises(ManifestError) as caught:
        manifest.check()
    assert f"{path} line " in str(caught.value)
    assert f"the {packing} data is {word}" in str(caught.value)
    seen: list[object] = []
    with pytest.raises(ManifestError, match=rf"^stdin line \d+: the {packing} data is {word}"):
        seen.extend(open_manifest("-", stdin=io.BytesIO(data), defaults=TENCENT))
    line = int(str(caught.value).partition(" line ")[2].partition(":")[0])
    assert line - 2 <= len(seen) + 1
    assert all(isinstance(row, Row) for row in seen)
    if spoil is not flipped:
        assert len(seen) >= line - 3


@pytest.mark.parametrize("packing", [Packing.BZIP2, Packing.XZ])
@pytest.mark.parametrize(
    ("spoil", "word"), [(cut, "cut off"), (without_end, "cut off"), (flipped, "damaged")]
)
def test_damaged_blocks_are_an_error(packing: Packing, spoil: Callable[[bytes], bytes], word: str) -> None:
    """These formats hold many lines in one block, of which nothing can be read then."""
    data = spoil(PACK[packing](DATA))
    with pytest.raises(ManifestError, match=rf"^a line \d+: the {packing} data is {word}"):
        list(unpack("a", iter(pieces(data, 4096)), packing))


@pytest.mark.parametrize("packing", Packing)
def test_encoding_of_the_content_is_checked(tmp_path: Path, packing: Packing) -> None:
    """``--encoding`` applies to the unpacked bytes, and so do its messages."""
    path = tmp_path / f"a.csv{SUFFIX[packing]}"
    path.write_bytes(PACK[packing]("file_id,room\n12,晨会\n".encode("gb18030")))
    with open_manifest(str(path), defaults=TENCENT) as manifest, pytest.raises(ManifestError) as caught:
        manifest.check()
    assert "line 2: 12,晨会\nIf that reads well, use --encoding gb18030" in str(caught.value)
    with open_manifest(str(path), defaults=TENCENT, encoding="gb18030") as manifest:
        manifest.check()
        [row] = manifest
    assert isinstance(row, Row)
    assert row.extra == '{"room":"晨会"}'


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
def test_rows_of_a_compressed_pipe_are_read_when_flushed(packing: Packing) -> None:
    """The output of a flushed compressor is read while the writer is still open."""
    packer = (
        zlib.compressobj(wbits=31) if packing is Packing.GZIP else zstandard.ZstdCompressor().compressobj()
    )
    flush = zlib.Z_SYNC_FLUSH if packing is Packing.GZIP else zstandard.COMPRESSOBJ_FLUSH_BLOCK
    reading, writing = os.pipe()
    with open(reading, "rb") as stdin, open(writing, "wb", buffering=0) as writer:  # noqa: PTH123
        writer.write(packer.compress(b"file_id,room,and some more\n") + packer.flush(flush))
        rows = iter(open_manifest("-", stdin=stdin, defaults=TENCENT))
        for number in range(1, 4):
            writer.write(packer.compress(f"{number},a\n".encode()) + packer.flush(flush))
            row = next(rows)
            assert isinstance(row, Row)
            assert row.file_id == str(number)


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
def test_file_that_unpacks_to_gigabytes_is_never_held_in_memory(tmp_path: Path, packing: Packing) -> None:
    """Memory is bounded also where a small file holds one enormous line."""
    path = tmp_path / f"a.csv{SUFFIX[packing]}"
    path.write_bytes(PACK[packing](b"file_id\n" + b"1" * 150_000_000))
    assert path.stat().st_size < 400_000
    tracemalloc.start()
    try:
        with (
            open_manifest(str(path), defaults=TENCENT) as manifest,
            pytest.raises(ManifestError, match=r"line 2: longer than 1,048,576 characters"),
        ):
            list(manifest)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60_000_000
