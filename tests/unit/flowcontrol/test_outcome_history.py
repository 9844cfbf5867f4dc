"""The counts of a flow's outcomes."""

from __future__ import annotations

import pytest

from batcher.flowcontrol.findings import Finding
from batcher.flowcontrol.outcome_history import OutcomeHistory


@pytest.mark.parametrize(
    ("finding", "answers", "refusals", "doubts", "forbidden"),
    [
        (Finding.SUCCEEDED, 1, [False], 0, 1),
        (Finding.ANSWERED, 1, [False], 0, 1),
        (Finding.PERMISSION, 0, [False], 0, 1),
        (Finding.THROTTLED, 0, [], 0, 1),
        (Finding.CREDENTIALS, 0, [False], 2, 1),
        (Finding.FORBIDDEN, 0, [False], 0, 2),
    ],
)
def test_usable_answer_ends_rows_of_other_findings(
    finding: Finding, answers: int, refusals: list[bool], doubts: int, forbidden: int
) -> None:
    """Each finding ends the rows of the others, and only an answer about the subject counts as one."""
    history = OutcomeHistory(0.0)
    history.no_answers, history.unreadable, history.doubts = 4, 2, 2
    history.add_forbidden("a")
    history.add_usable(finding, "b", 9.0)
    assert (history.no_answers, history.unreadable, history.answered_at) == (0, 0, 9.0)
    assert (history.answers, list(history.refusals), history.doubts) == (answers, refusals, doubts)
    assert history.add_forbidden("c") == forbidden


def test_refusal_is_alone_once_others_are_answered() -> None:
    """A first refusal before any answer concerns the pace; one after an answer to others, the subject."""
    history = OutcomeHistory(0.0)
    assert history.add_refusal("a") == (True, False)
    assert history.add_refusal("a") == (False, False)
    history.add_usable(Finding.ANSWERED, "b", 1.0)
    assert history.refused_alone("a")
    assert history.add_refusal("a") == (False, True)
    history.add_usable(Finding.ANSWERED, "a", 2.0)
    assert history.add_refusal("a") == (True, True)


def test_subject_is_suspect_when_others_are_answered_between_two_missing_answers() -> None:
    """A missing answer is the subject's fault only after others were answered, until it gets an answer."""
    history = OutcomeHistory(0.0)
    assert [history.add_missing("a"), history.add_missing("a")] == [False, False]
    history.add_usable(Finding.THROTTLED, "b", 1.0)
    assert [history.add_missing("a"), history.add_missing("a")] == [True, True]
    history.add_usable(Finding.ANSWERED, "a", 2.0)
    assert not history.add_missing("a")


def test_denied_subjects_are_named_by_code() -> None:
    """The subjects that got the same code are returned, each once."""
    history = OutcomeHistory(0.0)
    assert history.add_denied(3, 1, "one") == ["one"]
    assert history.add_denied(5, 2, "two") == ["two"]
    assert history.add_denied(3, 1, "one") == ["one"]
    assert history.add_denied(3, 3, "three") == ["one", "three"]


def test_answered_probe_counts_and_ends_rows() -> None:
    """An answered probe counts as an answer; it says nothing of the recent calls."""
    history = OutcomeHistory(0.0)
    history.unreadable = 2
    history.add_forbidden("a")
    history.add_probe_answer()
    assert (history.answers, history.unreadable, list(history.refusals)) == (1, 0, [])
    assert history.add_forbidden("b") == 1
