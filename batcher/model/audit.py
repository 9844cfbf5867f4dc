"""An audit as values: counts of a ledger, and the first cases of each kind that may need a question to the
vendor.

Counted by the ledger, shown by the report; defined here so that neither imports the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from batcher.model.submission import FileId, State, TaskId, Vendor
from batcher.model.task import Effect, TaskState


class CaseKind(StrEnum):
    """The kinds of cases that an audit names."""

    TWICE = "twice"
    """Submitted twice: a callback named a second task, and a poll has confirmed it."""
    POSSIBLY_TWICE = "possibly_twice"
    """Submitted, and an earlier attempt without an answer may have been accepted as well."""
    IN_DOUBT = "in_doubt"
    UNNAMED = "unnamed"
    """Rejected or failed in the end, and an earlier attempt may have been accepted."""
    TASK_FAILED = "task_failed"
    TASK_UNKNOWN = "task_unknown"
    WITHOUT_PICTURES = "without_pictures"
    """Finished, and no picture was named."""
    STRANGER = "stranger"
    """A task that a callback named and that is not in the ledger."""


@dataclass(frozen=True, slots=True)
class Case:
    """One submission, or one callback, that the user may ask the vendor about."""

    file_id: FileId | None
    vendor: Vendor | None
    task_id: TaskId | None
    request_ids: tuple[str, ...]
    """The RequestIds of its attempts, the inner ones where given, and that of the last poll of its task."""
    said: str | None
    """The last message about it."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The counts of a ledger, at one moment."""

    app_id: int | None
    submissions: Mapping[tuple[State, bool], int]
    """By state, and by whether an attempt without an answer may have been accepted."""
    twice: int
    """Submissions of which a second task was confirmed."""
    attempts: int
    """Requests that may have left, including those no longer kept one by one."""
    task_ids: int
    """Attempts that brought a task id."""
    followed: int
    """Submissions marked as followed."""
    tasks: Mapping[TaskState, int]
    with_pictures: int
    """Finished tasks that named pictures."""
    unconfirmed: int
    """Tasks that a callback calls ended, and no poll yet."""
    shared_task_ids: int
    """Task ids that more than one submission has."""
    callbacks: Mapping[Effect, int]
    tallied: Mapping[State, int]
    """Submissions by state, as the ledger's tallies count them."""
    tasks_tallied: Mapping[TaskState, int]
    cases: Mapping[CaseKind, tuple[Case, ...]]
    """The first of each kind."""

    def of(self, *states: State, doubted: bool | None = None) -> int:
        """Return how many submissions are in these states, doubted or not."""
        return sum(
            n
            for (state, is_doubted), n in self.submissions.items()
            if state in states and doubted in (None, is_doubted)
        )

    @property
    def total(self) -> int:
        """All submissions."""
        return sum(self.submissions.values())
