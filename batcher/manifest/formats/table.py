"""The interface of a format: columns, and numbered records of cells.

Implemented by each module in this package and read by :mod:`batcher.manifest.rows`. A new format gives these
two things and shares the rules, the messages and the ledger with the others. Has no rules about cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from batcher.manifest.columns import Columns
from batcher.manifest.display import shown
from batcher.model.submission import CountedBy

NEVER_CALCULATED = "is a formula without a stored value: open and save the workbook once in a spreadsheet"
"""The reason for a cell that holds a formula where a value is needed."""


class RecordFault(NamedTuple):
    """Why a record cannot be a row, found before the rules are applied."""

    column: str
    """The column by the manifest's name; ``row`` for the whole record."""
    reason: str


Record = tuple[int, list[str], RecordFault | None]
"""The line or row on which it begins, from 1, its cells in the order of the columns, and its fault."""

PASSED_OVER: Mapping[str, int] = {}
"""The value for formats that skip nothing."""


class Table(Protocol):
    """A manifest in one of the formats; it can be read once."""

    @property
    def columns(self) -> Columns:
        """Known as soon as the table is made."""

    @property
    def counted_by(self) -> CountedBy:
        """Whether records are numbered by line or by row."""

    @property
    def passed_over(self) -> Mapping[str, int]:
        """Records so far that are neither a row nor a fault, by name, with their number."""

    @property
    def remarks(self) -> Sequence[str]:
        """What the user may not see in the manifest, as messages; more may follow while records are read."""

    def records(self) -> Iterator[Record]:
        """Yield all records; the rules skip one with blank cells only.

        Raises:
            ManifestError: the rest cannot be used.
        """


def whole(reason: str) -> RecordFault:
    """A fault of a record as a whole."""
    return RecordFault("row", reason)


def lost_digits(text: str) -> str:
    """The reason for an id that was written as a number with a point or an exponent."""
    return f"{shown(text)} has lost its digits in a spreadsheet. Export the column as text"
