"""Rows of manifests: their parameters, and the reasons why they cannot be sent."""

from __future__ import annotations

import io
import json

import pytest

from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import open_manifest
from batcher.model.submission import FileId, InvalidRow, Parameters, Row, SnapshotType, Vendor

TENCENT_ID = "1397757897438985123"
BY_OFFSET = Defaults(vendor="Tencent", definition="10", offsets=("1", "2"))
ONE_TWO = Parameters(Vendor.TENCENT, SnapshotType.BY_TIME_OFFSET, "10", "", ("1", "2"))
EVERY_2_S = Parameters(Vendor.HUAWEI, SnapshotType.SAMPLE, "", "2")


def rows_of(text: str, defaults: Defaults = BY_OFFSET) -> list[Row | InvalidRow]:
    """Read a manifest given as text."""
    return list(open_manifest("-", stdin=io.BytesIO(text.encode()), defaults=defaults))


def only_row(text: str, defaults: Defaults = BY_OFFSET) -> Row:
    """Read a manifest of one good row."""
    (row,) = rows_of(text, defaults)
    assert isinstance(row, Row), row
    return row


def only_fault(text: str, defaults: Defaults = BY_OFFSET) -> InvalidRow:
    """Read a manifest of one row that cannot be sent."""
    (row,) = rows_of(text, defaults)
    assert isinstance(row, InvalidRow), row
    return row


def test_row_takes_its_parameters_from_the_defaults() -> None:
    """Values that a row leaves out are filled in."""
    assert Row(2, FileId(TENCENT_ID), ONE_TWO, None) == only_row(f"file_id\n{TENCENT_ID}\n")


@pytest.mark.parametrize(
    ("header", "cells", "expected"),
    [
        ("vendor", "Huawei", Parameters(Vendor.HUAWEI, SnapshotType.BY_TIME_OFFSET, "", "9", ("5",))),
        ("vendor", " hw ", Parameters(Vendor.HUAWEI, SnapshotType.BY_TIME_OFFSET, "", "9", ("5",))),
        ("cdn", "TENCENT", Parameters(Vendor.TENCENT, SnapshotType.BY_TIME_OFFSET, "10", "", ("5",))),
        ("definition", "20", Parameters(Vendor.TENCENT, SnapshotType.BY_TIME_OFFSET, "20", "", ("5",))),
        ("template", "'020", Parameters(Vendor.TENCENT, SnapshotType.BY_TIME_OFFSET, "20", "", ("5",))),
        ("type", "sample_snapshot", Parameters(Vendor.TENCENT, SnapshotType.SAMPLE, "10")),
        (
            "type",
            "Snapshot By-TimeOffset",
            Parameters(Vendor.TENCENT, SnapshotType.BY_TIME_OFFSET, "10", "", ("5",)),
        ),
        ("offsets", "7|8", Parameters(Vendor.TENCENT, SnapshotType.BY_TIME_OFFSET, "10", "", ("7", "8"))),
        ("offsets", "[]", Parameters(Vendor.TENCENT, SnapshotType.BY_TIME_OFFSET, "10", "", ("5",))),
        ("interval", "none", Parameters(Vendor.TENCENT, SnapshotType.BY_TIME_OFFSET, "10", "", ("5",))),
        (
            "vendor,definition",
            "hw,ten",
            Parameters(Vendor.HUAWEI, SnapshotType.BY_TIME_OFFSET, "", "9", ("5",)),
        ),
        ("type,offsets", "SampleSnapshot,soon", Parameters(Vendor.TENCENT, SnapshotType.SAMPLE, "10")),
    ],
)
def test_row_outranks_the_defaults(header: str, cells: str, expected: Parameters) -> None:
    """A row's own values win, and those without effect are dropped unread."""
    defaults = Defaults(vendor="Tencent", definition="10", interval="9", offsets=("5",))
    assert expected == only_row(f"file_id,{header}\n123,{cells}\n", defaults).parameters


