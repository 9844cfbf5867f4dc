"""The ledger's one writer: whatever waits to be recorded goes into one transaction, at once.

Workers hand it what they want recorded and wait for the commit. While a commit is on its way to the
disk new work gathers, and all of it makes the next transaction, so the disk's sync rate is never the
speed limit; the writer does not linger to fill a batch, since every worker waits for its own commit.

When a group cannot be written because of the disk, a lock or a missing file, nothing that leads to a request
is recorded any more: those waiting to begin are refused, now and from then on. What is already known, above
all answers, is tried once more, out of a reserve of room if there is one. A group that fails because one of
its items is impossible is taken apart, so that a bad item does not take its neighbours down.

The writer's task is never cancelled, because cancelling a task inside a transaction leaves the shared
connection inside it. A worker that is cancelled while it waits loses only the waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from batcher.errors import IllegalMove, LedgerError
from batcher.ledger.opening import translated

I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")

Event = Callable[[AsyncConnection, Sequence[I]], Awaitable[Sequence[R]]]
"""Records items of one kind within the open transaction; one result for each item, in order."""


@dataclass(slots=True)
class _Waiting(Generic[I, R]):
    item: I
    done: asyncio.Future[R]
    known: bool
    """It records what has happened already, and leads to no request."""


RESCUE_PATIENCE_MS = 500
"""How long to wait for a foreign lock once one has not passed in the usual time."""

_Group = dict[Event[Any, Any], list[_Waiting[Any, Any]]]


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
    """

    def __init__(self, engine: AsyncEngine, path: Path, disk: Disk) -> None:
        self._engine = engine
        self._path = path
        self._disk = disk
        self._waiting: _Group = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._broken: LedgerError | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the connection and begin to write, in a task of its own.

        Raises:
            LedgerError: the file cannot be opened for writing.
        """
        with translated(self._path):
            connection = await self._engine.connect()
        self._task = asyncio.create_task(self._run(connection), name="ledger-writer")

    async def record(self, event: Event[I, R], item: I, *, known: bool = False) -> R:
        """Have one item recorded; returns once it is on disk.

        Args:
            event: records items of its kind.
            item: what to record.
            known: it has happened already; worth another try when the ledger has broken.

        Raises:
            LedgerError: it is not on disk.
        """
        if self._closing:
            raise LedgerError(f"{self._path}: the ledger is closed")
        if self._broken and not known:
            raise self._broken
        waiting: _Waiting[I, R] = _Waiting(item, asyncio.get_running_loop().create_future(), known)
        self._waiting.setdefault(event, []).append(waiting)
        self._wake.set()
        # Shielded: a cancelled worker must not make the writer skip what it was told to record.
        return await asyncio.shield(waiting.done)

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def _run(self, connection: AsyncConnection) -> None:
        group: _Group = {}
        try:
            while not (self._closing and not self._waiting):
                await self._wake.wait()
                self._wake.clear()
                group, self._waiting = self._waiting, {}
                if group:
                    await self._write(connection, group)
                group = {}
        finally:
            # Whatever ends the writer, nobody may wait for it in vain.
            self._closing = True
            for waiting in _members(group) + _members(self._waiting):
                _fail(waiting, LedgerError(f"{self._path}: the ledger's writer has ended"))
            await connection.close()

    async def _write(self, connection: AsyncConnection, group: _Group) -> None:
        """Record a group, or what can be recorded of it."""
        error = await self._transact(connection, group)
        if isinstance(error, LedgerError) and not isinstance(error, IllegalMove):
            await self._rescue(connection, group, error)
        elif error is not None:
            await self._take_apart(connection, group, error)

    async def _rescue(self, connection: AsyncConnection, group: _Group, error: LedgerError) -> None:
        """The ledger has broken: begin nothing more, and try once more to keep what has happened."""
        self._broken = self._broken or error
        self._disk.give_room()
        driver = (await connection.get_raw_connection()).driver_connection
        if driver is not None:
            await driver.execute(f"PRAGMA busy_timeout = {RESCUE_PATIENCE_MS}")
        kept: _Group = {}
        for event, members in group.items():
            for waiting in members:
                if waiting.known:
                    kept.setdefault(event, []).append(waiting)
                else:
                    _fail(waiting, error)
        again = await self._transact(connection, kept) if kept else None
        for waiting in _members(kept):
            if again is not None:
                _fail(waiting, again)

    async def _take_apart(self, connection: AsyncConnection, group: _Group, error: Exception) -> None:
        """Something in the group is impossible: record each item by itself."""
        singles = [(event, waiting) for event, members in group.items() for waiting in members]
        for event, waiting in singles:
            alone: Exception | None = error
            if len(singles) > 1:
                alone = await self._transact(connection, {event: [waiting]})
            if alone is not None:
                _fail(waiting, alone)

    async def _transact(self, connection: AsyncConnection, group: _Group) -> Exception | None:
        """Record a group in one transaction; returns what went wrong, and then nothing of it is recorded."""
        results: list[tuple[_Waiting[Any, Any], Any]] = []
        try:
            self._disk.check()
            with translated(self._path):
                async with connection.begin():
                    for event, members in group.items():
                        values = await event(connection, [waiting.item for waiting in members])
                        results.extend(zip(members, values, strict=True))
        except Exception as exc:
            return exc  # handed to those who wait for it
        for waiting, value in results:
            if not waiting.done.done():
                waiting.done.set_result(value)
        return None


def _members(group: _Group) -> list[_Waiting[Any, Any]]:
    return [waiting for members in group.values() for waiting in members]


def _fail(waiting: _Waiting[Any, Any], error: Exception) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)
        waiting.done.exception()  # a worker that has gone away does not make this a warning
