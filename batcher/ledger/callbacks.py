"""Callbacks on record: each once, and what follows from it in the same transaction.

Stands between who receives callbacks and the tables, beside a run that may be going on. Nothing here sends or
polls; what a callback claims of a task is the matter of :mod:`batcher.ledger.callback_effects`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from batcher.ledger import callback_effects
from batcher.ledger.bulk_insert import Batch, written
from batcher.ledger.callback_effects import Follows, Subject, claimed, conclude, open_due
from batcher.ledger.loads import add, insert_load, parameter_ids
from batcher.ledger.schema import IS_CLAIMED, callbacks, loads, tasks
from batcher.ledger.tasks import FOLLOWED, Followed, TaskLedger, followed
from batcher.model.callbacks import FACTS, Callback, Composed, Recorded, Seal, Snapshot, event_of
from batcher.model.submission import CountedBy, FileId, InvalidRow, LoadId, Row, TaskId, Vendor
from batcher.model.task import Effect

SOURCE = "callbacks"
"""What the submissions that callbacks have added name as the manifest they came from."""


class Taking(NamedTuple):
    """A callback to be kept."""

    callback: Callback
    content: str
    """What it said, without its signature."""
    at_ms: int
    row: Row | InvalidRow | None = None
    """The new submission that follows from it, or why there is none."""
    intake: LoadId | None = None
    """The load under which new submissions are kept."""


class Taken(NamedTuple):
    """What became of a callback."""

    effect: Effect
    again: bool = False
    """It had come before."""


@dataclass(frozen=True, slots=True)
class Check:
    """A task that a callback has named for a submission in doubt, to be confirmed by a poll."""

    id: int
    task_id: TaskId
    vendor: Vendor
    tries: int
    """How often the service has said that it does not know the task."""
    file_id: FileId
    """The recording that the callback named."""


class CallbackLedger(TaskLedger):
    """The ledger of who listens. Open it with :meth:`open`."""

    def __init__(self, reading: AsyncEngine, path: Path, clock: Callable[[], float] = time) -> None:
        super().__init__(reading, path, clock)
        self._intake: LoadId | None = None
        self._opening_intake = asyncio.Lock()

    async def take(
        self, callback: Callback, content: str, row: Row | InvalidRow | None = None
    ) -> Taken | None:
        """Keep a callback whose signature is good, with all that follows; on disk when this returns.

        Returns:
            None when another callback has come under its nonce and time, and this one is not to be believed.

        Raises:
            LedgerError: it is not on disk.
        """
        intake = await self._intake_id() if row is not None else None
        return await self._record(take, Taking(callback, content, self._now_ms(), row, intake))

    async def claimed(self, now_ms: int, limit: int) -> list[Followed]:
        """Tasks that callbacks said have ended, and that are to be asked about now."""
        query = FOLLOWED.where(text(IS_CLAIMED), tasks.c.due_at_ms <= now_ms)
        rows = await self._rows(query.order_by(tasks.c.due_at_ms).limit(limit))
        return [followed(row) for row in rows]

    async def next_claimed_ms(self, beyond: int) -> int | None:
        """When the next of those is due, so many of the first left aside; None when there is none."""
        query = select(tasks.c.due_at_ms).where(text(IS_CLAIMED)).order_by(tasks.c.due_at_ms)
        rows = await self._rows(query.offset(beyond).limit(1))
        return rows[0].due_at_ms if rows else None

    async def look_again(self, limit: int = 200) -> int:
        """Look at callbacks that are due, about tasks that we did not know; returns at how many."""
        if not await self._rows(open_due(self._now_ms(), 1)):
            return 0
        return await self._record(callback_effects.look_again, (self._now_ms(), limit))

    async def to_check(self, limit: int) -> list[Check]:
        """Tasks that callbacks have named for submissions in doubt, due to be asked about."""
        query = (
            select(
                callbacks.c.id,
                callbacks.c.task_id,
                callbacks.c.vendor,
                callbacks.c.tries,
                callbacks.c.file_id,
            )
            .where(callbacks.c.due_at_ms.is_not(None), callbacks.c.due_at_ms <= self._now_ms())
            .where(callbacks.c.effect == Effect.CHECKED)
            .order_by(callbacks.c.due_at_ms)
            .limit(limit)
        )
        return [
            Check(row.id, TaskId(row.task_id), Vendor(row.vendor), row.tries, FileId(row.file_id))
            for row in await self._rows(query)
        ]

    async def next_due_ms(self) -> int | None:
        """When a callback is to be looked at or checked again; None when none is."""
        query = select(func.min(callbacks.c.due_at_ms)).where(callbacks.c.due_at_ms.is_not(None))
        due: int | None = (await self._rows(query))[0][0]
        return due

    async def confirm(self, check: Check) -> Effect:
        """The service knows the task; returns what that means for the submission."""
        return await self._record(callback_effects.confirm, (check.id, self._now_ms()))

    async def deny(self, check: Check) -> Effect:
        """The service does not know the task; asked again often enough, it is believed."""
        return await self._record(callback_effects.deny, (check.id, self._now_ms()))

    async def disprove(self, check: Check) -> Effect:
        """The task belongs to another recording; the submission is as it was before the callback."""
        return await self._record(callback_effects.disprove, check.id)

    async def put_off(self, check: Check, delay_s: float) -> None:
        """The service could not be asked just now."""
        await self._record(callback_effects.put_off, (check.id, self._now_ms() + int(delay_s * 1000)))

    async def _intake_id(self) -> LoadId:
        """The load under which this listener keeps new submissions, made with the first of them."""
        async with self._opening_intake:
            if self._intake is None:
                now = self._now_ms()
                row = {
                    "source": SOURCE,
                    "path": "-",
                    "columns": json.dumps(["file_id", *FACTS]),
                    "counted_by": CountedBy.ROW,
                    "started_at_ms": now,
                    "ended_at_ms": now,
                }
                self._intake = LoadId(await self._record(insert_load, row))
            return self._intake


# -- within the writer's transaction -----------------------------------------------------------------


def take(connection: Connection, items: Sequence[Taking]) -> list[Taken | None]:
    """Keep callbacks, each once."""
    return [_take(connection, item) for item in items]


def _take(connection: Connection, item: Taking) -> Taken | None:
    row = _row_of(item)
    seal: Seal = item.callback.seal
    same = callbacks.c.nonce == seal.nonce, callbacks.c.timestamp == seal.timestamp
    columns = callbacks.c.event, callbacks.c.task_id, callbacks.c.file_id, callbacks.c.effect
    if before := connection.execute(select(*columns).where(*same)).one_or_none():
        told = (row["event"], row["task_id"], row["file_id"])
        return Taken(Effect(before.effect), again=True) if tuple(before)[:3] == told else None
    kept: int = connection.execute(callbacks.insert().values(row).returning(callbacks.c.id)).scalar_one()
    match item.callback:
        case Snapshot():
            follows = claimed(connection, Subject(kept, **_subject(row)), item.at_ms)
        case Recorded() | Composed():
            follows = _added(connection, item, kept)
        case _:
            follows = Follows(Effect.NOTED)
    content = None if follows.effect in _KEPT_ELSEWHERE else item.content
    conclude(connection, kept, follows, content=content)
    return Taken(follows.effect)


_KEPT_ELSEWHERE = {Effect.CLAIMED, Effect.ADDED, Effect.KNOWN}
"""What a callback said is asked of the service anyway, or stands with the submission."""


def _row_of(item: Taking) -> dict[str, Any]:
    callback = item.callback
    return {
        "received_at_ms": item.at_ms,
        "event": event_of(callback),
        "nonce": callback.seal.nonce,
        "timestamp": callback.seal.timestamp,
        "vendor": getattr(callback, "vendor", None),
        "task_id": getattr(callback, "task_id", None),
        "file_id": getattr(callback, "file_id", None),
        "effect": Effect.NOTED,
    }


def _subject(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("task_id", "vendor", "file_id", "received_at_ms")}


# -- a recording that exists ---------------------------------------------------------------------------


def _added(connection: Connection, item: Taking, kept: int) -> Follows:
    """Keep the submission that follows from a callback; it says so itself where none does."""
    if item.row is None or item.intake is None:
        return Follows(Effect.NOTED)
    row = item.row._replace(line=kept)
    if isinstance(row, InvalidRow):
        batch = Batch(item.intake, SOURCE, 0, written((), {}), written((), {}), True, [row])
        add(connection, [batch])
        follows = Follows(Effect.UNUSABLE)
    else:
        [ids] = parameter_ids(connection, [[row.parameters]])
        text = written([row], {id(row.parameters): ids[row.parameters]})
        [added] = add(connection, [Batch(item.intake, SOURCE, 1, text, text, True, ())])
        follows = Follows(Effect.ADDED if added.added.new else Effect.KNOWN, added.ids[0])
    ended = update(loads).where(loads.c.id == item.intake).values(ended_at_ms=item.at_ms)
    connection.execute(ended)
    return follows
