"""Upkeep of a ledger: inspect, verify, repair, back up, restore, copy, prune and vacuum.

Called by programs and by ``batcher ledger``. Functions that only read work while a run writes, and are
synchronous: a program with an event loop calls them in a thread. Functions that write hold the ledger's lock;
a caller that waited for the lock hands it over, and it is released at the end.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from batcher.api.locks import PROGRAM, ledger_lock
from batcher.config.ledger_names import AnyLedger, ledger_file, ledger_named
from batcher.errors import BatcherError, SettingsError
from batcher.exit_codes import ExitCode
from batcher.flowcontrol.cancellation import noting_cancellation
from batcher.ledger.copy import Copied, copy
from batcher.ledger.database import database_of
from batcher.ledger.holding import OF_FILES, Hold, LockClient, Purpose
from batcher.ledger.inspect import inspect
from batcher.ledger.prune import Pruned, prune
from batcher.ledger.reader import open_for_reading
from batcher.ledger.run_ledger import open_for_writing
from batcher.ledger.sqlite.alone import open_to_itself
from batcher.ledger.sqlite.backup import Restored, Vacuumed, back_up, restore, vacuum
from batcher.ledger.sqlite.files import check_file
from batcher.ledger.verify import repair, verify
from batcher.ledger.writer import shielded
from batcher.model.events import Message, OnEvent, ignore_event
from batcher.model.ledger_name import LedgerName
from batcher.model.records import Inspected

_Path = str | os.PathLike[str]

_DUMP = "Use pg_dump --schema=NAME, or the backups of your server"
_RESTORE = "Use pg_restore, or the backups of your server"
_AUTOVACUUM = "The autovacuum of the server frees its room"

_TALLIES, _FILE = "tallies:", "the file:"
"""The words with which findings of these kinds begin."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification."""

    ledger: LedgerName
    findings: tuple[str, ...]
    """Each thing that is wrong, as a line."""

    @property
    def only_tallies(self) -> bool:
        """True if there are findings and :func:`repair_tallies` fixes all of them."""
        return bool(self.findings) and len(self.wrong_tallies) == len(self.findings)

    @property
    def wrong_tallies(self) -> tuple[str, ...]:
        """The findings about tallies."""
        return tuple(finding for finding in self.findings if finding.startswith(_TALLIES))

    @property
    def is_damaged(self) -> bool:
        """True if the file itself is damaged."""
        return any(finding.startswith(_FILE) for finding in self.findings)

    @property
    def exit_code(self) -> ExitCode:
        """``LEDGER`` if something is wrong."""
        return ExitCode.LEDGER if self.findings else ExitCode.DONE


