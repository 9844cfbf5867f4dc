"""A ledger in a place that this user may not write: a backup on a share, the ledger of another user.

Called when a ledger is opened for reading. SQLite reads a ledger by its log, and makes the log when there is
none; where it cannot, a ledger without a log is read as it is on the disk. It must not be written meanwhile,
which is checked after each transaction.
"""

from __future__ import annotations

import os
from pathlib import Path

from batcher.errors import LedgerError
from batcher.files import exists
from batcher.ledger.sqlite.errors import unusable


def is_beyond_writing(path: Path) -> bool:
    """Whether this user may not make files next to a ledger."""
    return not os.access(path.resolve().parent, os.W_OK | os.X_OK)


def has_log(path: Path) -> bool:
    """Whether a ledger has a log that must be read with it; an empty one that is not in use does not count.

    Args:
        path: the ledger itself, not a link to it.
    """
    log, shared = path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")
    try:
        return log.stat().st_size > 0 or exists(shared)
    except OSError:
        return False


def check_log(path: Path) -> None:
    """Refuse a ledger whose log cannot be read without writing.

    Raises:
        LedgerError: it has a log without the index (``-shm``) that SQLite reads it by, or this user may not
            read one of them.
    """
    path = path.resolve()
    log, shared = path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")
    if not has_log(path):
        return
    if not exists(shared):
        why = f"its log {log.name} lies next to it, and reading that needs a new file in {path.parent}"
    elif not (os.access(log, os.R_OK) and os.access(shared, os.R_OK)):
        why = f"this user may not read its log ({log.name}, {shared.name}), which holds what was sent last"
    else:
        return
    raise unusable(
        path,
        f"{why}. Give this user the rights, or copy the ledger with its log to a folder that can be written "
        f"(cp {path} {log} FOLDER/) and read the copy with --ledger",
    )


def check_can_upgrade(path: Path) -> None:
    """Refuse a ledger of an older schema that cannot be upgraded where it is.

    Raises:
        LedgerError: this user may not write here.
    """
    if is_beyond_writing(path):
        raise unusable(
            path,
            "an older batcher has written it, so it must be upgraded before it is read, and this user may "
            f"not write in {path.resolve().parent}. Copy it to a folder that can be written, and read the "
            "copy with --ledger",
        )


class StillImage:
    """A ledger that is read as it is on the disk, while it must not change.

    Args:
        path: the ledger.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self._seen = self._look()

    def check(self) -> None:
        """Make sure that nothing was written since the ledger was opened.

        Raises:
            LedgerError: it was written.
        """
        if self._look() != self._seen:
            raise LedgerError(
                f"{self._path}: the ledger was written while it was read: a run has begun. "
                "Run this command again"
            )

    def _look(self) -> tuple[int, int, int, bool]:
        try:
            status = self._path.stat()
        except OSError:
            return 0, 0, 0, False
        return status.st_ino, status.st_size, status.st_mtime_ns, has_log(self._path)
