"""The ledger's one writer: whatever waits to be recorded goes into one transaction, at once.

It is one thread with one connection. Workers hand it what they want recorded and wait for the commit. While
a commit is on its way to the disk new work gathers, and all of it makes the next transaction, so the disk's
sync rate is never the speed limit; the writer does not linger to fill a batch, since every worker waits for
its own commit. A whole transaction is one visit to the thread: between two threads of Python each handover
costs as much as a statement.

When a group cannot be written because of the disk, a lock or a missing file, nothing that leads to a request
is recorded any more: those waiting to begin are refused, now and from then on. What is already known, above
all answers, is tried once more, out of a reserve of room if there is one. A group that fails because one of
its items is impossible is taken apart, so that a bad item does not take its neighbours down.

A writer beside a run can wait instead for a file that is only locked: nothing of its own leads to a request.

Nothing can cancel a transaction: a worker that is cancelled while it waits is cancelled once it is over, and
so knows what has become of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Engine

from batcher.errors import IllegalMove, LedgerError, LedgerLocked
from batcher.ledger.sqlite.connection import BUSY_TIMEOUT_S, translated

I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")

Event = Callable[[Connection, Sequence[I]], Sequence[R]]
"""Records items of one kind within the open transaction; one result for each item, in order."""


class _Receipt(asyncio.Future[R]):
    """Done once something is on disk, or cannot be; whoever waits for it is not cancelled before."""

    given_up = False
    """A task that waits for it was cancelled."""

    def cancel(self, msg: object = None) -> bool:
        del msg
        self.given_up = True
        return False


@dataclass(slots=True, eq=False)
class _PendingWrite(Generic[I, R]):
    item: I
    done: _Receipt[R]
    known: bool
    """It records what has happened already, and leads to no request."""


RESCUE_PATIENCE_MS = 500
"""How long to wait for a foreign lock once one has not passed in the usual time, until one record is kept."""

_Group = dict[Event[Any, Any], list[_PendingWrite[Any, Any]]]

_Results = list[tuple[_PendingWrite[Any, Any], Any]]
"""What became of each; an exception where it is not on disk."""


MOVED_AT_ONCE = 2_000
"""Rows that one transaction of a long work moves; callbacks, polls and answers wait behind it."""

LONGEST_GAP_S = 0.1
"""Between two transactions of a long work: SQLite looks at least that often whether a file is free."""


@asynccontextmanager
async def leaving_gap() -> AsyncIterator[None]:
    """Leave the file alone for as long as the block took, so that others come in between two of them."""
    began = time.monotonic()
    yield
    await asyncio.sleep(min(time.monotonic() - began, LONGEST_GAP_S))


class Disk(Protocol):
    """What the writer needs of the disk under the ledger."""

    def check(self) -> None:
        """Make sure that the file is still the one that was opened; raises LedgerError when it is not."""

    def give_room(self) -> None:
        """Something could not be written: free what room was set aside."""


class Writer:
    """Group commit over one connection.

    Args:
        engine: an engine whose transactions begin ``IMMEDIATE``; the writer holds one connection of it.
        path: the ledger's file, for messages.
        disk: what is asked before, and told when something cannot be written.
        held: makes the writer wait for a file that another program has locked, until that lets go or a task
            that waits is cancelled; called, in the loop, once for each such wait. Without it the ledger
            counts as broken.
    """

    def __init__(
        self, engine: Engine, path: Path, disk: Disk, *, held: Callable[[], None] | None = None
    ) -> None:
        self._engine = engine
        self._path = path
        self._disk = disk
        self._held = held
        self._waiting: _Group = {}
        self._under_way: _Group = {}
        self._scheduled = False
        self._inbox: SimpleQueue[_Group | None] = SimpleQueue()
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
        threading.Thread(target=self._live, args=(opened,), name="ledger-writer", daemon=True).start()
        await opened

    def record(self, event: Event[I, R], item: I, *, known: bool = False) -> asyncio.Future[R]:
        """Have one item recorded; what is returned is done once it is on disk.

        Args:
            event: records items of its kind.
            item: what to record.
            known: it has happened already; worth another try when the ledger has broken.

        Returns:
            Cannot be cancelled, and nobody who waits for it either: their turn to be cancelled comes after.

        Raises:
            LedgerError: it is not on disk.
        """
        if self._closing:
            raise LedgerError(f"{self._path}: the ledger is closed")
        if self._broken and not known:
            raise self._broken
        waiting: _PendingWrite[I, R] = _PendingWrite(item, _Receipt(loop=self._loop), known)
        members = self._waiting.get(event)
        if members is None:
            self._waiting[event] = [waiting]
        else:
            members.append(waiting)
        self._schedule()
        return waiting.done

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closing = True
        if self._ended is not None:
            self._schedule()
            await self._ended

    # -- in the loop -----------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Hand over what has gathered once those that are ready now, and those they wake, have added theirs.

        That is two turns of the loop and no time: when nothing else is going on it happens at once.
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

    def _written(self, results: _Results) -> None:
        self._under_way = {}
        for waiting, result in results:
            if isinstance(result, BaseException):
                _fail(waiting, result)
            elif not waiting.done.done():
                waiting.done.set_result(result)
        if self._waiting or self._closing:
            self._schedule()

    def _end(self) -> None:
        """Whatever has ended the writer, nobody may wait for it in vain."""
        self._closing = True
        for waiting in _members(self._under_way) + _members(self._waiting):
            _fail(waiting, LedgerError(f"{self._path}: the ledger's writer has ended"))
        self._under_way, self._waiting = {}, {}
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    # -- in the thread ---------------------------------------------------------------------------

    def _live(self, opened: asyncio.Future[None]) -> None:
        call_soon = self._loop.call_soon_threadsafe
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            try:
                with translated(self._path):
                    connection = self._engine.connect()
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

    def _write(self, connection: Connection, group: _Group) -> _Results:
        """Record a group, or what can be recorded of it."""
        try:
            results = self._transact(connection, group)
            if isinstance(results, LedgerLocked) and self._held is not None:
                results = self._wait_and_transact(connection, group, self._held, results)
            if isinstance(results, LedgerError) and not isinstance(results, IllegalMove):
                results = self._rescue(connection, group, results)
            elif self._hurried and not isinstance(results, Exception):
                self._set_patience(connection, BUSY_TIMEOUT_S * 1000)
                self._hurried = False
            elif isinstance(results, Exception):
                results = self._take_apart(connection, group, results)
        except Exception as exc:  # whatever goes wrong, nobody may wait in vain
            results = [(waiting, exc) for waiting in _members(group)]
        return results

    def _wait_and_transact(
        self, connection: Connection, group: _Group, held: Callable[[], None], results: _Results | Exception
    ) -> _Results | Exception:
        """Try again while another program has the file locked; each try waits as long as a statement may."""
        self._loop.call_soon_threadsafe(held)
        while isinstance(results, LedgerLocked) and not self._closing:
            if any(waiting.done.given_up for waiting in _members(group)):
                break
            results = self._transact(connection, group)
        return results

    def _rescue(self, connection: Connection, group: _Group, error: LedgerError) -> _Results:
        """The ledger has broken: begin nothing more, and try once more to keep what has happened."""
        self._broken = self._broken or error
        self._disk.give_room()
        self._hurried = True
        self._set_patience(connection, RESCUE_PATIENCE_MS)
        known = {event: [one for one in members if one.known] for event, members in group.items()}
        kept: _Group = {event: members for event, members in known.items() if members}
        refused: _Results = [(waiting, error) for waiting in _members(group) if not waiting.known]
        again = self._transact(connection, kept) if kept else []
        if isinstance(again, Exception):
            again = [(waiting, again) for waiting in _members(kept)]
        return refused + again

    def _set_patience(self, connection: Connection, ms: int) -> None:
        """How long the next transactions wait for a foreign lock."""
        driver = connection.connection.driver_connection
        if driver is not None:
            driver.execute(f"PRAGMA busy_timeout = {ms}")

    def _take_apart(self, connection: Connection, group: _Group, error: Exception) -> _Results:
        """Something in the group is impossible: record each item by itself."""
        singles = [(event, waiting) for event, members in group.items() for waiting in members]
        if len(singles) == 1:
            return [(singles[0][1], error)]
        results: _Results = []
        for event, waiting in singles:
            alone = self._transact(connection, {event: [waiting]})
            results += [(waiting, alone)] if isinstance(alone, Exception) else alone
        return results

    def _transact(self, connection: Connection, group: _Group) -> _Results | Exception:
        """Record a group in one transaction; returns what went wrong, and then nothing of it is recorded."""
        results: _Results = []
        try:
            self._disk.check()
            with translated(self._path), connection.begin():
                for event, members in group.items():
                    values = event(connection, [waiting.item for waiting in members])
                    results.extend(zip(members, values, strict=True))
        except Exception as exc:
            return exc  # handed to those who wait for it
        return results


def _members(group: _Group) -> list[_PendingWrite[Any, Any]]:
    return [waiting for members in group.values() for waiting in members]


def _answer(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _fail(waiting: _PendingWrite[Any, Any], error: BaseException) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)
        waiting.done.exception()  # a worker that has gone away does not make this a warning
