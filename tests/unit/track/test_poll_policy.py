"""The consequence of one poll for its task, and the time of the next poll."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from support.polled_tasks import FAILED, FINISHED, NO_TASK, PROCESSING, STRANGE, SUBMITTED_MS, Outcome, task

from batcher.ledger.tasks import Polled
from batcher.model.outcome import Answer, HttpRefusal, NotSent, ReplyLost
from batcher.model.submission import ReplyShape
from batcher.model.task import TaskReport, TaskState
from batcher.track.poll_policy import (
    BELIEVED_AFTER_S,
    BELIEVED_ALONE_AFTER_S,
    GIVE_UP_S,
    LONGEST_WAIT_S,
    Missed,
    is_miss,
    judge,
    wait_s,
)


def judged(outcome: Outcome, age_s: float, *, missed: int = 0, others: bool = True) -> Polled:
    """A poll's result, at an age of the task, with a number of misses in a row."""
    return judge(
        outcome,
        task(),
        now_ms=SUBMITTED_MS + int(age_s * 1000),
        give_up_s=GIVE_UP_S,
        missed=Missed(missed, 0),
        reports=int(others),
        jitter=lambda most: most / 2,
    )


def waits(*, claimed_ago_s: float | None = None, times: int) -> list[float]:
    """How long a task waits after each poll, without chance."""
    now_ms = SUBMITTED_MS + 10_000_000
    claimed = None if claimed_ago_s is None else now_ms - int(claimed_ago_s * 1000)
    return [
        round(wait_s(task(polls=n, claimed_at_ms=claimed), now_ms, lambda most: most / 2), 2)
        for n in range(times)
    ]


def test_waits_grow_by_half_up_to_ten_minutes() -> None:
    """A task is polled less and less often."""
    assert waits(times=4) == [2.0, 3.0, 4.5, 6.75]
    assert waits(times=40)[-3:] == [600.0] * 3
    assert wait_s(task(polls=10**6), SUBMITTED_MS, lambda most: most) == pytest.approx(LONGEST_WAIT_S * 1.1)


def test_waits_are_spread() -> None:
    """By chance a wait is up to a tenth shorter or longer."""
    chance = Random(1)
    drawn = [wait_s(task(), SUBMITTED_MS, lambda most: chance.uniform(0, most)) for _ in range(200)]
    assert 1.8 <= min(drawn) < 1.85
    assert 2.15 < max(drawn) <= 2.2


def test_claimed_task_is_polled_again_soon() -> None:
    """The wait is at most half of the time since the claim, however old the task is."""
    assert waits(claimed_ago_s=1, times=12) == [2.0] * 12
    assert waits(claimed_ago_s=40, times=12)[-1:] == [20.0]


@pytest.mark.parametrize(("report", "state"), [(FINISHED, TaskState.FINISHED), (FAILED, TaskState.FAILED)])
def test_task_that_has_ended_is_closed(report: TaskReport, state: TaskState) -> None:
    """A final status closes the task immediately, with its status, message and pictures."""
    polled = judged(report, 3)
    assert (polled.state, polled.due_at_ms) == (state, None)
    assert (polled.status, polled.message, polled.pictures) == (
        report.status,
        report.message,
        report.pictures,
    )


def test_task_that_has_not_ended_is_due_again() -> None:
    """A task in progress keeps being polled; an unknown status changes no state."""
    assert (judged(PROCESSING, 3).state, judged(STRANGE, 3).state) == (TaskState.PROCESSING, None)
    assert judged(STRANGE, 3).due_at_ms == judged(PROCESSING, 3).due_at_ms == SUBMITTED_MS + 5000
    assert judged(STRANGE, 3).status == "PAUSED"


@pytest.mark.parametrize("report", [PROCESSING, STRANGE])
def test_task_that_never_ends_is_given_up(report: TaskReport) -> None:
    """After its time it is unknown, keeps the vendor's last status, and its message says why."""
    assert judged(report, GIVE_UP_S - 1).due_at_ms is not None
    polled = judged(report, GIVE_UP_S)
    assert (polled.state, polled.due_at_ms, polled.status) == (TaskState.UNKNOWN, None, report.status)
    assert "had not ended 48 h after" in polled.message


def test_task_that_ends_late_has_ended() -> None:
    """A task that has ended by its first poll, years later, is not given up."""
    assert judged(FINISHED, 10 * GIVE_UP_S).state is TaskState.FINISHED


