"""The interface of a workbook: sheets, and rows of typed cells.

Implemented for each kind of workbook and read by :mod:`~batcher.manifest.formats.workbook.worksheet`. Has no
rules about cells.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

LAST_ROW = 1 << 24
"""The number of rows of the longest sheet that any program writes; Excel's end at 1,048,576."""
LAST_COLUMN, LAST_LETTERS = 16_384, "XFD"
"""The number of columns of the widest sheet, and the name of the last one."""


class FaultyCell(NamedTuple):
    """A cell that is no id: an error of the spreadsheet, a formula that was never calculated, or a date."""

    text: str
    """Its text; no parameter can be read from it."""
    reason: str


CellValue = str | int | float | FaultyCell | None
"""A cell: a text, a number (true and false are numbers to Python), a fault, or nothing."""


class SheetRow(NamedTuple):
    """A row that is not blank."""

    number: int
    """As the sheet numbers it, from 1."""
    cells: list[CellValue]
    """From column A on, up to the last one with a value."""
    hidden: bool = False


class Sheet(Protocol):
    """A sheet of a workbook."""

    @property
    def title(self) -> str:
        """The name on its tab."""

    @property
    def visible(self) -> bool:
        """Whether the spreadsheet shows it."""

    @property
    def hidden_columns(self) -> Collection[int]:
        """Positions of hidden columns, from 0; known when the first row has been read."""

    def rows(self) -> Iterator[SheetRow]:
        """Yield the rows that are not blank, from the first one on, each time it is called.

        Raises:
            ManifestError: the rest cannot be read.
        """

    def merged(self, columns: Collection[int]) -> Mapping[int, Mapping[int, int]]:
        """Return by column which rows begin a merged cell over several rows, with its last row.

        Raises:
            ManifestError: the sheet is damaged.
        """


class SheetSource(Protocol):
    """An open workbook."""

    @property
    def sheets(self) -> Sequence[Sheet]:
        """Its sheets with cells, in their order."""

    @property
    def unseen(self) -> str | None:
        """What cannot be seen in this kind of workbook, for the user; None when everything can."""


_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")


def column_letters(column: int) -> str:
    """Return a column's name: 0 is A."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def column_number(letters: str) -> int:
    """Return a column's position by its name: A is 0.

    Raises:
        ValueError: no sheet has this column.
    """
    number = 0
    for letter in letters if len(letters) <= len(LAST_LETTERS) else "":
        number = number * 26 + "ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter) + 1
    if not 0 < number <= LAST_COLUMN:
        raise ValueError(f"there is no column {letters[:9]!r}")
    return number - 1


def cell_position(reference: str) -> tuple[int, int]:
    """Return the column, from 0, and the row, from 1, of a reference such as B7.

    Raises:
        ValueError: it is not a reference.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError(f"{reference!r} is not a cell")
    return column_number(match[1]), int(match[2])
