"""Tasks in the ledger: which are asked about next, what a poll has brought, and which have ended.

Stands between whoever follows tasks and the tables. A submission gets its row in ``tasks`` once tasks are
followed, and keeps it; from then on its due time says when it is asked about, until it is closed. Every move
of a task changes the tallies of tasks in the same transaction. It never sends anything, and what it records
is right also when somebody else has closed the task meanwhile.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select, text
from sqlalchemy.dialects.sqlite import insert as upsert

from batcher.ledger.schema import (
    IS_TASK_TROUBLED,
    IS_UNTRACKED,
    parameters,
    submissions,
    task_tallies,
    tasks,
)
from batcher.ledger.shared_ledger import SharedLedger
from batcher.ledger.tallies import tally_tasks
from batcher.ledger.writer import MOVED_AT_ONCE, leaving_gap
from batcher.model.records import TaskTrouble
from batcher.model.submission import FileId, SubmissionId, TaskId, Vendor
from batcher.model.task import Picture, TaskState

SEEDED_AT_ONCE = 1_000
"""Submissions that get their row in one transaction; a run's begins wait behind it."""

CLOSED_STATES = (TaskState.FINISHED, TaskState.FAILED, TaskState.UNKNOWN)
"""The states in which a task ends; ``unknown`` is never anything but an end."""


class Followed(NamedTuple):
    """A task that is to be asked about, with what judging the answer needs."""

    id: SubmissionId
    due_at_ms: int
    task_id: TaskId
    file_id: FileId
    vendor: Vendor
    status: str | None
    """The vendor's word at the last poll; None before the first."""
    submitted_at_ms: int
    polls: int
    claimed_at_ms: int | None
    """When a callback said that it has ended."""


class Polled(NamedTuple):
    """What one poll has brought."""

    task: Followed
    at_ms: int
    due_at_ms: int | None = None
    """When it is asked about again; None closes it."""
    state: TaskState | None = None
    """None leaves it as it is."""
    status: str | None = None
    """None leaves it as it is, and message and RequestId too."""
    message: str = ""
    request_id: str | None = None
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    pictures: tuple[Picture, ...] = ()
    """Kept of one that is closed as finished."""
    answered: bool = True
    """It counts as a poll; else nobody answered, and only the due time is new."""


class TaskCounts(NamedTuple):
    """What is left to follow at a moment."""

    next_due_ms: int | None
    """When the next task is due; None when all that are followed have ended."""
    untracked: bool
    """There are submissions whose tasks nobody follows yet."""


_SEEDABLE = f"""
SELECT few.id AS id, a.task_id AS task_id, min(coalesce(a.answered_at_ms, a.begun_at_ms)) AS submitted_at_ms
FROM (SELECT id FROM submissions WHERE {IS_UNTRACKED} ORDER BY id LIMIT ?) AS few
JOIN attempts AS a ON a.submission_id = few.id AND a.task_id IS NOT NULL GROUP BY few.id
"""  # noqa: S608 - words of ours

_SEED = """
INSERT INTO tasks (submission_id, task_id, state, submitted_at_ms, due_at_ms)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), 'waiting', json_extract(value, '$[2]'),
    json_extract(value, '$[3]')
FROM json_each(?) WHERE true ON CONFLICT (submission_id) DO NOTHING
"""

_SEEDED = "UPDATE submissions SET tracked = 1 WHERE id IN (SELECT value FROM json_each(?))"

_STILL_OPEN = """
SELECT submission_id, state FROM tasks
WHERE submission_id IN (SELECT value FROM json_each(?)) AND due_at_ms IS NOT NULL
"""

# A callback may have claimed the end while a poll was under way that did not know of it: it stays due then.
_NOTE = """
UPDATE tasks SET
    polls = polls + json_extract(value, '$[1]'),
    polled_at_ms = CASE WHEN json_extract(value, '$[1]') THEN json_extract(value, '$[2]')
        ELSE polled_at_ms END,
    due_at_ms = CASE WHEN json_extract(value, '$[3]') IS NOT NULL
        AND claimed_at_ms IS NOT json_extract(value, '$[4]') THEN due_at_ms
        ELSE json_extract(value, '$[3]') END,
    closed_at_ms = CASE WHEN json_extract(value, '$[3]') IS NULL THEN json_extract(value, '$[2]') END,
    state = coalesce(json_extract(value, '$[5]'), state),
    message = CASE WHEN json_extract(value, '$[6]') IS NULL THEN message ELSE json_extract(value, '$[7]') END,
    request_id = CASE WHEN json_extract(value, '$[6]') IS NULL THEN request_id
        ELSE json_extract(value, '$[8]') END,
    status = coalesce(json_extract(value, '$[6]'), status),
    started_at_ms = coalesce(json_extract(value, '$[9]'), started_at_ms),
    ended_at_ms = coalesce(json_extract(value, '$[10]'), ended_at_ms),
    pictures = json_extract(value, '$[11]')
FROM json_each(?)
WHERE submission_id = json_extract(value, '$[0]') AND due_at_ms IS NOT NULL
"""

