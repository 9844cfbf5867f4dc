"""Tasks in a real ledger: how tracking begins, what polls record, and the sums."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from support.ledger_place import copy_ledger
from support.ledger_sql import query, write
from support.statements import plans_of, statements_of

from batcher.ledger.conditions import REVISIONS
from batcher.ledger.prune import prune
from batcher.ledger.run_ledger import open_for_writing
from batcher.ledger.tasks import Followed, Polled, TaskLedger
from batcher.ledger.verify import verify
from batcher.model.records import TaskTally
from batcher.model.task import Picture, TaskState

LEDGER = Path(__file__).parents[2] / "ledgers" / f"{REVISIONS[-1]}.db"
LONG = {"submissions", "s", "attempts", "a", "tasks", "t", "pictures", "p"}
"""Tables that have millions of rows, by the names they have in statements."""

OF_FEW = {"submissions_untracked", "tasks_due", "tasks_troubled"}
"""Indexes of what is looked for alone: going through one of them takes no longer than it has to."""

HOUR_MS = 3_600_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The ledger of a finished run, with some untracked tasks."""
    ledger = copy_ledger(LEDGER, tmp_path / "batcher.db")
    write(
        ledger,
        "DELETE FROM pictures",
        "DELETE FROM tasks",
        "DELETE FROM task_tallies",
        "UPDATE submissions SET tracked = false",
    )
    return ledger


def findings(path: Path) -> list[str]:
    """The findings of ``ledger verify``."""
    return list(verify(path, lambda *_: None))


def submitted(path: Path) -> int:
    """The number of submissions with a task."""
    return int(query(path, "SELECT count(*) FROM submissions WHERE state = 'submitted'")[0][0])


async def counted(ledger: TaskLedger) -> dict[TaskState, int]:
    """The tallies of tasks, those that are not empty."""
    return {tally.state: tally.n for tally in await ledger.tallies_of_tasks() if tally.n}


async def all_due(ledger: TaskLedger) -> list[Followed]:
    """Every task that is tracked and open, in the order in which it is due."""
    return await ledger.due(2**60, 1000)


async def test_tasks_are_tracked_page_by_page_in_their_order(path: Path) -> None:
    sql = "SELECT submission_id, answered_at_ms FROM attempts WHERE task_id IS NOT NULL"
    answered = dict(query(path, sql))
    n = submitted(path)
    assert n >= 5
    async with await TaskLedger.open(path) as ledger:
        assert await ledger.tallies_of_tasks() == []
        await ledger.take_up(HOUR_MS)
        assert [tally.n for tally in await ledger.tallies_of_tasks()] == [0] * 5
        assert (await ledger.left()).untracked
        assert [await ledger.seed(2000, 3), await ledger.seed(2000, 3)] == [3, 3]
        assert await ledger.seed(2000) == n - 6
        assert await ledger.seed(2000) == 0
        assert not (await ledger.left()).untracked
        due = await all_due(ledger)
        assert await counted(ledger) == {TaskState.WAITING: n}
    given = dict(query(path, "SELECT submission_id, task_id FROM attempts WHERE task_id IS NOT NULL"))
    assert {one.id: one.task_id for one in due} == given
    answered = dict(
        query(path, "SELECT submission_id, answered_at_ms FROM attempts WHERE task_id IS NOT NULL")
    )
    assert {one.id: one.due_at_ms - 2000 for one in due} == answered
    assert [one.due_at_ms for one in due] == sorted(one.due_at_ms for one in due)
    assert findings(path) == []


async def test_due_time_of_a_wrong_clock_is_brought_near(path: Path) -> None:
    """A due time far in the future is brought near when tracking begins again."""
    async with await TaskLedger.open(path) as ledger:
        await ledger.take_up(HOUR_MS)
        await ledger.seed(2000)
    write(path, "UPDATE tasks SET due_at_ms = due_at_ms + 1000000000000")
    async with await TaskLedger.open(path) as ledger:
        await ledger.take_up(HOUR_MS)
        [latest] = query(path, "SELECT max(due_at_ms) - ? FROM tasks", int(time.time()) * 1000)[0]
    assert HOUR_MS - 5000 < latest <= HOUR_MS + 5000


