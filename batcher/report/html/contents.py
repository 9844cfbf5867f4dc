"""The contents of the report page, as values.

Gathered by ``cli/commands/report.py``, shown by :mod:`batcher.report.html.render`. Lists that can be long
are cut and come with the number of all entries. Nothing here reads a ledger or a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from batcher.model.history import Doubted, FetchedPicture, History, Pictured, TaskWithoutPictures
from batcher.model.records import CodeExplanation, InvalidRowRecord, Record, RunRecord
from batcher.model.submission import EndpointKind
from batcher.model.task import TaskState
from batcher.report.counts import Counts

if TYPE_CHECKING:
    from batcher.report.html.thumbnails import Frame, NoFrame  # with Pillow, which is an extra

_K = TypeVar("_K")


@dataclass(frozen=True, slots=True)
class CodeExplained:
    """A return code: how often it came, and its explanation in both languages."""

    n: int
    english: CodeExplanation
    chinese: CodeExplanation


class Shown(NamedTuple):
    """A picture of the contact sheet: its image, or why there is none."""

    picture: FetchedPicture
    frame: Frame | NoFrame | None
    """None if the other pictures have used up the space."""


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """The contact sheet."""

    folder: str | None = None
    """The folder of the pictures; None if the user named none."""
    recordings: Sequence[tuple[Pictured, Sequence[Shown]]] = ()
    each: int = 0
    """The most pictures that are shown of a recording."""
    is_cut: bool = False
    """Whether there are more recordings, or more pictures of a recording."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of the whole page."""

    ledger: str
    bound: tuple[int, EndpointKind] | None
    made_at: datetime
    version: str
    rate_per_s: float
    """The rate at which open submissions will be sent."""
    now: Counts
    runs: Sequence[RunRecord]
    """The runs that have sent requests, oldest first, cut to the number that is listed."""
    runs_in_all: int
    history: History
    tasks: Mapping[TaskState, int]
    ledger_option: str
    """The option of suggested commands that names the ledger."""
    output_option: str
    """The option of a suggested report that names its file."""
    codes: Sequence[CodeExplained] = ()
    failures: Sequence[Record] = ()
    failures_in_all: int = 0
    code_texts: Mapping[str, str] = field(default_factory=dict)
    """The English texts of all return codes with the Chinese ones."""
    invalid: Sequence[InvalidRowRecord] = ()
    invalid_in_all: int = 0
    doubted: Sequence[Doubted] = ()
    without_pictures: Sequence[TaskWithoutPictures] = ()
    sheet: ContactSheet = field(default_factory=ContactSheet)


def shares(groups: Mapping[_K, int], room: int) -> Iterator[tuple[_K, int]]:
    """Yield how many of each group to show if not all fit: small groups completely, large ones equally."""
    left = len(groups)
    for key, n in sorted(groups.items(), key=lambda group: group[1]):
        share = min(n, room // left)
        room, left = room - share, left - 1
        yield key, share
