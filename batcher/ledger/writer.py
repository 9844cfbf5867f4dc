"""The ledger's one writer: everything that waits to be recorded is recorded in one transaction.

Called by the ledgers that write. The writer is one thread with one connection. Workers hand it what is to be
recorded and wait for the commit. While a commit is under way new work gathers, and all of it makes the next
transaction, so that the disk's sync rate never limits the speed. The writer does not wait to fill a batch,
since every worker waits for its own commit. A whole transaction is one visit to the thread: each handover
between two threads of Python costs as much as a statement.

When a group cannot be written because of the disk, a lock or a missing file, nothing that leads to a request
is recorded any more: those waiting to begin are refused, now and from then on. What has happened already,
above all answers, is tried once more, with the reserve of room freed if there is one. A group that fails
because of an impossible item is recorded item by item, so that the others are kept.

A writer next to a run can wait instead for a file that is only locked: what it records leads to no request.

Nothing cancels a transaction. A task waits with :func:`shielded`: if it is cancelled meanwhile, it is
cancelled after the commit, with the result known.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

from batcher.errors import IllegalMove, LedgerError, LedgerLocked
from batcher.ledger.connection import BUSY_TIMEOUT_S, Connection
from batcher.ledger.server_wait import ServerWait
from batcher.ledger.transactor import (
    CLOSING_PATIENCE_S,
    Disk,
    Event,
    PendingWrite,
    TransactionGuard,
    Transactor,
    WriteGroup,
    WriteResults,
    members,
)
from batcher.model.ledger_name import LedgerName

I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")
T = TypeVar("T")


async def shielded(
    recorded: asyncio.Future[R], when_cancelled: Callable[[asyncio.Future[R]], None] | None = None
) -> R:
    """Wait for a record to its end, also when this task is cancelled; the cancellation is raised then.

    Args:
        recorded: what :meth:`Writer.record` has returned.
        when_cancelled: called with it each time this task is cancelled meanwhile.

    Raises:
        LedgerError: it is not on disk.
    """
    if recorded.done():
        return recorded.result()
    try:
        return await asyncio.shield(recorded)
    except asyncio.CancelledError as exc:
        cancelled = exc
    while not recorded.done():
        if when_cancelled is not None:
            when_cancelled(recorded)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([recorded])
    raise cancelled


RESCUE_PATIENCE_S = 0.5
"""The longest wait for a lock once one has outlasted the usual time, until a record is kept."""

MOVED_AT_ONCE = 2_000
"""Rows that one transaction of a long operation moves; callbacks, polls and answers wait behind it."""

LONGEST_GAP_S = 0.1
"""The pause between two transactions of a long operation: SQLite retries a locked file that often."""


@asynccontextmanager
async def leaving_gap() -> AsyncIterator[None]:
    """Leave the file alone for as long as the block took, so that others write between two of them."""
    began = time.monotonic()
    yield
    await asyncio.sleep(min(time.monotonic() - began, LONGEST_GAP_S))


class Writer:
    """Group commit over one connection.

    Args:
        connect: opens the connection to write with, in the writer's thread.
        name: the ledger, for messages.
        disk: asked before each transaction, and asked for room when one cannot be written.
        on_locked: makes the writer wait for a file that another program has locked, until that program
            releases it or a waiting task is cancelled; called, in the loop, once for each such wait. Without
            it the ledger counts as broken.
        server: how a server that cannot be reached is waited for.
        guard: begins each transaction; None where no other run can send.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        name: LedgerName,
        disk: Disk,
        *,
        on_locked: Callable[[], None] | None = None,
        server: ServerWait | None = None,
        guard: TransactionGuard | None = None,
    ) -> None:
        self._closed = threading.Event()
        self._transactor = Transactor(
            disk,
            server or ServerWait(),
            guard,
            self._closed,
            self._report,
            waits_for_locks=on_locked is None,
        )
        self._connect = connect
        self._name = name
        self._disk = disk
        self._on_locked = on_locked
        self._waiting: WriteGroup = {}
        self._under_way: WriteGroup = {}
        self._given_up: set[asyncio.Future[Any]] = set()
        self._scheduled = False
        self._inbox: SimpleQueue[WriteGroup | None] = SimpleQueue()
        self._closing = False
        self._broken: LedgerError | None = None
        self._hurried = False
        self._ended: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Open the connection and begin to write, in a thread of its own.

        Raises:
            LedgerError: the file cannot be opened for writing.
        """
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._ended = self._loop.create_future()
        try:
            threading.Thread(target=self._live, args=(opened,), name="ledger-writer", daemon=True).start()
        except RuntimeError as exc:
            self._ended = None  # nothing to wait for
            raise LedgerError(
                f"{self._name}: no thread can be started to write it ({exc}). Raise the limit of processes "
                "(ulimit -u), or free memory"
            ) from exc
        await opened

    def record(self, event: Event[I, R], item: I, *, known: bool = False) -> asyncio.Future[R]:
        """Have one item recorded; the returned future is done once it is on disk. Await it :func:`shielded`.

        Args:
            event: records items of its kind.
            item: what to record.
            known: it has happened already; worth another try when the ledger has broken.

        Raises:
            LedgerError: the writer takes no more.
        """
        if self._closing:
            raise LedgerError(f"{self._name}: the ledger is closed")
        if self._broken and not known:
            raise self._broken
        waiting: PendingWrite[I, R] = PendingWrite(item, self._loop.create_future(), known)
        members = self._waiting.get(event)
        if members is None:
            self._waiting[event] = [waiting]
        else:
            members.append(waiting)
        self._schedule()
        return waiting.done

    def give_up_waiting(self, recorded: asyncio.Future[Any]) -> None:
        """Stop waiting for a locked file: the task that waits for this record was cancelled."""
        self._given_up.add(recorded)
        recorded.add_done_callback(self._given_up.discard)

    def end_soon(self) -> None:
        """Wait for a lost server no longer than a close would: the user has asked the run to stop."""
        self._transactor.wait_at_most(CLOSING_PATIENCE_S)

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closing = True
        self.end_soon()
        self._closed.set()
        if self._ended is not None:
            self._schedule()
            await self._ended

    # -- in the loop -----------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Hand over the group after the tasks that are ready now, and those they wake, have added their
        records.

        That is two turns of the loop: if nothing else is ready it happens immediately.
        """
        if not self._scheduled and not self._under_way:
            self._scheduled = True
            self._loop.call_soon(self._loop.call_soon, self._hand_over)

    def _hand_over(self) -> None:
        self._scheduled = False
        if self._waiting:
            self._under_way, self._waiting = self._waiting, {}
            self._inbox.put(self._under_way)
        elif self._closing:
            self._inbox.put(None)

    def _written(self, results: WriteResults) -> None:
        self._under_way = {}
        for waiting, result in results:
            if isinstance(result, BaseException):
                _fail(waiting, result)
            elif not waiting.done.done():
                waiting.done.set_result(result)
        if self._waiting or self._closing:
            self._schedule()

    def _end(self) -> None:
        """Fail all pending records: after the writer's end no task may wait for it."""
        self._closing = True
        for waiting in members(self._under_way) + members(self._waiting):
            _fail(waiting, LedgerError(f"{self._name}: the ledger's writer has ended"))
        self._under_way, self._waiting = {}, {}
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    # -- in the thread ---------------------------------------------------------------------------

    def _live(self, opened: asyncio.Future[None]) -> None:
        call_soon = self._loop.call_soon_threadsafe
        with contextlib.suppress(RuntimeError):  # the loop has closed: no task waits any more
            try:
                connection = self._connect()
            except Exception as exc:
                call_soon(_answer, opened, exc)
                call_soon(self._end)
                return
            call_soon(_answer, opened, None)
            try:
                with connection:
                    while (group := self._inbox.get()) is not None:
                        call_soon(self._written, self._write(connection, group))
            finally:
                call_soon(self._end)

    def _write(self, connection: Connection, group: WriteGroup) -> WriteResults:
        """Record a group, or what can be recorded of it."""
        try:
            results = self._transactor.transact(connection, group)
            if isinstance(results, LedgerLocked) and self._on_locked is not None:
                results = self._wait_and_transact(connection, group, self._on_locked, results)
            if isinstance(results, LedgerError) and not isinstance(results, IllegalMove):
                results = self._rescue(connection, group, results)
            elif self._hurried and not isinstance(results, Exception):
                connection.wait_for_locks(BUSY_TIMEOUT_S)
                self._hurried = False
            elif isinstance(results, Exception):
                results = self._take_apart(connection, group, results)
        except Exception as exc:  # after any fault no task may wait in vain
            results = [(waiting, exc) for waiting in members(group)]
        return results

    def _wait_and_transact(
        self,
        connection: Connection,
        group: WriteGroup,
        on_locked: Callable[[], None],
        results: WriteResults | Exception,
    ) -> WriteResults | Exception:
        """Try again while another program has the file locked; each try waits as long as a statement may."""
        self._loop.call_soon_threadsafe(on_locked)
        while isinstance(results, LedgerLocked) and not self._closing:
            if any(waiting.done in self._given_up for waiting in members(group)):
                break
            results = self._transactor.transact(connection, group)
        return results

    def _rescue(self, connection: Connection, group: WriteGroup, error: LedgerError) -> WriteResults:
        """Refuse what leads to a request from now on, and try once more to keep what has happened."""
        self._broken = self._broken or error
        self._disk.give_room()
        self._hurried = True
        connection.wait_for_locks(RESCUE_PATIENCE_S)
        known = {event: [one for one in members if one.known] for event, members in group.items()}
        kept: WriteGroup = {event: members for event, members in known.items() if members}
        refused: WriteResults = [(waiting, error) for waiting in members(group) if not waiting.known]
        again = self._transactor.transact(connection, kept) if kept else []
        if isinstance(again, Exception):
            again = [(waiting, again) for waiting in members(kept)]
        return refused + again

    def _take_apart(self, connection: Connection, group: WriteGroup, error: Exception) -> WriteResults:
        """Record each item by itself, since one in the group is impossible."""
        singles = [(event, waiting) for event, members in group.items() for waiting in members]
        if len(singles) == 1:
            return [(singles[0][1], error)]
        results: WriteResults = []
        for event, waiting in singles:
            alone = self._transactor.transact(connection, {event: [waiting]})
            results += [(waiting, alone)] if isinstance(alone, Exception) else alone
        return results

    def _report(self, report: Callable[[T], None], what: T) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(report, what)


def _answer(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _fail(waiting: PendingWrite[Any, Any], error: BaseException) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)
        waiting.done.exception()  # seen: a task that was cancelled does not read it
