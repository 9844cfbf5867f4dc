"""The thread on which a ledger is read: one connection, one query after the other.

Called by :class:`batcher.ledger.reader.LedgerReader`. Queries are plain functions that take the connection
first. Each runs in a transaction of its own, so that all of its statements see one moment of the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

from batcher.errors import LedgerLocked
from batcher.ledger.connection import Connection

P = ParamSpec("P")
T = TypeVar("T")


class ReadThread:
    """A connection for reading with its thread.

    Attributes:
        path: the ledger.
    """

    def __init__(self, path: Path, on_locked: Callable[[], None] | None = None) -> None:
        self.path = path
        self._on_locked = on_locked
        self._thread = ThreadPoolExecutor(1, "ledger-reader")
        self._connection: Connection | None = None

    @classmethod
    async def open(
        cls, path: Path, connect: Callable[[], Connection], on_locked: Callable[[], None] | None = None
    ) -> Self:
        """Open the connection.

        Args:
            path: the ledger.
            connect: opens the connection.
            on_locked: called once for each query that another program's lock holds up; such a query is tried
                until it succeeds. Without it the query fails.

        Raises:
            LedgerError: the file cannot be opened.
        """
        reads = cls(path, on_locked)
        try:
            reads._connection = await asyncio.wrap_future(reads._thread.submit(connect))
        except BaseException:
            reads._thread.shutdown(wait=False)
            raise
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

        reported = False
        while True:
            try:
                return await self._on_thread(in_transaction)
            except LedgerLocked:
                if self._on_locked is None:
                    raise
                if not reported:
                    self._on_locked()
                reported = True

    async def begin(self) -> None:
        """Keep the moment: all queries from now on see the ledger as it is now."""
        await self._on_thread(lambda connection: connection.run("BEGIN"))

    async def close(self) -> None:
        """Close the connection and end the thread; a second time does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            closed = self._thread.submit(connection.close)
            self._thread.shutdown(wait=False)
            await asyncio.wrap_future(closed)

    async def _on_thread(self, work: Callable[[Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise RuntimeError(f"{self.path}: the ledger was closed")
        running = self._thread.submit(work, connection)
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            if running.running():
                connection.interrupt()
            raise
