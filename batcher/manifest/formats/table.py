"""The interface of a format: columns, and numbered records of cells.

Implemented by each module in this package and read by :mod:`batcher.manifest.rows`. A new format gives these
two things and shares the rules, the messages and the ledger with the others. Has no rules about cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from batcher.errors import ManifestError
from batcher.manifest.columns import Columns, KnownColumn
from batcher.manifest.display import shown
from batcher.manifest.rounded_ids import may_be_rounded
from batcher.model.submission import CountedBy

NEVER_CALCULATED = "is a formula without a stored value: open and save the workbook once in a spreadsheet"
"""The reason for a cell that holds a formula where a value is needed."""

_APPENDED = re.compile(r"([0-9]{1,40})[.,]0*")
"""A whole number to which a point, and perhaps zeros, were appended."""


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


class NoRecordings:
    """The table of a manifest without recordings, such as ``[]``: a night without work is no mistake."""

    columns = Columns((KnownColumn.FILE_ID.value,), {KnownColumn.FILE_ID: 0}, ())
    counted_by = CountedBy.LINE
    passed_over = PASSED_OVER
    remarks: Sequence[str] = ()

    def records(self) -> Iterator[Record]:
        """No records."""
        return iter(())


class Empty(NoRecordings):
    """The table of a manifest without any content: its writer may not have come to its end."""

    def __init__(self, name: str) -> None:
        self.remarks = [f"{name}: is empty, without a header or any row"]


class NothingInside(ManifestError):
    """A manifest without any content; translated into :class:`Empty` where it is opened."""


def whole(reason: str) -> RecordFault:
    """A fault of a record as a whole."""
    return RecordFault("row", reason)


def lost_digits(text: str) -> str:
    """The reason for an id that was written as a number with a point or an exponent."""
    if (found := _APPENDED.fullmatch(text)) and not may_be_rounded(found[1]):
        return (
            f"{shown(text)} has a decimal point: a spreadsheet or another program took the id for a number. "
            "Its digits may be whole; export the column as text"
        )
    why = "has lost its digits: a spreadsheet took the id for a number"
    return f"{shown(text)} {why}. Export the column as text"
