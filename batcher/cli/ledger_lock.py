"""The ledger's lock for a command that writes, and whether a run may create a ledger.

A signal ends the wait for the lock immediately; nothing has begun by then.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from batcher.cli.signals import Signals
from batcher.cli.terminal.console import Console
from batcher.config.settings import Settings
from batcher.errors import Interrupted, SettingsError
from batcher.ledger.sqlite.files import is_missing, ledger_path
from batcher.ledger.sqlite.lock import LedgerLock, LockClient, Purpose, take_lock


async def lock_for(
    command: str,
    path: Path,
    settings: Settings,
    console: Console,
    purpose: Purpose = Purpose.SENDING,
) -> LedgerLock:
    """Take the lock for a command, waiting as long as ``--wait-lock`` says.

    Raises:
        LedgerBusy: another process holds it.
        LedgerError: it cannot be taken at all.
        Interrupted: a signal came while waiting.
    """
    client = LockClient(f"batcher {command}", settings.wait_lock, console.say, purpose)
    with Signals() as signals, signals.interrupting(f"{path}: stopped while waiting for another run"):
        lock = await take_lock(path, client)
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
    path = ledger_path(settings.ledger)
    if not is_missing(path) or settings.new_ledger or "ledger" in settings.model_fields_set:
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
