"""Copies of a ledger's file: a backup beside it, and the file itself without its empty pages.

A backup is one moment of the ledger, taken while a run goes on: a reader's snapshot keeps what was there,
and the run's writer never waits for it. It comes into being whole: written beside its place, synced, looked
through, then renamed. Nothing here looks at what the rows say.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from batcher.errors import BatcherError, LedgerError
from batcher.ledger.sqlite.connection import connect_writer, translated
from batcher.ledger.sqlite.disk import LEAST_FREE_BYTES
from batcher.ledger.sqlite.verify import looking_into, revision_of
from batcher.output_files import check_target

STEP_PAGES = 2_000
"""Pages of 4 KiB copied at a time."""
PAUSE_S = 0.002
"""Between two steps: the disk is the run's first."""


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """What was gained."""

    before_bytes: int
    after_bytes: int


def back_up(path: Path, target: Path, tell: Callable[[int, int], None], *, replace: bool = False) -> int:
    """Copy a ledger as it is at this moment; returns the copy's size in bytes.

    Args:
        path: the ledger.
        target: the file to make.
        tell: called after each step with the pages copied and those there are.
        replace: a file that is there already may be replaced.

    Raises:
        LedgerError: the ledger cannot be read.
        BatcherError: the copy cannot be made.
    """
    _check_target(path, target, replace=replace)
    with looking_into(path) as source:
        revision_of(source, path)
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM alembic_version").fetchone()  # from here on it is this moment
        beside = _beside(target)
        try:
            _copy(source, beside, target, tell)
            beside.replace(target)
            _sync(target.resolve().parent)
        except OSError as exc:
            raise BatcherError(f"{target}: cannot be written: {exc.strerror or exc}") from exc
        finally:
            beside.unlink(missing_ok=True)
    return target.stat().st_size


def _check_target(path: Path, target: Path, *, replace: bool) -> None:
    if target.is_dir():
        raise BatcherError(f"{target}: this is a folder; name a file for the backup")
    if target.exists() and target.samefile(path):
        raise BatcherError(f"{target}: this is the ledger itself; name another file for the backup")
    check_target(target, "FILE", may_be_database=True)
    if target.exists() and not replace:
        raise BatcherError(f"{target}: there is a file already; name another, or replace it with --force")
    if not target.resolve().parent.is_dir():
        raise BatcherError(f"{target}: its folder does not exist; make it, or name another file")


def _beside(target: Path) -> Path:
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.resolve().parent)
    except OSError as exc:
        raise BatcherError(f"{target}: cannot be written: {exc.strerror or exc}") from exc
    os.close(descriptor)
    return Path(name)


def _copy(source: sqlite3.Connection, beside: Path, target: Path, tell: Callable[[int, int], None]) -> None:
    def progress(_: int, left: int, pages: int) -> None:
        tell(pages - left, pages)

    try:
        with closing(sqlite3.connect(beside, isolation_level=None)) as copy:
            source.backup(copy, pages=STEP_PAGES, progress=progress, sleep=PAUSE_S)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as exc:
        raise BatcherError(f"{target}: the copy could not be made: {exc}") from exc
    if found != "ok":
        raise LedgerError(f"{target}: the copy is not whole, and neither is the ledger: {found}")
    _sync(beside)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def vacuum(path: Path) -> Vacuumed:
    """Give the room of empty pages back to the disk. The caller holds the ledger's lock.

    The file is written anew twice, once to a file for the moment and once to the log beside it, so that a
    crash at any time leaves the old one or the new one.

    Raises:
        LedgerError: the disk has not that much room, or the ledger cannot be written.
    """
    engine = connect_writer(path)
    try:
        with translated(path), engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            page, pages, free = (
                int(driver.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_size", "page_count", "freelist_count")
            )
            _check_room(path, page * (pages - free))
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            driver.execute("VACUUM")
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return Vacuumed(page * pages, path.stat().st_size)
    finally:
        engine.dispose()


def _check_room(path: Path, used: int) -> None:
    needed, free = 2 * used + LEAST_FREE_BYTES, shutil.disk_usage(path.resolve().parent).free
    if free < needed:
        raise LedgerError(
            f"{path}: a vacuum needs {needed >> 20:,} MiB on its disk for a while, and {free >> 20:,} MiB "
            "are free. Free some space, or make a backup on another disk"
        )