@pytest.mark.parametrize(
    ("age_s", "missed", "closed"),
    [(2, 1, False), (BELIEVED_AFTER_S - 1, 9, False), (10**6, 2, False), (BELIEVED_AFTER_S, 3, True)],
)
def test_unknown_task_is_polled_again_before_it_is_given_up(age_s: float, missed: int, closed: bool) -> None:
    """NO_TASK counts three times in a row, and not within the first minute."""
    polled = judged(NO_TASK, age_s, missed=missed)
    assert (polled.due_at_ms is None) == closed
    assert polled.state == (TaskState.UNKNOWN if closed else None)
    assert polled.status == "NO_TASK"


REFUSED = Answer(1000, "request failed", request_id="r-1")
MISSES: Sequence[Outcome] = (
    NO_TASK,
    REFUSED,
    Answer(2),
    Answer(987654),
    Answer(1),
    HttpRefusal(404),
    ReplyLost("says nothing of the task", 200, ReplyShape.DATA),
    ReplyLost("JSON without a Code", 200, ReplyShape.OTHER_JSON),
)
NO_MISSES: Sequence[Outcome] = (
    PROCESSING,
    STRANGE,
    Answer(6),
    Answer(7),
    Answer(3),
    Answer(100000005),
    HttpRefusal(429),
    HttpRefusal(503),
    HttpRefusal(302, location="https://login.example/"),
    ReplyLost("no answer"),
    ReplyLost("a page", 200),
    ReplyLost("HTTP 502", 502),
    NotSent("refused"),
)


def test_miss_is_an_answer_without_a_report() -> None:
    """An answer that does not report the task counts; silence and refusals of all calls do not."""
    assert [True] * len(MISSES) == list(map(is_miss, MISSES))
    assert [False] * len(NO_MISSES) == list(map(is_miss, NO_MISSES))


@pytest.mark.parametrize("outcome", NO_MISSES[2:])
def test_outcome_without_an_answer_never_closes_the_task(outcome: Outcome) -> None:
    """No outage, pause or halt ends a task, however old it is."""
    polled = judged(outcome, 10 * GIVE_UP_S, missed=99)
    assert (polled.state, polled.answered, polled.status) == (None, False, None)
    assert polled.due_at_ms is not None


@pytest.mark.parametrize(
    ("age_s", "missed", "others", "closed"),
    [
        (BELIEVED_AFTER_S, 3, True, True),
        (BELIEVED_AFTER_S, 2, True, False),
        (BELIEVED_AFTER_S - 1, 3, True, False),
        (BELIEVED_AFTER_S, 3, False, False),
        (BELIEVED_ALONE_AFTER_S, 3, False, True),
    ],
)
def test_refusal_by_code_counts_when_others_are_reported(
    age_s: float, missed: int, others: bool, closed: bool
) -> None:
    """A fault of the service that refuses every poll does not close one task after the other."""
    polled = judged(REFUSED, age_s, missed=missed, others=others)
    assert (polled.due_at_ms is None) == closed
    assert (polled.status, polled.request_id) == ("code 1000", "r-1")


@pytest.mark.parametrize("outcome", [Answer(1), HttpRefusal(404), ReplyLost("cut off", 200, ReplyShape.DATA)])
def test_task_with_passing_faults_is_given_up_after_its_time(outcome: Outcome) -> None:
    """Busy, missing and unreadable answers do not close a task before it is given up anyway."""
    assert judged(outcome, GIVE_UP_S - 1, missed=99).due_at_ms is not None
    assert judged(outcome, GIVE_UP_S, missed=2).due_at_ms is not None
    assert judged(outcome, GIVE_UP_S, missed=3).state is TaskState.UNKNOWN


@pytest.mark.parametrize("status", [401, 403, 407, 451])
def test_task_is_not_given_up_while_every_poll_is_forbidden(status: int) -> None:
    """A firewall that forbids all polls says nothing about a task, however old the task is."""
    assert judged(HttpRefusal(status), 2 * GIVE_UP_S, missed=99).due_at_ms is not None


def test_retry_after_moves_the_due_time() -> None:
    """A pause that the service asks for moves the next poll."""
    assert judged(HttpRefusal(429, 77.0), 3).due_at_ms == SUBMITTED_MS + 80_000
