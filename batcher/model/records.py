"""Records: what reading the ledger returns, as plain values.

Made by the ledger, read by reports, the command line and programs; defined here so that none imports the
other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from batcher.model.ledger_name import LedgerName
from batcher.model.outcome import Decision
from batcher.model.submission import (
    CountedBy,
    FileId,
    LoadId,
    Parameters,
    RunId,
    State,
    SubmissionId,
    TaskId,
    Vendor,
)
from batcher.model.task import Picture, PictureState, TaskState


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a return code of the service."""

    text: str
    remedy: str
    """The remedy; empty when nothing has to be done."""


@dataclass(frozen=True, slots=True)
class CodeExplanation:
    """A return code in one language."""

    code: int
    meaning: Meaning
    """The meaning of the code, and the remedy."""
    handling: str
    """The action that follows from the code."""
    call: str = ""
    """The call or callback that alone has the code; empty for a code of MediaThumbnails or of every call."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of submissions with the same state, last definite code and run that last settled them."""

    state: State
    code: int | None
    run_id: RunId | None
    n: int


@dataclass(frozen=True, slots=True)
class HttpTally:
    """The number of submissions last refused by the same HTTP status, without a code, in the same run."""

    http_status: int
    run_id: RunId | None
    n: int


@dataclass(frozen=True, slots=True)
class AskedFor:
    """Submissions, counted by their parameters."""

    groups: tuple[tuple[Parameters, int], ...] = ()
    """The largest groups of equal parameters, with how many each has."""
    n: int = 0
    """All submissions, including those of other groups."""
    sets: int = 0
    """The number of groups."""


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """One reading of a manifest."""

    id: LoadId
    source: str
    path: str
    columns: tuple[str, ...]
    started_at: datetime
    ended_at: datetime | None
    """None when it did not reach the end of the file."""
    rows: int
    new: int
    duplicates: int
    """Rows whose submission existed already: in the ledger, or from an earlier row."""
    invalid: int
    error: str | None
    superseded: bool
    """A later load has read the same path to its end."""
    since: datetime | None = None
    """When the earlier load ended that this one is compared with; None without an earlier load."""
    appeared: int | None = None
    """Rows that the earlier load did not have."""
    gone: int | None = None
    """Rows that only the earlier load had; their submissions stay in the ledger."""
    changed: int | None = None
    """Rows for the same recording under other parameters, or with other values in their own columns."""
    repeated: int = 0
    """Of the duplicates, the rows that repeat an earlier row of the same manifest."""

    @property
    def known(self) -> int:
        """Of the duplicates, the rows whose submission the ledger had before."""
        return self.duplicates - self.repeated

    @property
    def unfinished(self) -> bool:
        """Whether rows of the file may be missing from the ledger."""
        return self.ended_at is None and not self.superseded

    @property
    def differs(self) -> bool:
        """Whether the file has changed since it was last read to its end."""
        return bool(self.appeared or self.gone or self.changed)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run, as far as it has recorded itself."""

    id: RunId
    started_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    pid: int
    host: str
    version: str
    rate_per_s: float
    reason: str | None
    pace_per_s: float | None
    """The pace that it has, or had at its end."""
    why_slow: str | None
    """Why the pace is or was below the cap."""
    invalid_rows_seen: int | None


@dataclass(frozen=True, slots=True)
class RunningCommand:
    """The command that holds a ledger to write it."""

    command: str | None = None
    """Such as ``batcher run``; None, as the others, when the process left no name."""
    pid: int | None = None
    host: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class SharingRun:
    """A run that has not ended, on a ledger that several runs share."""

    id: RunId
    host: str
    pid: int
    started_at: datetime
    share_per_s: float
    """The requests a second that it may send."""
    seen_at: datetime | None
    """When it was last heard of, by the clock of the server; None for a run that was copied from a file."""
    seen_s: float
    """The same, in seconds before now."""
    is_lost: bool
    """It has not been heard of for longer than its right to send lasts, or its process has ended."""
    unanswered: int
    """Its requests whose answers are not on record; those of a lost run are in doubt."""


@dataclass(frozen=True, slots=True)
class InvalidRowRecord:
    """A row of a manifest that cannot be sent."""

    id: int
    source: str
    line: int
    column: str
    reason: str
    counted_by: CountedBy = CountedBy.LINE

    @property
    def place(self) -> str:
        """Its place in the manifest, in words."""
        return self.counted_by.place(self.source, self.line)


def may_be_unseen(outcome: str | None, decision: str | None, code: int | None) -> bool:
    """Whether the service may have accepted an attempt under a task id that is not on record."""
    if outcome is None:  # in flight, or its run was killed
        return True
    return decision == Decision.IN_DOUBT and code in (None, 0)


def doubt_reason(outcome: str | None, code: int | None, message: str | None) -> str:
    """Say why the result of an attempt is unknown."""
    if outcome is None:
        return "its run ended before an answer was recorded"
    if code == 0:
        return "accepted (code 0), but the answer held no task id that can be read"
    return message or "no answer came that can be read"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request, as recorded before and after it was sent."""

    number: int
    run_id: RunId
    begun_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    outcome: str | None
    """None while it may be in flight, or when its run was killed."""
    decision: str | None
    http_status: int | None
    code: int | None
    task_id: TaskId | None
    request_id: str | None
    vendor_request_id: str | None
    message: str | None

    @property
    def may_have_left(self) -> bool:
        """Whether the service may have received it."""
        return self.outcome != "not_sent"


