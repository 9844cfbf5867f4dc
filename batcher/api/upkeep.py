"""Upkeep of a ledger: inspect, verify, repair, back up, restore, prune and vacuum.

Called by programs and by ``batcher ledger``. Functions that only read work while a run writes, and are
synchronous: a program with an event loop calls them in a thread. Functions that write hold the ledger's lock;
a caller that waited for the lock hands it over, and it is released at the end.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from batcher.api.locks import ledger_lock
from batcher.exit_codes import ExitCode
from batcher.ledger.prune import Pruned, prune
from batcher.ledger.reader import open_for_reading
from batcher.ledger.run_ledger import RunLedger, open_for_writing
from batcher.ledger.sqlite.backup import Restored, Vacuumed, back_up, restore, vacuum
from batcher.ledger.sqlite.files import check_file, ledger_path
from batcher.ledger.sqlite.lock import LedgerLock, Purpose
from batcher.ledger.sqlite.schema_version import open_to_itself
from batcher.ledger.sqlite.verify import Inspected, inspect, repair, verify

_Path = str | os.PathLike[str]

_TALLIES, _FILE = "tallies:", "the file:"
"""The words with which findings of these kinds begin."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification."""

    ledger: Path
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


def inspect_ledger(path: _Path) -> Inspected:
    """Return the schema of a ledger, and the size and rows of its tables. Reads the whole file once.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    return inspect(ledger_path(path))


def verify_ledger(
    path: _Path,
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
    place, findings = ledger_path(path), []
    for finding in verify(place, lambda part, _: on_progress(part)):
        findings.append(finding)
        on_finding(finding)
    return Verification(place, tuple(findings))


async def repair_tallies(
    path: _Path, *, lock: LedgerLock | None = None, on_progress: Callable[[str], None] = lambda _: None
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
    place = ledger_path(path)
    check_file(place)
    async with open_to_itself(place, lock):
        before = verify_ledger(place, on_progress=on_progress)
        if before.wrong_tallies and not before.is_damaged:
            repair(place)
    return before


def back_up_ledger(
    path: _Path,
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
    return back_up(ledger_path(path), Path(target), on_progress, replace=replace)


async def restore_ledger(
    path: _Path,
    backup: _Path,
    *,
    locks: Mapping[Purpose, LedgerLock] | None = None,
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
    place, source = ledger_path(path), ledger_path(backup)
    async with AsyncExitStack() as held:
        for purpose in Purpose:
            lock = locks[purpose] if locks else await ledger_lock(place, purpose=purpose)
            held.enter_context(lock)
        return restore(place, source, on_progress, now=datetime.now(UTC))


async def count_prunable(path: _Path, before: datetime) -> Pruned:
    """Count the attempts that :func:`prune_attempts` would delete; works while a run writes.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    async with await open_for_reading(ledger_path(path)) as ledger:
        return await prune(ledger, before, None)


async def prune_attempts(path: _Path, before: datetime, *, lock: LedgerLock | None = None) -> Pruned:
    """Delete attempts of ended submissions that no result needs.

    Args:
        path: the ledger.
        before: only attempts begun before this time.
        lock: its lock, if the caller holds it.

    Raises:
        LedgerBusy: another process holds the ledger.
        LedgerError: it cannot be written; attempts deleted so far stay deleted.
    """
    async with _opened(ledger_path(path), lock) as ledger:
        return await prune(ledger, before, ledger.forget)


async def vacuum_ledger(path: _Path, *, lock: LedgerLock | None = None) -> Vacuumed:
    """Write the file again without free pages. Needs twice the ledger's size on its disk for a while.

    Args:
        path: the ledger.
        lock: its lock, if the caller holds it.

    Raises:
        LedgerBusy: another process holds the ledger.
        LedgerError: it cannot be written, or the disk has no room.
    """
    place = ledger_path(path)
    check_file(place)
    async with open_to_itself(place, lock):
        return vacuum(place)


@asynccontextmanager
async def _opened(place: Path, lock: LedgerLock | None) -> AsyncIterator[RunLedger]:
    """Open an existing ledger for writing."""
    check_file(place)
    held = lock or await ledger_lock(place)
    async with await open_for_writing(place, held) as ledger:
        yield ledger
