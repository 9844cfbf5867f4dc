"""Locks that a flow holds while it works: of a ledger, and of the limit of an AppId.

Called by the other modules of the library. A wait is reported once, and a cancellation ends it immediately.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from batcher.api.cancellation import noting_cancellation
from batcher.flowcontrol.machine_limit import LimitKey, Sender, admitted
from batcher.ledger.sqlite.lock import LedgerLock, LockClient, Purpose, take_lock
from batcher.model.events import Message, OnEvent, ignore_event

PROGRAM = "a program that uses the library"
"""The name of a program, as other processes show it."""


async def ledger_lock(
    place: Path,
    sender: str = PROGRAM,
    wait_s: float | None = None,
    on_event: OnEvent = ignore_event,
    purpose: Purpose = Purpose.SENDING,
) -> LedgerLock:
    """Take the lock of a ledger.

    Args:
        place: the ledger's file.
        sender: how other processes name the one that holds it.
        wait_s: how long to wait for another holder; None where nothing can be waited for.
        on_event: called once when there is something to wait for.
        purpose: what the lock is for; each purpose has a lock of its own.

    Raises:
        LedgerBusy: another process holds it.
        LedgerError: it cannot be taken.
    """
    client = LockClient(sender, wait_s, lambda text: on_event(Message(text)), purpose)
    with noting_cancellation(f"{place}: stopped while waiting for another run"):
        return await take_lock(place, client)


@asynccontextmanager
async def limit_held(
    key: LimitKey,
    sender: Sender,
    *,
    wait_s: float | None = None,
    waited_s: float = 0.0,
    on_event: OnEvent = ignore_event,
) -> AsyncIterator[None]:
    """Hold a place among the runs that share the limit of an AppId on this machine.

    Args:
        key: whose limit it is.
        sender: this run.
        wait_s: how long to wait for others; None where nothing can be waited for.
        waited_s: how much of that has passed.
        on_event: called once when there is something to wait for.

    Raises:
        LimitBusy: other runs use the limit.
    """
    holding = admitted(
        key, sender, wait_s=wait_s, waited_s=waited_s, on_wait=lambda text: on_event(Message(text))
    )
    with noting_cancellation("stopped while waiting for another run"):
        await holding.__aenter__()
    try:
        yield
    finally:
        await holding.__aexit__(None, None, None)
