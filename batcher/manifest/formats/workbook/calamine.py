"""Workbooks of other kinds (``.xls``, ``.xlsb``, ``.ods``) through python-calamine.

The package holds a sheet whole, up to a limit of cells of its own. It cannot tell a formula without a value
or an error from an empty cell, nor a hidden row from any other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from batcher.errors import ManifestError
from batcher.manifest.display import shown
from batcher.manifest.formats.workbook.cell_text import date_cell, duration_text, moment_text
from batcher.manifest.formats.workbook.sheet import CellValue, SheetRow
from batcher.manifest.optional_packages import needed
from batcher.manifest.sources.local import Unread

if TYPE_CHECKING:
    import python_calamine

LOCKED = "this workbook has a password. Open it in a spreadsheet, remove the password and save it again"


class CalamineWorkbook:
    """An open workbook.

    Args:
        name: the manifest's name.
        file: its bytes.
        kind: the usual extension of its kind.

    Raises:
        ManifestError: it cannot be read, or the package is missing.
    """

    def __init__(self, name: str, file: BinaryIO, kind: str) -> None:
        with needed("python-calamine", f"{name}: a workbook of the kind {kind}"):
            import python_calamine
        with _translated(name):
            file.seek(0)
            self._book = python_calamine.CalamineWorkbook.from_filelike(file)
        self.unseen = (
            f"in a workbook of the kind {kind}, formulas without a stored value, errors and hidden rows "
            "cannot be seen. Save it as .xlsx to have them checked"
        )
        visible = python_calamine.SheetVisibleEnum.Visible
        self.sheets = [
            CalamineSheet(name, self._book, one.name, visible=one.visible == visible)
            for one in self._book.sheets_metadata
            if one.typ == python_calamine.SheetTypeEnum.WorkSheet
        ]


class CalamineSheet:
    """A sheet of a workbook; read, and held, when its rows are asked for."""

    hidden_columns: Collection[int] = ()

    def __init__(
        self, name: str, book: python_calamine.CalamineWorkbook, title: str, *, visible: bool
    ) -> None:
        self.title = title
        self.visible = visible
        self._where = f"{name} sheet {shown(title)}"
        self._book = book
        self._held: python_calamine.CalamineSheet | None = None

    def rows(self) -> Iterator[SheetRow]:
        """Yield the rows that are not blank, from the first one on."""
        sheet = self._read()
        if sheet.start is None:
            return
        before: list[CellValue] = [None] * sheet.start[1]
        for number, values in enumerate(sheet.iter_rows(), 1):
            cells = [*before, *map(_cell, values)]
            while cells and cells[-1] in (None, ""):
                cells.pop()
            if cells:
                yield SheetRow(number, cells)

    def merged(self, columns: Collection[int]) -> Mapping[int, Mapping[int, int]]:
        """Return the merged cells of some columns; only ``.xls`` tells them."""
        found: dict[int, dict[int, int]] = {}
        for (first, first_column), (last, last_column) in self._read().merged_cell_ranges or ():
            for column in columns:
                if first_column <= column <= last_column and first < last:
                    found.setdefault(column, {})[first + 1] = last + 1
        return found

    def _read(self) -> python_calamine.CalamineSheet:
        if self._held is None:
            with _translated(self._where):
                self._held = self._book.get_sheet_by_name(self.title)
        return self._held


def _cell(value: Any) -> CellValue:  # noqa: ANN401 - any type of cell
    """Return a cell as other workbooks give it."""
    match value:
        case str() | int() | float():
            return value
        case dt.datetime() | dt.date() | dt.time():
            return date_cell(moment_text(value))
        case dt.timedelta():
            return date_cell(duration_text(value))
        case _:
            return str(value)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Translate the package's exceptions, and its panics, into errors of the manifest."""
    import python_calamine

    try:
        yield
    except Unread as exc:
        raise exc.at(where) from exc
    except python_calamine.PasswordError as exc:
        raise ManifestError(f"{where}: {LOCKED}") from exc
    except (python_calamine.CalamineError, OSError, ValueError) as exc:
        raise _damaged(where, exc) from exc
    except BaseException as exc:
        if type(exc).__name__ != "PanicException":  # which has no name to catch it by
            raise
        raise _damaged(where, exc) from exc


def _damaged(where: str, exc: BaseException) -> ManifestError:
    return ManifestError(
        f"{where}: the workbook cannot be read ({shown(str(exc))}). It is cut off, damaged, of an unknown "
        "kind, or has a cell very far from the others. Save it as .xlsx with a spreadsheet, or export the "
        "sheet as CSV"
    )
