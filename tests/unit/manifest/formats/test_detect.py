"""The same rows from every format: the same submissions, the same invalid rows, the same messages."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path

import pytest
from support.manifest_files import FORMATS, PACKINGS, as_parquet, as_text, as_xlsx
from support.raw_workbooks import archive, ods, xlsb

from batcher.config.settings import MANIFEST_FORMATS
from batcher.errors import ManifestError
from batcher.manifest.formats.detect import ManifestFormat
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import open_manifest
from batcher.model.submission import InvalidRow, Parameters, Row, SnapshotType, Vendor

DEFAULTS = Defaults(vendor="Tencent", definition="10", interval="5")
TABLE = [
    {
        "FileId": "1397757897438985123",
        "vendor": "",
        "offsets": "1;2",
        "definition": "7",
        "room": '晨会 "a",b',
    },
    {"FileId": "9007199254740993", "vendor": "hw", "offsets": "", "definition": "", "room": "x"},
    {
        "FileId": "/record/数学 一班/q+a & take #2/100% =.mp4",
        "vendor": "HUAWEI",
        "offsets": "[0.5, 10]",
        "definition": "",
        "room": "two\nlines",
    },
    {"FileId": "'0012", "vendor": "", "offsets": "", "definition": "", "room": ""},
    {"FileId": "1.39776E+18", "vendor": "", "offsets": "", "definition": "", "room": "r"},
    {"FileId": "12x", "vendor": "Tencent", "offsets": "", "definition": "", "room": "r"},
    {"FileId": "", "vendor": "", "offsets": "", "definition": "", "room": "no id"},
    {"FileId": "14", "vendor": "Acme", "offsets": "", "definition": "", "room": "r"},
    {"FileId": "15", "vendor": "", "offsets": "1;x", "definition": "", "room": "r"},
]
EXPECTED = [
    ("1397757897438985123", Parameters(Vendor.TENCENT, SnapshotType.BY_TIME_OFFSET, "7", "", ("1", "2"))),
    ("9007199254740993", Parameters(Vendor.HUAWEI, SnapshotType.SAMPLE, "", "5")),
    (TABLE[2]["FileId"], Parameters(Vendor.HUAWEI, SnapshotType.BY_TIME_OFFSET, "", "5", ("0.5", "10"))),
    ("0012", Parameters(Vendor.TENCENT, SnapshotType.SAMPLE, "10")),
    (
        "FileId",
        "1.39776E+18 has lost its digits: a spreadsheet took the id for a number. Export the column as text",
    ),
    ("FileId", "12x is not a Tencent file id, which is digits only"),
    ("FileId", "is missing"),
    ("vendor", "Acme is not one of Tencent, Huawei"),
    ("offsets", "x is not a plain number such as 10 or 2.5"),
]


def summary(row: Row | InvalidRow) -> tuple[str, object]:
    """The content of a row, without its place."""
    return (row.column, row.reason) if isinstance(row, InvalidRow) else (row.file_id, row.parameters)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path: Path, format_: str, packing: str) -> None:
    """Ids, parameters, own columns and reasons do not depend on how the rows were written."""
    (extension, write), (suffix, pack) = FORMATS[format_], PACKINGS[packing]
    data = pack(write(TABLE))
    path = tmp_path / f"archive{extension.upper()}{suffix}"
    path.write_bytes(data)
    with open_manifest(str(path), defaults=DEFAULTS) as manifest:
        manifest.check()
        rows = list(manifest)
        held = [manifest.cells_of(row) for row in rows if isinstance(row, InvalidRow)]
    assert list(map(summary, rows)) == EXPECTED
    assert manifest.columns == ("room",)
    assert [row["room"] for row in TABLE[:4]] == [
        json.loads(row.extra or "")["room"] for row in rows if isinstance(row, Row)
    ]
    assert [row["FileId"] for row in TABLE[4:]] == [cells["file_id"] for cells in held]
    stdin = io.BytesIO(data)
    streamed = open_manifest("-", defaults=DEFAULTS, format_=format_, stdin=stdin)
    assert rows == list(streamed)
    streamed.close()
    assert not stdin.closed


PLACES = {
    "csv": [2, 3, 4, 6, 7, 8, 9, 10, 11],
    "jsonl": list(range(1, 10)),
    "json": list(range(2, 2 + 7 * 9, 7)),
    "parquet": list(range(1, 10)),
    "xlsx": list(range(2, 11)),
}


@pytest.mark.parametrize("format_", FORMATS)
def test_rows_are_numbered_as_the_format_numbers_them(tmp_path: Path, format_: str) -> None:
    """Lines of text, the sheet's own rows, rows of Parquet from 1: the numbers that a user sees."""
    extension, write = FORMATS[format_]
    path = tmp_path / f"archive{extension}"
    path.write_bytes(write(TABLE))
    with open_manifest(str(path), defaults=DEFAULTS) as manifest:
        assert PLACES[format_] == [row.line for row in manifest]


