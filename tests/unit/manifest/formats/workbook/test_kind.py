"""What a file is that is, or is named like, a workbook."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from support.raw_workbooks import archive, compound, excel, ods, row, text, xls, xlsb

from batcher.errors import ManifestError
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import Manifest, open_manifest
from batcher.model.submission import InvalidRow, Row

TENCENT = Defaults(vendor="Tencent", definition="10")
ID = "1397757897438985123"
ROWS: list[list[str | float]] = [
    ["", ""],
    ["", "file_id", "definition"],
    ["", ID, 20.0],
    [],
    ["", 1.397757897438985e18, ""],
]
SHEET = row(text("file_id")) + row(text(ID))


def opened(folder: Path, name: str, data: bytes) -> Manifest:
    """A file as a manifest."""
    (folder / name).write_bytes(data)
    return open_manifest(str(folder / name), defaults=TENCENT)


@pytest.mark.parametrize("kind", ["xls", "xlsb", "ods"])
@pytest.mark.parametrize("name", ["a.xls", "a.xlsx", "a.ods", "a.xlsb", "a"])
def test_other_workbooks_are_read_by_their_content(tmp_path: Path, kind: str, name: str) -> None:
    """Rows and columns count from the first of the sheet; what cannot be seen is said once."""
    data = {"xls": xls, "xlsb": xlsb, "ods": ods}[kind](ROWS)
    with opened(tmp_path, name, data) as manifest:
        good, bad = manifest
        [warning] = manifest.warnings
        assert manifest.late_warnings == []
    assert isinstance(good, Row)
    assert (good.line, good.file_id, good.parameters.definition) == (3, ID, "20")
    assert isinstance(bad, InvalidRow)
    assert (bad.line, bad.column) == (5, "file_id")
    assert "a spreadsheet keeps 15 of its 19 digits" in bad.reason
    assert f"in a workbook of the kind {kind}, formulas without a stored value" in warning


def test_merged_parameter_of_an_old_workbook_holds_for_all_its_rows(tmp_path: Path) -> None:
    """As in a new one."""
    rows: list[list[str | float]] = [["file_id", "vendor", "interval"], ["/a", "Huawei", 5.0], ["/b"], ["12"]]
    with opened(tmp_path, "a.xls", xls(rows, merged=[(1, 2, 1, 1), (1, 2, 2, 2)])) as manifest:
        assert [str(one.parameters.vendor) for one in manifest if isinstance(one, Row)] == [
            "Huawei",
            "Huawei",
            "Tencent",
        ]


def spoiled(data: bytes, at: int, *numbers: int) -> bytes:
    """A file with other numbers of 32 bits at a place."""
    return data[:at] + struct.pack(f"<{len(numbers)}I", *numbers) + data[at + 4 * len(numbers) :]


TABLE, DIRECTORY = 512, 1_024
"""Where the allocation table and the directory of a compound file begin that the tests make."""


@pytest.mark.parametrize(
    ("at", "numbers", "reason"),
    [
        (TABLE + 4 * 4, (2,), "a chain of its sectors leads in a circle at sector 2"),
        (TABLE + 4, (1,), "a chain of its sectors leads in a circle at sector 1"),
        (TABLE + 4 * 3, (3,), "a chain of its sectors leads in a circle at sector 3"),
        (68, (2,), "its list of tables leads in a circle at sector"),
        (80, (0,), "it lists a sector of its table twice"),
        (76, (900,), "sector 900 is beyond its end"),
        (44, (0x0FFFFFFF,), "a part of 137,438,952,960 bytes in a file of"),
        (64, (0x0FFFFFFF,), "a part of 137,438,952,960 bytes in a file of"),
        (DIRECTORY + 128 + 120, (0x7FFFFFFF,), "a part of 2,147,483,647 bytes in a file of"),
    ],
)
def test_old_workbook_whose_sectors_cannot_be_followed_is_refused(
    tmp_path: Path, at: int, numbers: tuple[int, ...], reason: str
) -> None:
    """Before a reader follows them without end, or takes memory for what is not there."""
    data = xls(ROWS)
    if "list of tables" in reason:  # one that names itself as the next
        data = (
            data[: DIRECTORY + 512] + struct.pack("<128I", *[0xFFFFFFFF] * 127, 2) + data[DIRECTORY + 1_024 :]
        )
    with pytest.raises(ManifestError, match=r"a\.xls: the workbook is cut off or damaged") as caught:
        opened(tmp_path, "a.xls", spoiled(data, at, *numbers))
    assert reason in str(caught.value)


def test_old_workbook_of_an_open_mini_stream_is_refused(tmp_path: Path) -> None:
    """A stream of few bytes is kept in the mini stream, whose chains may lead in a circle, too."""
    data = spoiled(xls(ROWS), 60, 2, 1)  # the first sector of the workbook as the table of the mini stream
    data = spoiled(data, DIRECTORY + 512, 0)
    data = spoiled(data, DIRECTORY + 128 + 116, 0, 100)
    with pytest.raises(ManifestError, match="leads in a circle at sector 0"):
        opened(tmp_path, "a.xls", data)


@pytest.mark.parametrize("kind", ["xlsb", "ods"])
def test_workbook_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a reader that holds it whole begins."""
    monkeypatch.setattr("batcher.manifest.formats.workbook.package.LARGEST_HELD", 1 << 8)
    with pytest.raises(ManifestError, match=r"its parts unpack to [0-9,]+ bytes.* Export the sheet as CSV"):
        opened(tmp_path, f"a.{kind}", {"xlsb": xlsb, "ods": ods}[kind](ROWS))


