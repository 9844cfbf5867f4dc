"""What every format makes of a manifest: columns, and numbered records of cells.

The one interface between a format and everything behind it: whoever gives these two things shares the rules,
the messages and the ledger with all others. Knows no rule about what a cell may hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from batcher.manifest.columns import Columns
from batcher.manifest.display import shown
from batcher.model.submission import CountedBy


class RecordFault(NamedTuple):
    """Why a record cannot be a row, before any rule was asked."""

    column: str
    """As the manifest names it; ``row`` when it is the whole record."""
    reason: str


Record = tuple[int, list[str], RecordFault | None]
"""The line or row on which it begins, from 1, its cells in the order of the columns, and its fault."""

PASSED_OVER: Mapping[str, int] = {}
"""What a format says that passes nothing over."""


class Table(Protocol):
    """A manifest as one of the formats reads it, once."""

    @property
    def columns(self) -> Columns:
        """Known as soon as the table is made."""

    @property
    def counted_by(self) -> CountedBy:
        """What the numbers of its records count."""

    @property
    def passed_over(self) -> Mapping[str, int]:
        """What was met so far that is no row and no fault, by name, with how many of it."""

    def records(self) -> Iterator[Record]:
        """All records. One of blank cells only is none.

        Raises:
            ManifestError: the rest cannot be used.
        """


def whole(reason: str) -> RecordFault:
    """A fault of a record as a whole."""
    return RecordFault("row", reason)


def lost_digits(text: str) -> str:
    """The reason for an id that went through a number with a point or an exponent."""
    return f"{shown(text)} has lost its digits in a spreadsheet. Export the column as text"
