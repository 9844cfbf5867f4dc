"""Workbooks of Excel as a whole: phantom cells, what is hidden, both standards, and files made to do harm."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import product
from string import ascii_uppercase

import pytest
from support.raw_workbooks import MAIN, STRICT_MAIN, archive, excel, excel_parts, in_sheet, row, text

from batcher.errors import ManifestError
from batcher.manifest.formats.workbook import package, shared_texts
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import Manifest, open_manifest
from batcher.model.submission import InvalidRow, Row

TENCENT = Defaults(vendor="Tencent", definition="10")
TABLE = row(text("file_id", "A1"), text("room", "B1"), number=1) + row(text("12", "A2"), number=2)
COLUMNS = ["".join(letters) for letters in product(ascii_uppercase, repeat=2)]


def opened(data: bytes, sheet: str | None = None) -> Manifest:
    """A workbook as a manifest."""
    return open_manifest("-", stdin=io.BytesIO(data), defaults=TENCENT, format_="xlsx", sheet=sheet)


def ids(data: bytes) -> list[tuple[int, str]]:
    """The rows and ids of a workbook."""
    with opened(data) as manifest:
        return [(one.line, one.file_id if isinstance(one, Row) else one.reason) for one in manifest]


def remarks(data: bytes, sheet: str | None = None) -> list[str]:
    """What is said about a workbook, when it is opened and when it has been read."""
    with opened(data, sheet) as manifest:
        list[Row | InvalidRow](manifest)
        return [*manifest.warnings, *manifest.late_warnings]


def phantom_pieces() -> Iterable[bytes]:
    """A table of one id, a false size, 100,000 cells with a style only, and styles in the last places."""
    yield f'<worksheet xmlns="{MAIN}"><dimension ref="A1:XFD1048576"/><sheetData>{TABLE}'.encode()
    for number in range(3, 150):
        yield row(*(f'<c r="{letters}{number}" s="1"/>' for letters in COLUMNS), number=number).encode()
    last = row('<c r="A1048576" s="1"/>', '<c r="XFD1048576" s="1"/>', number=1048576, more=' s="1"')
    yield f"{last}</sheetData></worksheet>".encode()


def test_phantom_cells_are_never_built() -> None:
    """A style in the last row and column takes neither rows nor memory."""
    data = excel(phantom_pieces())
    tracemalloc.start()
    try:
        assert ids(data) == [(2, "12")]
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_value_in_the_last_cell_is_an_invalid_row() -> None:
    """One row is too wide; the others are read."""
    [good, (line, reason)] = ids(excel(TABLE + row(text("x", "XFD1048576"), number=1048576)))
    assert good == (2, "12")
    assert line == 1048576
    assert reason.startswith("has a value in cell XFD1048576 (x), and the header ends at column B.")


def test_header_cell_far_away_is_named() -> None:
    """Sixteen thousand columns without a name are not a table."""
    rows = row(text("file_id", "A1"), text("x", "XFD1"), number=1) + row(text("12", "A2"), number=2)
    with pytest.raises(ManifestError, match=r"row 1: the header reaches to column XFD, and 16,382 of its"):
        ids(excel(rows))


PREFIXED = (
    f'<x:worksheet xmlns:x="{MAIN}"><x:sheetData>'
    f"{TABLE.replace('<', '<x:').replace('<x:/', '</x:')}</x:sheetData></x:worksheet>"
)
IN_UTF_16 = (
    f'\ufeff<?xml version="1.0" encoding="utf-16"?><worksheet><sheetData>{TABLE}</sheetData></worksheet>'
)
PARTS = excel_parts({"S": f"<sheetData>{TABLE}</sheetData>"})


@pytest.mark.parametrize(
    "data",
    [
        excel(TABLE, main=STRICT_MAIN),
        excel([PREFIXED.encode()]),
        archive({name.replace("/", "\\").upper(): part for name, part in PARTS.items()}),
        excel([IN_UTF_16.encode("utf-16-le")]),
        excel(row(text("file_id"), text("room")) + row(text("12"), "<c/>")),
        excel(TABLE + "<row/>", texts="", workbook="<workbookPr/>"),
    ],
    ids=["strict", "prefixed", "backslashes", "utf-16", "without-references", "blank-row"],
)
def test_workbook_is_read_however_its_xml_is_written(data: bytes) -> None:
    """Both versions of the standard, prefixes, odd names of parts, cells without references."""
    assert [file_id for _, file_id in ids(data)] == ["12"]


def test_hidden_rows_and_columns_are_read_and_said() -> None:
    """Rows when all have been read; blank ones do not count. A hidden column is named by its letter."""
    rows = TABLE + row(text("13", "A3"), number=3, more=' hidden="1"') + row(number=4, more=' hidden="1"')
    columns = '<cols><col min="1" max="2" hidden="1"/></cols>'
    assert remarks(archive(excel_parts({"S": f"{columns}<sheetData>{rows}</sheetData>"}))) == [
        "stdin sheet S: column A (file_id) is hidden, and is read",
        "stdin sheet S: hidden columns are read as all others: B",
        "stdin sheet S: hidden rows are read as all others; there are 1. To leave them out, delete them from "
        "the sheet",
    ]


def test_hidden_sheet_with_a_header_is_not_read_and_said() -> None:
    """Unless it is named."""
    sheets = {"Old": f"<sheetData>{TABLE}</sheetData>", "New": f"<sheetData>{TABLE}</sheetData>", "Lists": ""}
    data = archive(excel_parts(sheets, states={"Old": "veryHidden", "Lists": "hidden"}))
    assert remarks(data) == [
        "stdin sheet New: hidden sheets with a header are not read unless --sheet names one: Old"
    ]
    assert remarks(data, "Old") == []


def test_title_above_the_header_is_passed_over_and_said() -> None:
    """The table may begin in any row and column; a sheet that begins with its header is preferred."""
    title = row(text("Our recordings", "B1"), number=1) + row(text("by room", "B2"), number=2)
    table = row(text("File ID", "B4"), text("room", "C4"), number=4) + row(text("12", "B5"), number=5)
    assert ids(excel(title + table)) == [(5, "12")]
    assert remarks(excel(title + table)) == [
        "stdin sheet S: the header with file_id is in row 4; what is above it is not read"
    ]
    sheets = {"Notes": f"<sheetData>{title}{table}</sheetData>", "S": f"<sheetData>{TABLE}</sheetData>"}
    assert ids(archive(excel_parts(sheets))) == [(2, "12")]


def test_sheet_with_a_header_only_is_an_empty_manifest() -> None:
    """As in every other format."""
    assert ids(excel(row(text("file_id")))) == []


def one_tag() -> Iterator[bytes]:
    """A sheet whose first tag does not end."""
    yield b"<worksheet><sheetData><row><c r='"
    for _ in range(6):
        yield b"A" * (1 << 20)
    yield b"'/></row></sheetData></worksheet>"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (excel(one_tag()), "a tag of more than 4 MiB"),
        (
            excel(in_sheet([row(text("a" * (1 << 20), "A1"), text("b", "B1")).encode()])),
            "a row of more than 1,048",
        ),
        (excel(row(*["<c/>"] * 16_385)), "more cells than a sheet has columns"),
        (excel(row(text("a", "XFE1"))), "there is no column 'XFE'"),
        (excel(row(text("a", "A" * 1_000_000))), "there is no column 'AAAAAAAAA'"),
        (excel([b"<!DOCTYPE x [<!ENTITY a 'aa'>]><worksheet><v>&a;</v></worksheet>"]), "a document type"),
        (
            excel(row('<c t="s"><v>7</v></c>'), texts="<si><t>a</t></si>"),
            "sheet S row 1: this is not a workbook",
        ),
        (excel(row('<c t="s"><v>-1</v></c>'), texts="<si><t>a</t></si>"), "there is no shared text -1"),
        (excel(row(number=5) + row(number=5)), "row 5 after row 5"),
        (excel(row(number=1 << 80)), "sheet S row 1: this is not a workbook"),
        (excel("<row><c></row>"), "sheet S row 1: the workbook is cut off or damaged"),
    ],
    ids=[
        "tag",
        "row",
        "cells",
        "column",
        "long-column",
        "entities",
        "shared-text",
        "negative",
        "order",
        "row-number",
        "nesting",
    ],
)
def test_workbook_made_to_do_harm_is_refused(data: bytes, message: str) -> None:
    """Nothing grows without a limit, and each message says where and why."""
    with pytest.raises(ManifestError, match=message):
        ids(data)


def test_table_of_shared_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The part and the limit are named; so are those of a list of parts."""
    monkeypatch.setattr(shared_texts, "LARGEST_TEXTS", 1 << 20)
    with pytest.raises(ManifestError, match=r"xl/sharedStrings\.xml unpacks to more than 1 MiB, and that"):
        ids(excel(TABLE, texts=f"<si><t>{'a' * 1000}</t></si>" * 1500))
    monkeypatch.setattr(package, "LARGEST_INDEX", 1 << 20)
    with pytest.raises(ManifestError, match=r"xl/styles\.xml unpacks to more than 1 MiB"):
        ids(excel(TABLE, styles="<cellXfs>" + "<xf/>" * 300_000 + "</cellXfs>"))
