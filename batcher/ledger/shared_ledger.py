"""The file of a ledger opened next to a run: to track, to fetch or to listen, and never to send.

Used by the ledgers of tasks, pictures and callbacks. The run's lock is for sending alone. What is written
here is short transactions between the run's; each names the state it moves from, so that neither overwrites
the other. A file that another program has locked is waited for without a limit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import time
from typing import Concatenate, ParamSpec, Self, TypeVar

from batcher.ledger.connection import Access, Connection
from batcher.ledger.database import database_of
from batcher.ledger.read_thread import ReadThread
from batcher.ledger.reader import LedgerReader, open_reads
from batcher.ledger.server_wait import ServerWait
from batcher.ledger.transactor import Event
from batcher.ledger.writer import Writer, shielded
from batcher.model.events import LedgerHeld, OnEvent, ignore_event
from batcher.model.ledger_name import LedgerName

P = ParamSpec("P")
I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")


class SharedLedger(LedgerReader):
    """A ledger to read from and to write to next to a run. Open it with :meth:`open`."""

    def __init__(self, reads: ReadThread, writer: Writer, clock: Callable[[], float]) -> None:
        super().__init__(reads)
        self._writer = writer
        self._clock = clock

    @classmethod
    async def open(
        cls,
        name: LedgerName,
        on_event: OnEvent = ignore_event,
        clock: Callable[[], float] = time,
        *,
        server: ServerWait | None = None,
    ) -> Self:
        """Open an existing ledger, and upgrade an older one's schema first.

        Args:
            name: the ledger.
            on_event: called when another program has locked the file.
            clock: the time in seconds.
            server: how a server that cannot be reached is waited for.

        Raises:
            LedgerError: there is no ledger, it is something else, from a newer version, or cannot be used.
            LedgerBusy: it must be upgraded and a run of an older version holds it.
        """

        def on_locked() -> None:
            on_event(LedgerHeld(str(name)))

        database = database_of(name)
        reads = await open_reads(name, on_locked)
        connecting = partial(database.connect, Access.WRITE)
        reads.server = server or ServerWait(on_event=on_event)
        writer = Writer(connecting, name, database.reserve(), on_locked=on_locked, server=reads.server)
        ledger = cls(reads, writer, clock)
        try:
            await writer.start()
        except BaseException:
            await ledger.close()
            raise
        return ledger

    async def change(
        self, change: Callable[Concatenate[Connection, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run a change within a transaction of the writer; on disk when this returns.

        Raises:
            LedgerError: it is not on disk.
        """
        return await self._record(lambda connection, _: change(connection, *args, **kwargs), None)

    async def _record(self, event: Event[I, R], item: I) -> R:
        """Have recorded what has happened; on disk when this returns.

        Raises:
            LedgerError: it is not on disk.
        """
        return await shielded(self._writer.record(event, item, known=True), self._writer.give_up_waiting)

    def now_ms(self) -> int:
        """Return the time, as the ledger dates what it records."""
        return int(self._clock() * 1000)

    async def close(self) -> None:
        """Write what waits, and close both connections."""
        await self._writer.close()
        await super().close()
