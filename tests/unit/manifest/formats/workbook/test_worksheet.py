"""Workbooks: sheets, cells, and numbers that a spreadsheet has rounded."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import pytest
from support.manifest_files import workbook_of
from support.raw_workbooks import excel, row, text

from batcher.errors import ManifestError
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import open_manifest
from batcher.model.submission import InvalidRow, Row

TENCENT = Defaults(vendor="Tencent", definition="10")
ID = "1397757897438985123"

Sheets = Mapping[str, Sequence[Sequence[object]]]


def read(sheets: Sheets, sheet: str | None = None, hidden: Sequence[str] = ()) -> list[Row | InvalidRow]:
    """The rows of a workbook of sheets."""
    data = io.BytesIO(workbook_of(sheets, hidden))
    with open_manifest("-", stdin=data, defaults=TENCENT, format_="xlsx", sheet=sheet) as manifest:
        return list(manifest)


def rows_of(*rows: Sequence[object]) -> list[Row | InvalidRow]:
    """Read one sheet of rows."""
    return read({"Sheet1": rows})


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (int(ID), "1.397757897438985e+18 is a number, and a spreadsheet keeps 15 of its 19 digits. Export"),
        (
            1.397757897438985e18,
            "1.397757897438985e+18 is a number, and a spreadsheet keeps 15 of its 19 digits",
        ),
        (10**15, "keeps 15 of its 16 digits"),
        (12.5, "12.5 has lost its digits: a spreadsheet took the id for a number"),
        (True, "is true or false, not a file id"),
    ],
)
def test_number_as_an_id_is_an_invalid_row(cell: object, reason: str) -> None:
    """The reason is given; ids that are text are read."""
    before, fault, after = rows_of(["File ID", "room"], [ID, "a"], [cell, "b"], ["12", "c"])
    assert isinstance(before, Row)
    assert isinstance(after, Row)
    assert isinstance(fault, InvalidRow)
    assert (fault.line, fault.column) == (3, "File ID")
    assert reason in fault.reason
    assert fault.cells[1] == "b"


@pytest.mark.parametrize(("cell", "file_id"), [(12, "12"), (12.0, "12"), (10**15 - 1, "999999999999999")])
def test_number_of_up_to_15_digits_is_exact(cell: object, file_id: str) -> None:
    """A spreadsheet keeps short numbers exactly."""
    [row] = rows_of(["file_id"], [cell])
    assert isinstance(row, Row)
    assert row.file_id == file_id


@pytest.mark.parametrize(("cell", "more"), [("XFD7", ""), ("D7", text("y", "F7"))])
def test_row_with_a_value_beyond_the_header_names_the_cell(tmp_path: Path, cell: str, more: str) -> None:
    """It is far out of sight in a spreadsheet; the rows around are read."""
    rows = [row(text("file_id", "A1"), text("room", "B1"), number=1), row(text("12", "A6"), number=6)]
    rows.append(row(text("13", "A7"), text("x", cell), more, number=7))
    path = tmp_path / "a.xlsx"
    path.write_bytes(excel("".join(rows)))
    with open_manifest(str(path), defaults=TENCENT) as manifest:
        good, bad = manifest
    assert isinstance(good, Row)
    assert isinstance(bad, InvalidRow)
    assert (bad.line, bad.column) == (7, "row")
    others = " and 1 more" if more else ""
    assert bad.reason.startswith(f"has a value in cell {cell}{others} (x), and the header ends at column B.")


def test_sheet_whose_ids_are_all_numbers_is_refused() -> None:
    """With the sheet, the first row and the reason: the column was exported as numbers."""
    with pytest.raises(ManifestError) as caught:
        rows_of([], ["room", "FileId"], ["a", int(ID)], ["b", None], ["c", 1.4e18])
    assert str(caught.value).startswith("stdin sheet Sheet1 row 3, column FileId: 1.397757897438985e+18 is")
    assert str(caught.value).endswith("All ids of the sheet are such numbers")


def test_cells_of_every_type_become_text() -> None:
    """Numbers without a needless point, dates as ISO 8601, empty cells as nothing."""
    header = [
        "file_id",
        "definition",
        "offsets",
        "number",
        "half",
        "day",
        "moment",
        "time",
        "yes",
        "text",
        "none",
    ]
    cells = [
        ID,
        20.0,
        1.5,
        7.0,
        0.1,
        dt.datetime.fromisoformat("2024-11-13"),
        dt.datetime.fromisoformat("2024-11-13T06:10:48"),
        dt.time(6, 10),
        True,
        " x ",
        None,
    ]
    [row] = rows_of(header, cells)
    assert isinstance(row, Row)
    assert (row.parameters.definition, row.parameters.offsets) == ("20", ("1.5",))
    assert json.loads(row.extra or "") == {
        "number": "7",
        "half": "0.1",
        "day": "2024-11-13",
        "moment": "2024-11-13T06:10:48",
        "time": "06:10:00",
        "yes": "true",
        "text": " x ",
        "none": "",
    }


def test_rows_are_those_of_the_sheet() -> None:
    """Blank rows before, between and after count and are passed over; cells beyond the header too."""
    rows = rows_of(
        [], ["", None], ["file_id", "room", None], ["1"], [], ["2", "b", None, ""], ["3", "c", "d"]
    )
    assert [row.line for row in rows] == [4, 6, 7]
    fault = rows[2]
    assert isinstance(fault, InvalidRow)
    assert "has a value in cell C7 (d), and the header ends at column B" in fault.reason


IDS = [["file_id"], ["12"]]
NOTES = [["about"], ["this archive"]]


@pytest.mark.parametrize(
    ("sheets", "requested", "hidden"),
    [
        ({"A": IDS}, None, []),
        ({"A": IDS}, None, ["-"]),
        ({"Notes": NOTES, "录像": IDS}, None, []),
        ({"Old": IDS, "New": IDS}, None, ["Old"]),
        ({"Old": [["file_id"], ["13"]], "New 2": IDS}, "New 2", []),
        ({"Old": [["file_id"], ["13"]], "New": IDS}, " new", []),
        ({"a": [["file_id"], ["13"]], "B ": IDS, "": NOTES}, "B ", []),
        ({"Notes": NOTES, "Hidden": IDS}, "Hidden", ["Hidden"]),
    ],
)
def test_sheet_is_chosen_by_name_or_if_it_is_the_only_one(
    sheets: Sheets, requested: str | None, hidden: list[str]
) -> None:
    """The named one, else the only one, else the only visible one with a header."""
    [row] = read(sheets, requested, hidden)
    assert isinstance(row, Row)
    assert row.file_id == "12"


@pytest.mark.parametrize(
    ("sheets", "requested", "message"),
    [
        (
            {"A": IDS, "B": IDS},
            None,
            "more than one sheet has a header with file_id. Name one with --sheet; there are",
        ),
        (
            {"A": NOTES, "B": NOTES},
            None,
            "no visible sheet has a header with file_id. Name one with --sheet; there",
        ),
        ({"A": IDS, "B": IDS}, "C", "there is no sheet --sheet 'C'; its sheets: A, B"),
        ({"A": NOTES}, None, "no column is named file_id; there are about"),
        ({"A": [["FileId", "Key"]]}, None, "sheet A row 1: the columns 'FileId' and 'Key' both mean file_id"),
    ],
)
def test_ambiguous_sheet_is_refused(sheets: Sheets, requested: str | None, message: str) -> None:
    """The message lists the sheets."""
    with pytest.raises(ManifestError) as caught:
        read(sheets, requested)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        workbook_of({"A": [["file_id"], *([str(n)] for n in range(5000))]})[:-3000],
        b"PK\x03\x04" + bytes(100),
        b"PK\x05\x06" + bytes(18),
    ],
)
def test_damaged_workbook_is_refused(tmp_path: Path, data: bytes) -> None:
    """With its name and the remedy."""
    path = tmp_path / "a.xlsx"
    path.write_bytes(data)
    with pytest.raises(ManifestError, match=r"a\.xlsx: .*(cut off or damaged|no workbook|not a ZIP)"):
        open_manifest(str(path))


def test_damaged_sheet_is_refused_before_its_first_row(tmp_path: Path) -> None:
    """A wrong byte far below the first rows is found by the archive's checksum when it is opened."""
    data = bytearray(workbook_of({"A": [["file_id"], *([str(7919 * n)] for n in range(15_000))]}))
    at = data.index(b"xl/worksheets/sheet1.xml") + 20_000
    data[at] ^= 0xFF
    path = tmp_path / "a.xlsx"
    path.write_bytes(data)
    with pytest.raises(ManifestError, match=r"a\.xlsx: the workbook is cut off or damaged"):
        open_manifest(str(path))


def test_sheet_with_wrong_xml_is_reported_with_its_row() -> None:
    """The rows before it are read: its archive is whole."""
    sheet = row(text("file_id")) + "".join(row(text(str(n))) for n in range(20_000)) + "<row><c></row>"
    with open_manifest("-", stdin=io.BytesIO(excel(sheet)), defaults=TENCENT, format_="xlsx") as manifest:
        assert len(list(islice(manifest, 20_000))) == 20_000
        with pytest.raises(ManifestError, match=r"stdin sheet S row 20002: the workbook is cut off or"):
            next(iter(manifest))
