"""The cells of a sheet of Excel: every type, as programs write it, and what is no usable value."""

from __future__ import annotations

import io
import json

import pytest
from support.raw_workbooks import excel, row, text

from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import open_manifest
from batcher.model.submission import InvalidRow, Row

TENCENT = Defaults(vendor="Tencent", definition="10")
HUAWEI = Defaults(vendor="Huawei", interval="5")
ONCE = "is a formula without a stored value: open and save the workbook once in a spreadsheet"
TEXTS = (
    "<si><t>12</t></si>"
    "<si><r><t>/a</t></r><r><rPr><b/></rPr><t xml:space='preserve'> b.mp4</t></r></si>"
    "<si><t>東京</t><rPh sb='0' eb='2'><t>トウキョウ</t></rPh><phoneticPr fontId='1'/></si>"
)
STYLES = (
    '<numFmts><numFmt numFmtId="164" formatCode="yyyy&quot;h&quot;"/></numFmts>'
    '<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>'
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="49"/></cellXfs>'
)


def rows_of(rows: str, defaults: Defaults = TENCENT) -> list[Row | InvalidRow]:
    """The rows of a sheet."""
    data = io.BytesIO(excel(rows, texts=TEXTS, styles=STYLES))
    with open_manifest("-", stdin=data, defaults=defaults, format_="xlsx") as manifest:
        return list(manifest)


def read(cell: str, column: str = "file_id", defaults: Defaults = TENCENT) -> Row | InvalidRow:
    """The row of one cell in a column, beside a good id."""
    header = [text("file_id"), text(column)] if column != "file_id" else [text("file_id"), text("room")]
    cells = [text("7"), cell] if column != "file_id" else [cell, text("a")]
    found, _ = rows_of(row(*header) + row(*cells) + row(text("8")), defaults)
    return found


@pytest.mark.parametrize(
    ("cell", "file_id"),
    [
        (text("1397757897438985123"), "1397757897438985123"),
        ('<c t="s"><v>0</v></c>', "12"),
        ('<c t="s"><v>1</v></c>', "/a b.mp4"),
        ('<c t="s"><v>2</v></c>', "東京"),
        ('<c t="inlineStr"><is><r><t>/a</t></r><r><t>b</t></r><rPh><t>x</t></rPh></is></c>', "/ab"),
        ("<c><v>999999999999999</v></c>", "999999999999999"),
        ("<c><v>1.2E1</v></c>", "12"),
        ('<c t="n" s="0"><v>12.0</v></c>', "12"),
        ('<c t="str"><f>A1&amp;"x"</f><v>/x.mp4</v></c>', "/x.mp4"),
        ("<c><f>3*4</f><v>12</v></c>", "12"),
        (text("&apos;/a.mp4"), "/a.mp4"),
        (text("/rec_x1080_a.mp4"), "/rec_x1080_a.mp4"),
        (text("/rec_x005F_x0041_.mp4"), "/rec_x0041_.mp4"),
        ("<c><v>abc</v></c>", "abc"),
    ],
)
def test_cell_with_an_id_is_read_as_the_spreadsheet_shows_it(cell: str, file_id: str) -> None:
    """Shared and inline texts, formatted in parts, with readings beside them; numbers; values of formulas."""
    found = read(cell, defaults=HUAWEI)
    assert isinstance(found, Row)
    assert found.file_id == file_id


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ('<c><f>CONCAT("1","2")</f><v/></c>', f'=CONCAT("1","2") {ONCE}'),
        ("<c><f>A9</f></c>", f"=A9 {ONCE}"),
        ('<c t="str"><f>A9</f></c>', f"=A9 {ONCE}"),
        ('<c><f t="shared" si="0"/></c>', f"=… {ONCE}"),
        ('<c t="e"><v>#N/A</v></c>', "#N/A is an error of the spreadsheet. Correct the cell"),
        ('<c t="e"><f>VLOOKUP(1,B:C,2)</f><v>#REF!</v></c>', "#REF! is an error of the spreadsheet."),
        ('<c t="b"><v>1</v></c>', "is true or false, not a file id"),
        ("<c><f>A9</f><v>0</v></c>", "is 0, not a file id. If a formula gives it, open and save"),
        ('<c s="1"><v>45609</v></c>', "2024-11-13 is a date or a time to the spreadsheet, not a file id"),
        ('<c t="d"><v>2024-11-13</v></c>', "2024-11-13 is a date or a time to the spreadsheet"),
        ("<c><v>1397757897438985123</v></c>", "1397757897438985123 is a number, and a spreadsheet keeps 15"),
        (
            "<c><v>1.39775789743899E+18</v></c>",
            "1.39775789743899e+18 is a number, and a spreadsheet keeps 15",
        ),
        ("<c><v>1.5</v></c>", "1.5 has lost its digits: a spreadsheet took the id for a number"),
        ('<c t="str"><f>""</f><v></v></c>', "is missing"),
    ],
)
@pytest.mark.parametrize("defaults", [TENCENT, HUAWEI])
def test_cell_without_a_usable_id_is_an_invalid_row(cell: str, reason: str, defaults: Defaults) -> None:
    """Formulas without a value, errors, dates, truth values: for each vendor, with what to do."""
    found = read(cell, defaults=defaults)
    assert isinstance(found, InvalidRow)
    assert (found.column, found.line) == ("file_id", 2)
    assert found.reason.startswith(reason)


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("definition", "<c><f>B9*2</f><v/></c>", f"=B9*2 {ONCE}"),
        ("offsets", "<c><f>B9</f></c>", f"=B9 {ONCE}"),
        ("vendor", '<c t="e"><v>#N/A</v></c>', "#N/A is not one of Tencent, Huawei"),
        ("definition", '<c t="e"><v>#N/A</v></c>', "#N/A is not a plain number"),
    ],
)
def test_faulty_cell_of_a_parameter_is_never_replaced_by_a_default(
    column: str, cell: str, reason: str
) -> None:
    """A formula without a value is not an empty cell: the default would ask for something else."""
    found = read(cell, column)
    assert isinstance(found, InvalidRow)
    assert found.column == column
    assert found.reason.startswith(reason)


