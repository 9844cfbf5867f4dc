"""The lock file next to a ledger: one ``flock`` on it, and the name of the process that holds it.

Called by :mod:`batcher.ledger.sqlite.lock` alone. The operating system releases the lock with its process.
The name in the file is for messages: no decision about the lock depends on it. It is one line, written with
one call, so that a reader never sees half of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from batcher.files import reason_of
from batcher.ledger.holding import Holder
from batcher.ledger.sqlite.errors import unusable
from batcher.ledger.sqlite.identity import Inode, inode_of

_LONGEST_LINE_BYTES = 1024
_LONGEST_NAME = 100


class LockFile:
    """An open lock file. The lock belongs to this opening, and ends when it is closed.

    Attributes:
        is_new: opening it created it.
        file: its device and number.
    """

    def __init__(self, ledger: Path, place: str) -> None:
        """Open the lock file, and create it if it does not exist.

        Raises:
            LedgerError: it cannot be created, or is not a regular file of its own.
        """
        self.place = place
        self._ledger = ledger
        self._descriptor, self.is_new = _open(ledger, place)
        status = os.fstat(self._descriptor)
        self.file: Inode = status.st_dev, status.st_ino
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            self.close()
            raise unusable(ledger, f"{place} is not a lock file of batcher; remove it while no run is active")

    def lock(self) -> None:
        """Lock the file without waiting.

        Raises:
            BlockingIOError: another opening holds the lock, or the file was removed meanwhile.
            LedgerError: the file system has no such lock.
        """
        if not _try_flock(self._ledger, self._descriptor, fcntl.LOCK_EX):
            raise BlockingIOError(f"{self.place}: is locked")
        if os.fstat(self._descriptor).st_nlink == 0:
            raise BlockingIOError(f"{self.place}: was removed before it was locked")

    def write(self, holder: Holder) -> None:
        """Write the holder's name over the one before. A full disk is no error: the lock needs no name."""
        line = json.dumps(asdict(holder) | {"since": holder.since.isoformat(timespec="seconds")})
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, f"{line}\n".encode(), 0)
            os.ftruncate(self._descriptor, len(line) + 1)

    def erase(self) -> None:
        """Remove the holder's name."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)

    def remove(self) -> None:
        """Remove the file, which must be locked: a process that waits for it notices, and makes another."""
        with contextlib.suppress(OSError):
            if self._descriptor >= 0 and inode_of(Path(self.place)) == self.file:
                os.unlink(self.place)  # noqa: PTH108 - a text, as it was opened

    def close(self) -> None:
        """Close the file, which releases the lock; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _open(ledger: Path, place: str) -> tuple[int, bool]:
    """Open a lock file for writing; returns its descriptor and whether it is new."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        try:
            return os.open(place, flags | os.O_CREAT | os.O_EXCL, 0o600), True
        except FileExistsError:
            return os.open(place, flags | os.O_CREAT, 0o600), False
    except OSError as exc:
        why = f"its lock file {place} cannot be made: {reason_of(exc, place, to='write')}"
        raise unusable(ledger, why) from exc


def is_locked(ledger: Path, place: str) -> bool:
    """Return whether a lock file is locked. Trying it holds a shared lock for an instant.

    Raises:
        LedgerError: it cannot be read, or the file system has no such lock.
    """
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (
        FileNotFoundError,
        PermissionError,
    ):  # of another user: the lock on the ledger itself says it, too
        return False
    except OSError as exc:
        raise unusable(ledger, f"its lock file cannot be read: {reason_of(exc, place, to='read')}") from exc
    try:
        return not _try_flock(ledger, descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _try_flock(ledger: Path, descriptor: int, kind: int) -> bool:
    """Lock a lock file without waiting; False if another opening holds the lock."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        raise unusable(ledger, f"its lock file cannot be locked: {reason_of(exc)}") from exc
    return True


def holder_named(place: str) -> Holder | None:
    """Return the holder that a lock file names; None without a name or when its local process has ended."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        line, end, _ = os.pread(descriptor, _LONGEST_LINE_BYTES, 0).partition(b"\n")
        fields = json.loads(line + end)
        command, host = _printable(fields["command"]), _printable(fields["host"])
        since = datetime.fromisoformat(fields["since"]).astimezone(UTC)
        holder = Holder(command, int(fields["pid"]), host, since)
    except (OSError, ValueError, OverflowError, TypeError, KeyError):
        return None
    finally:
        os.close(descriptor)
    return None if holder.pid <= 0 or (holder.is_here and not holder.lives) else holder


def _printable(value: object) -> str:
    """Return a name from a file that any program may have written."""
    return "".join(char for char in str(value) if char.isprintable())[:_LONGEST_NAME]