_FORGET_PICTURES = "DELETE FROM pictures WHERE submission_id IN (SELECT value FROM json_each(?))"

_KEEP_PICTURES = """
INSERT INTO pictures (submission_id, number, url, offset_ms)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]')
FROM json_each(?)
"""

_ASK_AGAIN = f"""
UPDATE tasks SET state = 'waiting', closed_at_ms = NULL, due_at_ms = ? WHERE submission_id IN
    (SELECT submission_id FROM tasks WHERE {IS_TASK_TROUBLED} AND state = 'unknown' LIMIT ?)
"""  # noqa: S608 - words of ours

_SOONER = """
UPDATE tasks SET due_at_ms = ?
WHERE submission_id IN (SELECT submission_id FROM tasks WHERE due_at_ms > ? LIMIT ?)
"""

FOLLOWED = (
    select(
        tasks.c.submission_id,
        tasks.c.due_at_ms,
        tasks.c.task_id,
        submissions.c.file_id,
        parameters.c.vendor,
        tasks.c.status,
        tasks.c.submitted_at_ms,
        tasks.c.polls,
        tasks.c.claimed_at_ms,
    )
    .join_from(tasks, submissions, submissions.c.id == tasks.c.submission_id)
    .join(parameters, parameters.c.id == submissions.c.parameters_id)
)


class TaskLedger(SharedLedger):
    """A ledger whose tasks are followed, beside a run or without one."""

    async def take_up(self, longest_wait_ms: int) -> None:
        """Begin to follow tasks: from now on there are tallies of them.

        Args:
            longest_wait_ms: no task waits for longer, whatever the clock said when its due time was set.
        """
        latest_ms = self._now_ms() + longest_wait_ms
        await self._record(take_up, None)
        some = 1
        while some:
            async with leaving_gap():
                some = await self._record(wait_no_longer, latest_ms)

    async def seed(self, first_wait_ms: int, limit: int = SEEDED_AT_ONCE) -> int:
        """Follow submissions that have a task and are not followed yet, in their order; returns how many.

        Args:
            first_wait_ms: how long after it was submitted a task is first asked about.
            limit: how many at most.
        """
        return await self._record(seed, Seeding(self._now_ms(), first_wait_ms, limit))

    async def due(self, now_ms: int, limit: int) -> list[Followed]:
        """Tasks that are to be asked about now, the longest due first."""
        query = FOLLOWED.where(tasks.c.due_at_ms <= now_ms).order_by(tasks.c.due_at_ms).limit(limit)
        return [followed(row) for row in await self._rows(query)]

    async def left(self, *, beyond: int = 0) -> TaskCounts:
        """What is left to follow.

        Args:
            beyond: so many of those that are due first are in hand, and do not count.
        """
        due = (
            select(tasks.c.due_at_ms)
            .where(tasks.c.due_at_ms.is_not(None))
            .order_by(tasks.c.due_at_ms)
            .offset(beyond)
            .limit(1)
        )
        rows = await self._rows(due)
        untracked = await self._rows(select(submissions.c.id).where(text(IS_UNTRACKED)).limit(1))
        return TaskCounts(rows[0].due_at_ms if rows else None, bool(untracked))

    async def note(self, polled: Polled) -> bool:
        """Record what a poll has brought; False when the task had been closed meanwhile."""
        return await self._record(note, polled)

    async def mark_reported(self) -> None:
        """Record that all failed and unknown tasks have been told of: they are not new any more."""
        await self._record(mark_reported, None)

    async def ask_again(self) -> int:
        """Follow again what was closed as unknown; returns how many."""
        moved, some = 0, 1
        while some:
            async with leaving_gap():
                some = await self._record(ask_again, self._now_ms())
            moved += some
        return moved

    async def untold_troubles(self, limit: int) -> list[TaskTrouble]:
        """The newest tasks that have failed or are unknown."""
        newest = (
            select(tasks.c.submission_id)
            .where(text(IS_TASK_TROUBLED))
            .order_by(tasks.c.closed_at_ms.desc())
            .limit(limit)
            .subquery()
        )
        query = (
            select(submissions.c.file_id, tasks.c.task_id, tasks.c.state, tasks.c.status, tasks.c.message)
            .join_from(newest, tasks, tasks.c.submission_id == newest.c.submission_id)
            .join(submissions, submissions.c.id == tasks.c.submission_id)
            .order_by(tasks.c.closed_at_ms.desc())
        )
        return [
            TaskTrouble(
                FileId(row.file_id),
                TaskId(row.task_id),
                TaskState(row.state),
                row.status or "",
                row.message or "",
            )
            for row in await self._rows(query)
        ]


