"""The closing summary of tracking: the states of tasks, and the tasks that need attention. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from batcher.model.outcome import Outage
from batcher.model.records import TaskTrouble
from batcher.model.task import TaskState
from batcher.report.counts import TROUBLED_TASKS, TaskFigures
from batcher.report.formatting import at_least_a_second, count, moment, one_line, paragraph

FIRST_TROUBLES = 5


@dataclass(frozen=True, slots=True)
class TrackingSummary:
    """The facts of a tracking summary."""

    exit_code: int
    reason: str
    tasks: TaskFigures
    polls: int
    seconds: float
    troubles: tuple[TaskTrouble, ...] = ()
    """The newest tasks that failed or are unknown, old and new."""
    outage: Outage | None = None
    """The outage of polls during which tracking ended."""

    @property
    def new(self) -> int:
        """Failed and unknown tasks that were not reported before."""
        return sum(self.tasks.new.values())


def tracking_json(summary: TrackingSummary) -> dict[str, Any]:
    """Return the states of tasks as JSON values."""
    return {
        "tasks": {state.value: n for state, n in summary.tasks.by_state.items()},
        "tracking": {
            "exit_code": summary.exit_code,
            "reason": summary.reason,
            "polls": summary.polls,
            "seconds": round(summary.seconds, 3),
            "new": {state.value: n for state, n in summary.tasks.new.items()},
            "outage": outage_json(summary.outage),
            "troubles": list(map(asdict, summary.troubles)),
        },
    }


def outage_json(outage: Outage | None) -> dict[str, str] | None:
    """An outage for programs."""
    return {"since": moment(outage.since), "met": outage.met} if outage else None


def tracking_lines(summary: TrackingSummary, width: int) -> list[str]:
    """Return the states of tasks, the effort of polling, and the tasks that need attention."""
    lines = task_lines(summary.tasks)
    if summary.polls:
        lasted = at_least_a_second(summary.seconds)
        lines += ["", f"  Polled {count(summary.polls, 'time')} in {lasted}."]
    return lines + trouble_lines(summary, width)


def task_lines(tasks: TaskFigures) -> list[str]:
    """Return the number of tasks in each state."""
    widest = len(f"{tasks.total:,}")
    lines = []
    for state, n in tasks.by_state.items():
        new = tasks.new.get(state, 0)
        if n or state is TaskState.FINISHED:
            of_new = f"   {new:,} of them new" if new and new != n else ""
            lines.append(f"  {state.value:<15}{n:>{widest},}{of_new}")
    return lines


def task_counts(tasks: TaskFigures) -> str:
    """Return the states that tasks are in, as a sentence."""
    counted = [f"{n:,} {state.value}" for state, n in tasks.by_state.items() if n]
    return f"Tasks: {', '.join(counted) or 'none'}."


def trouble_lines(summary: TrackingSummary, width: int) -> list[str]:
    """Return the tasks that ended without pictures, with the reason, if some of them are new."""
    if not summary.new:
        return []
    shown = summary.troubles[: summary.new]
    first = f", the last {len(shown)}" if len(shown) < summary.new else ""
    lines = ["", f"New: {tasks_in_words(summary)}{first}"]
    for one in shown:
        said = one_line(one.message or one.status)
        lines.append(
            paragraph(
                "", f"{one.file_id}, task {one.task_id}: {one.state.value}: {said}", width=width, hang=2
            )
        )
    return lines


def tasks_in_words(summary: TrackingSummary) -> str:
    """Return the new troubled tasks: ``2 failed, 1 unknown tasks``."""
    words = [f"{summary.tasks.new[one]:,} {one.value}" for one in TROUBLED_TASKS if summary.tasks.new[one]]
    return ", ".join(words) + (" task" if summary.new == 1 else " tasks")
