"""What a ledger tells of its past, as values: sends over time, doubts, tasks, and pictures that were fetched.

They stand beside :mod:`batcher.model.records`: the ledger's survey makes them, the report shows them, and
neither has to know the other. Nothing here counts or draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from batcher.model.records import Record, Run
from batcher.model.submission import FileId, State, Vendor
from batcher.model.task import PictureState, TaskState


class Cell(NamedTuple):
    """What was sent in one stretch of time, all of the same length."""

    sent: int = 0
    """Requests that may have left."""
    submitted: int = 0
    """Those that brought a task id."""
    refused: int = 0
    """Those that were told to slow down."""
    answered: int = 0
    """Those that met an answer, of whatever kind."""
    unanswered: int = 0
    """Calls that met none, those that never left among them."""


@dataclass(frozen=True, slots=True)
class RunTimeline:
    """One run over time."""

    run: Run
    began_ms: int
    """When it began, and its first cell with it, in Unix milliseconds."""
    width_ms: int
    cells: tuple[Cell, ...]


class Doubt(StrEnum):
    """How a submission stands whose earlier request may have been accepted unseen."""

    HELD = "held"
    """In doubt: it is not sent again by itself."""
    AGAIN = "again"
    """It waits to be sent again, after all others."""
    TWICE = "twice"
    """It was sent again and has a task id; there may be a second task."""
    REFUSED = "refused"
    """It was sent again and refused; there may be a task all the same."""


def doubt_of(state: State, attempts: int) -> Doubt | None:
    """How a submission stands that was in doubt once; None when a callback has settled its only request."""
    match state:
        case State.IN_DOUBT:
            return Doubt.HELD
        case State.PENDING | State.SENDING:
            return Doubt.AGAIN
        case State.SUBMITTED:
            return Doubt.TWICE if attempts > 1 else None
        case State.REJECTED | State.FAILED:
            return Doubt.REFUSED


@dataclass(frozen=True, slots=True)
class Doubted:
    """A submission that may exist twice, or unseen."""

    doubt: Doubt
    record: Record


@dataclass(frozen=True, slots=True)
class History:
    """Everything that was sent and fetched, added up."""

    timelines: tuple[RunTimeline, ...]
    """The last runs, oldest first."""
    latencies: Mapping[int, int]
    """Answers by how long they took, in milliseconds."""
    sent: int
    refused: int
    doubts: Mapping[Doubt, int]
    pictures: Mapping[PictureState | None, int]
    """By what they turned out to be; None: not fetched yet."""
    bare: Mapping[TaskState, int]
    """Tasks that ended without pictures."""


@dataclass(frozen=True, slots=True)
class TaskWithoutPictures:
    """A task that has ended, or was given up, without a picture."""

    file_id: FileId
    vendor: Vendor
    extra: str | None
    task_id: str
    state: TaskState
    status: str | None
    """The vendor's own word."""
    message: str | None
    request_id: str | None
    ended_at: datetime | None


class FetchedPicture(NamedTuple):
    """One picture of a task that was fetched, or tried."""

    number: int
    offset_ms: int | None
    state: PictureState
    file: str | None
    """Within the folder that it was fetched to."""
    error: str | None


@dataclass(frozen=True, slots=True)
class Pictured:
    """A recording with the first pictures of one task."""

    file_id: FileId
    vendor: Vendor
    extra: str | None
    of: int
    """How many pictures the task has."""
    pictures: tuple[FetchedPicture, ...]
