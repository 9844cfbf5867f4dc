"""Tasks in the ledger: which are polled next, the results of polls, and which have ended.

Called by tracking and by listening, next to a run or without one. A submission gets its row in ``tasks``
once it is tracked, and keeps it; from then on the due time says when it is polled, until the task is closed.
Every move of a task changes the tallies of tasks in the same transaction. A poll of a task that another
process has closed meanwhile records nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from batcher.ledger.conditions import IS_CLAIMED, IS_TASK_TROUBLED, IS_UNTRACKED
from batcher.ledger.connection import Connection
from batcher.ledger.read_thread import ReadThread
from batcher.ledger.reader import asked
from batcher.ledger.shared_ledger import SharedLedger
from batcher.ledger.tallies import HAVE_TASKS, tally_tasks
from batcher.ledger.transactor import BatchEvent
from batcher.ledger.writer import MOVED_AT_ONCE, Writer, leaving_gap
from batcher.model.records import TaskTrouble
from batcher.model.submission import FileId, SubmissionId, TaskId, Vendor
from batcher.model.task import Picture, TaskState

SEEDED_AT_ONCE = 1_000
"""Submissions that get their row in one transaction; a run's attempts wait behind it."""


class Followed(NamedTuple):
    """A task to poll, with what judging the answer needs."""

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
    """When a callback reported its end."""


class Polled(NamedTuple):
    """The result of one poll."""

    task: Followed
    at_ms: int
    due_at_ms: int | None = None
    """When it is polled again; None closes it."""
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
    """Counts as a poll; otherwise the service did not answer, and only the due time is new."""


class TaskCounts(NamedTuple):
    """The tasks that are left to track."""

    next_due_ms: int | None
    """When the next task is due; None when all tracked tasks have ended."""
    untracked: bool
    """There are submissions whose tasks are not tracked yet."""


_SEEDABLE = f"""
SELECT few.id AS id, min(a.task_id) AS task_id,
    min(coalesce(a.answered_at_ms, a.begun_at_ms)) AS submitted_at_ms
FROM (SELECT id FROM submissions WHERE {IS_UNTRACKED} ORDER BY id LIMIT :limit) AS few
JOIN attempts AS a ON a.submission_id = few.id AND a.task_id IS NOT NULL GROUP BY few.id
"""  # noqa: S608 - ours

_SEED = f"""
INSERT INTO tasks (submission_id, task_id, state, submitted_at_ms, due_at_ms)
SELECT id, task_id, 'waiting', submitted_at_ms,
    :first_wait_ms + CASE WHEN submitted_at_ms < :now_ms THEN submitted_at_ms ELSE :now_ms END
FROM ({_SEEDABLE}) AS seedable WHERE true ON CONFLICT (submission_id) DO NOTHING
"""  # noqa: S608 - ours

_SEEDED = f"""
UPDATE submissions SET tracked = true
WHERE id IN (SELECT id FROM submissions WHERE {IS_UNTRACKED} ORDER BY id LIMIT :limit)
    AND EXISTS (SELECT 1 FROM tasks WHERE submission_id = submissions.id)
"""  # noqa: S608 - ours

_STILL_OPEN = """
SELECT submission_id, state FROM tasks
WHERE submission_id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:ids))
    AND due_at_ms IS NOT NULL
"""

# A callback may have reported the end while a poll was under way that began before it: the task stays due
# then.
_NOTE = """
UPDATE tasks SET
    polls = polls + item.answered,
    polled_at_ms = CASE WHEN item.answered = 1 THEN item.at_ms ELSE polled_at_ms END,
    due_at_ms = CASE WHEN item.due_at_ms IS NOT NULL
        AND tasks.claimed_at_ms IS DISTINCT FROM item.claimed_at_ms
        THEN tasks.due_at_ms ELSE item.due_at_ms END,
    closed_at_ms = CASE WHEN item.due_at_ms IS NULL THEN item.at_ms END,
    state = coalesce(item.state, tasks.state),
    message = CASE WHEN item.status IS NULL THEN tasks.message ELSE item.message END,
    request_id = CASE WHEN item.status IS NULL THEN tasks.request_id ELSE item.request_id END,
    status = coalesce(item.status, tasks.status),
    started_at_ms = coalesce(item.started_at_ms, tasks.started_at_ms),
    ended_at_ms = coalesce(item.ended_at_ms, tasks.ended_at_ms),
    pictures = item.pictures
FROM json_to_recordset(:items) AS item (id BIGINT, answered INTEGER, at_ms BIGINT, due_at_ms BIGINT,
    claimed_at_ms BIGINT, state TEXT, status TEXT, message TEXT, request_id TEXT, started_at_ms BIGINT,
    ended_at_ms BIGINT, pictures INTEGER)
WHERE tasks.submission_id = item.id AND tasks.due_at_ms IS NOT NULL
"""