@pytest.mark.parametrize(
    ("defaults", "offsets", "expected"),
    [
        (Defaults(), "", SnapshotType.SAMPLE),
        (Defaults(), "1", SnapshotType.BY_TIME_OFFSET),
        (Defaults(offsets=("1",)), "", SnapshotType.BY_TIME_OFFSET),
        (Defaults(type="SampleSnapshot", offsets=("1",)), "2", SnapshotType.SAMPLE),
    ],
)
def test_offsets_decide_the_type_where_it_is_left_out(
    defaults: Defaults, offsets: str, expected: SnapshotType
) -> None:
    """Without a type, offsets ask for pictures at given times; without offsets, at intervals."""
    row = only_row(f"file_id,vendor,interval,offsets\n/a.mp4,hw,2,{offsets}\n", defaults)
    assert expected is row.parameters.type


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        (",Tencent,,10,,1", "file_id", "is missing"),
        (
            "1.39776E+18,Tencent,,10,,1",
            "file_id",
            "1.39776E+18 has lost its digits: a spreadsheet took the id for a number",
        ),
        (
            '"1,39776e+18",Tencent,,10,,1',
            "file_id",
            "has lost its digits: a spreadsheet took the id for a number",
        ),
        (
            "1397757897438985100.0,Tencent,,10,,1",
            "file_id",
            "has lost its digits: a spreadsheet took the id for a number",
        ),
        ("１２３,Tencent,,10,,1", "file_id", "digits only"),
        ("-123,Tencent,,10,,1", "file_id", "digits only"),
        ("12 3,Tencent,,10,,1", "file_id", "digits only"),
        ('"123\n",Tencent,,10,,1', "file_id", "123\\x0a holds a control character"),
        ("/a\x1b[31m.mp4,hw,,,2,", "file_id", "/a\\x1b[31m.mp4 holds a control character"),
        (f"/{'é' * 512},hw,,,2,", "file_id", "is longer than 1,024 bytes"),
        (f"{'1' * 1025},Tencent,,10,,1", "file_id", "is longer than 1,024 bytes"),
        ("123,,,10,,1", "vendor", "is missing; fill it in or give --vendor"),
        ("123,Ws,,10,,1", "vendor", "Ws is not one of Tencent, Huawei"),
        ("123,Tencent,Sample,10,,1", "type", "Sample is not one of SnapshotByTimeOffset, SampleSnapshot"),
        ("123,Tencent,,,,1", "definition", "is missing; fill it in or give --definition"),
        ("123,Tencent,,10.5,,1", "definition", "10.5 is not a whole number"),
        ("123,Tencent,,+10,,1", "definition", "+10 is not a plain number"),
        ("/a.mp4,hw,,,,", "interval", "is missing; fill it in or give --interval"),
        ("/a.mp4,hw,,,0.0,", "interval", "0.0 is not more than 0 seconds"),
        ("/a.mp4,hw,,,1e1,", "interval", "1e1 is not a plain number"),
        ("/a.mp4,hw,,,nan,", "interval", "nan is not a plain number"),
        ("123,Tencent,SnapshotByTimeOffset,10,,", "offsets", "is missing; fill it in or give --offset"),
        ("123,Tencent,,10,,1;x", "offsets", "x is not a plain number"),
        ("123,Tencent,,10,,1,2", "row", "has 7 cells and the header names 6"),
    ],
)
def test_invalid_row_names_its_column_and_the_reason(row: str, column: str, reason: str) -> None:
    """A row that cannot be sent says where and why, and does not stop its neighbours."""
    header = "File_ID,vendor,type,definition,interval,offsets"
    before, fault, after = rows_of(f"{header}\n7,hw,,,2,\n{row}\n8,hw,,,2,\n", Defaults())
    assert isinstance(fault, InvalidRow)
    assert (3, "File_ID" if column == "file_id" else column) == (fault.line, fault.column)
    assert reason in fault.reason
    assert isinstance(before, Row)
    assert isinstance(after, Row)


