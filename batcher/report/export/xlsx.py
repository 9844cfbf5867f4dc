"""Results as XLSX, for spreadsheets. Needs XlsxWriter.

Everything but the few real numbers is a text cell: no id loses a digit, and nothing is run as a formula.
Between the command line, which hands over rows and a file, and the library; it never reads. Rows wait on
disk until the end, in a folder of the caller's, and never in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import xlsxwriter
from xlsxwriter.exceptions import XlsxWriterException

from batcher.report.export.rows import COLUMNS, NUMBERS, ExportRow
from batcher.report.export.sink import SinkTable
from batcher.report.export.text_tables import encoded, in_words

SHEET_ROWS = 1_048_576
"""Rows of a sheet, with its header. Source: Microsoft, "Excel specifications and limits"."""
SHEET_COLUMNS = 16_384
CELL_CHARACTERS = 32_767

_WIDTHS = {
    "file_id": 22,
    "vendor": 9,
    "type": 22,
    "task_id": 56,
    "message": 28,
    "request_id": 36,
    "first_sent_at": 25,
    "last_answer_at": 25,
    "source": 20,
    "task_state": 12,
    "picture_count": 14,
    "picture_urls": 60,
}
_OWN_WIDTH = 16
_WIDTH = 10
_WIDEST = 60


class Workbook(SinkTable):
    """XLSX: a header that stays in sight, and another sheet when one is full.

    Use as a context manager: what is not closed by then is given up.

    Args:
        file: where it goes when it is closed.
        columns: all columns, ours first.
        folder: where rows wait until then.
        ours: how many columns are not the manifest's own.
        sheet_rows: when a sheet is full.

    Attributes:
        shortened: how many cells held more than a cell can, and lost their end.
    """

    def __init__(
        self,
        file: BinaryIO,
        columns: Sequence[str],
        folder: Path,
        *,
        ours: int = len(COLUMNS),
        sheet_rows: int = SHEET_ROWS,
    ) -> None:
        super().__init__(file)
        self.shortened = 0
        self._columns = columns
        self._ours = ours
        self._sheet_rows = sheet_rows
        self._book = xlsxwriter.Workbook(self._sink, {"constant_memory": True, "tmpdir": str(folder)})
        self._book.use_zip64()
        self._bold = self._book.add_format({"bold": True, "num_format": "@"})
        self._as_text = self._book.add_format({"num_format": "@"})
        self._begin_sheet()

    def write(self, rows: Sequence[ExportRow]) -> None:
        """Add some rows."""
        for row in rows:
            if self._next >= self._sheet_rows:
                self._begin_sheet()
            self._write_row(row)

    def close(self) -> None:
        """Put the file together; until then there is none. The file itself stays open.

        Raises:
            OSError: it cannot be written.
        """
        try:
            self._book.close()
        except XlsxWriterException as exc:
            if exc.args and isinstance(exc.args[0], OSError):
                raise exc.args[0] from exc
            raise

    def _begin_sheet(self) -> None:
        number = len(self._book.worksheets())
        self._sheet = self._book.add_worksheet("results" if number == 0 else f"results {number + 1}")
        self._sheet.freeze_panes(1, 0)
        self._sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{SHEET_ROWS}"})
        for at, name in enumerate(self._columns):
            width = _WIDTHS.get(name, _WIDTH) if at < self._ours else max(_OWN_WIDTH, len(name) + 2)
            is_number = at < self._ours and name in NUMBERS
            self._sheet.set_column(at, at, min(width, _WIDEST), None if is_number else self._as_text)
            self._write_text(0, at, name, self._bold)
        self._next = 1

    def _write_row(self, row: ExportRow) -> None:
        at, write_number = self._next, self._sheet.write_number
        for column, cell in enumerate(row):
            value = in_words(cell)
            if isinstance(value, str):
                self._write_text(at, column, value)
            elif value is not None:
                write_number(at, column, value)
        self._next = at + 1

    def _write_text(self, at: int, column: int, text: str, format_: Any = None) -> None:  # noqa: ANN401 - the library has no types
        text = encoded(text).decode()
        # A spreadsheet counts in halves of UTF-16; only what is long enough to matter is counted so.
        if len(text) > CELL_CHARACTERS // 2 and len(halves := text.encode("utf-16-le")) > 2 * CELL_CHARACTERS:
            text = halves[: 2 * CELL_CHARACTERS].decode("utf-16-le", "ignore")
            self.shortened += 1
        self._sheet.write_string(at, column, text, format_)
