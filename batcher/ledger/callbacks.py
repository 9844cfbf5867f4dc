"""Callbacks on record: each once, and what follows from it in the same transaction.

Called by the receiver of callbacks and by tracking, next to a run or without one. Nothing here sends or
polls. The rules are in :mod:`batcher.ledger.callback_effects`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Self

from batcher.ledger import callback_events
from batcher.ledger.callback_effects import PollVerdict
from batcher.ledger.callback_events import SOURCE, Polling, Taken, Taking
from batcher.ledger.conditions import IS_CLAIMED
from batcher.ledger.connection import Connection
from batcher.ledger.loads import NewLoad, insert_load
from batcher.ledger.reader import LedgerReader
from batcher.ledger.shared_ledger import SharedLedger
from batcher.ledger.tasks import TRACKED, Followed, TaskLedger, followed
from batcher.model.callbacks import FACTS, Callback
from batcher.model.events import OnEvent, ignore_event
from batcher.model.submission import CountedBy, FileId, InvalidRow, LoadId, Row, TaskId, Vendor
from batcher.model.task import Effect

_CLAIMED = f"{TRACKED} WHERE {IS_CLAIMED} AND t.due_at_ms <= :now_ms ORDER BY t.due_at_ms LIMIT :limit"

_NEXT_CLAIMED = f"SELECT due_at_ms FROM tasks WHERE {IS_CLAIMED} ORDER BY due_at_ms LIMIT 1 OFFSET :beyond"  # noqa: S608

_ANY_OPEN = """
SELECT 1 FROM callbacks WHERE due_at_ms IS NOT NULL AND due_at_ms <= :now_ms AND effect = 'open' LIMIT 1
"""

_TO_CHECK = """
SELECT id, task_id, vendor, tries, file_id FROM callbacks
WHERE due_at_ms IS NOT NULL AND due_at_ms <= :now_ms AND effect = 'checked' ORDER BY due_at_ms LIMIT :limit
"""

_NEXT_DUE = "SELECT min(due_at_ms) FROM callbacks WHERE due_at_ms IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Check:
    """A task that a callback has named for a submission in doubt, to be confirmed by a poll."""

    id: int
    task_id: TaskId
    vendor: Vendor
    tries: int
    """The number of answers by which the service did not know the task."""
    file_id: FileId
    """The recording that the callback named."""


def claimed(connection: Connection, now_ms: int, limit: int) -> list[Followed]:
    """Return tasks that callbacks reported as ended and that are due for a poll."""
    return [followed(row) for row in connection.rows(_CLAIMED, now_ms=now_ms, limit=limit)]


def next_claimed_ms(connection: Connection, beyond: int) -> int | None:
    """Return when the next such task is due, without the first ``beyond``, or None."""
    row = connection.row(_NEXT_CLAIMED, beyond=beyond)
    return None if row is None else row.due_at_ms


def any_open(connection: Connection, now_ms: int) -> bool:
    """Return whether a callback about an unknown task is due to be checked again."""
    return connection.row(_ANY_OPEN, now_ms=now_ms) is not None


def to_check(connection: Connection, now_ms: int, limit: int) -> list[Check]:
    """Return tasks that callbacks have named for submissions in doubt and that are due for a poll."""
    return [
        Check(row.id, TaskId(row.task_id), Vendor(row.vendor), row.tries, FileId(row.file_id))
        for row in connection.rows(_TO_CHECK, now_ms=now_ms, limit=limit)
    ]


def next_due_ms(connection: Connection) -> int | None:
    """Return when the next callback is due to be checked again, or None."""
    due: int | None = connection.value(_NEXT_DUE)
    return due


class CallbackLedger(LedgerReader):
    """The ledger of a listener. Open it with :meth:`open`.

    Attributes:
        tasks: the same open ledger, for the tasks that are tracked.
    """

    def __init__(self, shared: SharedLedger) -> None:
        super().__init__(shared.reads)
        self.tasks = TaskLedger(shared)
        self._shared = shared
        self._intake: LoadId | None = None
        self._opening_intake = asyncio.Lock()

    @classmethod
    async def open(
        cls, path: Path, on_event: OnEvent = ignore_event, clock: Callable[[], float] = time
    ) -> Self:
        """Open an existing ledger; see :meth:`SharedLedger.open`."""
        return cls(await SharedLedger.open(path, on_event, clock))

    async def close(self) -> None:
        """Write what waits, and close the file."""
        await self._shared.close()

    async def take(
        self, callback: Callback, content: str, row: Row | InvalidRow | None = None
    ) -> Taken | None:
        """Keep a callback whose signature is good, with all that follows; on disk when this returns.

        Returns:
            None when another callback was received under its nonce and time: this one is refused.

        Raises:
            LedgerError: it is not on disk.
        """
        intake = await self._intake_id() if row is not None else None
        taking = Taking(callback, content, self._shared.now_ms(), row, intake)
        return await self._shared.record(callback_events.take, taking)

    async def claimed(self, now_ms: int, limit: int) -> list[Followed]:
        """Return tasks that callbacks reported as ended and that are due for a poll."""
        return await self.reads.read(claimed, now_ms, limit)

    async def next_claimed_ms(self, beyond: int) -> int | None:
        """Return when the next such task is due, without the first ``beyond``, or None."""
        return await self.reads.read(next_claimed_ms, beyond)

    async def look_again(self, limit: int = 200) -> int:
        """Check callbacks about unknown tasks that are due; returns how many."""
        if not await self.reads.read(any_open, self._shared.now_ms()):
            return 0
        return await self._shared.record(callback_events.look_again, (self._shared.now_ms(), limit))

    async def to_check(self, limit: int) -> list[Check]:
        """Return tasks that callbacks have named for submissions in doubt and that are due for a poll."""
        return await self.reads.read(to_check, self._shared.now_ms(), limit)

    async def next_due_ms(self) -> int | None:
        """Return when the next callback is due to be checked again, or None."""
        return await self.reads.read(next_due_ms)

    async def confirm(self, check: Check) -> Effect:
        """Record that the service knows the task; returns what that means for the submission."""
        return await self._polled(check, PollVerdict.CONFIRMED)

    async def deny(self, check: Check) -> Effect:
        """Record that the service does not know the task; after enough polls it is believed."""
        return await self._polled(check, PollVerdict.UNKNOWN)

    async def disprove(self, check: Check) -> Effect:
        """Record that the task belongs to another recording; the submission is as it was before the
        callback."""
        return await self._polled(check, PollVerdict.FOREIGN)

    async def put_off(self, check: Check, delay_s: float) -> None:
        """Record that the service could not be asked."""
        due_at_ms = self._shared.now_ms() + int(delay_s * 1000)
        await self._shared.record(callback_events.put_off, (check.id, due_at_ms))

    async def _polled(self, check: Check, verdict: PollVerdict) -> Effect:
        polling = Polling(check.id, verdict, self._shared.now_ms())
        return await self._shared.record(callback_events.poll, polling)

    async def _intake_id(self) -> LoadId:
        """Return the load under which this listener keeps new submissions, created with the first of them."""
        async with self._opening_intake:
            if self._intake is None:
                now = self._shared.now_ms()
                load = NewLoad(SOURCE, "-", json.dumps(["file_id", *FACTS]), CountedBy.ROW, now, now)
                self._intake = LoadId(await self._shared.record(insert_load, load))
            return self._intake
