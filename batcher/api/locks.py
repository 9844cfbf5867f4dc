"""Locks of a ledger that a flow holds while it works.

Called by the other modules of the library. A wait is reported once, and a cancellation ends it immediately.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from batcher.flowcontrol.cancellation import noting_cancellation
from batcher.ledger.database import database_of
from batcher.ledger.holding import Hold, LockClient, Purpose
from batcher.ledger.run_ledger import RunLedger, open_for_writing
from batcher.ledger.server_wait import ServerWait
from batcher.model.events import Message, OnEvent, Severity, ignore_event
from batcher.model.ledger_name import LedgerName

PROGRAM = "a program that uses the library"
"""The name of a program, as other processes show it."""


async def ledger_lock(
    place: LedgerName,
    sender: str = PROGRAM,
    wait_s: float | None = None,
    on_event: OnEvent = ignore_event,
    purpose: Purpose = Purpose.SENDING,
    *,
    alone: bool = False,
) -> Hold:
    """Take the lock of a ledger.

    Args:
        place: the ledger.
        sender: how other processes name the one that holds it.
        wait_s: how long to wait for another holder; None where nothing can be waited for.
        on_event: called once when there is something to wait for.
        purpose: what the lock is for; each purpose has a lock of its own.
        alone: no other run may be sending, also where several may.

    Raises:
        LedgerBusy: another process holds it.
        LedgerError: it cannot be taken.
    """
    client = LockClient(sender, wait_s, lambda text: on_event(Message(text)), purpose, alone)
    with noting_cancellation(f"{place}: stopped while waiting for another run"):
        return await database_of(place).take(client)


@asynccontextmanager
async def locked_ledger(
    place: LedgerName,
    sender: str,
    wait_s: float | None,
    on_event: OnEvent,
    *,
    alone: bool = False,
    server: ServerWait | None = None,
) -> AsyncIterator[RunLedger]:
    """Take the lock of a ledger and open it for writing; it is created where there is none.

    Args:
        place: the ledger.
        sender: as for :func:`ledger_lock`.
        wait_s: as for :func:`ledger_lock`.
        on_event: called when there is something to wait for, and when the ledger is created.
        alone: as for :func:`ledger_lock`.
        server: how a server that cannot be reached is waited for.
    """
    lock = await ledger_lock(place, sender, wait_s, on_event, alone=alone)
    async with opened_ledger(place, lock, on_event, server) as ledger:
        yield ledger


@asynccontextmanager
async def opened_ledger(
    place: LedgerName, lock: Hold, on_event: OnEvent, server: ServerWait | None
) -> AsyncIterator[RunLedger]:
    """Open a ledger whose lock is held, as :func:`locked_ledger` does; the lock is released with it."""
    async with await open_for_writing(
        place, lock, created=lambda text: on_event(Message(text, Severity.NOTICE)), server=server
    ) as ledger:
        yield ledger
