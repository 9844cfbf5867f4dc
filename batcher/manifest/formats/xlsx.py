"""A sheet of an Excel workbook as a table: typed cells in, cells of text out.

A number of more than 15 digits is refused as an id, even if the file seems to hold all of them: a
spreadsheet keeps 15. A number of up to 15 digits is exact, so short ids are accepted. Rows are read one by
one; the workbook's table of shared texts takes most of the memory. Nothing is calculated: the value of a
formula is the one it last showed.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, BinaryIO

from batcher.errors import ManifestError
from batcher.manifest.columns import BLANKS, KnownColumn, names_file_id, read_columns
from batcher.manifest.display import shown
from batcher.manifest.formats.table import (
    NO_WARNING,
    PASSED_OVER,
    NothingInside,
    Record,
    RecordFault,
    lost_digits,
)
from batcher.manifest.optional_packages import needed
from batcher.manifest.rounded_ids import HEAD_ROWS
from batcher.manifest.sources.local import Unread
from batcher.model.submission import CountedBy

if TYPE_CHECKING:
    from openpyxl import Workbook
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet

EXACT_BELOW = 10**15
"""Whole numbers below have at most the 15 digits that every spreadsheet keeps."""
_ROWS_AT_ONCE = 1_000

_Values = tuple[Any, ...]


class Worksheet:
    """A sheet, read once."""

    passed_over = PASSED_OVER
    end_warning = NO_WARNING
    counted_by = CountedBy.ROW

    def __init__(self, name: str, file: BinaryIO, requested: str | None) -> None:
        """Read up to the header, and the first ids.

        Raises:
            ManifestError: it is not a workbook, the sheet is not clear, there is no header, or no id is
            text.
        """
        with needed("openpyxl", f"{name}: an Excel workbook"):
            import openpyxl
        with _translated(name):
            book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        sheet = _chosen(name, book, requested)
        self._name = f"{name} sheet {shown(sheet.title)}"
        self._rows = _rows_of(self._name, sheet)
        header = next(((number, row) for number, row in self._rows if _is_not_blank(row)), None)
        if header is None:
            raise NothingInside(f"{self._name}: is empty")
        number, row = header
        self.columns = read_columns(CountedBy.ROW.place(self._name, number), _trimmed(row))
        self._id_at = self.columns.known[KnownColumn.FILE_ID]
        self._head = list(islice(self._rows, HEAD_ROWS))
        self._refuse_numbers()

    def records(self) -> Iterator[Record]:
        """Every row below the header, numbered as the sheet numbers them."""
        width, id_at = len(self.columns.names), self._id_at
        for number, row in chain(self._head, self._rows):
            cells = list(map(_text, row))
            while len(cells) > width and not cells[-1]:
                cells.pop()
            value = row[id_at] if id_at < len(row) else None
            reason = _number_fault(value) if isinstance(value, int | float) else None
            yield number, cells, RecordFault(self.columns.names[id_at], reason) if reason else None

    def _refuse_numbers(self) -> None:
        """Refuse a sheet whose ids are all long numbers: not one row of it could be sent."""
        ids = [(number, row[self._id_at]) for number, row in self._head if self._id_at < len(row)]
        ids = [(number, value) for number, value in ids if value not in (None, "")]
        if ids and all(isinstance(value, int | float) and _number_fault(value) for _, value in ids):
            number, value = ids[0]
            where = f"{CountedBy.ROW.place(self._name, number)}, column {self.columns.names[self._id_at]}"
            raise ManifestError(f"{where}: {_number_fault(value)}. All ids of the sheet are such numbers")


def _chosen(name: str, book: Workbook, requested: str | None) -> ReadOnlyWorksheet:
    """Return the sheet that was named, or the only one, or the only visible one with a header.

    Raises:
        ManifestError: no sheet has that name, or more than one could be meant.
    """
    sheets: list[ReadOnlyWorksheet] = list(book.worksheets)
    listed = ", ".join(shown(sheet.title, limit=31) for sheet in sheets) or "none"
    if requested is not None:
        exact = [sheet for sheet in sheets if sheet.title == requested]
        alike = [sheet for sheet in sheets if sheet.title.strip().casefold() == requested.strip().casefold()]
        if not exact and len(alike) != 1:
            raise ManifestError(
                f"{name}: there is no sheet --sheet {shown(requested)!r}; its sheets: {listed}"
            )
        return (exact or alike)[0]
    if len(sheets) == 1:
        return sheets[0]
    usable = [sheet for sheet in sheets if sheet.sheet_state == "visible" and _has_header(name, sheet)]
    if len(usable) != 1:
        what = "more than one sheet has" if usable else "no visible sheet has"
        raise ManifestError(
            f"{name}: {what} a header with file_id. Name one with --sheet; there are: {listed}"
        )
    return usable[0]


def _has_header(name: str, sheet: ReadOnlyWorksheet) -> bool:
    rows = (row for _, row in _rows_of(name, sheet) if _is_not_blank(row))
    return names_file_id(_trimmed(next(rows, ())))


def _rows_of(name: str, sheet: ReadOnlyWorksheet) -> Iterator[tuple[int, _Values]]:
    """The rows of a sheet with their numbers, a thousand read at a time."""
    sheet.reset_dimensions()  # some programs write a wrong one
    rows = sheet.iter_rows(values_only=True)
    number = 0
    while True:
        with _translated(CountedBy.ROW.place(name, number + 1)):
            block: list[_Values] = list(islice(rows, _ROWS_AT_ONCE))
        if not block:
            return
        for row in block:
            number += 1
            yield number, row


def _is_not_blank(row: _Values) -> bool:
    return any(_text(value).strip(BLANKS + "\r\n") for value in row)


def _trimmed(row: Sequence[Any]) -> list[str]:
    """A header's cells as texts, without blank ones at its end."""
    cells = list(map(_text, row))
    while cells and not cells[-1].strip(BLANKS):
        cells.pop()
    return cells


