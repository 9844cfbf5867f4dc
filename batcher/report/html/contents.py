"""What stands on the page, as values: the command line gathers them, the template shows them.

Whatever can be long is cut to so many and comes with how many there are. Nothing here reads a ledger or a
file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeVar

from batcher.model.history import Doubted, FetchedPicture, History, Pictured, TaskWithoutPictures
from batcher.model.records import InvalidRowRecord, Meaning, Record, Run
from batcher.model.submission import EndpointKind
from batcher.model.task import TaskState
from batcher.report.counts import Counts
from batcher.report.html.thumbnails import Frame, NoFrame

_K = TypeVar("_K")


class InBothLanguages(NamedTuple):
    """A text twice."""

    english: str
    chinese: str


@dataclass(frozen=True, slots=True)
class CodeExplained:
    """A code that came back, how often, what it means and what comes of it."""

    code: int
    n: int
    english: Meaning
    chinese: Meaning
    does: InBothLanguages


class Shown(NamedTuple):
    """A picture of the contact sheet: itself, or why it is not there."""

    picture: FetchedPicture
    frame: Frame | NoFrame | None
    """None: what is shown of others has used up the room."""


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """The contact sheet."""

    folder: str | None = None
    """None when none was named."""
    recordings: Sequence[tuple[Pictured, Sequence[Shown]]] = ()
    each: int = 0
    """How many pictures of a recording are shown at most."""
    is_cut: bool = False
    """There are more recordings, or more pictures of one."""


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands that tell more than the page does, for pasting."""

    export: str
    export_manifest: str
    show_pictures: str


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything on the page."""

    ledger: str
    bound: tuple[int, EndpointKind] | None
    made_at: datetime
    version: str
    rate_per_s: float
    """At which what is open will be sent."""
    now: Counts
    runs: Sequence[Run]
    """Those that have sent, oldest first, and no more than are listed."""
    runs_in_all: int
    history: History
    tasks: Mapping[TaskState, int]
    commands: Commands
    codes: Sequence[CodeExplained] = ()
    failures: Sequence[Record] = ()
    failures_in_all: int = 0
    invalid: Sequence[InvalidRowRecord] = ()
    invalid_in_all: int = 0
    doubted: Sequence[Doubted] = ()
    bare: Sequence[TaskWithoutPictures] = ()
    sheet: ContactSheet = field(default_factory=ContactSheet)


def shares(groups: Mapping[_K, int], room: int) -> Iterator[tuple[_K, int]]:
    """How many of each group are shown when not all have room: small groups whole, large ones alike."""
    left = len(groups)
    for key, n in sorted(groups.items(), key=lambda group: group[1]):
        share = min(n, room // left)
        room, left = room - share, left - 1
        yield key, share
