"""Figures of a ledger, out of its tallies: by state, by code, of one run, and what is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from batcher.model.records import Run, Tally, TaskTally
from batcher.model.submission import TROUBLED, RunId, State
from batcher.model.task import TaskState


@dataclass(frozen=True, slots=True)
class Counts:
    """How many submissions there are, in all and of which kind."""

    by_state: dict[State, int]
    """All six states, always."""
    codes: dict[int, int]
    """By last definite code other than 0."""

    @property
    def total(self) -> int:
        """All submissions."""
        return sum(self.by_state.values())

    @property
    def open(self) -> int:
        """Still to be sent, or under way."""
        return self.by_state[State.PENDING] + self.by_state[State.SENDING]

    @property
    def ended(self) -> int:
        """Nothing further happens to these by itself."""
        return self.total - self.open

    @property
    def troubled(self) -> int:
        """Ended, and not with a task id."""
        return sum(self.by_state[state] for state in TROUBLED)


def figures(tallies: Iterable[Tally]) -> Counts:
    """Add up tallies."""
    by_state: Counter[State] = Counter()
    codes: Counter[int] = Counter()
    for tally in tallies:
        by_state[tally.state] += tally.n
        if tally.code:
            codes[tally.code] += tally.n
    return Counts({state: by_state[state] for state in State}, dict(sorted(codes.items())))


def of_run(tallies: Iterable[Tally], run_id: RunId) -> Counts:
    """Figures of what one run was the last to settle."""
    return figures(tally for tally in tallies if tally.run_id == run_id)


def since(tallies: Iterable[Tally], reported: Run | None) -> Counts:
    """Figures of what was settled after the last run that could tell all."""
    last = reported.id if reported else 0
    return figures(tally for tally in tallies if (tally.run_id or 0) > last)


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """How many tasks there are of what was submitted, and what has become of them."""

    by_state: dict[TaskState, int]
    """All five states, always; all are 0 when tasks were never followed."""
    new: dict[TaskState, int]
    """Of those that failed or are unknown: how many no tracking that ended with 0 or 1 has told of."""
    followed: bool
    """Somebody has followed tasks of this ledger."""

    @property
    def open(self) -> int:
        """Tasks that have not ended."""
        return self.by_state[TaskState.WAITING] + self.by_state[TaskState.PROCESSING]

    @property
    def total(self) -> int:
        """All tasks."""
        return sum(self.by_state.values())

    @property
    def ended(self) -> int:
        """Tasks that have ended, or were given up."""
        return self.total - self.open


TROUBLED_TASKS = (TaskState.FAILED, TaskState.UNKNOWN)


def task_figures(tallies: Iterable[TaskTally], submitted: int) -> TaskFigures:
    """Add up tallies of tasks.

    Args:
        tallies: of the tasks that are followed; none when no task ever was.
        submitted: submissions that have a task. Those that nobody has followed yet are waiting.
    """
    found = {tally.state: tally for tally in tallies}
    by_state = {state: found[state].n if state in found else 0 for state in TaskState}
    if found:
        by_state[TaskState.WAITING] += max(0, submitted - sum(by_state.values()))
    new = {one: max(0, found[one].n - found[one].reported) if one in found else 0 for one in TROUBLED_TASKS}
    return TaskFigures(by_state, new, bool(found))
