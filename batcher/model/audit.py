"""An audit as values: how often what is there, and the first cases of what a person may have to ask about.

The ledger counts, the report shows it, and neither has to know the other. Nothing here counts or judges but
by adding up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from batcher.model.submission import FileId, State, TaskId, Vendor
from batcher.model.task import Effect, TaskState


class CaseKind(StrEnum):
    """Of what cases are named."""

    TWICE = "twice"
    """Submitted twice for certain: a callback named a second task, and a poll has confirmed it."""
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
    """Named by a callback, and no task of ours."""


@dataclass(frozen=True, slots=True)
class Case:
    """One submission, or one callback, that somebody may ask about."""

    file_id: FileId | None
    vendor: Vendor | None
    task_id: TaskId | None
    request_ids: tuple[str, ...]
    """Of its attempts, the vendor's own where given; of its task, that of the last poll."""
    said: str | None
    """What was said of it last."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What the rows of a ledger come to, at one moment."""

    app_id: int | None
    submissions: Mapping[tuple[State, bool], int]
    """By state, and by whether an attempt without an answer may have been accepted."""
    twice: int
    """Submissions of which a second task was confirmed."""
    attempts: int
    """Requests on record that may have left, those let go of included."""
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
    """Submissions by state, as the figures kept beside them say."""
    tasks_tallied: Mapping[TaskState, int]
    cases: Mapping[CaseKind, tuple[Case, ...]]
    """The first of each kind."""

    def of(self, *states: State, doubted: bool | None = None) -> int:
        """How many submissions stand in these states, doubted or not."""
        return sum(
            n
            for (state, is_doubted), n in self.submissions.items()
            if state in states and doubted in (None, is_doubted)
        )

    @property
    def total(self) -> int:
        """All submissions."""
        return sum(self.submissions.values())