async def test_result_of_a_poll_is_kept(path: Path) -> None:
    """States, words, times and pictures in their order; the tallies change in the same transaction."""
    async with await TaskLedger.open(path) as ledger:
        await ledger.take_up(HOUR_MS)
        await ledger.seed(2000)
        first, second, third, *rest = await all_due(ledger)
        taken = (Picture("http://a/2.jpg", 2500), Picture("http://a/1.jpg"))
        assert await ledger.note(Polled(first, 111, None, TaskState.FINISHED, "FINISH", pictures=taken))
        assert await ledger.note(
            Polled(second, 222, None, TaskState.FAILED, "FAILED", "cannot be decoded", "r-9", 5, 6)
        )
        assert await ledger.note(Polled(third, 333, 444, TaskState.PROCESSING, "PROCESSING"))
        assert await ledger.note(Polled(third, 555, 666, answered=False))
        expected = {
            TaskState.FINISHED: 1,
            TaskState.FAILED: 1,
            TaskState.PROCESSING: 1,
            TaskState.WAITING: len(rest),
        }
        assert await counted(ledger) == {one: n for one, n in expected.items() if n}
        records = {record.id: record for record in await ledger.records()}
        [trouble] = await ledger.unreported_troubles(5)
    task = records[first.id].task
    assert task is not None
    assert (task.state, task.status, task.pictures) == (TaskState.FINISHED, "FINISH", taken)
    assert (trouble.file_id, trouble.message) == (second.file_id, "cannot be decoded")
    columns = "state, status, polls, polled_at_ms, due_at_ms, closed_at_ms, started_at_ms, ended_at_ms"
    sql = f"SELECT {columns} FROM tasks WHERE submission_id = ?"  # noqa: S608 - ours
    assert query(path, sql, second.id) == [("failed", "FAILED", 1, 222, None, 222, 5, 6)]
    assert query(path, sql, third.id) == [("processing", "PROCESSING", 1, 333, 666, None, None, None)]
    assert findings(path) == []


async def test_end_of_a_task_is_recorded_once(path: Path) -> None:
    """A task that another process has closed meanwhile is not changed."""
    async with await TaskLedger.open(path) as ledger, await TaskLedger.open(path) as other:
        await ledger.take_up(HOUR_MS)
        await ledger.seed(2000)
        task = (await all_due(ledger))[0]
        taken = (Picture("http://a/1.jpg"),)
        assert await other.note(Polled(task, 1, None, TaskState.FINISHED, "FINISH", pictures=taken))
        assert not await ledger.note(Polled(task, 2, None, TaskState.FAILED, "FAIL"))
        assert not await ledger.note(Polled(task, 2, 3, TaskState.PROCESSING, "PROCESSING"))
        assert (await counted(ledger))[TaskState.FINISHED] == 1
    assert query(path, "SELECT count(*) FROM pictures") == [(1,)]
    assert findings(path) == []


async def test_claim_during_a_poll_keeps_the_task_due(path: Path) -> None:
    """A poll from before the callback does not put the task off; a reported end still counts."""
    async with await TaskLedger.open(path) as ledger:
        await ledger.take_up(HOUR_MS)
        await ledger.seed(2000)
        task = (await all_due(ledger))[0]
        write(path, f"UPDATE tasks SET claimed_at_ms = 7, due_at_ms = 7 WHERE submission_id = {task.id}")  # noqa: S608
        await ledger.note(Polled(task, 8, 2**50, TaskState.PROCESSING, "PROCESSING"))
        claimed = (await all_due(ledger))[0]
        assert (claimed.id, claimed.due_at_ms, claimed.claimed_at_ms) == (task.id, 7, 7)
        await ledger.note(Polled(claimed, 9, 10))
        assert (await all_due(ledger))[0].due_at_ms == 10
        await ledger.note(Polled(task, 11, None, TaskState.FINISHED, "FINISH"))
        assert task.id not in {one.id for one in await all_due(ledger)}
    assert findings(path) == []


