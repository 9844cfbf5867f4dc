"""The ledger's one writer: whatever waits to be recorded goes into one transaction, at once.

Workers hand it what they want recorded and wait for the commit. While a commit is on its way to the
disk new work gathers, and all of it makes the next transaction, so the disk's sync rate is never the
speed limit; the writer does not linger to fill a batch, since every worker waits for its own commit.

The writer's task is never cancelled, because cancelling a task inside a transaction leaves the shared
connection inside it. A worker that is cancelled while it waits loses only the waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from batcher.errors import LedgerError
from batcher.ledger.opening import translated

I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")

Event = Callable[[AsyncConnection, Sequence[I]], Awaitable[Sequence[R]]]
"""Records items of one kind within the open transaction; one result for each item, in order."""


@dataclass(slots=True)
class _Waiting(Generic[I, R]):
    item: I
    done: asyncio.Future[R]


_Group = dict[Event[Any, Any], list[_Waiting[Any, Any]]]


class Writer:
    """Group commit over one connection.

    Args:
        engine: an engine whose transactions begin ``IMMEDIATE``; the writer holds one connection of it.
        path: the ledger's file, for messages.
    """

    def __init__(self, engine: AsyncEngine, path: Path) -> None:
        self._engine = engine
        self._path = path
        self._waiting: _Group = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the connection and begin to write, in a task of its own.

        Raises:
            LedgerError: the file cannot be opened for writing.
        """
        with translated(self._path):
            connection = await self._engine.connect()
        self._task = asyncio.create_task(self._run(connection), name="ledger-writer")

    async def record(self, event: Event[I, R], item: I) -> R:
        """Have one item recorded; returns once it is on disk.

        Raises:
            LedgerError: it is not on disk.
        """
        if self._closing:
            raise LedgerError(f"{self._path}: the ledger is closed")
        waiting: _Waiting[I, R] = _Waiting(item, asyncio.get_running_loop().create_future())
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
        try:
            while not (self._closing and not self._waiting):
                await self._wake.wait()
                self._wake.clear()
                group, self._waiting = self._waiting, {}
                if group:
                    await self._write(connection, group)
        finally:
            # Whatever ends the writer, nobody may wait for it in vain.
            self._closing = True
            for waiting in [one for members in self._waiting.values() for one in members]:
                _fail(waiting, LedgerError(f"{self._path}: the ledger's writer has ended"))
            await connection.close()

    async def _write(self, connection: AsyncConnection, group: _Group) -> None:
        """Record a group; when that fails, each item by itself, so that a bad one does not take the rest."""
        error = await self._transact(connection, group)
        if error is None:
            return
        singles = [(event, waiting) for event, members in group.items() for waiting in members]
        for event, waiting in singles:
            if len(singles) > 1:
                error = await self._transact(connection, {event: [waiting]})
            if error is not None:
                _fail(waiting, error)

    async def _transact(self, connection: AsyncConnection, group: _Group) -> Exception | None:
        try:
            with translated(self._path):
                async with connection.begin():
                    results = [
                        (members, await event(connection, [waiting.item for waiting in members]))
                        for event, members in group.items()
                    ]
        except Exception as exc:
            return exc  # handed to those who wait for it
        for members, values in results:
            for waiting, value in zip(members, values, strict=True):
                if not waiting.done.done():
                    waiting.done.set_result(value)
        return None


def _fail(waiting: _Waiting[Any, Any], error: Exception) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)
        waiting.done.exception()  # a worker that has gone away does not make this a warning
