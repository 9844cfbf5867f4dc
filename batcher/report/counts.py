"""Counts of a ledger, computed from its tallies: by state, by code, of one run, and new ones. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from batcher.model.records import HttpTally, RunRecord, Tally, TaskTally
from batcher.model.submission import TROUBLED, RunId, State
from batcher.model.task import TaskState


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of submissions, by state and by code."""

    by_state: dict[State, int]
    """Every state, always."""
    codes: dict[int, int]
    """Submissions by last definite code other than 0."""

    @property
    def total(self) -> int:
        """All submissions."""
        return sum(self.by_state.values())

    @property
    def open(self) -> int:
        """Submissions that are pending or being sent."""
        return self.by_state[State.PENDING] + self.by_state[State.SENDING]

    @property
    def ended(self) -> int:
        """Submissions in a final state."""
        return self.total - self.open

    @property
    def troubled(self) -> int:
        """Submissions that ended without a task id."""
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
    """Add up the tallies of submissions that one run was the last to settle."""
    return figures(tally for tally in tallies if tally.run_id == run_id)


def since(tallies: Iterable[Tally], reported: RunRecord | None) -> Counts:
    """Add up the tallies of submissions that were settled after the last run that reported everything."""
    last = reported.id if reported else 0
    return figures(tally for tally in tallies if (tally.run_id or 0) > last)


def http_refusals(tallies: Iterable[HttpTally], reported: RunRecord | None = None) -> dict[int, int]:
    """Add up refusals without a code, by HTTP status.

    Args:
        tallies: of all runs.
        reported: count what was settled after this run alone.
    """
    last = reported.id if reported else 0
    statuses: Counter[int] = Counter()
    for tally in tallies:
        if (tally.run_id or 0) > last or reported is None:
            statuses[tally.http_status] += tally.n
    return dict(sorted(statuses.items()))


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """The numbers of tasks of submitted submissions, by state."""

    by_state: dict[TaskState, int]
    """Every state, always; all are 0 if tasks were never followed."""
    new: dict[TaskState, int]
    """Failed and unknown tasks that no tracking with exit code 0 or 1 has reported."""
    followed: bool
    """Whether tasks of this ledger were ever followed."""

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
        tallies: of the tasks that are followed; empty if no task ever was.
        submitted: submissions that have a task. A task that was never polled counts as waiting.
    """
    found = {tally.state: tally for tally in tallies}
    by_state = {state: found[state].n if state in found else 0 for state in TaskState}
    if found:
        by_state[TaskState.WAITING] += max(0, submitted - sum(by_state.values()))
    new = {
        state: max(0, found[state].n - found[state].reported) if state in found else 0
        for state in TROUBLED_TASKS
    }
    return TaskFigures(by_state, new, bool(found))
