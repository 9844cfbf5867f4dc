"""The finding of each outcome, and its words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from batcher.flowcontrol.findings import Finding, classify, outage_text, outcome_text, throttle_text
from batcher.flowcontrol.rate_policy import TOO_FREQUENT
from batcher.model.outcome import HELD_BACK, Answer, HttpRefusal, NotSent, Outage, ReplyLost
from batcher.model.submission import ReplyShape, TaskId
from batcher.model.task import TaskReport, TaskState

FINDINGS: list[tuple[object, Finding]] = [
    (HELD_BACK, Finding.OURS),
    (NotSent("Connection refused"), Finding.NO_ANSWER),
    (ReplyLost("no answer came"), Finding.NO_ANSWER),
    *((ReplyLost("a page", status), Finding.NO_ANSWER) for status in (200, 408, 421, 425, 500, 502, 530)),
    *((HttpRefusal(status, location="https://login/"), Finding.NO_ANSWER) for status in (301, 302, 307)),
    (HttpRefusal(503), Finding.NO_ANSWER),
    (HttpRefusal(503, 0.0), Finding.THROTTLED),
    (HttpRefusal(429), Finding.THROTTLED),
    *((HttpRefusal(status), Finding.FORBIDDEN) for status in (401, 403, 407, 451)),
    *((HttpRefusal(status), Finding.ANSWERED) for status in (400, 404, 499)),
    (ReplyLost("no Code", 200, ReplyShape.OTHER_JSON), Finding.UNREADABLE),
    (ReplyLost("no task", 200, ReplyShape.DATA), Finding.ANSWERED),
    (Answer(0), Finding.UNREADABLE),
    (Answer(0, task_id=TaskId("t")), Finding.SUCCEEDED),
    (TaskReport(TaskState.WAITING, "WAITING"), Finding.SUCCEEDED),
    *((Answer(code), Finding.THROTTLED) for code in (6, 206, 30002)),
    *((Answer(code), Finding.ANSWERED) for code in (1, 2, 4, 1000, 41003, 77777, 100000015)),
    *((Answer(code), Finding.PERMISSION) for code in (3, 5)),
    (Answer(7), Finding.CREDENTIALS),
    *((Answer(code), Finding.ACCOUNT) for code in (100000005, 100000017, 100000004)),
    (Answer(100000004, clock_corrected=True), Finding.ANSWERED),
]


@pytest.mark.parametrize(("outcome", "finding"), FINDINGS)
def test_outcome_of_each_form_has_one_finding(outcome: object, finding: Finding) -> None:
    """Each form of outcome says one thing about the service."""
    assert classify(outcome) is finding


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Answer(1), "code 1"),
        (Answer(1000, "failed"), "code 1000 failed"),
        (Answer(2, "bad", excerpt="{...}"), "code 2 bad in {...}"),
        (NotSent("Connection refused"), "Connection refused"),
        (ReplyLost("no answer came"), "no answer came"),
        (object(), ""),
    ],
)
def test_outcome_in_words_is_its_code_or_its_detail(outcome: object, text: str) -> None:
    """An answer is named by its code, any other outcome by its detail."""
    assert outcome_text(outcome) == text


@pytest.mark.parametrize(
    ("refusal", "text"),
    [(HttpRefusal(503, 1.0), "HTTP 503"), (HttpRefusal(429), TOO_FREQUENT), (Answer(6), TOO_FREQUENT)],
)
def test_throttling_answer_is_counted_by_its_words(refusal: Answer | HttpRefusal, text: str) -> None:
    """HTTP 503 is counted apart from answers that calls are too frequent."""
    assert throttle_text(refusal) == text


@pytest.mark.parametrize(
    ("requests", "begins"),
    [("", "the endpoint did not answer (since "), ("polls", "the endpoint did not answer polls (since ")],
)
def test_outage_in_words_names_its_beginning_and_the_last_outcome(requests: str, begins: str) -> None:
    """Every flow reports an outage in the same words."""
    outage = Outage(datetime(2026, 11, 30, 5, 7, 9, tzinfo=UTC), "HTTP 502")
    assert outage_text(outage, requests) == begins + "2026-11-30 05:07:09 UTC, last: HTTP 502)"