_REMOVE_PICTURES = """
DELETE FROM pictures
WHERE submission_id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:ids))
"""

_KEEP_PICTURES = """
INSERT INTO pictures (submission_id, number, url, offset_ms)
SELECT item.id, item.number, item.url, item.offset_ms
FROM json_to_recordset(:items) AS item (id BIGINT, number INTEGER, url TEXT, offset_ms BIGINT)
"""

_ASK_AGAIN = f"""
UPDATE tasks SET state = 'waiting', closed_at_ms = NULL, due_at_ms = :now_ms WHERE submission_id IN
    (SELECT submission_id FROM tasks WHERE {IS_TASK_TROUBLED} AND state = 'unknown' LIMIT :limit)
"""  # noqa: S608 - ours

_SOONER = """
UPDATE tasks SET due_at_ms = :latest_ms
WHERE submission_id IN (SELECT submission_id FROM tasks WHERE due_at_ms > :latest_ms LIMIT :limit)
"""

_TRACKED = """
SELECT t.submission_id AS id, t.due_at_ms, t.task_id, s.file_id, p.vendor, t.status, t.submitted_at_ms,
    t.polls, t.claimed_at_ms
FROM tasks AS t JOIN submissions AS s ON s.id = t.submission_id JOIN parameters AS p ON p.id = s.parameters_id
"""
"""A task to poll. Its columns are the fields of :class:`Followed`."""

_IS_DUE = "due_at_ms IS NOT NULL"

_UNTRACKED = f"SELECT 1 FROM submissions WHERE {IS_UNTRACKED} LIMIT 1"  # noqa: S608 - ours

_TROUBLES = f"""
SELECT s.file_id, t.task_id, t.state, coalesce(t.status, ''), coalesce(t.message, '') FROM (
    SELECT submission_id FROM tasks WHERE {IS_TASK_TROUBLED} ORDER BY closed_at_ms DESC LIMIT :limit
) AS newest JOIN tasks AS t ON t.submission_id = newest.submission_id
JOIN submissions AS s ON s.id = t.submission_id
ORDER BY t.closed_at_ms DESC
"""  # noqa: S608 - ours


def due(connection: Connection, now_ms: int, limit: int, which: str = _IS_DUE) -> list[Followed]:
    """Return tasks that are due, the longest due first."""
    query = f"{_TRACKED} WHERE {which} AND t.due_at_ms <= :now_ms ORDER BY t.due_at_ms LIMIT :limit"
    rows = connection.rows(query, now_ms=now_ms, limit=limit)
    return [Followed._make(row)._replace(vendor=Vendor(row.vendor)) for row in rows]


def left(connection: Connection, *, beyond: int = 0, which: str = _IS_DUE) -> TaskCounts:
    """Return what is left to track, without the first ``beyond`` tasks that are due."""
    query = f"SELECT due_at_ms FROM tasks WHERE {which} ORDER BY due_at_ms LIMIT 1 OFFSET :beyond"  # noqa: S608
    row = connection.row(query, beyond=beyond)
    untracked = which == _IS_DUE and bool(connection.rows(_UNTRACKED))
    return TaskCounts(row.due_at_ms if row else None, untracked)


def troubles(connection: Connection, limit: int) -> list[TaskTrouble]:
    """Return the newest tasks that have failed or are unknown."""
    return [
        TaskTrouble(file_id, task_id, TaskState(state), *words)
        for file_id, task_id, state, *words in connection.rows(_TROUBLES, limit=limit)
    ]