def _number_fault(value: float) -> str | None:
    """Return why a number is not an id; None for a whole number that is exact."""
    if type(value) is bool:  # which is a whole number to Python
        return "is true or false, not a file id"
    if not float(value).is_integer():
        return lost_digits(_text(value))
    if abs(value) < EXACT_BELOW:
        return None
    return (
        f"{_text(value)} is a number, and a spreadsheet keeps 15 of its {len(str(abs(int(value))))} digits. "
        "Export the ids again from their origin, into a column formatted as text"
    )


def _text(value: Any) -> str:  # noqa: ANN401 - any type of cell
    """Return a cell's value as text: whole numbers without a point, times as ISO 8601."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < EXACT_BELOW else repr(value)
        case dt.datetime():
            return value.date().isoformat() if value.time() == dt.time() else value.isoformat()
        case dt.date() | dt.time():
            return value.isoformat()
        case _:
            return str(value)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Translate the package's exceptions into errors of the manifest; ignore its warnings."""
    import zipfile
    import zlib
    from xml.etree.ElementTree import ParseError

    from openpyxl.utils.exceptions import InvalidFileException

    damaged = (zipfile.BadZipFile, zlib.error, ParseError, EOFError, OSError)
    odd = (InvalidFileException, KeyError, ValueError, TypeError, AttributeError, IndexError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Unread as exc:
        raise exc.at(where) from exc
    except damaged as exc:
        raise ManifestError(
            f"{where}: the workbook is cut off or damaged ({shown(str(exc))}). Save or fetch it again"
        ) from exc
    except odd as exc:
        raise ManifestError(
            f"{where}: this is not a workbook that can be read ({shown(str(exc) or type(exc).__name__)}). "
            "Save it as .xlsx with a spreadsheet, or export the sheet as CSV"
        ) from exc
