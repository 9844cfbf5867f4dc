"""A sheet of a workbook as a table: typed cells in, cells of text out.

A number of more than 15 digits is refused as an id, even if the file seems to hold all of them: a spreadsheet
keeps 15. A number of up to 15 digits is exact, so short ids are accepted. A faulty cell counts only in a
column with a meaning; elsewhere it is a text. Rows are read one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import BinaryIO

from batcher.errors import ManifestError
from batcher.manifest.columns import BLANKS, PARAMETERS, KnownColumn, read_columns
from batcher.manifest.display import shown
from batcher.manifest.formats.table import PASSED_OVER, NothingInside, Record, RecordFault, lost_digits, whole
from batcher.manifest.formats.workbook.cell_text import EXACT_BELOW, cell_text
from batcher.manifest.formats.workbook.kind import open_workbook
from batcher.manifest.formats.workbook.sheet import (
    CellValue,
    FaultyCell,
    Sheet,
    SheetRow,
    column_letters,
)
from batcher.manifest.formats.workbook.sheet_choice import SheetHeader, chosen_sheet, find_header
from batcher.manifest.rounded_ids import HEAD_ROWS
from batcher.model.submission import CountedBy

UNNAMED_COLUMNS = 200
"""A header with more blank cells has a stray cell far to the right."""


class Worksheet:
    """A sheet, read once."""

    passed_over = PASSED_OVER
    counted_by = CountedBy.ROW

    def __init__(self, name: str, file: BinaryIO, requested: str | None) -> None:
        """Read up to the header, and the first ids.

        Raises:
            ManifestError: it is not a workbook, the sheet is not clear, there is no header, or no id is
            text.
        """
        book = open_workbook(name, file)
        sheet, hidden_sheets = chosen_sheet(name, book.sheets, requested)
        self._name = f"{name} sheet {shown(sheet.title)}"
        self._rows = sheet.rows()
        header = find_header(self._rows)
        if header is None:
            raise NothingInside(f"{self._name}: is empty. A manifest begins with a header, file_id in it")
        where = CountedBy.ROW.place(self._name, header.number)
        _refuse_stray_cell(where, header)
        self.columns = read_columns(where, header.cells)
        self._id_at = self.columns.known[KnownColumn.FILE_ID]
        self._merged = sheet.merged(
            [at for known in PARAMETERS if (at := self.columns.known.get(known)) is not None]
        )
        self.remarks: list[str] = [f"{name}: {book.unseen}"] if book.unseen else []
        self.remarks += self._remarks_on(sheet, header, hidden_sheets)
        self._head = list(islice(self._rows, HEAD_ROWS))
        self._refuse_numbers()

    def records(self) -> Iterator[Record]:
        """Every row below the header that is not blank, numbered as the sheet numbers it."""
        width, id_at, id_name = len(self.columns.names), self._id_at, self.columns.names[self._id_at]
        rows: Iterable[SheetRow] = chain(self._head, self._rows)
        hidden = 0
        for number, values, is_hidden in self._filled(rows) if self._merged else rows:
            hidden += is_hidden
            cells = [value if type(value) is str else cell_text(value) for value in values]
            while len(cells) > width and not cells[-1]:
                cells.pop()
            value = values[id_at] if id_at < len(values) else None
            reason = None if value is None or isinstance(value, str) else _id_fault(value)
            fault = RecordFault(id_name, reason) if reason else None
            yield number, cells, fault or (_stray_fault(number, cells, width) if len(cells) > width else None)
        if hidden:
            self.remarks.append(
                f"{self._name}: hidden rows are read as all others; there are {hidden:,}. To leave them out, "
                "delete them from the sheet"
            )

    def _filled(self, rows: Iterable[SheetRow]) -> Iterator[SheetRow]:
        """Fill in parameters below the first row of a merged cell, as the spreadsheet shows them."""
        until: dict[int, tuple[int, CellValue]] = {}
        for row in rows:
            for column, ranges in self._merged.items():
                value = row.cells[column] if column < len(row.cells) else None
                last, shared = until.get(column, (0, None))
                if row.number in ranges:
                    until[column] = ranges[row.number], value
                elif row.number <= last and value in (None, ""):
                    row.cells.extend([None] * (column + 1 - len(row.cells)))
                    row.cells[column] = shared
            yield row

    def _remarks_on(self, sheet: Sheet, header: SheetHeader, hidden_sheets: list[str]) -> Iterator[str]:
        """What the user may not see, or expect otherwise."""
        if not header.is_first:
            yield (
                f"{self._name}: the header with file_id is in {CountedBy.ROW.numbered(header.number)}; "
                "what is above it is not read"
            )
        for known, at in self.columns.known.items():
            if at in sheet.hidden_columns:
                yield f"{self._name}: column {column_letters(at)} ({known}) is hidden, and is read"
        own = [at for at in self.columns.own if at in sheet.hidden_columns]
        if own:
            listed = ", ".join(map(column_letters, own))
            yield f"{self._name}: hidden columns are read as all others: {listed}"
        if hidden_sheets:
            listed = ", ".join(shown(title, limit=31) for title in hidden_sheets)
            yield f"{self._name}: hidden sheets with a header are not read unless --sheet names one: {listed}"

    def _refuse_numbers(self) -> None:
        """Refuse a sheet whose ids are all long numbers: not one row of it could be sent."""
        at = self._id_at
        ids = [(row.number, row.cells[at]) for row in self._head if at < len(row.cells)]
        ids = [(number, value) for number, value in ids if value not in (None, "")]
        if ids and all(isinstance(value, int | float) and _number_fault(value) for _, value in ids):
            number, value = ids[0]
            assert isinstance(value, int | float)
            where = f"{CountedBy.ROW.place(self._name, number)}, column {self.columns.names[at]}"
            raise ManifestError(f"{where}: {_number_fault(value)}. All ids of the sheet are such numbers")


def _stray_fault(number: int, cells: list[str], width: int) -> RecordFault | None:
    """Return the fault of a row with a value to the right of the header: the cell may be out of sight."""
    stray = [at for at in range(width, len(cells)) if cells[at].strip(BLANKS)]
    if not stray:
        return None
    more = f" and {len(stray) - 1:,} more" if len(stray) > 1 else ""
    return whole(
        f"has a value in cell {column_letters(stray[0])}{number}{more} ({shown(cells[stray[0]])}), and the "
        f"header ends at column {column_letters(width - 1)}. Clear the cell, or name its column in the header"
    )


def _refuse_stray_cell(where: str, header: SheetHeader) -> None:
    """Refuse a header with a cell far away: every row would get thousands of columns."""
    blank = sum(not cell.strip(BLANKS) for cell in header.cells)
    if blank > UNNAMED_COLUMNS:
        raise ManifestError(
            f"{where}: the header reaches to column {column_letters(len(header.cells) - 1)}, and {blank:,} "
            f"of its cells are blank. Clear the cell far to the right: {shown(header.cells[-1])}"
        )


def _id_fault(value: float | FaultyCell) -> str | None:
    """Return why a cell is not an id, though it is not blank."""
    return value.reason if isinstance(value, FaultyCell) else _number_fault(value)


def _number_fault(value: float) -> str | None:
    """Return why a number is not an id; None for a whole number that is exact."""
    if type(value) is bool:  # which is a whole number to Python
        return "is true or false, not a file id"
    if not float(value).is_integer():
        return lost_digits(cell_text(value))
    if not value:
        return "is 0, not a file id. If a formula gives it, open and save the workbook once in a spreadsheet"
    if abs(value) < EXACT_BELOW:
        return None
    digits = len(str(abs(int(value))))
    return (
        f"{cell_text(value)} is a number, and a spreadsheet keeps 15 of its {digits} digits. "
        "Export the ids again from their origin, into a column formatted as text"
    )