@pytest.mark.parametrize("name", ["a.xlsm", "a.xltx", "a.XLS", "a.et", "a"])
def test_workbook_of_excel_is_read_under_any_name_of_a_workbook(tmp_path: Path, name: str) -> None:
    """Macros, templates, and a name that says an older kind."""
    with opened(tmp_path, name, excel(SHEET)) as manifest:
        assert len(list(manifest)) == 1
        assert manifest.warnings == []


HTML = (
    "<html xmlns:x='urn:schemas-microsoft-com:office:excel'><table><tr><td>file_id</td></tr></table></html>"
)
XML_2003 = '<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"></Workbook>'
FLAT = (
    '<?xml version="1.0"?><office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"/>'
)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.xlsx", compound({"EncryptionInfo": b"", "EncryptedPackage": b""}), "has a password. Open it"),
        (
            "a.xls",
            compound({"WordDocument": b""}),
            "of an old version of Microsoft Office that holds no workbook",
        ),
        ("a.xls", xls(ROWS)[:600], "or it is cut off. Save or fetch it again"),
        ("a.xls", compound({"Workbook": b"\x09\x08"}), "the workbook cannot be read"),
        ("a.xlsb", archive({"xl/workbook.bin": "x"}), "the workbook cannot be read"),
        ("a.ods", ods(ROWS)[:-100], "the workbook is cut off or damaged"),
        ("a.ods", ods(ROWS, more="<table:table-row"), "the workbook is cut off or damaged"),
        (
            "a.ods",
            archive({"mimetype": "application/vnd.oasis.opendocument.spreadsheet"}),
            "cut off or damaged",
        ),
        (
            "a.xlsx",
            archive({"a.csv": "", "b/c.csv": "", "d": "", "e": ""}),
            "it holds a.csv, b/c.csv, d and 1 more",
        ),
        (
            "a.zip",
            archive({"a.csv": "file_id"}),
            "this is a ZIP archive, not a workbook: it holds a.csv. Unpack",
        ),
        ("a.xlsx", archive({"word/document.xml": "<x/>"}), "this is a document of Word, and not a workbook"),
        ("a.xlsx", archive({"Index/Document.iwa": ""}), "this is a document of Apple Numbers. Export it"),
        (
            "a.xls",
            HTML.encode(),
            "this is a web page (HTML) with the name of a workbook. Export CSV or .xlsx",
        ),
        ("a.xls", f"\n{HTML}".encode("utf-16"), "this is a web page (HTML)"),
        ("a.xls", b"MIME-Version: 1.0\r\n", "this is a saved web page (MHTML)"),
        (
            "a.xls",
            XML_2003.encode(),
            "this is an XML Spreadsheet of Excel 2003. Open it in a spreadsheet and",
        ),
        ("a.ods", FLAT.encode(), "this is a flat OpenDocument file"),
        ("a.xls", b"\x09\x04\x06\x00", "this is a workbook of Excel 4 or older. Save it as .xlsx"),
        ("a.xlsx", b"file_id\n1\n", "If it is text, say with --format csv, text, jsonl or json"),
        ("a.csv", excel(SHEET), "and its name says CSV. Give --format xlsx to read it"),
        ("a.csv", xls(ROWS), "an old Excel workbook (.xls) or one with a password, and its name says CSV"),
        (
            "~$a.xlsx",
            b"\x04Wang" + bytes(160),
            "keeps beside a workbook while it is open. Name the workbook: a.xlsx",
        ),
    ],
)
def test_file_that_is_no_readable_workbook_is_named(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    """What it is, by its content, and what to do."""
    with pytest.raises(ManifestError) as caught:
        opened(tmp_path, name, data)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / name))
