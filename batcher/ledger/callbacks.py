"""Callbacks on record: each once, and what follows from it in the same transaction.

Called by the receiver of callbacks and by tracking, next to a run or without one. Nothing here sends or
polls. The rules are in :mod:`batcher.ledger.callback_effects`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

from batcher.ledger import callback_events
from batcher.ledger.callback_effects import PollVerdict
from batcher.ledger.callback_events import SOURCE, Taken
from batcher.ledger.connection import Connection
from batcher.ledger.loads import NewLoad, insert_load
from batcher.ledger.read_thread import ReadThread
from batcher.ledger.shared_ledger import SharedLedger
from batcher.ledger.tasks import TaskLedger
from batcher.ledger.writer import Writer
from batcher.model.callbacks import FACTS, Callback
from batcher.model.submission import CountedBy, FileId, InvalidRow, LoadId, Row, TaskId, Vendor
from batcher.model.task import Effect

_ANY_OPEN = """
SELECT 1 FROM callbacks WHERE due_at_ms IS NOT NULL AND due_at_ms <= :now_ms AND effect = 'open' LIMIT 1
"""

_TO_CHECK = """
SELECT id, task_id, vendor, tries, file_id FROM callbacks
WHERE due_at_ms IS NOT NULL AND due_at_ms <= :now_ms AND effect = 'checked' ORDER BY due_at_ms LIMIT :limit
"""


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


def any_open(connection: Connection, now_ms: int) -> bool:
    """Return whether a callback about an unknown task is due to be checked again."""
    return connection.row(_ANY_OPEN, now_ms=now_ms) is not None


def to_check(connection: Connection, now_ms: int, limit: int) -> list[Check]:
    """Return tasks that callbacks have named for submissions in doubt and that are due for a poll."""
    return [
        Check(row.id, TaskId(row.task_id), Vendor(row.vendor), row.tries, FileId(row.file_id))
        for row in connection.rows(_TO_CHECK, now_ms=now_ms, limit=limit)
    ]


class CallbackLedger(SharedLedger):
    """The ledger of a listener. Open it with :meth:`open`.

    Attributes:
        tasks: the same open ledger, for the tasks that are tracked.
        claimed_tasks: those of them that a callback has reported as ended.
    """

    def __init__(self, reads: ReadThread, writer: Writer, clock: Callable[[], float]) -> None:
        super().__init__(reads, writer, clock)
        self.tasks = TaskLedger(reads, writer, clock)
        self.claimed_tasks = TaskLedger(reads, writer, clock, claimed_only=True)
        self._intake: LoadId | None = None
        self._opening_intake = asyncio.Lock()

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
        return await self.change(callback_events.take, callback, content, self.now_ms(), row, intake)

    async def look_again(self, limit: int = 200) -> int:
        """Check callbacks about unknown tasks that are due; returns how many."""
        if not await self.reads.read(any_open, self.now_ms()):
            return 0
        return await self.change(callback_events.look_again, self.now_ms(), limit)

    async def to_check(self, limit: int) -> list[Check]:
        """Return tasks that callbacks have named for submissions in doubt and that are due for a poll."""
        return await self.reads.read(to_check, self.now_ms(), limit)

    async def polled(self, check: Check, verdict: PollVerdict) -> Effect:
        """Record the result of a poll; returns what that means for the submission."""
        return await self.change(callback_events.poll, check.id, verdict, self.now_ms())

    async def put_off(self, check: Check, delay_s: float) -> None:
        """Record that the service could not be asked."""
        due_at_ms = self.now_ms() + int(delay_s * 1000)
        await self.change(callback_events.put_off, check.id, due_at_ms)

    async def _intake_id(self) -> LoadId:
        """Return the load under which this listener keeps new submissions, created with the first of them."""
        async with self._opening_intake:
            if self._intake is None:
                now = self.now_ms()
                load = NewLoad(SOURCE, "-", json.dumps(["file_id", *FACTS]), CountedBy.ROW, now, now)
                self._intake = LoadId(await self.change(insert_load, load))
            return self._intake