class TaskLedger(SharedLedger):
    """A ledger whose tasks are tracked, next to a run or without one. Open it with :meth:`open`.

    Args:
        reads: reads it.
        writer: writes to it.
        clock: the time in seconds.
        claimed_only: track no tasks but those that a callback has reported as ended.
    """

    def __init__(
        self, reads: ReadThread, writer: Writer, clock: Callable[[], float], *, claimed_only: bool = False
    ) -> None:
        super().__init__(reads, writer, clock)
        self._which = IS_CLAIMED if claimed_only else _IS_DUE

    unreported_troubles = asked(troubles)

    async def due(self, now_ms: int, limit: int) -> list[Followed]:
        """Return tasks that are due, the longest due first."""
        return await self.reads.read(due, now_ms, limit, self._which)

    async def left(self, *, beyond: int = 0) -> TaskCounts:
        """Return what is left to track, without the first ``beyond`` tasks that are due."""
        return await self.reads.read(left, beyond=beyond, which=self._which)

    async def take_up(self, longest_wait_ms: int) -> None:
        """Begin to track tasks: from now on they have tallies.

        Args:
            longest_wait_ms: no task waits for longer, even if the clock was wrong when its due time was set.
        """
        latest_ms = self.now_ms() + longest_wait_ms
        await self.change(take_up)
        moved = 1
        while moved:
            async with leaving_gap():
                moved = await self.change(wait_no_longer, latest_ms)

    async def seed(self, first_wait_ms: int, limit: int = SEEDED_AT_ONCE) -> int:
        """Track submissions that have a task and are not tracked yet, in their order; returns how many.

        Args:
            first_wait_ms: how long after it was submitted a task is first polled.
            limit: how many at most.
        """
        return await self.change(seed, self.now_ms(), first_wait_ms, limit)

    async def note(self, polled: Polled) -> bool:
        """Record the result of a poll; False when the task had been closed meanwhile."""
        return await self._record(note, polled)

    async def mark_reported(self) -> None:
        """Record that all failed and unknown tasks were reported: they are not new any more."""
        await self.change(mark_reported)

    async def ask_again(self) -> int:
        """Track again the tasks that were closed as unknown; returns how many."""
        total, moved = 0, 1
        while moved:
            async with leaving_gap():
                moved = await self.change(ask_again, self.now_ms())
            total += moved
        return total


def take_up(connection: Connection) -> None:
    """Have a tally of every state."""
    connection.run(HAVE_TASKS, states=list(TaskState))


def wait_no_longer(connection: Connection, latest_ms: int) -> int:
    """Make some tasks due at the latest time, of those that wait longer; returns how many."""
    return connection.run(_SOONER, latest_ms=latest_ms, limit=MOVED_AT_ONCE)


def seed(connection: Connection, now_ms: int, first_wait_ms: int, limit: int) -> int:
    """Give submissions their row; the task that was submitted first is due first. Return how many."""
    new = connection.run(_SEED, now_ms=now_ms, first_wait_ms=first_wait_ms, limit=limit)
    tally_tasks(connection, Counter({TaskState.WAITING: new}))
    return connection.run(_SEEDED, limit=limit)


@BatchEvent
def note(connection: Connection, items: Sequence[Polled]) -> list[bool]:
    """Record polls of tasks that are open; returns of each whether it was."""
    asked = connection.rows(_STILL_OPEN, ids=[item.task.id for item in items])
    before = {row.submission_id: TaskState(row.state) for row in asked}
    fresh = {item.task.id: item for item in items if item.task.id in before}
    connection.run(_NOTE, items=list(map(_noted_item, fresh.values())))
    changes: Counter[TaskState] = Counter()
    for id_, item in fresh.items():
        if item.state is not None:
            changes[before[id_]] -= 1
            changes[item.state] += 1
    tally_tasks(connection, changes)
    finished = [item for item in fresh.values() if item.pictures and _is_finished(item)]
    if finished:
        _keep_pictures(connection, finished)
    return [item is fresh.get(item.task.id) for item in items]


def mark_reported(connection: Connection) -> None:
    """Mark all that the tallies count as reported."""
    connection.run("UPDATE task_tallies SET told = n")


def ask_again(connection: Connection, now_ms: int) -> int:
    """Open some of the tasks closed as unknown; a task that is unknown again afterwards is new."""
    again = connection.run(_ASK_AGAIN, now_ms=now_ms, limit=MOVED_AT_ONCE)
    tally_tasks(connection, Counter({TaskState.UNKNOWN: -again, TaskState.WAITING: again}))
    connection.run("UPDATE task_tallies SET told = 0 WHERE state = 'unknown'")
    return again


def _keep_pictures(connection: Connection, items: Sequence[Polled]) -> None:
    connection.run(_REMOVE_PICTURES, ids=[item.task.id for item in items])
    pictures = [
        {"id": item.task.id, "number": number, "url": picture.url, "offset_ms": picture.offset_ms}
        for item in items
        for number, picture in enumerate(item.pictures, 1)
    ]
    connection.run(_KEEP_PICTURES, items=pictures)


def _is_finished(item: Polled) -> bool:
    return item.due_at_ms is None and item.state is TaskState.FINISHED


def _noted_item(item: Polled) -> dict[str, Any]:
    """Return a poll as ``_NOTE`` takes it."""
    n_pictures = len(item.pictures) if _is_finished(item) else 0
    task = {"id": item.task.id, "claimed_at_ms": item.task.claimed_at_ms, "pictures": n_pictures}
    return item._asdict() | task | {"answered": int(item.answered)}
