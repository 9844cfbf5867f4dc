"""Rules of polling: what an outcome means for a task, and when its next poll is due.

The tracker calls :func:`judge` for every outcome; the ledger records the result. Pure: the caller passes
the time and the counts of earlier polls. When a task is given up is promised to users.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from batcher.flowcontrol.findings import Finding, classify
from batcher.flowcontrol.retry_policy import UNKNOWN_TRIES, CodeKind, Jitter, kind_of
from batcher.ledger.tasks import Followed, Polled
from batcher.model.outcome import Answer, NotReported
from batcher.model.task import TaskReport, TaskState
from batcher.zego.codes import meaning
from batcher.zego.describe_task import NO_TASK

REFUSED_TIMES = 10
"""A task whose polls failed this often in a row is given up, if other polls were answered meanwhile."""

DENIED_TIMES = 1 + UNKNOWN_TRIES
"""The same for codes 3, 5 and 7, which concern the account; the first one may have meant the rate."""

REFUSED_WAIT_S = 5.0
"""The longest wait that refusals add to a task that would be due sooner."""


_DENIALS = (Finding.CREDENTIALS, Finding.PERMISSION)


FIRST_WAIT_S = 2.0
"""Seconds from a task's submission to its first poll."""

GROWTH = 1.5
"""The factor by which each wait is longer than the one before."""

LONGEST_WAIT_S = 600.0

SPREAD = 0.1
"""The random share by which waits differ: tasks submitted together are not polled together."""


GIVE_UP_S = 48 * 3600.0
"""A task that has not ended this long after its submission is given up."""


BELIEVED_TIMES = 3

BELIEVED_AFTER_S = 60.0
"""That the service does not know a task counts after this many answers in a row, and not sooner than this
after the submission: the part of the service that answers polls may receive a task late."""

BELIEVED_ALONE_AFTER_S = 3600.0
"""A refusal by a code may be a fault of the service; it counts if other tasks were reported meanwhile, or
this long after the submission."""


# -- judging one answer --------------------------------------------------------------------------------


class Missed(NamedTuple):
    """Counts of polls in a row that did not report a task."""

    times: int
    """Answers without a report."""
    reports_before: int
    """Reports of all tasks before the first of these answers, without one that arrived shortly before."""
    refused: int = 0
    """Refusals and missing answers since which other polls were answered."""
    answers_before: int = 0
    """Answers to all polls at the last refusal or missing answer."""
    in_a_row: int = 0
    """All refusals and missing answers."""


def wait_s(task: Followed, now_ms: int, jitter: Jitter) -> float:
    """Return how long until a task that has not ended is polled again.

    Args:
        task: as it was when it was polled.
        now_ms: Unix milliseconds.
        jitter: draws evenly between zero and its argument.
    """
    # bounded, since a float overflows; the cap is reached long before
    wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * GROWTH ** min(task.polls, 60))
    if task.claimed_at_ms is not None:  # a callback reported the end: the service will report it soon
        wait = min(wait, max(FIRST_WAIT_S, (now_ms - task.claimed_at_ms) / 2000))
    return wait * (1 - SPREAD) + jitter(wait * 2 * SPREAD)


def judge(
    outcome: TaskReport | NotReported,
    task: Followed,
    *,
    now_ms: int,
    give_up_s: float,
    missed: Missed,
    reports: int,
    jitter: Jitter,
) -> Polled:
    """Judge one poll.

    Args:
        outcome: of the poll.
        task: as it was when it was polled.
        now_ms: Unix milliseconds.
        give_up_s: how long after its submission a task may take.
        missed: the counts of the task, this outcome included.
        reports: of all tasks up to now.
        jitter: draws evenly between zero and its argument.
    """
    polled = Polled(task, now_ms, now_ms + int(wait_s(task, now_ms, jitter) * 1000))
    age_s = (now_ms - task.submitted_at_ms) / 1000
    if isinstance(outcome, TaskReport):
        return _judge_report(outcome, polled, age_s, give_up_s, missed)
    if not is_miss(outcome):
        return _judge_refusal(outcome, polled, age_s, give_up_s, missed, jitter)
    polled = _with_words(polled, outcome)
    if missed.times < BELIEVED_TIMES or age_s < BELIEVED_AFTER_S:
        return polled
    certain = _is_refusal(outcome) and (reports > missed.reports_before or age_s >= BELIEVED_ALONE_AFTER_S)
    if certain or age_s >= give_up_s:
        return _given_up(polled, f"the service did not report this task {missed.times} times in a row")
    return polled