def test_invalid_row_keeps_its_cells() -> None:
    """The row is recorded cell by cell, as in the file."""
    assert only_fault('file_id,note\n x ,"say ""hi"""\n').cells == (" x ", 'say "hi"')


def test_missing_column_is_reported_by_its_plain_name() -> None:
    """A value that neither the header nor the defaults have is reported under its plain name."""
    assert only_fault("file_id\n123\n", Defaults()).column == "vendor"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1397757897438985123", TENCENT_ID),
        ("  1397757897438985123\t", TENCENT_ID),
        ("\u00a01397757897438985123\u3000", TENCENT_ID),
        ("'1397757897438985123", TENCENT_ID),
        ('="1397757897438985123"', TENCENT_ID),
        ('"=""1397757897438985123"""', TENCENT_ID),
        ("0012", "0012"),
    ],
)
def test_marks_around_an_id_are_removed(cell: str, expected: str) -> None:
    """Blanks and a spreadsheet's mark of text do not belong to an id; leading zeros do."""
    assert expected == only_row(f"file_id,x\n{cell},\n").file_id


def test_path_is_kept_unchanged() -> None:
    """A Huawei path may hold anything but control characters, up to 1,024 bytes."""
    path = "/record/数学 一班/q+a & take #2/100% ="
    path += "x" * (1024 - len(path.encode()))
    row = only_row(f"file_id\n{path}\n", Defaults(vendor="hw", interval="2"))
    assert (path, EVERY_2_S) == (row.file_id, row.parameters)


@pytest.mark.parametrize("blank", ["", "  ", ",,", " , ,\t", '"",""', ",,,,,,"])
def test_blank_lines_are_skipped(blank: str) -> None:
    """A line of nothing but blanks and delimiters is no row, but it counts as a line."""
    assert [row.line for row in rows_of(f"file_id,room,host\n{blank}\n{blank}\n12,a,b\n{blank}")] == [4]


def test_cells_missing_at_the_end_are_left_out() -> None:
    """A short row is filled up with nothing."""
    row = only_row("room,file_id,host\n4711,12\n")
    assert (row.file_id, row.extra) == ("12", '{"host":"","room":"4711"}')


def test_blank_cells_beyond_the_header_are_ignored() -> None:
    """A spreadsheet's trailing delimiters do no harm."""
    assert only_row("file_id,room\n12,4711,, ,\n").extra == '{"room":"4711"}'


def test_own_columns_are_kept_verbatim() -> None:
    """Values without a meaning to batcher are kept with blanks, marks and line ends."""
    row = only_row('100% of "rooms",file_id,备注,empty\n" \'x\n\u2028",12,"=""1""",\n')
    assert row.extra is not None
    assert json.loads(row.extra) == {'100% of "rooms"': " 'x\n\u2028", "备注": '="1"', "empty": ""}


def test_row_is_numbered_by_the_line_on_which_it_begins() -> None:
    """Line ends inside quotes count as lines."""
    text = 'file_id,note\r\n1,"a\r\nb\r\nc"\r\n\r\n2,\r\n3,"x\ny"\r\n4,\r\n'
    assert [(row.line, row.file_id) for row in rows_of(text) if isinstance(row, Row)] == [
        (2, "1"),
        (6, "2"),
        (7, "3"),
        (9, "4"),
    ]


def test_many_different_parameters_are_each_read_right() -> None:
    """A cache between rows never mixes them up."""
    count = 10_000
    text = "file_id,offsets\n" + "".join(f"{number},{number % 5000};1\n" for number in range(1, count + 1))
    rows = rows_of(text)
    assert count == len(rows)
    assert all(
        isinstance(row, Row) and row.parameters.offsets == (str(number % 5000), "1")
        for number, row in enumerate(rows, 1)
    )