@pytest.mark.parametrize("packing", PACKINGS)
def test_list_of_ids_gives_the_same_rows(tmp_path: Path, packing: str) -> None:
    """From a file as from a stream."""
    suffix, pack = PACKINGS[packing]
    data = pack(as_text([{"file_id": "1397757897438985123"}, {"file_id": "12x"}]))
    path = tmp_path / f"ids.txt{suffix}"
    path.write_bytes(data)
    with open_manifest(str(path), defaults=DEFAULTS) as manifest:
        manifest.check()
        rows = list(manifest)
    assert [(row.line, row.column if isinstance(row, InvalidRow) else row.file_id) for row in rows] == [
        (1, "1397757897438985123"),
        (2, "file_id"),
    ]
    assert rows == list(open_manifest("-", defaults=DEFAULTS, format_="text", stdin=io.BytesIO(data)))


@pytest.mark.parametrize("format_", ManifestFormat)
def test_file_without_a_byte_has_no_rows_in_every_format(tmp_path: Path, format_: ManifestFormat) -> None:
    """The warning names the file."""
    path = tmp_path / f"archive.{format_}"
    path.write_bytes(b"")
    with open_manifest(str(path), format_=format_) as manifest:
        assert list(manifest) == []
        assert manifest.warnings[0].startswith(f"{path}: is empty")


@pytest.mark.parametrize("format_", ManifestFormat)
def test_stream_without_a_byte_is_refused_where_there_is_a_header(format_: ManifestFormat) -> None:
    """A program that failed writes nothing; so does one that has no recordings for JSON lines or text."""
    if format_ in ("jsonl", "text"):
        assert list(open_manifest("-", format_=format_, stdin=io.BytesIO())) == []
        return
    with pytest.raises(ManifestError, match="stdin: is empty: nothing arrived"):
        open_manifest("-", format_=format_, stdin=io.BytesIO())


@pytest.mark.parametrize("format_", FORMATS)
def test_manifest_without_an_id_column_is_refused_in_every_format(tmp_path: Path, format_: str) -> None:
    """The message lists the columns there are."""
    extension, write = FORMATS[format_]
    path = tmp_path / f"archive{extension}"
    path.write_bytes(write([{"name": "a", "room": "b"}]))
    with pytest.raises(ManifestError, match=r"no column is named file_id; there are name, room"):
        open_manifest(str(path), defaults=DEFAULTS)


