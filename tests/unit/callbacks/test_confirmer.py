"""What the service says of a task that a callback has named, and what becomes of the doubt by that."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from support.specimens import TENCENT_ID, rows_of

from batcher.callbacks.confirmer import HALTED_S, LATER_S, Confirmer
from batcher.flowcontrol.retry_policy import decide
from batcher.ledger import open_for_writing
from batcher.ledger.callback_effects import DENIED_AFTER_S
from batcher.ledger.callbacks import CallbackLedger
from batcher.model.callbacks import Seal, Snapshot
from batcher.model.events import ClaimChecked, Event
from batcher.model.outcome import Answer, HttpRefusal, NotReported, NotSent, ReplyLost, Settlement
from batcher.model.submission import FileId, InDoubtPolicy, TaskId, Vendor
from batcher.model.task import Picture, TaskReport, TaskState
from batcher.zego.client import Wire
from batcher.zego.describe_task import STATES

NAMED = TaskId("named-by-a-callback")
NOW = 2e9


class Said:
    """A service that says one thing."""

    def __init__(self, outcome: TaskReport | NotReported) -> None:
        self.outcome = outcome
        self.asked: list[tuple[TaskId, Vendor]] = []

    async def describe(
        self, task_id: TaskId, vendor: Vendor, on_wire: Wire | None = None
    ) -> TaskReport | NotReported:
        """Say it."""
        del on_wire
        self.asked.append((task_id, vendor))
        return self.outcome


async def in_doubt(path: Path, clock: Callable[[], float] = lambda: NOW) -> CallbackLedger:
    """A ledger with one submission in doubt, and a callback that names a task for it."""
    async with await open_for_writing(path) as run:
        run_id = await run.start_run(20.0, "test")
        load_id = await run.start_load("archive.csv", "/data/archive.csv", ["file_id"])
        await run.add(load_id, "archive.csv", [rows_of(1)[0]._replace(file_id=TENCENT_ID)], [])
        await run.end_load(load_id)
        [claim] = await run.fresh(after_id=0, limit=1)
        await run.begin(claim, run_id)
        lost = ReplyLost("no answer came")
        made = decide(lost, claim, policy=InDoubtPolicy.RETRY, proven=True, jitter=lambda most: most)
        await run.settle(Settlement(claim, lost, made), run_id)
    ledger = await CallbackLedger.open(path, clock=clock)
    await ledger.tasks.take_up(600_000)
    named = Snapshot(Seal(int(NOW), "n", "good"), NAMED, Vendor.TENCENT, FileId(TENCENT_ID))
    await ledger.take(named, "what it said")
    return ledger


FINISHED = TaskReport(TaskState.FINISHED, "FINISH")
NO_TASK = TaskReport(TaskState.UNKNOWN, "NO_TASK")
STRANGE = TaskReport(TaskState.UNKNOWN, "ARCHIVED")


def report_of(*urls: str, named: str | None = None, state: str = "FINISH") -> TaskReport:
    """A report with pictures at these addresses, or that names a recording."""
    return TaskReport(
        STATES[state],
        state,
        pictures=tuple(map(Picture, urls)),
        file_id=FileId(named) if named else None,
    )


HERE, ELSEWHERE = f"https://cdn.example/a/{TENCENT_ID}/1.jpg", "https://cdn.example/a/1397757/1.jpg"

CASES: list[tuple[TaskReport | NotReported, str, float | None, int]] = [
    (FINISHED, "submitted", None, 0),
    (STRANGE, "submitted", None, 0),
    (report_of(named=TENCENT_ID), "submitted", None, 0),
    (report_of(HERE), "submitted", None, 0),
    (report_of(HERE, state="PROCESSING"), "submitted", None, 0),
    (report_of(named="1397757"), "denied", None, 0),
    (report_of(ELSEWHERE), "denied", None, 0),
    (report_of(HERE, named="1397757"), "denied", None, 0),
    (report_of(state="WAITING"), "in_doubt", LATER_S, 0),
    (report_of(state="PROCESSING"), "in_doubt", LATER_S, 0),
    (NO_TASK, "in_doubt", DENIED_AFTER_S[0], 1),
    (Answer(1000, "failed"), "in_doubt", DENIED_AFTER_S[0], 1),
    (Answer(2, "bad"), "in_doubt", DENIED_AFTER_S[0], 1),
    (Answer(1, "busy"), "in_doubt", LATER_S, 0),
    (Answer(6, "too frequent"), "in_doubt", LATER_S, 0),
    (Answer(7, "credentials"), "in_doubt", HALTED_S, 0),
    (Answer(3, "permission"), "in_doubt", HALTED_S, 0),
    (HttpRefusal(503, 90.0), "in_doubt", 90.0, 0),
    (ReplyLost("cut off", 200), "in_doubt", LATER_S, 0),
    (NotSent("refused"), "in_doubt", LATER_S, 0),
]


@pytest.mark.parametrize(("outcome", "state", "again_s", "tries"), CASES, ids=lambda one: str(one)[:30])
async def test_only_a_report_of_the_task_settles_a_doubt(
    tmp_path: Path,
    outcome: TaskReport | NotReported,
    state: str,
    again_s: float | None,
    tries: int,
) -> None:
    """Whatever else comes back is asked again, and only a no counts towards believing that there is none."""
    service, told = Said(outcome), list[Event]()
    async with await in_doubt(tmp_path / "l.db") as ledger:
        confirmer = Confirmer(ledger, service, told.append)
        assert await confirmer.confirm_due() == 2
        assert await confirmer.confirm_due() == 0
    assert service.asked == [(NAMED, Vendor.TENCENT)]
    denied = state == "denied"
    with closing(sqlite3.connect(tmp_path / "l.db")) as connection:
        left = "pending" if denied else state
        assert connection.execute("SELECT state FROM submissions").fetchone() == (left,)
        due = None if again_s is None else int((NOW + again_s) * 1000)
        assert connection.execute("SELECT due_at_ms, tries FROM callbacks").fetchone() == (due, tries)
    assert [type(one) for one in told] == ([ClaimChecked] if denied or state == "submitted" else [])


async def test_doubt_that_is_always_refused_is_asked_about_ever_less_often(tmp_path: Path) -> None:
    """A refusal without end doubles the wait each time, and ends nothing."""
    service, times = Said(HttpRefusal(502)), [NOW]
    async with await in_doubt(tmp_path / "l.db", lambda: times[-1]) as ledger:
        confirmer = Confirmer(ledger, service)
        for _ in range(3):
            await confirmer.confirm_due()
            with closing(sqlite3.connect(tmp_path / "l.db")) as connection:
                [(due,)] = connection.execute("SELECT due_at_ms FROM callbacks").fetchall()
            times.append(due / 1000)
    waits = [after - before for before, after in pairwise(times)]
    assert waits == [LATER_S, 2 * LATER_S, 4 * LATER_S]
    assert len(service.asked) == 3


async def test_confirmer_that_is_refused_as_a_whole_asks_nothing_for_a_while(tmp_path: Path) -> None:
    """A fault of the account pauses all checks, not only the one that met it."""
    service, times = Said(Answer(100000005, "signature")), [NOW]
    async with await in_doubt(tmp_path / "l.db", lambda: times[-1]) as ledger:
        confirmer = Confirmer(ledger, service)
        await confirmer.confirm_due()
        times.append(NOW + 10 * HALTED_S)
        await confirmer.confirm_due()
    assert len(service.asked) == 1


async def test_without_a_service_a_doubt_waits_for_somebody_who_can_ask(tmp_path: Path) -> None:
    """It is held, and stays due."""
    async with await in_doubt(tmp_path / "l.db") as ledger:
        confirmer = Confirmer(ledger, None)
        assert await confirmer.confirm_due() == 1
        assert [check.task_id for check in await ledger.to_check(10)] == [NAMED]
