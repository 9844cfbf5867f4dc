"""The counts of polls by which a task is given up."""

from __future__ import annotations

import pytest

from batcher.ledger.tasks import Followed
from batcher.model.outcome import Answer, HttpRefusal, NotReported
from batcher.model.submission import FileId, SubmissionId, TaskId, Vendor
from batcher.model.task import TaskReport, TaskState
from batcher.track.poll_history import PollHistory
from batcher.track.poll_policy import BELIEVED_AFTER_S, Missed

REPORT = TaskReport(TaskState.PROCESSING, "PROCESSING")
NO_TASK = TaskReport(TaskState.UNKNOWN, "NO_TASK")
REFUSED = HttpRefusal(503)
NOW_MS = 1_700_000_000_000


def task(id_: int = 1, status: str | None = None) -> Followed:
    """A task that is followed."""
    return Followed(
        SubmissionId(id_), 0, TaskId(f"t{id_}"), FileId("f"), Vendor.HUAWEI, status, NOW_MS, 0, None
    )


@pytest.mark.parametrize(
    ("status", "outcomes", "expected"),
    [
        (None, [NO_TASK], Missed(1, 0)),
        (None, [NO_TASK, NO_TASK], Missed(2, 0)),
        ("NO_TASK", [NO_TASK], Missed(2, 0)),
        ("code 1000", [Answer(1000)], Missed(2, 0)),
        ("HTTP 404", [HttpRefusal(404)], Missed(2, 0)),
        ("PROCESSING", [NO_TASK], Missed(1, 0)),
        (None, [NO_TASK, REPORT], Missed(0, 0)),
        (None, [NO_TASK, REPORT, NO_TASK], Missed(1, 0)),
        (None, [REFUSED, REFUSED], Missed(0, 0, 0, 0, 2)),
        (None, [NO_TASK, REFUSED], Missed(1, 0, 0, 0, 1)),
    ],
)
def test_misses_of_a_task_are_counted_in_a_row(
    status: str | None, outcomes: list[TaskReport | NotReported], expected: Missed
) -> None:
    """A report ends the row; a miss that an earlier tracker recorded counts once."""
    history = PollHistory()
    counts = [history.add(task(status=status), outcome, answers=0, now_ms=NOW_MS) for outcome in outcomes]
    assert counts[-1] == expected


def test_refusal_counts_only_when_polls_were_answered_since_the_last_one() -> None:
    """Refusals of all polls count for no task."""
    history = PollHistory()
    counts = [history.add(task(), REFUSED, answers=n, now_ms=NOW_MS) for n in (0, 0, 2, 2, 3)]
    assert [missed.refused for missed in counts] == [0, 0, 1, 1, 2]
    assert [missed.in_a_row for missed in counts] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("ago_s", "before"), [(BELIEVED_AFTER_S - 1, 0), (BELIEVED_AFTER_S, 1)])
def test_recent_report_of_another_task_counts_as_later(ago_s: float, before: int) -> None:
    """A report shortly before the first miss shows that the service reports tasks."""
    history = PollHistory()
    history.add(task(2), REPORT, answers=0, now_ms=NOW_MS)
    missed = history.add(task(1), NO_TASK, answers=1, now_ms=NOW_MS + int(ago_s * 1000))
    assert (history.reports, missed.reports_before) == (1, before)
    assert history.known_task == ("t2", Vendor.HUAWEI)


def test_forgotten_task_starts_anew() -> None:
    """The counts of a task that has ended are dropped."""
    history = PollHistory()
    history.add(task(), REFUSED, answers=0, now_ms=NOW_MS)
    history.forget(task())
    assert history.add(task(), REFUSED, answers=0, now_ms=NOW_MS).in_a_row == 1
