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
import platform
import stat
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from batcher.files import reason_of
from batcher.ledger.sqlite.errors import unusable
from batcher.ledger.sqlite.identity import Inode

_LONGEST_LINE_BYTES = 1024
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a ledger's lock."""

    pid: int
    host: str
    since: datetime
    command: str
    """The command's name, without its arguments: those may contain signed URLs."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S} UTC ({self.command})"

    @classmethod
    def this_process(cls, command: str) -> Self:
        """Return this process, as a holder from now on."""
        return cls(os.getpid(), platform.node(), datetime.now(UTC), command)

    @property
    def is_here(self) -> bool:
        """Whether the process belongs to this machine."""
        return self.host == platform.node()

    @property
    def lives(self) -> bool:
        """Whether this machine has such a process."""
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            return True
        return True


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
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as exc:
            raise unusable(
                self._ledger, f"its lock file cannot be locked: {reason_of(exc, self.place)}"
            ) from exc
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
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as exc:
        raise unusable(ledger, f"its lock file cannot be locked: {reason_of(exc, place)}") from exc
    finally:
        os.close(descriptor)
    return False


def holder_named(place: str) -> Holder | None:
    """Return the holder that a lock file names; None without a name or when its local process has ended."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        line, end, _ = os.pread(descriptor, _LONGEST_LINE_BYTES, 0).partition(b"\n")
        fields = json.loads(line + end)
        holder = Holder(
            int(fields["pid"]),
            _printable(fields["host"]),
            datetime.fromisoformat(fields["since"]).astimezone(UTC),
            _printable(fields["command"]),
        )
    except (OSError, ValueError, OverflowError, TypeError, KeyError):
        return None
    finally:
        os.close(descriptor)
    return None if holder.pid <= 0 or (holder.is_here and not holder.lives) else holder


def _printable(value: object) -> str:
    """Return a name from a file that any program may have written."""
    return "".join(char for char in str(value) if char.isprintable())[:_LONGEST_NAME]
