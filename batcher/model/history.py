"""The history of a ledger, as values: requests over time, doubts, tasks, and fetched pictures.

Made by the ledger's report queries, shown by the HTML report; defined here so that neither imports the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from batcher.model.records import Record, RunRecord
from batcher.model.submission import FileId, State, Vendor
from batcher.model.task import PictureState, TaskState


class Cell(NamedTuple):
    """Counts of one interval of a timeline; all intervals of a timeline have the same length."""

    sent: int = 0
    """Requests that may have left."""
    submitted: int = 0
    """Requests that returned a task id."""
    refused: int = 0
    """Requests that were refused as too frequent."""
    answered: int = 0
    """Requests that had an answer of any kind."""
    unanswered: int = 0
    """Calls without an answer, including those that never left."""


@dataclass(frozen=True, slots=True)
class RunTimeline:
    """The requests of one run over time."""

    run: RunRecord
    began_ms: int
    """When the run and its first cell began, in Unix milliseconds."""
    width_ms: int
    cells: tuple[Cell, ...]


class Doubt(StrEnum):
    """The state of a submission of which an earlier request may have been accepted without an answer."""

    HELD = "held"
    """In doubt: not sent again unless the user retries it."""
    AGAIN = "again"
    """Pending: the submission is sent again, after all others."""
    TWICE = "twice"
    """Sent again with a task id; there may be a second task."""
    REFUSED = "refused"
    """Sent again and refused; there may be a task all the same."""


def doubt_of(state: State, attempts: int) -> Doubt | None:
    """Return the doubt of a submission that was in doubt once; None when a callback has settled its only
    request."""
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
    """Totals of everything that was sent and fetched."""

    timelines: tuple[RunTimeline, ...]
    """The last runs, oldest first."""
    latencies: Mapping[int, int]
    """Answers by how long they took, in milliseconds."""
    sent: int
    refused: int
    doubts: Mapping[Doubt, int]
    pictures: Mapping[PictureState | None, int]
    """By the result of fetching; None for those not fetched yet."""
    without_pictures: Mapping[TaskState, int]
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
    """The number of pictures of the task."""
    pictures: tuple[FetchedPicture, ...]
