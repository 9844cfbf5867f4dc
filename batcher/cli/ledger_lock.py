"""The ledger's lock for a command that writes: taken at once, or waited for; and whether one may be created.

Between such commands and the ledger. A signal ends the waiting at once; nothing has begun by then.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TextIO

from batcher.cli.signals import Signals
from batcher.cli.terminal.console import Console
from batcher.config.settings import Settings
from batcher.errors import Interrupted, SettingsError
from batcher.flowcontrol.machine_limit import Action, LimitKey, Sender, admitted
from batcher.ledger import LedgerLock, LockClient, Purpose, is_missing, take_lock


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
    if signals.code is not None:  # it came in the very moment the lock was taken
        lock.release()
        raise Interrupted(f"{path}: stopped before anything began", signals.code)
    return lock


@asynccontextmanager
async def place_of_run(
    app_id: int, path: Path, settings: Settings, console: Console, waited_s: float
) -> AsyncIterator[None]:
    """Hold a place among the runs of this machine that share the AppId's limit, waiting for it if need be.

    Args:
        app_id: whose limit it is.
        path: the ledger.
        settings: of the run.
        console: told of the waiting.
        waited_s: how long the run has waited for the ledger: ``--wait-lock`` holds for both together.

    Raises:
        LimitBusy: other runs use the limit.
        Interrupted: a signal came while waiting.
    """
    key = LimitKey.of(app_id, Action.SUBMIT, settings.endpoint)
    sender = Sender.of(path, "batcher run", settings.rate)
    async with AsyncExitStack() as stack:
        with Signals() as signals, signals.interrupting("stopped while waiting for another run"):
            await stack.enter_async_context(
                admitted(key, sender, wait_s=settings.wait_lock, waited_s=waited_s, on_wait=console.say)
            )
        if signals.code is not None:
            raise Interrupted("stopped before anything began", signals.code)
        yield


def check_creation(path: Path, settings: Settings) -> None:
    """Refuse a run that would create a ledger unasked and unseen.

    Raises:
        SettingsError: there is no ledger, it is not named, and no terminal is attached.
        LedgerError: there is none, but what one has left behind.
    """
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