def _judge_report(
    report: TaskReport, polled: Polled, age_s: float, give_up_s: float, missed: Missed
) -> Polled:
    polled = polled._replace(
        status=report.status,
        message=report.message,
        request_id=report.request_id,
        started_at_ms=_ms(report.started_at),
        ended_at_ms=_ms(report.ended_at),
    )
    if report.state in (TaskState.FINISHED, TaskState.FAILED):
        return polled._replace(state=report.state, due_at_ms=None, pictures=report.pictures)
    said = f"the service says: {report.message}" if report.message else ""
    if report.status == NO_TASK:
        if missed.times >= BELIEVED_TIMES and age_s >= min(BELIEVED_AFTER_S, give_up_s):
            why = f"the service does not know this task: it said so {missed.times} times in a row"
            return _given_up(polled._replace(message=said), why, "; ")
        return polled
    if age_s >= give_up_s:
        why = f"it had not ended {_long(give_up_s)} after it was submitted, and was given up"
        return _given_up(polled._replace(message=said), why, "; ")
    return polled if report.state is TaskState.UNKNOWN else polled._replace(state=report.state)


def _given_up(polled: Polled, why: str, joint: str = ": ") -> Polled:
    """Close a task as unknown; its message is the reason, and what the service said."""
    message = joint.join(filter(None, (why, polled.message)))
    return polled._replace(state=TaskState.UNKNOWN, due_at_ms=None, message=message)


def is_miss(outcome: TaskReport | NotReported) -> bool:
    """Whether the service answered without a report of the task."""
    if isinstance(outcome, TaskReport):
        return outcome.status == NO_TASK
    if isinstance(outcome, Answer):
        return kind_of(outcome.code) in (CodeKind.UNKNOWN, CodeKind.REJECT, CodeKind.BUSY, CodeKind.SUBMITTED)
    return classify(outcome) in (Finding.ANSWERED, Finding.UNREADABLE)


def _is_refusal(outcome: NotReported) -> bool:
    """Whether a code refuses this task."""
    return isinstance(outcome, Answer) and kind_of(outcome.code) in (CodeKind.UNKNOWN, CodeKind.REJECT)


def _with_words(polled: Polled, outcome: NotReported) -> Polled:
    if isinstance(outcome, Answer):
        said = f": {outcome.message}" if outcome.message else ""
        return polled._replace(
            status=f"code {outcome.code}",
            message=f"code {outcome.code}, {meaning(outcome.code).text}{said}",
            request_id=outcome.vendor_request_id or outcome.request_id,
        )
    status = getattr(outcome, "http_status", None)
    return polled._replace(status=f"HTTP {status}" if status else "no answer", message=outcome.detail)


def _ms(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1000)


def _long(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:g} h" if hours >= 1 else f"{seconds:g} s"


def _judge_refusal(
    outcome: NotReported, polled: Polled, age_s: float, give_up_s: float, missed: Missed, jitter: Jitter
) -> Polled:
    """Judge a refused or unanswered poll: put the task off, or give it up after too many of them."""
    most = DENIED_TIMES if classify(outcome) in _DENIALS else REFUSED_TIMES
    if missed.refused >= BELIEVED_TIMES and (missed.in_a_row >= most or age_s >= give_up_s):
        why = f"polls of this task were refused {missed.in_a_row} times while others were answered"
        return _given_up(_with_words(polled, outcome), why)
    growing_s = min(REFUSED_WAIT_S, FIRST_WAIT_S * GROWTH ** min(missed.in_a_row, 60))
    asked_s = getattr(outcome, "retry_after_s", None) or 0.0
    soonest_ms = polled.at_ms + int(max(growing_s - jitter(growing_s * SPREAD), asked_s) * 1000)
    return polled._replace(due_at_ms=max(polled.due_at_ms or 0, soonest_ms), answered=False)