class Seeding(NamedTuple):
    """How submissions come to be followed."""

    now_ms: int
    first_wait_ms: int
    limit: int


def take_up(connection: Connection, items: Sequence[None]) -> list[None]:
    """Have a tally of every state."""
    connection.execute(
        upsert(task_tallies).on_conflict_do_nothing(), [{"state": one, "n": 0} for one in TaskState]
    )
    return [None] * len(items)


def wait_no_longer(connection: Connection, items: Sequence[int]) -> list[int]:
    """Let some tasks no longer wait until after the latest time; returns how many did."""
    return [
        connection.exec_driver_sql(_SOONER, (latest_ms, latest_ms, MOVED_AT_ONCE)).rowcount
        for latest_ms in items
    ]


def seed(connection: Connection, items: Sequence[Seeding]) -> list[int]:
    """Give submissions their row; what was submitted first is due first."""
    seeded = []
    for item in items:
        found = connection.exec_driver_sql(_SEEDABLE, (item.limit,)).all()
        rows = [
            (id_, task_id, at_ms, min(at_ms, item.now_ms) + item.first_wait_ms)
            for id_, task_id, at_ms in found
        ]
        new = connection.exec_driver_sql(_SEED, (json.dumps(rows),)).rowcount if rows else 0
        connection.exec_driver_sql(_SEEDED, (json.dumps([row[0] for row in rows]),))
        tally_tasks(connection, Counter({TaskState.WAITING: new}))
        seeded.append(len(rows))
    return seeded


def note(connection: Connection, items: Sequence[Polled]) -> list[bool]:
    """Record polls of tasks that are open; of each whether it was."""
    asked = json.dumps([item.task.id for item in items])
    before = {id_: TaskState(state) for id_, state in connection.exec_driver_sql(_STILL_OPEN, (asked,))}
    fresh = {item.task.id: item for item in items if item.task.id in before}
    connection.exec_driver_sql(_NOTE, (json.dumps(list(map(_noted_row, fresh.values()))),))
    changes: Counter[TaskState] = Counter()
    for id_, item in fresh.items():
        if item.state is not None:
            changes[before[id_]] -= 1
            changes[item.state] += 1
    tally_tasks(connection, changes)
    kept = [item for item in fresh.values() if item.pictures and _is_finished(item)]
    if kept:
        _keep_pictures(connection, kept)
    return [item is fresh.get(item.task.id) for item in items]


def mark_reported(connection: Connection, items: Sequence[None]) -> list[None]:
    """All that stands in the tallies has been told of."""
    connection.exec_driver_sql("UPDATE task_tallies SET told = n")
    return [None] * len(items)


def ask_again(connection: Connection, items: Sequence[int]) -> list[int]:
    """Open some of what was closed as unknown; once it is unknown again, that is new."""
    moved = []
    for now_ms in items:
        again = connection.exec_driver_sql(_ASK_AGAIN, (now_ms, MOVED_AT_ONCE)).rowcount
        tally_tasks(connection, Counter({TaskState.UNKNOWN: -again, TaskState.WAITING: again}))
        connection.exec_driver_sql("UPDATE task_tallies SET told = 0 WHERE state = 'unknown'")
        moved.append(again)
    return moved


def _keep_pictures(connection: Connection, items: Sequence[Polled]) -> None:
    connection.exec_driver_sql(_FORGET_PICTURES, (json.dumps([item.task.id for item in items]),))
    rows = [
        (item.task.id, number, picture.url, picture.offset_ms)
        for item in items
        for number, picture in enumerate(item.pictures, 1)
    ]
    connection.exec_driver_sql(_KEEP_PICTURES, (json.dumps(rows),))


def _is_finished(item: Polled) -> bool:
    return item.due_at_ms is None and item.state is TaskState.FINISHED


def _noted_row(item: Polled) -> tuple[Any, ...]:
    """Which task, and then what ``_NOTE`` takes."""
    return (
        item.task.id,
        int(item.answered),
        item.at_ms,
        item.due_at_ms,
        item.task.claimed_at_ms,
        item.state,
        item.status,
        item.message,
        item.request_id,
        item.started_at_ms,
        item.ended_at_ms,
        len(item.pictures) if _is_finished(item) else 0,
    )


def followed(row: Row[Any]) -> Followed:
    id_, due, task_id, file_id, vendor, *rest = tuple(row)
    return Followed(SubmissionId(id_), due, TaskId(task_id), FileId(file_id), Vendor(vendor), *rest)
