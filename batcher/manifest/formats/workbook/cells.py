"""The cells of a sheet of Excel: events of XML in, rows of typed cells out.

Cells without a value are never built, however many a sheet has: a style in the last row or column costs
nothing. What a sheet says of its own size is not read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from batcher.manifest.display import shown
from batcher.manifest.formats.table import NEVER_CALCULATED
from batcher.manifest.formats.workbook.cell_text import date_cell
from batcher.manifest.formats.workbook.package import Attributes, local
from batcher.manifest.formats.workbook.sheet import (
    LAST_COLUMN,
    LAST_ROW,
    CellValue,
    FaultyCell,
    SheetRow,
    column_number,
)
from batcher.manifest.formats.workbook.styles import DateKind, date_text
from batcher.manifest.text.lines import MAX_LINE
from batcher.model.submission import CountedBy

_TAGS = ("c", "v", "t", "f", "row", "rPh", "sheetData")
_TRUE = ("1", "true")
_DIGITS = "0123456789"
_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
_ESCAPED = re.compile(r"_x(005[Ff](?=_x[0-9A-Fa-f]{4}_)|00[01][0-9A-Fa-f]|007[Ff]|[Ff]{3}[EFef])_")
"""A character that XML cannot hold, and an underscore before what would look like one."""


@dataclass(frozen=True, slots=True)
class CellContext:
    """What cells of a workbook refer to."""

    texts: Sequence[str]
    """The shared texts."""
    styles: Sequence[DateKind | None]
    from_1904: bool
    """Whether days count from 1904."""


class CellReader:
    """The rows of one sheet, as the parser meets them.

    One flat set of handlers on purpose: they run several times for each cell of a sheet.
    """

    def __init__(self, context: CellContext) -> None:
        self._context = context
        self.ended = False
        """Whether the last row has been read."""
        self.hidden_columns: set[int] = set()
        self.number = 0
        """The present row."""
        self._rows: list[SheetRow] = []
        self._names: dict[str, str] = {}
        self._columns: dict[str, int] = {}
        self._hidden = False
        self._cells: list[CellValue] = []
        self._row_size = 0
        self._column = -1
        self._kind = self._style = ""
        self._value: list[str] = []
        self._formula: list[str] = []
        self._has_value = self._has_formula = self._reading = False
        self._into: list[str] | None = None

    def take(self) -> list[SheetRow]:
        """Return the rows that were completed since the last call."""
        rows, self._rows = self._rows, []
        return rows

    # -- called by the parser ------------------------------------------------------------------

    def start(self, tag: str, attributes: Attributes) -> None:
        """Begin an element."""
        name = self._names.get(tag) or self._name(tag)
        if name == "c":
            self._begin_cell(attributes)
        elif name == "v":
            self._has_value = True
            self._into = self._value
        elif name == "t":
            self._has_value = True
            self._into = None if self._reading else self._value
        elif name == "f":
            self._has_formula = True
            self._into = self._formula
        elif name == "row":
            self._begin_row(attributes)
        elif name == "rPh":
            self._reading = True
        elif name == "col" and attributes.get("hidden") in _TRUE:
            first, last = int(attributes.get("min", 1)), int(attributes.get("max", LAST_COLUMN))
            self.hidden_columns.update(range(max(first, 1) - 1, min(last, LAST_COLUMN)))

    def end(self, tag: str) -> None:
        """End an element."""
        name = self._names.get(tag)
        if name in ("v", "t", "f"):
            self._into = None
        elif name == "c":
            if (self._has_value or self._has_formula) and (value := self._cell()) not in (None, ""):
                missing = self._column - len(self._cells)
                if missing > 0:
                    self._cells.extend([None] * missing)
                if missing >= 0:
                    self._cells.append(value)
                else:
                    self._cells[self._column] = value
        elif name == "row":
            if self._cells:
                self._rows.append(SheetRow(self.number, self._cells, self._hidden))
        elif name == "rPh":
            self._reading = False
        elif name == "sheetData":
            self.ended = True

    def text(self, data: str) -> None:
        """Take a piece of text."""
        if self._into is not None:
            self._into.append(data)
            self._row_size += len(data)
            if self._row_size > MAX_LINE:
                raise ValueError(f"a row of more than {MAX_LINE:,} characters")

    # -- a cell --------------------------------------------------------------------------------

    def _name(self, tag: str) -> str:
        """Return a tag without its prefix, and keep it for its end if it has a meaning here."""
        name = local(tag)
        if name in _TAGS:
            self._names[tag] = name
        return name

    def _begin_row(self, attributes: Attributes) -> None:
        number = int(attributes.get("r", self.number + 1))
        if not self.number < number <= LAST_ROW:
            raise ValueError(f"{CountedBy.ROW.numbered(number)} after {CountedBy.ROW.numbered(self.number)}")
        self.number = number
        self._hidden = attributes.get("hidden") in _TRUE
        self._cells, self._column, self._row_size = [], -1, 0

    def _begin_cell(self, attributes: Attributes) -> None:
        reference = attributes.get("r")
        if reference is None:
            self._column += 1
        else:
            letters = reference.rstrip(_DIGITS)
            column = self._columns.get(letters)
            if column is None:
                column = self._columns[letters] = column_number(letters)
            self._column = column
        if self._column >= LAST_COLUMN:
            raise ValueError("a row has more cells than a sheet has columns")
        self._kind = attributes.get("t", "n")
        self._style = attributes.get("s", "")
        self._has_value = self._has_formula = self._reading = False
        self._value.clear()
        self._formula.clear()

    def _cell(self) -> CellValue:
        """Return the value of the cell that ends here."""
        text, kind = "".join(self._value), self._kind
        if self._has_formula and not text and not (kind == "str" and self._has_value):
            formula = f"={''.join(self._formula) or '…'}"
            return FaultyCell(formula, f"{shown(formula)} {NEVER_CALCULATED}")
        match kind:
            case "s":
                return self._shared(text) if text else None
            case "n":
                return self._number(text) if text else None
            case "b":
                return text in _TRUE
            case "d":
                return date_cell(text)
            case "e":
                return FaultyCell(text, f"{shown(text)} is an error of the spreadsheet. Correct the cell")
            case _:
                return unescaped(text)

    def _shared(self, number: str) -> str:
        """Return a shared text by its number."""
        if not number.isdecimal() or int(number) >= len(self._context.texts):
            raise ValueError(f"there is no shared text {number}")
        return self._context.texts[int(number)]

    def _number(self, text: str) -> CellValue:
        """Return a number, or the text of a date; a text that is no number stays one."""
        if _WHOLE.fullmatch(text):
            value: float = int(text)
        else:
            try:
                value = float(text)
            except ValueError:
                return text
            if not math.isfinite(value):
                return text
        style = int(self._style) if self._style else 0
        kind = self._context.styles[style] if 0 <= style < len(self._context.styles) else None
        if kind and (date := date_text(value, kind, from_1904=self._context.from_1904)):
            return date_cell(date)
        return value


def unescaped(text: str) -> str:
    """Return a text with the characters that XML cannot hold.

    Only such characters: a program that escapes nothing also writes names such as ``a_x1080_b``.
    """
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text