async def test_reported_troubles_are_not_new_until_the_task_is_polled_again(path: Path) -> None:
    """A task that is unknown again after it was polled again is new."""
    async with await TaskLedger.open(path) as ledger:
        await ledger.take_up(HOUR_MS)
        await ledger.seed(2000)
        first, second, third, *_ = await all_due(ledger)
        for task, state in ((first, TaskState.UNKNOWN), (second, TaskState.FAILED)):
            await ledger.note(Polled(task, 1, None, state, "x"))
        await ledger.mark_reported()
        tallies = {tally.state: tally for tally in await ledger.tallies_of_tasks()}
        assert tallies[TaskState.UNKNOWN] == TaskTally(TaskState.UNKNOWN, 1, 1)
        await ledger.note(Polled(third, 1, None, TaskState.FAILED, "x"))
        assert await ledger.ask_again() == 1
        assert first.id in {one.id for one in await all_due(ledger)}
        tallies = {tally.state: tally for tally in await ledger.tallies_of_tasks()}
        assert tallies[TaskState.UNKNOWN] == TaskTally(TaskState.UNKNOWN, 0, 0)
        assert tallies[TaskState.FAILED] == TaskTally(TaskState.FAILED, 2, 1)
    assert findings(path) == []


async def test_pruning_keeps_the_attempts_of_tasks(path: Path) -> None:
    """After all deletions every task still has its attempt, and the records agree."""
    async with await TaskLedger.open(path) as ledger:
        await ledger.take_up(HOUR_MS)
        await ledger.seed(2000)
        before = [record.task for record in await ledger.records()]
    async with await open_for_writing(path) as run:
        pruned = await prune(run, _far_future(), run.forget)
        assert pruned.attempts > 0
        assert before == [record.task for record in await run.records()]
    assert findings(path) == []


def _far_future() -> Any:  # noqa: ANN401 - a time
    from datetime import UTC, datetime

    return datetime(2999, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE task_tallies SET n = n + 1 WHERE state = 'waiting'", "tallies: "),
        ("UPDATE submissions SET tracked = false WHERE id = 1", "does not count as followed"),
        ("UPDATE tasks SET task_id = 'another' WHERE submission_id = 1", "another task id"),
        ("UPDATE tasks SET pictures = 3 WHERE submission_id = 1", "counts other pictures"),
        ("UPDATE tasks SET state = 'finished' WHERE submission_id = 1", "has ended and is due"),
        ("DELETE FROM tasks WHERE submission_id = 1", "counts as followed, and has no task"),
    ],
)
async def test_verify_finds_contradictions_of_tasks(path: Path, damage: str, found: str) -> None:
    """A state of tasks that no program can have left is a finding."""
    async with await TaskLedger.open(path) as ledger:
        await ledger.take_up(HOUR_MS)
        await ledger.seed(2000)
        damage = damage.replace("= 1", f"= {(await all_due(ledger))[0].id}")
    write(path, damage)
    assert [line for line in findings(path) if found in line]


@pytest.mark.about_files
async def test_tracking_scans_no_table(path: Path) -> None:
    """In a ledger of millions tracking takes no longer: it finds its rows by indexes."""
    async with await TaskLedger.open(path) as ledger:
        await ledger.take_up(HOUR_MS)
        with statements_of() as statements:
            await ledger.take_up(HOUR_MS)
            await ledger.seed(2000, 3)
            task = (await all_due(ledger))[0]
            await ledger.left(beyond=1)
            await ledger.note(
                Polled(task, 1, None, TaskState.FINISHED, "FINISH", pictures=(Picture("http://a/1.jpg"),))
            )
            await ledger.unreported_troubles(5)
            await ledger.mark_reported()
            await ledger.ask_again()
            await ledger.records(limit=500)
            await ledger.records_of([task.file_id])
    plans = plans_of(path, statements)
    assert len(plans) > 15
    through = [step for step in plans if step.startswith("SCAN") and step.split()[1] in LONG]
    assert [step for step in through if not any(f" INDEX {name}" in step for name in OF_FEW)] == []
