"""The checks of tasks that callbacks name, and their effect on the submission in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from support.ledger_sql import writing
from support.specimens import TENCENT_ID, rows_of

from batcher.callbacks.confirmer import (
    HALTED_S,
    LATER_S,
    LATEST_S,
    Confirmer,
    confirm,
    judge_check,
    wait_before_check_s,
)
from batcher.exit_codes import ExitCode
from batcher.flowcontrol.retry_policy import decide
from batcher.ledger.callback_effects import DENIED_AFTER_S, PollVerdict
from batcher.ledger.callbacks import CallbackLedger
from batcher.ledger.run_ledger import open_for_writing
from batcher.model.callbacks import Seal, Snapshot
from batcher.model.events import ClaimChecked, Event
from batcher.model.outcome import HELD_BACK, Answer, HttpRefusal, NotReported, NotSent, ReplyLost, Settlement
from batcher.model.submission import FileId, InDoubtPolicy, TaskId, Vendor
from batcher.model.task import Picture, TaskReport, TaskState
from batcher.zego.client import Wire
from batcher.zego.describe_task import STATES

NAMED = TaskId("named-by-a-callback")
NOW = 2e9


class OneAnswer:
    """A service with one answer."""

    def __init__(self, outcome: TaskReport | NotReported) -> None:
        self.outcome = outcome
        self.asked: list[tuple[TaskId, Vendor]] = []

    async def describe(
        self, task_id: TaskId, vendor: Vendor, on_wire: Wire | None = None
    ) -> TaskReport | NotReported:
        """Return the answer."""
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
    """All other outcomes are repeated, and only a denial counts towards giving the task up."""
    service, events = OneAnswer(outcome), list[Event]()
    async with await in_doubt(tmp_path / "l.db") as ledger:
        confirmer = Confirmer(ledger, service, events.append)
        assert await confirmer.confirm_due() == 2
        assert await confirmer.confirm_due() == 0
    assert service.asked == [(NAMED, Vendor.TENCENT)]
    denied = state == "denied"
    with writing(tmp_path / "l.db") as connection:
        left = "pending" if denied else state
        assert connection.execute("SELECT state FROM submissions").fetchone() == (left,)
        due = None if again_s is None else int((NOW + again_s) * 1000)
        assert connection.execute("SELECT due_at_ms, tries FROM callbacks").fetchone() == (due, tries)
    assert [type(one) for one in events] == ([ClaimChecked] if denied or state == "submitted" else [])


async def test_doubt_that_is_always_refused_is_checked_less_and_less_often(tmp_path: Path) -> None:
    """A refusal without end doubles the wait each time, and settles nothing."""
    service, times = OneAnswer(HttpRefusal(502)), [NOW]
    async with await in_doubt(tmp_path / "l.db", lambda: times[-1]) as ledger:
        confirmer = Confirmer(ledger, service)
        for _ in range(3):
            await confirmer.confirm_due()
            with writing(tmp_path / "l.db") as connection:
                [(due,)] = connection.execute("SELECT due_at_ms FROM callbacks").fetchall()
            times.append(due / 1000)
    waits = [after - before for before, after in pairwise(times)]
    assert waits == [LATER_S, 2 * LATER_S, 4 * LATER_S]
    assert len(service.asked) == 3


async def test_confirmer_with_an_account_fault_pauses_all_checks(tmp_path: Path) -> None:
    """A fault of the account pauses all checks, not only the one that received it."""
    service, times = OneAnswer(Answer(100000005, "signature")), [NOW]
    async with await in_doubt(tmp_path / "l.db", lambda: times[-1]) as ledger:
        confirmer = Confirmer(ledger, service)
        await confirmer.confirm_due()
        times.append(NOW + 10 * HALTED_S)
        await confirmer.confirm_due()
    assert len(service.asked) == 1


async def test_confirmer_without_a_service_leaves_the_check_due(tmp_path: Path) -> None:
    """The callback is applied, and its check stays due for another process."""
    async with await in_doubt(tmp_path / "l.db") as ledger:
        confirmer = Confirmer(ledger, None)
        assert await confirmer.confirm_due() == 1
        assert [check.task_id for check in await ledger.to_check(10)] == [NAMED]


VERDICTS: list[tuple[TaskReport | NotReported, PollVerdict | None]] = [
    (FINISHED, PollVerdict.CONFIRMED),
    (STRANGE, PollVerdict.CONFIRMED),
    (report_of(HERE), PollVerdict.CONFIRMED),
    (report_of(ELSEWHERE), PollVerdict.FOREIGN),
    (report_of(named="1397757"), PollVerdict.FOREIGN),
    (report_of(state="WAITING"), None),
    (NO_TASK, PollVerdict.UNKNOWN),
    (Answer(1000), PollVerdict.UNKNOWN),
    (Answer(2), PollVerdict.UNKNOWN),
    (Answer(1), None),
    (Answer(7), None),
    (HttpRefusal(503), None),
    (ReplyLost("cut off"), None),
    (NotSent("refused"), None),
    (HELD_BACK, None),
]


@pytest.mark.parametrize(("outcome", "verdict"), VERDICTS, ids=lambda value: str(value)[:30])
def test_check_is_judged_by_its_outcome(
    outcome: TaskReport | NotReported, verdict: PollVerdict | None
) -> None:
    """Each outcome has one verdict, and only a report of the task confirms or disproves."""
    assert judge_check(outcome, FileId(TENCENT_ID), Vendor.TENCENT) is verdict


@pytest.mark.parametrize(
    ("outcome", "refusals", "wait_s"),
    [
        (report_of(state="WAITING"), 0, LATER_S),
        (report_of(state="WAITING"), 9, LATER_S),
        (HttpRefusal(502), 1, LATER_S),
        (HttpRefusal(502), 3, 4 * LATER_S),
        (HttpRefusal(502), 99, LATEST_S),
        (HttpRefusal(503, 90.0), 1, 90.0),
        (Answer(7), 1, HALTED_S),
        (Answer(3), 9, HALTED_S),
        (Answer(100000005), 1, HALTED_S),
    ],
)
def test_wait_before_a_check_grows_with_refusals(
    outcome: TaskReport | NotReported, refusals: int, wait_s: float
) -> None:
    """Refusals double the wait up to an hour; a fault of the account has a wait of its own."""
    assert wait_before_check_s(outcome, refusals) == wait_s


async def test_confirmation_whose_polls_end_warns_with_the_reason(tmp_path: Path) -> None:
    """Polls that a fault of the account has ended are paused for ten minutes, and the user is warned."""
    warnings, warned = list[str](), asyncio.Event()

    async def poll() -> tuple[ExitCode, str]:
        return ExitCode.HALTED, "code 7"

    def warn(text: str) -> None:
        warnings.append(text)
        warned.set()

    async with await in_doubt(tmp_path / "l.db") as ledger:
        working = confirm([Confirmer(ledger, None)], poll, asyncio.Event(), warn)
        confirming = asyncio.create_task(working)
        await asyncio.wait_for(warned.wait(), 30)
        confirming.cancel()
        await asyncio.wait([confirming])
    assert warnings == ["claims are not confirmed for 10 min: code 7"]
