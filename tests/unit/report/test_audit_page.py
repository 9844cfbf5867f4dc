"""The page of the audit: its lines add up, and contradictions are named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from batcher.model.audit import Case, CaseKind, Counted
from batcher.model.submission import FileId, State, TaskId, Vendor
from batcher.model.task import Effect, TaskState
from batcher.report.audit_page import audit_json, audit_text, balance, submission_lines, task_lines

CASE = Case(FileId("1397757897438985123"), Vendor.TENCENT, TaskId("t-1"), ("r-1", "r-2"), "FAIL: bad media")

COUNTED = Counted(
    app_id=1234567890,
    submissions={
        (State.SUBMITTED, False): 90,
        (State.SUBMITTED, True): 4,
        (State.IN_DOUBT, True): 3,
        (State.REJECTED, False): 2,
        (State.REJECTED, True): 1,
        (State.FAILED, False): 5,
        (State.PENDING, False): 6,
        (State.PENDING, True): 7,
        (State.SENDING, False): 8,
    },
    twice=2,
    attempts=130,
    task_ids=94,
    followed=80,
    tasks={TaskState.FINISHED: 60, TaskState.FAILED: 9, TaskState.UNKNOWN: 1, TaskState.WAITING: 10},
    with_pictures=55,
    unconfirmed=3,
    shared_task_ids=0,
    callbacks={Effect.CLAIMED: 70, Effect.STRANGER: 12, Effect.DOUBLE: 2},
    tallied={
        State.SUBMITTED: 94,
        State.IN_DOUBT: 3,
        State.REJECTED: 3,
        State.FAILED: 5,
        State.PENDING: 13,
        State.SENDING: 8,
    },
    tasks_tallied={TaskState.FINISHED: 60, TaskState.FAILED: 9, TaskState.UNKNOWN: 1, TaskState.WAITING: 10},
    cases=dict.fromkeys(CaseKind, (CASE,)),
)


def test_lines_add_up_to_all_submissions() -> None:
    """Each submission is in one line, and each submitted one in one of the tasks' lines."""
    assert sum(line.n for line in submission_lines(COUNTED) if line.depth == 0) == COUNTED.total == 126
    assert sum(line.n for line in task_lines(COUNTED) if line.depth == 0) == COUNTED.of(State.SUBMITTED) == 94


def test_balanced_audit_has_one_line() -> None:
    """Without a contradiction one line states the balance."""
    assert balance(COUNTED) == []
    text = audit_text(COUNTED, "batcher.db", 80)
    assert "It balances: 126 submissions, each counted once." in text
    assert audit_json(COUNTED, "batcher.db")["balances"] is True


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tallied": {**COUNTED.tallied, State.PENDING: 12}}, "13 submissions are pending, and the tallies"),
        ({"task_ids": 93}, "94 submissions are submitted, and 93 attempts brought a task id"),
        ({"tasks_tallied": {}}, "60 tasks are finished, and the tallies say 0"),
        ({"followed": 81}, "80 tasks on record, and 81 submissions are marked as followed"),
        ({"shared_task_ids": 1}, "1 task id of more than one submission"),
    ],
)
def test_contradiction_has_a_line(changed: dict[str, object], said: str) -> None:
    """Each contradiction between rows and tallies has a line of its own."""
    counted = replace(COUNTED, **changed)  # type: ignore[arg-type] # fields of any type
    assert any(problem.startswith(said) for problem in balance(counted))
    text = audit_text(counted, "batcher.db", 100)
    assert "It does not balance:" in text
    assert said in text
    assert audit_json(counted, "batcher.db")["balances"] is False


def test_page_names_first_cases_and_total() -> None:
    """The cases have their RequestIds; the number of all cases is given."""
    text = audit_text(COUNTED, "batcher.db", 100)
    assert "Submitted, possibly twice, the first 1 of 4" in text
    assert "In doubt, the first 1 of 3" in text
    assert "Tasks that the service does not know, or that did not end, 1" in text
    assert "  1397757897438985123, Tencent, task t-1" in text
    assert "    RequestId r-1, r-2" in text
    assert max(map(len, text.splitlines())) <= 100


def test_parts_of_a_line_are_not_counted_twice() -> None:
    """A number in brackets is a part of the line above it."""
    lines = audit_text(COUNTED, "batcher.db", 100).splitlines()
    shown = [" ".join(line.split()) for line in lines]
    assert "submitted, possibly twice 4" in shown
    assert "of these, twice for certain (2)" in shown
    assert "together 126" in shown


@pytest.mark.parametrize("width", [60, 80])
def test_page_is_as_wide_as_the_terminal(width: int) -> None:
    """Long words wrap before the number, which is never split."""
    text = audit_text(COUNTED, "batcher.db", width)
    assert max(map(len, text.splitlines())) <= width


def test_empty_ledger_balances() -> None:
    """All numbers are zero."""
    empty = replace(
        COUNTED,
        app_id=None,
        submissions={},
        twice=0,
        task_ids=0,
        followed=0,
        tasks={},
        with_pictures=0,
        unconfirmed=0,
        callbacks={},
        tallied={},
        tasks_tallied=dict.fromkeys(TaskState, 0),
        cases={},
    )
    assert balance(empty) == []
    text = audit_text(empty, "batcher.db", 80)
    assert "Callbacks" not in text
    assert "It balances: 0 submissions" in text


def test_json_has_every_kind_and_effect() -> None:
    """The JSON object has every kind of case and every effect."""
    read = json.loads(json.dumps(audit_json(COUNTED, "batcher.db")))
    assert set(read["cases"]) == set(CaseKind)
    assert set(read["callbacks"]) == set(Effect)
    assert read["cases"]["task_failed"]["named"][0]["request_ids"] == ["r-1", "r-2"]
    assert (read["submissions"]["total"], read["submissions"]["submitted_once"]) == (126, 90)
