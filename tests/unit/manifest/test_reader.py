"""Opening a manifest: required content, the moment of reading, and bounded memory."""

from __future__ import annotations

import io
import os
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pipes import named_pipe

from batcher.errors import ManifestError
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import open_manifest
from batcher.model.submission import InvalidRow, Row

TENCENT = Defaults(vendor="Tencent", definition="10")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.csv", "none.csv: there is no such file"),
        ("none.csv/a.csv", "there is no such file"),
        ("2024-*.csv", "2024-*.csv: no file matches this pattern"),
        ("archive", "this is a directory. Name its files, or a pattern such as "),
        ("archive/", "/archive/*.csv"),
        ("a\0b", "no file can have this name: embedded null byte"),
        ("x" * 300, "the name is too long"),
    ],
)
def test_unopenable_manifest_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """The message names the file and the remedy."""
    (tmp_path / "archive").mkdir()
    with pytest.raises(ManifestError) as caught:
        open_manifest(f"{tmp_path}/{name}")
    assert message in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_manifest_without_permission_is_refused(tmp_path: Path) -> None:
    """Missing permissions are named."""
    path = tmp_path / "a.csv"
    path.write_text("file_id\n")
    path.chmod(0)
    with pytest.raises(ManifestError, match="this user may not read it"):
        open_manifest(str(path))


@pytest.mark.parametrize("data", [b"", b"\n\r\n  \t\n", b"\xef\xbb\xbf", b"\xff\xfe\n\0", b",,,\n;;\n"])
def test_empty_manifest_has_no_rows_and_a_warning(tmp_path: Path, data: bytes) -> None:
    """A file without a header may be a mistake, and a format without one writes nothing for no recordings."""
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with open_manifest(str(path)) as manifest:
        assert (manifest.columns, list(manifest)) == ((), [])
        assert manifest.warnings == [f"{path}: is empty, without a header or any row"]


def test_header_alone_is_a_manifest_without_rows(tmp_path: Path) -> None:
    """A night without work is not a mistake."""
    path = tmp_path / "a.csv"
    path.write_text("file_id,room")
    with open_manifest(str(path)) as manifest:
        assert (manifest.source, manifest.columns, list(manifest)) == (str(path), ("room",), [])


def test_error_while_reading_is_an_error_of_the_manifest() -> None:
    """A disk that fails in the middle ends the reading after the rows before."""

    class Failing(io.BytesIO):
        def read1(self, _size: int | None = -1, /) -> bytes:
            data = super().read1(20)
            if not data:
                raise OSError(5, "Input/output error")
            return data

    seen: list[Row | InvalidRow] = []
    with pytest.raises(ManifestError, match=r"^stdin: input/output error: "):
        seen.extend(open_manifest("-", stdin=Failing(b"file_id,room\n1,a\n2,b\n"), defaults=TENCENT))
    assert len(seen) == 2


def test_rows_of_a_pipe_are_read_when_complete() -> None:
    """A row is handed over as soon as its line is complete, while the writer is still open."""
    reading, writing = os.pipe()
    with open(reading, "rb") as stdin, open(writing, "wb", buffering=0) as writer:  # noqa: PTH123
        writer.write(b"file_id,room,and some more\n")
        rows: Iterator[object] = iter(open_manifest("-", stdin=stdin, defaults=TENCENT))
        for number in range(1, 4):
            writer.write(f"{number},a,b\n".encode())
            row = next(rows)
            assert isinstance(row, Row)
            assert row.file_id == str(number)


def test_named_pipe_is_a_stream(tmp_path: Path) -> None:
    """A pipe can be read only once; checking it does nothing."""
    with named_pipe(tmp_path / "pipe") as path:
        writer = threading.Thread(target=path.write_bytes, args=(b"file_id\n1\n2\n",), daemon=True)
        writer.start()
        with open_manifest(str(path), defaults=TENCENT) as manifest:
            manifest.check()
            assert len(list(manifest)) == 2


def test_closing_closes_a_file_and_leaves_standard_input_open(tmp_path: Path) -> None:
    """The reader closes only what it has opened."""
    stdin = io.BytesIO(b"file_id\n1\n")
    open_manifest("-", stdin=stdin).close()
    assert not stdin.closed
    path = tmp_path / "a.csv"
    path.write_text("file_id\n1\n")
    manifest = open_manifest(str(path))
    manifest.close()
    manifest.close()
    path.unlink()


def test_large_manifest_is_not_held_in_memory(tmp_path: Path) -> None:
    """Memory does not grow with the file, neither in a check nor in reading."""
    path = tmp_path / "a.csv"
    line = "1397757897438985123,room-4711,2024-11-13 06:10:48," + "晨会" * 60 + "\n"
    path.write_text("file_id,room,recorded_at,note\n" + line * 30_000)
    size = path.stat().st_size
    with open_manifest(str(path), defaults=TENCENT) as manifest:
        tracemalloc.start()
        try:
            manifest.check()
            rows = sum(1 for row in manifest if isinstance(row, Row))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert rows == 30_000
    assert peak < 8_000_000 < size