@dataclass(frozen=True, slots=True)
class TaskTally:
    """The number of followed tasks in a state."""

    state: TaskState
    n: int
    reported: int = 0
    """The number of them that are not new: a tracking with exit code 0 or 1 has reported them."""


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """The task of one submission, as far as polls and callbacks have reported it."""

    task_id: TaskId
    state: TaskState
    status: str | None
    """The vendor's own word for the state; None before the first poll."""
    message: str | None
    request_id: str | None
    polls: int
    """The number of its polls that were answered."""
    polled_at: datetime | None
    due_at: datetime | None
    """When the next poll is due; None when the task has ended."""
    started_at: datetime | None
    """The vendor's time, as the next one."""
    ended_at: datetime | None
    closed_at: datetime | None
    """When its end was recorded, or when it was given up."""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskTrouble:
    """A task that has ended without pictures."""

    file_id: FileId
    task_id: TaskId
    state: TaskState
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Record:
    """Everything known of one submission."""

    id: SubmissionId
    file_id: FileId
    parameters: Parameters
    state: State
    code: int | None
    doubted: bool
    not_before: datetime | None
    source: str
    line: int
    extra: str | None
    attempts: tuple[Attempt, ...] = field(default=())
    pruned: int = 0
    """Requests that may have left and are no longer kept one by one."""
    counted_by: CountedBy = CountedBy.LINE
    task: TaskRecord | None = None
    """None without a task, or while no tracker follows it."""

    @property
    def place(self) -> str:
        """The place of the row that asked for it first, in words."""
        return self.counted_by.place(self.source, self.line)

    def superfluous(self, before: datetime) -> list[Attempt]:
        """Return attempts begun before a time that neither this class nor an export needs."""
        left = [attempt for attempt in self.attempts if attempt.may_have_left]
        answered = [attempt for attempt in self.attempts if attempt.answered_at]
        kept = [
            self.decisive,
            *self.attempts[-1:],
            *(attempt for attempt in self.attempts if attempt.task_id),
            *sorted(left, key=lambda attempt: attempt.sent_at or attempt.begun_at)[:1],
            *sorted(answered, key=lambda attempt: attempt.answered_at or attempt.begun_at)[-1:],
            *self._lost,
        ]
        return [attempt for attempt in self.attempts if attempt.begun_at < before and attempt not in kept]

    @property
    def _lost(self) -> list[Attempt]:
        return [
            attempt
            for attempt in self.attempts
            if may_be_unseen(attempt.outcome, attempt.decision, attempt.code)
        ]

    @property
    def possibly_twice(self) -> int:
        """The number of earlier attempts that may have been accepted, too; 0 unless submitted."""
        if self.state is not State.SUBMITTED or not self.doubted:
            return 0
        return max(1, len(self._lost))  # attempts of which only the number was kept are not counted

    @property
    def decisive(self) -> Attempt | None:
        """The attempt that decided its state: the last one with its code, else the last one that ended."""
        settled = [attempt for attempt in self.attempts if attempt.outcome is not None]
        coded = [attempt for attempt in settled if attempt.code is not None and attempt.code == self.code]
        chosen = coded or settled
        return chosen[-1] if chosen else None

    @property
    def why_in_doubt(self) -> str | None:
        """Why the last attempt without a definite answer has none."""
        lost = self._lost[-1:]
        return doubt_reason(lost[0].outcome, lost[0].code, lost[0].message) if lost else None

    @property
    def task_id(self) -> TaskId | None:
        """The task id, when an attempt brought one."""
        return next((attempt.task_id for attempt in self.attempts if attempt.task_id), None)


@dataclass(frozen=True, slots=True)
class PictureRecord:
    """One picture of a finished task."""

    submission_id: SubmissionId
    number: int
    """Its number among the pictures of its task, from 1."""
    file_id: FileId
    vendor: Vendor
    task_id: TaskId
    ordinal: int
    """Which of its recording's submissions this is, from 1."""
    url: str
    """An address, or the name of an object. It may be signed, and must never be logged."""
    offset_ms: int | None
    state: PictureState | None
    """None until it was fetched or given up."""
    error: str | None
    """Why there is no picture, or not yet."""
    tries: int
    """All requests made for it."""
    file: str | None
    """Relative to the folder that it was fetched to."""
    n_bytes: int | None
    width: int | None
    height: int | None
    fetched_at: datetime | None

    @property
    def place(self) -> tuple[SubmissionId, int]:
        """Its place in the order of all pictures."""
        return self.submission_id, self.number


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of fetching a picture."""

    picture: PictureRecord
    state: PictureState | None
    """None when it will be tried again."""
    tries: int
    """Requests made for it this time."""
    error: str | None = None
    file: str | None = None
    n_bytes: int | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """The disk under a ledger."""

    free_bytes: int
    needed_bytes: int
    """By the open submissions."""
    least_bytes: int
    """With less, no run begins."""

    @property
    def is_enough(self) -> bool:
        """Whether the open work fits."""
        return self.free_bytes >= self.needed_bytes + self.least_bytes


@dataclass(frozen=True, slots=True)
class TableAndIndexes:
    """A table with its indexes."""

    name: str
    rows: int
    bytes: int
    estimated: bool
    """Out of a sample of rows: this build of SQLite does not report sizes."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """The contents of a ledger's file."""

    ledger: LedgerName
    revision: str
    file_bytes: int
    wal_bytes: int
    free_bytes: int
    """In the file and not used; ``vacuum`` gives it back to the disk."""
    parts: tuple[TableAndIndexes, ...]
    bound: tuple[int, str] | None
    runs: tuple[int | None, int | None]
    """When the first and the last run began, in Unix milliseconds."""
