"""The transaction of a group of records, over a connection that may be lost and made again.

Called by the writer in its thread. All items of one kind are recorded with one call. A server that was lost
is waited for, and then says whether the transaction was committed: that is never guessed.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from batcher.errors import LedgerLocked, LedgerUnreachable
from batcher.ledger.connection import Connection
from batcher.ledger.server_wait import ServerWait

I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")

Event = Callable[[Connection, I], R]
"""Records one item within the open transaction."""


class BatchEvent(Generic[I, R]):
    """An event that records all items of a transaction with one call: one result for each, in order."""

    def __init__(self, record: Callable[[Connection, Sequence[I]], Sequence[R]]) -> None:
        self.record = record

    def __call__(self, connection: Connection, item: I) -> R:
        """Record one item."""
        return self.record(connection, [item])[0]


@dataclass(slots=True, eq=False)
class PendingWrite(Generic[I, R]):
    """An item that waits to be recorded, and the future that is done once it is."""

    item: I
    done: asyncio.Future[R]
    known: bool
    """Records an event that has happened already, and leads to no request."""


WriteGroup = dict[Event[Any, Any], list[PendingWrite[Any, Any]]]

WriteResults = list[tuple[PendingWrite[Any, Any], Any]]
"""The result of each; an exception where it is not on disk."""

CLOSING_PATIENCE_S = 30.0
"""The longest wait for a server that cannot be reached, once the ledger is to be closed."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
"""The pauses between two tries to reach a server; each is twice as long as the one before."""


class Disk(Protocol):
    """The disk under the ledger, as far as the writer uses it."""

    def check(self) -> None:
        """Make sure that the file is still the one that was opened; raises LedgerError when it is not."""

    def give_room(self) -> None:
        """Free the reserve: something could not be written."""


class TransactionGuard(Protocol):
    """What every transaction of a run on a shared ledger begins with; LedgerForgotten when the server has
    lost what it had confirmed."""

    def enter(self, connection: Connection) -> None:
        """Renew the run's lease within the transaction that has begun."""

    def confirmed(self) -> None:
        """Note that the transaction is committed."""

    def was_committed(self, connection: Connection) -> bool:
        """Return whether the transaction that was cut off has been committed, once connected again."""


class Transactor:
    """Runs one transaction after the other.

    Args:
        disk: asked before each transaction.
        server: how a server that cannot be reached is waited for.
        guard: begins each transaction; None where no other run can send.
        closing: set once the ledger is to be closed: it ends the pause between two tries.
        report: calls a function with a value in the event loop.
        waits_for_locks: repeat a transaction that a lock of another process has ended; False when the caller
            waits itself.
    """

    def __init__(
        self,
        disk: Disk,
        server: ServerWait,
        guard: TransactionGuard | None,
        closing: threading.Event,
        report: Callable[[Callable[[Any], None], Any], None],
        waits_for_locks: bool = True,
    ) -> None:
        self._disk = disk
        self._server = server
        self._guard = guard
        self._closing = closing
        self._report = report
        self._waits_for_locks = waits_for_locks
        self._longest_wait_s = math.inf

    def wait_at_most(self, seconds: float) -> None:
        """Wait for a lost server no longer than this from now on."""
        self._longest_wait_s = min(self._longest_wait_s, seconds)

    def transact(self, connection: Connection, group: WriteGroup) -> WriteResults | Exception:
        """Record a group in one transaction; returns what went wrong, and then nothing of it is recorded.

        A server that was lost is waited for. It then says whether the transaction was committed. Where
        several processes write, one that a lock of another has ended is repeated.
        """
        began, pause_s = time.monotonic(), FIRST_PAUSE_S
        while True:
            results: WriteResults = []
            try:
                try:
                    self._attempt(connection, group, results)
                except LedgerUnreachable as exc:
                    if not self._committed_after(connection, exc):
                        if time.monotonic() - began > self._patience_left_s:
                            raise
                        if pause_s > FIRST_PAUSE_S:  # it is back, and is lost again at the same place
                            time.sleep(pause_s)
                        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                        continue
                except LedgerLocked:
                    waits = self._waits_for_locks and time.monotonic() - began < self._patience_left_s
                    if connection.is_shared and waits:
                        continue
                    raise
                if self._guard is not None:
                    self._guard.confirmed()
            except Exception as exc:
                return exc  # handed to those who wait for it
            return results

    def _attempt(self, connection: Connection, group: WriteGroup, results: WriteResults) -> None:
        """Run the transaction of a group once, and add the results to the given list."""
        self._disk.check()
        with connection.transaction():
            if self._guard is not None:
                self._guard.enter(connection)
            for event, members in group.items():
                items = [waiting.item for waiting in members]
                if isinstance(event, BatchEvent):
                    values = event.record(connection, items)
                else:
                    values = [event(connection, item) for item in items]
                results.extend(zip(members, values, strict=True))

    @property
    def _patience_left_s(self) -> float:
        """How long a server is waited for."""
        return min(self._server.patience_s, self._longest_wait_s)

    def _committed_after(self, connection: Connection, lost: LedgerUnreachable) -> bool:
        """Wait for a server that was lost; return whether the transaction was committed.

        Raises:
            LedgerUnreachable: the server was not back in time.
        """
        began, pause_s = time.monotonic(), FIRST_PAUSE_S
        while True:
            try:
                connection.reconnect()
                guard = self._guard
                committed = connection.was_committed() if guard is None else guard.was_committed(connection)
            except LedgerUnreachable as exc:
                lost = exc
            except LedgerLocked as exc:  # the old session still has the row of the run
                lost = LedgerUnreachable(str(exc))
            else:
                self._report(self._server.back, connection.name)
                return committed
            if pause_s == FIRST_PAUSE_S:
                self._report(self._server.lost, str(lost))
            if time.monotonic() - began + pause_s > self._patience_left_s:
                self.wait_at_most(0.0)  # what comes now is tried once
                raise lost
            if self._closing.is_set():
                time.sleep(pause_s)
            else:
                self._closing.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def members(group: WriteGroup) -> list[PendingWrite[Any, Any]]:
    """Return everything that waits in a group."""
    return [waiting for members in group.values() for waiting in members]