@pytest.mark.parametrize(
    ("name", "data", "format_", "message"),
    [
        ("a.csv", as_parquet(TABLE), None, "this is a Parquet file, and its name says CSV. "),
        ("a.jsonl", as_xlsx(TABLE), None, "an Excel workbook (.xlsx), and its name says jsonl. "),
        ("a.parquet", b"file_id\n1\n", None, "this is not a Parquet file, though its name says so"),
        ("a.xlsx", b"file_id\n1\n", None, "this is not a ZIP archive or an Excel workbook (.xlsx), though"),
        (
            "a.parquet",
            as_xlsx(TABLE),
            None,
            "and its name says parquet. Give --format xlsx to read it",
        ),
        ("a.parquet", as_parquet(TABLE), "csv", "this is a Parquet file, and --format says CSV"),
        ("a.csv.gz", b"file_id\n1\n", None, "this is not compressed, and its name says gzip"),
        ("a.csv", PACKINGS["gzip"][1](b"file_id\n1\n"), None, "compressed with gzip, and its name says CSV"),
        (
            "a.csv.gz",
            PACKINGS["zstd"][1](b"file_id\n1\n"),
            None,
            "compressed with zstd, and its name says gz",
        ),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "csv", "an old Excel workbook (.xls) or one with a"),
        (
            "-",
            as_parquet(TABLE),
            None,
            "a Parquet file, and without --format it is read as CSV. Give --format parquet to read it",
        ),
        (
            "a.csv",
            archive({"b.csv": "file_id"}),
            None,
            "a ZIP archive, not CSV: it holds b.csv. Unpack it",
        ),
        ("a.json", archive({"b.csv": "file_id"}), None, "this is a ZIP archive, not json: it holds b.csv."),
        ("-", archive({"b.csv": "file_id"}), None, "this is a ZIP archive, not CSV: it holds b.csv."),
        (
            "a.csv",
            archive({"word/document.xml": "<x/>"}),
            None,
            "this is a document of Word, and not CSV.",
        ),
        (
            "a.csv",
            as_xlsx(TABLE),
            None,
            "is an Excel workbook (.xlsx), and its name says CSV. Give",
        ),
        (
            "a.txt",
            ods([["file_id"]]),
            None,
            "an OpenDocument spreadsheet (.ods), and its name says text. ",
        ),
        (
            "a.csv",
            xlsb([["file_id"]]),
            "csv",
            "Excel workbook (.xlsb), and --format says CSV. Give --format xlsb",
        ),
        (
            "a.csv",
            as_xlsx(TABLE)[:900],
            None,
            "or a workbook, not CSV, and it is cut off or damaged.",
        ),
        ("a.csv", b'{"file_id": "1"}\n', None, "line 1: this looks like JSON. Give --format jsonl when each"),
    ],
)
def test_name_and_content_must_agree(
    tmp_path: Path, name: str, data: bytes, format_: str | None, message: str
) -> None:
    """A file whose name contradicts its content is refused, and the message names the content."""
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ManifestError) as caught:
        open_manifest("-" if name == "-" else str(path), format_=format_, stdin=io.BytesIO(data))
    assert message in str(caught.value)
    assert ("stdin" if name == "-" else str(path)) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "format_"),
    [("archive", None), ("nightly.dat", None), ("a.csv", "csv"), ("a.csv.gz", "csv"), ("a.txt", "csv")],
)
def test_name_without_a_format_or_with_an_option_is_read_by_the_option(
    tmp_path: Path, name: str, format_: str | None
) -> None:
    """Without an extension bytes decide about compression; ``--format`` outranks any name."""
    for data in (
        b"file_id\n12\n",
        PACKINGS["gzip"][1](b"file_id\n12\n"),
        PACKINGS["zstd"][1](b"file_id\n12\n"),
    ):
        (tmp_path / name).write_bytes(data)
        with open_manifest(str(tmp_path / name), format_=format_, defaults=DEFAULTS) as manifest:
            assert [row.file_id for row in manifest if isinstance(row, Row)] == ["12"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.csv.gz", "a.csv.zst"])
def test_large_manifest_of_any_format_is_not_held_in_memory(tmp_path: Path, name: str) -> None:
    """Memory is bounded by the first rows, not by the file."""
    note, count = "晨会" * 100, 25_000 if name == "a.jsonl" else 15_000
    rows = [f'{{"file_id": {1397757890000000000 + 7919 * n}, "note": "{note}"}}' for n in range(count)]
    text = "".join(f"{row}\n" for row in rows)
    if name.startswith("a.csv"):
        text = "file_id,note\n" + "".join(f"{1397757890000000000 + n},{note}\n" for n in range(count))
    if name == "a.txt":
        text = "".join(f"/{note}/{n}.mp4\n" for n in range(count))
    pack = PACKINGS[{"gz": "gzip", "zst": "zstd"}.get(name.rpartition(".")[2], "plain")][1]
    (tmp_path / name).write_bytes(pack(text.encode()))
    size = len(text.encode())
    del rows, text
    tracemalloc.start()
    try:
        with open_manifest(str(tmp_path / name), defaults=Defaults(vendor="hw", interval="5")) as manifest:
            manifest.check()
            read = sum(1 for row in manifest if isinstance(row, Row))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read == count
    assert peak < (size if name == "a.jsonl" else 8_000_000) < 1.1 * size


def test_settings_accept_every_format() -> None:
    """``--format`` takes exactly the existing formats."""
    assert tuple(ManifestFormat) == MANIFEST_FORMATS