@pytest.mark.parametrize(
    ("column", "cell", "kept"),
    [
        ("interval", '<c t="e"><v>#N/A</v></c>', None),
        ("interval", "<c><f>B9</f></c>", None),
        ("note", '<c t="e"><v>#N/A</v></c>', "#N/A"),
        ("note", "<c><f>B9</f></c>", "=B9"),
        ("note", '<c s="1"><v>45609.5</v></c>', "2024-11-13T12:00:00"),
        ("note", '<c s="2"><v>45609.5</v></c>', "45609.5"),
        ("note", text("a_x000D__x0009_b"), "a\r\tb"),
        ("note", "<c><v>1397757897438985123</v></c>", "1397757897438985123"),
    ],
)
def test_faulty_cell_without_effect_never_decides(column: str, cell: str, kept: str | None) -> None:
    """The manifest's own columns keep it as text; a parameter that the vendor does not use is dropped."""
    found = read(cell, column)
    assert isinstance(found, Row)
    assert (json.loads(found.extra)[column] if found.extra else None) == kept


def test_merged_parameter_holds_for_all_its_rows() -> None:
    """As the spreadsheet shows it: a default must not fill in below."""
    rows = row(text("file_id"), text("vendor"), text("interval"), text("room"))
    rows += row(text("/a"), text("Huawei"), "<c><v>5</v></c>", text("x"), number=2)
    rows += row(text("/b"), number=3) + row(text("/c"), text("Huawei"), "<c/>", text("y"), number=4)
    rows += row(text("12"), number=5)
    areas = "".join(f'<mergeCell ref="{area}"/>' for area in ("A9:C9", "B2:B3", "C2:C4", "D2:D3"))
    sheet = f"<sheetData>{rows}</sheetData><mergeCells>{areas}</mergeCells>"
    data = io.BytesIO(excel([f'<worksheet xmlns="x">{sheet}</worksheet>'.encode()]))
    with open_manifest("-", stdin=data, defaults=TENCENT, format_="xlsx") as manifest:
        found = [(one.file_id, one.parameters.vendor, one.extra) for one in manifest if isinstance(one, Row)]
    assert found == [
        ("/a", "Huawei", '{"room":"x"}'),
        ("/b", "Huawei", '{"room":""}'),
        ("/c", "Huawei", '{"room":"y"}'),
        ("12", "Tencent", '{"room":""}'),
    ]
