"""The bytes that are accepted as text, and the messages about the others."""

from __future__ import annotations

import codecs
import gzip
import io
from pathlib import Path

import pytest

from batcher.errors import ManifestError
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import open_manifest
from batcher.model.submission import Row

HUAWEI = Defaults(vendor="hw", interval="2")
TEXT = "file_id,备注\n/数学/1.mp4,一班\n/晨会/2.mp4,\x85\u2028\n"
PATHS = ["/数学/1.mp4", "/晨会/2.mp4"]


def paths_in(data: bytes, encoding: str | None = None) -> list[str]:
    """The file ids of a stream."""
    manifest = open_manifest("-", stdin=io.BytesIO(data), defaults=HUAWEI, encoding=encoding)
    return [row.file_id for row in manifest if isinstance(row, Row)]


def checked(path: Path, encoding: str | None = None) -> str:
    """The message of a check; nothing without a fault."""
    try:
        with open_manifest(str(path), defaults=HUAWEI, encoding=encoding) as manifest:
            manifest.check()
    except ManifestError as exc:
        return str(exc)
    return ""


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT.encode(), None),
        (TEXT.encode("utf-8-sig"), None),
        (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), None),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), None),
        (TEXT.encode("utf-8-sig"), "UTF8"),
        (TEXT.encode("utf-8-sig"), "utf-8-sig"),
        (TEXT.encode(), "utf-8-sig"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "utf-16"),
        (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), "utf-16-le"),
        (TEXT.encode("utf-16-le"), "utf-16"),
        (TEXT.encode("utf-16-be"), "utf-16-be"),
        (TEXT.encode("utf-32"), "utf-32"),
        (TEXT.encode("gb18030"), "gb18030"),
        (("\ufeff" + TEXT).encode("gb18030"), "GB18030"),
        (TEXT.replace("\x85\u2028", "").encode("gbk"), "gbk"),
    ],
)
def test_text_is_read_in_its_encoding(tmp_path: Path, data: bytes, encoding: str | None) -> None:
    """UTF-8 and marked UTF-16 are read as they are, everything else as the user names it."""
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    assert checked(path, encoding) == ""
    assert paths_in(data, encoding) == PATHS


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
def test_characters_may_arrive_in_pieces(size: int, encoding: str) -> None:
    """A stream that hands over a few bytes at a time is read like any other."""

    class Drops(io.BytesIO):
        def read1(self, _size: int | None = -1, /) -> bytes:
            return super().read1(size)

    text = TEXT.replace("\n", "\r\n")
    manifest = open_manifest(
        "-",
        stdin=Drops(text.encode(encoding)),
        defaults=HUAWEI,
        encoding="gb18030" if encoding == "gb18030" else None,
    )
    assert [(row.line, row.file_id) for row in manifest if isinstance(row, Row)] == [
        (2, PATHS[0]),
        (3, PATHS[1]),
    ]


def test_file_of_another_encoding_shows_its_first_lines_at_fault(tmp_path: Path) -> None:
    """Up to three lines are shown as GB18030 reads them, with the option that would accept the file."""
    path = tmp_path / "a.csv"
    lines = [
        "file_id,room",
        "/1.mp4,plain",
        "/2.mp4,数学",
        "/3.mp4,plain",
        "/4.mp4,晨会",
        "/5.mp4,钢琴",
        "/6.mp4,上海",
    ]
    path.write_bytes("\n".join(lines).encode("gb18030"))
    assert checked(path) == (
        f"{path}: this is not UTF-8 text. The first lines at fault, as GB18030 reads them:\n"
        "  line 3: /2.mp4,数学\n"
        "  line 5: /4.mp4,晨会\n"
        "  line 6: /5.mp4,钢琴\n"
        "If that reads well, use --encoding gb18030; otherwise save the file as UTF-8"
    )
    assert checked(path, "gb18030") == ""


def test_header_of_another_encoding_is_reported_alike(tmp_path: Path) -> None:
    """The whole message comes also when the file cannot even be opened as text."""
    path = tmp_path / "a.csv"
    path.write_bytes("file_id,房间\n/1.mp4,数学\n".encode("gb18030"))
    with pytest.raises(
        ManifestError, match=r"line 1: file_id,房间\n  line 2: /1.mp4,数学\nIf that reads well"
    ):
        open_manifest(str(path))


def test_encoding_is_named_only_if_it_accepts_the_whole_file(tmp_path: Path) -> None:
    """A file that GB18030 cannot read to its end is not recommended to be read so."""
    path = tmp_path / "a.csv"
    path.write_bytes("file_id\n/数学.mp4\n".encode("gb18030") + b"/\xff\x1b[2J.mp4\n")
    message = checked(path)
    assert "line 2: /数学.mp4\n  line 3: /\\xff\\x1b[2J.mp4\n" in message
    assert "--encoding" not in message