def inspect_ledger(path: AnyLedger) -> Inspected:
    """Return the schema of a ledger, and the size and rows of its tables. Reads the whole file once.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    return inspect(ledger_named(path))


def verify_ledger(
    path: AnyLedger,
    *,
    on_progress: Callable[[str], None] = lambda _: None,
    on_finding: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Check the file, references, tallies, and states against attempts.

    Args:
        path: the ledger.
        on_progress: called now and then with the part that is being checked.
        on_finding: called with each finding as soon as it is found.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    place, findings = ledger_named(path), []
    for finding in verify(place, lambda part, _: on_progress(part)):
        findings.append(finding)
        on_finding(finding)
    return Verification(place, tuple(findings))


async def repair_tallies(
    path: AnyLedger, *, lock: Hold | None = None, on_progress: Callable[[str], None] = lambda _: None
) -> Verification:
    """Verify a ledger, and count wrong tallies again; nothing else is changed.

    Args:
        path: the ledger.
        lock: its lock, if the caller holds it.
        on_progress: as for :func:`verify_ledger`.

    Returns:
        The findings before the repair. If the file itself is damaged, nothing was repaired.

    Raises:
        LedgerBusy: another process holds the ledger.
        LedgerError: it cannot be read or written.
    """
    place = ledger_named(path)
    database = database_of(place)
    database.check_there()
    with lock or await database.take(LockClient()):
        await asyncio.to_thread(database.bring_up_to_date)
        before = verify_ledger(place, on_progress=on_progress)
        if before.wrong_tallies and not before.is_damaged:
            repair(place)
    return before


def back_up_ledger(
    path: AnyLedger,
    target: _Path,
    *,
    replace: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _pages: None,
) -> int:
    """Copy a ledger as it is at this moment, verify the copy, and return its size in bytes.

    Args:
        path: the ledger.
        target: the copy.
        replace: an existing file may be replaced.
        on_progress: called now and then with the pages copied and the pages in all.

    Raises:
        LedgerError: the ledger cannot be read.
        BatcherError: the copy cannot be made.
    """
    return back_up(ledger_file(path, "ledger backup", _DUMP), Path(target), on_progress, replace=replace)


async def restore_ledger(
    path: AnyLedger,
    backup: AnyLedger,
    *,
    locks: Mapping[Purpose, Hold] | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Restored:
    """Replace a ledger by a verified copy of a backup; the ledger before is kept under another name.

    Args:
        path: the ledger; there may be none.
        backup: the backup; it stays as it is.
        locks: the locks of all purposes, if the caller holds them.
        on_progress: called now and then with what is being done.

    Raises:
        LedgerBusy: another process holds the ledger.
        LedgerError: the backup is missing, not whole or from a newer version, or the disk has no room.
        BatcherError: the backup is the ledger itself.
    """
    place = ledger_file(path, "ledger restore", _RESTORE)
    source = ledger_file(backup, "ledger restore", _RESTORE)
    async with AsyncExitStack() as held:
        for purpose in OF_FILES:
            lock = locks[purpose] if locks else await ledger_lock(place, purpose=purpose)
            held.enter_context(lock)
        return restore(place, source, on_progress, now=datetime.now(UTC))


async def copy_ledger(
    source: AnyLedger,
    target: AnyLedger,
    *,
    sender: str = PROGRAM,
    wait_s: float | None = None,
    on_event: OnEvent = ignore_event,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Copied:
    """Copy a ledger to a new place: between files and PostgreSQL in both directions, or within one kind.

    All rows keep their ids. The copy is compared with the source row by row and verified before it appears.
    No other process may write the source meanwhile.

    Args:
        source: the ledger; it stays as it is.
        target: a path without a file, or a schema without a ledger.
        sender: how other processes name the one that holds the ledger.
        wait_s: how long to wait for another holder; None where nothing can be waited for.
        on_event: called once when there is something to wait for.
        on_progress: called now and then with what is being done.

    Raises:
        LedgerBusy: another process writes the source, or is about to make the target.
        LedgerError: the source is missing or not whole, or the target cannot be made.
        SettingsError: the target is the source.
        BatcherError: there is a ledger at the target.
    """
    read, written = ledger_named(source), ledger_named(target)
    if read == written:
        raise SettingsError(f"{written}: source and target are the same ledger; name another target")
    database_of(read).check_there()
    async with await open_for_reading(read):
        pass  # an older schema is upgraded
    async with AsyncExitStack() as held:
        if not database_of(written).is_shared:
            held.enter_context(await ledger_lock(written, sender, wait_s, on_event))
        client = LockClient(sender, wait_s, lambda text: on_event(Message(text)))
        with noting_cancellation(f"{read}: stopped while waiting for another process"):
            held.enter_context(await database_of(read).take_alone(client))
        return await _copied(read, written, on_progress)


async def _copied(read: LedgerName, written: LedgerName, on_progress: Callable[[str], None]) -> Copied:
    """Copy in a thread; a cancelled copy ends at its next report of progress, and leaves nothing."""
    stopped = threading.Event()

    def progress(text: str) -> None:
        if stopped.is_set():
            raise BatcherError(f"{written}: the copy was stopped, and is not there")
        on_progress(text)

    def stop(copying: asyncio.Future[Copied]) -> None:
        stopped.set()
        copying.add_done_callback(lambda done: done.exception())

    copying = asyncio.ensure_future(asyncio.to_thread(copy, read, written, progress))
    return await shielded(copying, stop)


async def count_prunable(path: AnyLedger, before: datetime) -> Pruned:
    """Count the attempts that :func:`prune_attempts` would delete; works while a run writes.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    async with await open_for_reading(ledger_named(path)) as ledger:
        return await prune(ledger, before, None)


async def prune_attempts(path: AnyLedger, before: datetime, *, lock: Hold | None = None) -> Pruned:
    """Delete attempts of ended submissions that no result needs.

    Args:
        path: the ledger.
        before: only attempts begun before this time.
        lock: its lock, if the caller holds it.

    Raises:
        LedgerBusy: another process holds the ledger.
        LedgerError: it cannot be written; attempts deleted so far stay deleted.
    """
    place = ledger_named(path)
    database_of(place).check_there()
    async with await open_for_writing(place, lock or await ledger_lock(place)) as ledger:
        return await prune(ledger, before, ledger.forget)


def file_to_vacuum(ledger: AnyLedger) -> Path:
    """Return the file of a ledger that is to be vacuumed.

    Raises:
        SettingsError: the ledger is in PostgreSQL, or its name cannot be used.
    """
    return ledger_file(ledger, "ledger vacuum", _AUTOVACUUM)


async def vacuum_ledger(path: AnyLedger, *, lock: Hold | None = None) -> Vacuumed:
    """Write the file again without free pages. Needs twice the ledger's size on its disk for a while.

    Args:
        path: the ledger.
        lock: its lock, if the caller holds it.

    Raises:
        LedgerBusy: another process holds the ledger.
        LedgerError: it cannot be written, or the disk has no room.
    """
    place = file_to_vacuum(path)
    check_file(place)
    async with open_to_itself(place, lock):
        return vacuum(place)
