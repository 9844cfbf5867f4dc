"""Copies of a ledger's file: a backup, a restored backup, and the file without its empty pages.

Called by ``ledger backup``, ``ledger restore`` and ``ledger vacuum``. A backup is one moment of the ledger,
also during a run: a reader's snapshot keeps that moment, and the run's writer never waits for it. It is
complete or absent: written under another name, synced, checked, then renamed. The order of these steps must
stay.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from batcher.errors import BatcherError, LedgerError, LedgerMissing, SystemFault
from batcher.files import exists, is_folder, reason_of, unwritable
from batcher.ledger.connection import Access
from batcher.ledger.schema_version import revision_of
from batcher.ledger.sqlite.connection import SqliteConnection, connect, open_existing
from batcher.ledger.sqlite.disk import LEAST_FREE_BYTES
from batcher.ledger.sqlite.errors import translated, why_of
from batcher.ledger.sqlite.files import RESTORING, check_file
from batcher.ledger.verify import verify
from batcher.output_files import check_target, name_beside, renamed_when_whole

STEP_PAGES = 2_000
"""Pages of 4 KiB copied at a time."""
PAUSE_S = 0.002
"""Between two steps: the disk is the run's first."""


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """The size of a ledger before and after a vacuum."""

    before_bytes: int
    after_bytes: int


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restoration."""

    bytes: int
    kept: Path | None
    """Where the ledger that was there before is now, with its log; None if there was none."""


def back_up(
    path: Path, target: Path, on_progress: Callable[[int, int], None], *, replace: bool = False
) -> int:
    """Copy a ledger as it is at this moment; returns the copy's size in bytes.

    Args:
        path: the ledger.
        target: the file to make.
        on_progress: called after each step with the pages copied and those there are.
        replace: a file that is there already may be replaced.

    Raises:
        LedgerError: the ledger cannot be read.
        BatcherError: the copy cannot be made.
    """
    _check_target(path, target, replace=replace)
    with open_existing(path) as source, source.transaction():
        revision_of(source)  # from this read on it is one moment of the ledger
        copy_path = name_beside(target)
        try:
            with renamed_when_whole(copy_path, target, mode=0o600):
                _copy(source, copy_path, target, on_progress)
            synced(target.parent)
        except OSError as exc:
            raise unwritable(exc, str(target), target) from exc
    return target.stat().st_size


def _check_target(path: Path, target: Path, *, replace: bool) -> None:
    if is_folder(target):
        raise BatcherError(f"{target}: this is a folder; name a file for the backup")
    if exists(target) and target.samefile(path):
        raise BatcherError(f"{target}: this is the ledger itself; name another file for the backup")
    check_target(target, "FILE", may_be_database=True)
    if exists(target) and not replace:
        raise BatcherError(f"{target}: there is a file already; name another, or replace it with --force")


def _copy(
    source: SqliteConnection, copy_path: Path, target: Path, on_progress: Callable[[int, int], None]
) -> None:
    def progress(_: int, left: int, pages: int) -> None:
        on_progress(pages - left, pages)

    try:
        found = _copied(source, copy_path, progress)
    except sqlite3.Error as exc:
        raise SystemFault(f"{target}: the copy could not be made: {why_of(copy_path, exc)}") from exc
    if found != "ok":
        raise LedgerError(f"{target}: the copy is not whole, and neither is the ledger: {found}")


def _copied(source: SqliteConnection, copy_path: Path, progress: Callable[[int, int, int], None]) -> str:
    """Copy into an empty file and sync it; returns the result of its integrity check.

    SQLite's own files beside a copy that fails are removed; the copy itself is the caller's.
    """
    try:
        with closing(sqlite3.connect(copy_path, isolation_level=None)) as copy:
            source.driver.backup(copy, pages=STEP_PAGES, progress=progress, sleep=PAUSE_S)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log
            found = str(copy.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except BaseException:
        for end in ("-wal", "-shm", "-journal"):
            copy_path.with_name(copy_path.name + end).unlink(missing_ok=True)
        raise
    synced(copy_path)
    return found


def synced(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- a backup in the ledger's place --------------------------------------------------------------------


def restore(path: Path, backup: Path, on_progress: Callable[[str], None], *, now: datetime) -> Restored:
    """Put a copy of a backup in the ledger's place. The caller holds all of the ledger's locks.

    The copy is made and verified next to the ledger first. Then the ledger and its log are renamed, and the
    copy takes the ledger's name: the old log never lies next to the new ledger, to which SQLite would apply
    it. A crash between two renames leaves no ledger but the complete copy, which
    :func:`batcher.ledger.sqlite.files.is_missing` refuses.

    Args:
        path: the ledger, resolved; there may be none.
        backup: a whole ledger; it is only read.
        on_progress: called now and then with what is being done.
        now: for the name under which the old ledger stays.

    Raises:
        LedgerError: the backup is missing, damaged or from a newer version; or the disk has no room.
        BatcherError: the backup is the ledger itself.
    """
    copy_path = path.with_name(path.name + RESTORING)
    _check_backup(path, backup, copy_path)
    try:
        copy_path.unlink(missing_ok=True)
        os.close(os.open(copy_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        try:
            _fill(copy_path, backup, on_progress)
        except BaseException:
            if exists(path):  # otherwise it shows that a restoration was interrupted
                copy_path.unlink(missing_ok=True)
            raise
        return Restored(copy_path.stat().st_size, _swap(path, copy_path, now))
    except OSError as exc:
        raise LedgerError(f"{path}: cannot be restored: {reason_of(exc, to='write')}") from exc


def _check_backup(path: Path, backup: Path, copy_path: Path) -> None:
    if not exists(backup):
        raise LedgerMissing(f"{backup}: there is no such file; name the backup to restore")
    if any(exists(one) and backup.samefile(one) for one in (path, copy_path)):
        raise BatcherError(
            f"{backup}: this is the ledger itself or its unfinished restoration; name a backup"
        )
    check_file(backup)
    remedy = "Free some space, then restore again"
    _check_room(path, backup.stat().st_size, "restoring needs {} MiB on its disk", remedy)


def _fill(copy_path: Path, backup: Path, on_progress: Callable[[str], None]) -> None:
    """Copy a backup and check whether the copy is complete."""

    def progress(_: int, left: int, pages: int) -> None:
        on_progress(f"{(pages - left) * 100 // max(pages, 1)} % copied")

    with translated(backup), connect(backup, Access.INSPECT) as source:
        revision_of(source)
        _copied(source, copy_path, progress)
    findings = list(verify(copy_path, lambda what, _: on_progress(f"verifying {what}")))
    if findings:
        more = f", and {len(findings) - 1} more findings" if len(findings) > 1 else ""
        raise LedgerError(
            f"{backup}: not whole, and so not restored: {findings[0]}{more}. Restore an earlier backup; "
            f"batcher ledger verify -l {backup} shows all findings"
        )


def _swap(path: Path, copy_path: Path, now: datetime) -> Path | None:
    """Let the copy take the ledger's name; returns the old ledger's new one."""
    kept = path.with_name(f"{path.name}.before-restore-{now:%Y%m%dT%H%M%SZ}")
    had_one = exists(path)
    if had_one:
        path.rename(kept)
    for log in ("-wal", "-journal"):
        if exists(old := path.with_name(path.name + log)):
            old.rename(kept.with_name(kept.name + log))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    synced(path.parent)
    copy_path.rename(path)
    synced(path.parent)
    return kept if had_one else None


def vacuum(path: Path) -> Vacuumed:
    """Remove the empty pages from the file. The caller holds the ledger's lock.

    The file is written twice, once to a temporary file and once to the log, so that a
    crash at any time leaves the old one or the new one.

    Raises:
        LedgerError: the disk has not that much room, or the ledger cannot be written.
    """
    with connect(path, Access.WRITE) as connection:
        page, pages, free = (
            int(connection.value(f"PRAGMA {name}")) for name in ("page_size", "page_count", "freelist_count")
        )
        remedy = "Free some space, or make a backup on another disk"
        needs = "a vacuum needs {} MiB on its disk for a while"
        _check_room(path, 2 * page * (pages - free), needs, remedy)
        connection.run("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.run("VACUUM")
        connection.run("PRAGMA wal_checkpoint(TRUNCATE)")
        return Vacuumed(page * pages, path.stat().st_size)


def _check_room(path: Path, written: int, needs: str, remedy: str) -> None:
    needed, free = written + LEAST_FREE_BYTES, shutil.disk_usage(path.resolve().parent).free
    if free < needed:
        needs = needs.format(f"{needed >> 20:,}")
        raise LedgerError(f"{path}: {needs}, and {free >> 20:,} MiB are free. {remedy}")