def test_wrongly_named_encoding_is_reported(tmp_path: Path) -> None:
    """UTF-8 that was announced as something else is recognised."""
    path = tmp_path / "a.csv"
    path.write_bytes("file_id\n/数学.mp4\n".encode())
    assert "It is UTF-8: leave --encoding out" in checked(path, "ascii")
    assert "--encoding 'latin-l' is not known" in checked(path, "latin-l")
    assert "--encoding 'hex' is not known" in checked(path, "hex")


def test_long_lines_are_shown_around_the_fault(tmp_path: Path) -> None:
    """Only the part of a line that matters is shown."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"file_id\n" + b"a" * 5000 + "数学".encode("gb18030") + b"b" * 5000 + b"\n")
    message = checked(path)
    assert "line 2: …aaaa" in message
    assert "数学bbb" in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\x03\x04\x14\x00\x06\x00", "a ZIP archive or a workbook, not CSV, and it is cut off or damaged"),
        (gzip.compress(gzip.compress(b"file_id\n1\n", mtime=0), mtime=0), "compressed with gzip"),
        (b"PAR1\x15\x04\x15", "a Parquet file"),
        (b"SQLite format 3\x00\x10\x00", "an SQLite database"),
        (TEXT.encode("utf-16-le"), "If it is UTF-16, use --encoding utf-16-le;"),
        (TEXT.encode("utf-16-be"), "If it is UTF-16, use --encoding utf-16-be;"),
        (b"file_id\n1\n2\x003\n", "line 3: holds a NUL byte"),
    ],
)
def test_file_that_is_not_text_is_refused_by_its_kind(tmp_path: Path, data: bytes, what: str) -> None:
    """Other kinds of files are recognized, in a file and in a stream."""
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    assert what in checked(path)
    with pytest.raises(ManifestError) as caught:
        paths_in(data)
    assert what in str(caught.value)


@pytest.mark.parametrize("place", [1_000, 300_000])
def test_fault_in_a_stream_comes_after_the_rows_before_it(place: int) -> None:
    """Every row before the line at fault is read; then its number and its text are reported."""
    rows_before = place // 10
    good = "file_id\n" + "".join(f"/{number:06}.m\n" for number in range(rows_before))
    data = good.encode() + "/数学.mp4\n/after.mp4\n".encode("gb18030")
    seen: list[object] = []
    with pytest.raises(ManifestError) as caught:
        seen.extend(open_manifest("-", stdin=io.BytesIO(data), defaults=HUAWEI))
    assert len(seen) == rows_before
    assert str(caught.value) == (
        f"stdin line {rows_before + 2}: not UTF-8 text. As GB18030 reads it:\n  /数学.mp4\n"
        "If that reads well, use --encoding gb18030; otherwise save it as UTF-8"
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_stream_that_ends_inside_a_character_is_at_fault(encoding: str) -> None:
    """A cut-off file in wide characters is reported with its line, and its last line is not used."""
    data = TEXT.encode(encoding)[:-1]
    with pytest.raises(ManifestError, match=r"stdin line 3: not \S+ text, after '/晨会/2.mp4,"):
        paths_in(data, encoding)


def test_checking_leaves_a_stream_and_the_reading_of_a_file_alone(tmp_path: Path) -> None:
    """A check may be made at any time; it consumes no row."""
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode())
    with open_manifest(str(path), defaults=HUAWEI) as manifest:
        rows = iter(manifest)
        manifest.check()
        first = next(rows)
        manifest.check()
        assert [row.line for row in (first, *rows)] == [2, 3]
    stream = open_manifest("-", stdin=io.BytesIO(b"file_id\n/1.mp4\n/\xff.mp4\n"), defaults=HUAWEI)
    stream.check()


@pytest.mark.parametrize(
    ("line", "proposed"),
    [
        ("/数学.mp4".encode("gb18030"), True),
        (b"/\xff\xff.mp4", False),
        ("/é.mp4".encode("latin-1"), False),
    ],
)
def test_stream_of_another_encoding_is_offered_only_what_can_read_its_line(
    line: bytes, proposed: bool
) -> None:
    """An encoding is tried before it is named."""
    with pytest.raises(ManifestError, match=r"^stdin line 2: not UTF-8 text") as caught:
        paths_in(b"file_id\n" + line + b"\n/b.mp4\n")
    assert ("use --encoding gb18030" in str(caught.value)) is proposed
    assert ("As GB18030 reads it" in str(caught.value)) is proposed
    assert str(caught.value).lower().endswith("save it as utf-8")


@pytest.mark.parametrize(
    ("data", "proposed"),
    [(TEXT.encode("utf-16-le"), True), (TEXT.encode("utf-16-le") + b"\x00\xd8\x00\xd8", False)],
)
def test_bytes_with_nul_are_offered_utf_16_only_if_it_reads_them(data: bytes, proposed: bool) -> None:
    """Half a pair of surrogates is no text of any encoding."""
    with pytest.raises(ManifestError, match="holds a NUL byte") as caught:
        paths_in(data)
    assert ("use --encoding utf-16-le" in str(caught.value)) is proposed
