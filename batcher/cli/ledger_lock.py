"""The ledger's lock for a command that writes, and whether a run may create a ledger.

A signal ends the wait for the lock immediately; nothing has begun by then.
"""

from __future__ import annotations

import sys
from typing import TextIO

from batcher.api.locks import ledger_lock
from batcher.cli.command import Invocation
from batcher.cli.signals import Signals
from batcher.config.ledger_names import ledger_named
from batcher.config.settings import Settings
from batcher.errors import Interrupted, SettingsError
from batcher.ledger.database import database_of
from batcher.ledger.holding import Hold, Purpose


async def lock_for(
    call: Invocation, purpose: Purpose = Purpose.SENDING, *, may_be_missing: bool = False
) -> Hold:
    """Take the lock for a command of ``batcher ledger``, waiting as long as ``--wait-lock`` says.

    Raises:
        LedgerBusy: another process holds it.
        LedgerError: it cannot be taken at all, or there is no ledger.
        Interrupted: a signal came while waiting.
    """
    path = ledger_named(call.settings.ledger)
    if not may_be_missing:
        database_of(path).check_there()
    sender, wait_s = f"batcher ledger {call.name}", call.settings.wait_lock
    with Signals() as signals, signals.interrupting():
        lock = await ledger_lock(path, sender, wait_s, call.console.on_event, purpose)
    if signals.code is not None:  # a signal arrived while the lock was taken
        lock.release()
        raise Interrupted(f"{path}: stopped before anything began", signals.code)
    return lock


def check_creation(settings: Settings) -> None:
    """Refuse a run that would create a ledger that the user has not named and cannot see.

    Raises:
        SettingsError: there is no ledger, it is not named, and no terminal is attached.
        LedgerError: there is no ledger, but files that an earlier one has left behind.
    """
    path = ledger_named(settings.ledger)
    if not database_of(path).is_missing() or settings.new_ledger or "ledger" in settings.model_fields_set:
        return
    if not (_is_terminal(sys.stdin) or _is_terminal(sys.stderr)):
        raise SettingsError(
            f"{path}: there is no ledger here, and without a terminal none is created unless it is named: "
            "the same command in another folder would buy everything again. Name it (--ledger, "
            "BATCHER_LEDGER, or ledger in batcher.toml), or give --new-ledger"
        )


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False
