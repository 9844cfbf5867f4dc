"""The thread on which a ledger is read: one connection, one query after the other.

Called by :class:`batcher.ledger.reader.LedgerReader`. Queries are plain functions that take the connection
first. Each runs in a transaction of its own, so that all of its statements see one moment of the ledger. The
thread is that of aiosqlite, which has no public way to run a function on it: its queue ``_tx`` is used, and
checked here. aiosqlite's own calls would fail in the thread when the event loop closes before a query ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import math
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Concatenate, ParamSpec, Self, TypeVar

import aiosqlite

from batcher.errors import LedgerLocked, LedgerUnreachable
from batcher.ledger.connection import Connection
from batcher.ledger.server_wait import ServerWait
from batcher.ledger.transactor import CLOSING_PATIENCE_S, FIRST_PAUSE_S, LONGEST_PAUSE_S
from batcher.ledger.writer import shielded
from batcher.model.ledger_name import LedgerName

P = ParamSpec("P")
T = TypeVar("T")


class ReadThread:
    """A connection for reading with its thread.

    Attributes:
        name: the ledger.
        server: how a server that cannot be reached is waited for.
    """

    def __init__(self, name: LedgerName, on_locked: Callable[[], None] | None = None) -> None:
        self.name = name
        self.server = ServerWait()
        self._on_locked = on_locked
        self._thread: aiosqlite.Connection | None = None
        self._connection: Connection | None = None
        self._shortest_s = math.inf
        """The longest wait for a lost server, if it is shorter than the usual one."""

    @classmethod
    async def open(
        cls, name: LedgerName, connect: Callable[[], Connection], on_locked: Callable[[], None] | None = None
    ) -> Self:
        """Open the connection.

        Args:
            name: the ledger.
            connect: opens the connection.
            on_locked: called once for each query that another program's lock holds up; such a query is tried
                until it succeeds. Without it the query fails.

        Raises:
            LedgerError: the file cannot be opened.
        """
        reads = cls(name, on_locked)
        failure: BaseException | None = None

        def connecting() -> object:
            nonlocal failure
            try:
                reads._connection = connect()
            except BaseException as exc:  # raised here, aiosqlite would end its thread after the event loop
                failure = exc
                return io.BytesIO()
            return reads._connection

        thread = aiosqlite.Connection(connecting, 0)  # type: ignore[arg-type] # it only closes it
        if not isinstance(getattr(thread, "_tx", None), SimpleQueue):
            raise ImportError("this release of aiosqlite has no queue for its thread; install aiosqlite 0.22")
        try:
            reads._thread = await shielded(asyncio.ensure_future(thread))
        except asyncio.CancelledError:
            await thread.close()
            raise
        if failure is not None:
            await reads.close()
            raise failure
        return reads

    async def read(
        self, query: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a query on the thread.

        Raises:
            LedgerError: the ledger cannot be read.
        """

        def in_transaction(connection: Connection) -> T:
            with connection.transaction():
                return query(connection, *args, **kwargs)

        reported, began, pause_s = False, time.monotonic(), FIRST_PAUSE_S
        while True:
            try:
                return await self._on_thread(in_transaction)
            except LedgerLocked:
                if self._on_locked is None:
                    raise
                if not reported:
                    self._on_locked()
                reported = True
            except LedgerUnreachable as exc:  # a query can be asked again
                if time.monotonic() - began + pause_s > self._patience_left_s:
                    self._shortest_s = 0.0  # what comes now is tried once
                    raise
                if pause_s > FIRST_PAUSE_S:
                    self.server.lost(str(exc))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                with contextlib.suppress(LedgerUnreachable):
                    await self._on_thread(lambda connection: connection.reconnect())
                    self.server.back(self.name)

    async def begin(self) -> None:
        """Keep the moment: all queries from now on see the ledger as it is now."""
        await self._on_thread(lambda connection: connection.begin())

    def end_soon(self) -> None:
        """Wait for a lost server no longer than a close would: the user has asked the run to stop."""
        self._shortest_s = min(self._shortest_s, CLOSING_PATIENCE_S)

    @property
    def _patience_left_s(self) -> float:
        return min(self.server.patience_s, self._shortest_s)

    async def allow_long_queries(self) -> None:
        """Wait for replies as long as the server takes: a report of a large ledger takes minutes."""
        await self._on_thread(lambda connection: connection.expect_replies_within(None))

    async def close(self) -> None:
        """Close the connection and end the thread; a second time does nothing."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.close()

    async def _on_thread(self, work: Callable[[Connection], T]) -> T:
        thread, connection = self._thread, self._connection
        if thread is None or connection is None:
            raise RuntimeError(f"{self.name}: the ledger was closed")
        loop, running = asyncio.get_running_loop(), False
        done: asyncio.Future[T] = loop.create_future()

        def call() -> None:
            nonlocal running
            running = True
            try:
                settle = partial(_set_result, done, work(connection))
            except BaseException as exc:
                settle = partial(_set_exception, done, exc)
            running = False
            with contextlib.suppress(RuntimeError):  # the event loop has closed
                loop.call_soon_threadsafe(settle)

        thread._tx.put_nowait((None, call))
        try:
            return await done
        except asyncio.CancelledError:
            if running:
                connection.interrupt()
            raise


def _set_result(done: asyncio.Future[T], result: T) -> None:
    if not done.done():
        done.set_result(result)


def _set_exception(done: asyncio.Future[T], exc: BaseException) -> None:
    if not done.done():
        done.set_exception(exc)
