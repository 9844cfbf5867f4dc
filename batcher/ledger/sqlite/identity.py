"""The identity of a ledger: one file with one name, and a lock on the file itself.

A lock on a file next to the ledger holds only while that file stays. Here the ledger's own inode is locked as
well: a byte far behind all that SQLite locks, by a lock that belongs to an open file description (Linux's
``F_OFD_SETLK``). SQLite's locks are of the other kind: closing *any* descriptor of the file ends all of those
that the process holds, so descriptors are closed here only while the process has no connection to the file.

Called by the locks, by connections and by the checks before writing. Open no ledger by other means in this
process: closing that descriptor would end SQLite's locks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from batcher.errors import LedgerError

Inode = tuple[int, int]
"""A file's device and number: the same under every name."""

LOCK_BYTE = 1 << 62
"""The offset of our locks; SQLite's are at 1 GiB, and no ledger is as long as this."""

_FLOCK = "hhqqi0q"
"""``struct flock`` of Linux: type, whence, start, length, process."""

_HELD = {errno.EAGAIN, errno.EACCES}
_OCTAL = re.compile(rb"\\([0-7]{3})")

_closing = threading.Lock()
_connected: Counter[Inode] = Counter()
"""The number of engines of this process that may have connections to a file."""
_parked: dict[Inode, list[int]] = {}
"""Descriptors to close once the process has no connection to their file."""


def inode_of(path: Path) -> Inode | None:
    """Return which file a path names, or None."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


# -- descriptors ---------------------------------------------------------------------------------------


def connecting(path: Path) -> Callable[[], None]:
    """Count a connection of this process to a file; the returned function ends the count."""
    file = inode_of(path)
    if file is None:
        return lambda: None
    with _closing:
        _connected[file] += 1

    def disconnected() -> None:
        with _closing:
            _connected[file] -= 1
            if not _connected[file]:
                del _connected[file]
                for descriptor in _parked.pop(file, ()):
                    os.close(descriptor)

    return disconnected


def first_bytes(path: Path, n: int) -> bytes | None:
    """Read the start of a file; None if this process has it open as a database.

    Raises:
        OSError: it cannot be read, or is not a file (so that a pipe does not block).
    """
    with _closing:
        if _connected[inode_of(path) or (0, 0)]:
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return os.read(descriptor, n)
        finally:
            os.close(descriptor)


def _close(descriptor: int) -> None:
    """Close a descriptor of a ledger, now or once this process has no connection to the file."""
    status = os.fstat(descriptor)
    file = status.st_dev, status.st_ino
    with _closing:
        if _connected[file]:
            _parked.setdefault(file, []).append(descriptor)
        else:
            os.close(descriptor)


# -- the lock ------------------------------------------------------------------------------------------


class InodeLock:
    """A held lock on a ledger's file, until released or until the process ends."""

    def __init__(self, descriptor: int, byte: int) -> None:
        self._descriptor = descriptor
        self._byte = byte
        status = os.fstat(descriptor)
        self.file: Inode = status.st_dev, status.st_ino

    def release(self) -> None:
        """Release it; a second time does nothing."""
        if self._descriptor >= 0:
            _set_lock(self._descriptor, self._byte, fcntl.F_UNLCK)
            _close(self._descriptor)
            self._descriptor = -1


def lock_inode(path: Path, byte: int) -> InodeLock | None:
    """Lock one of our bytes of a file; None if there is no such file, or no such lock on this system.

    Raises:
        BlockingIOError: another process, or another opening in this one, holds it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None  # SQLite will say what is wrong with it
    try:
        locked = stat.S_ISREG(os.fstat(descriptor).st_mode) and _set_lock(descriptor, byte, fcntl.F_WRLCK)
    except BlockingIOError:
        _close(descriptor)
        raise
    if not locked:
        _close(descriptor)
        return None
    return InodeLock(descriptor, byte)


def is_inode_locked(path: Path, byte: int) -> bool:
    """Return whether a process holds one of our locks on a file, without taking it."""
    if not _has_lock():
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, LOCK_BYTE + byte, 1, 0)
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        _close(descriptor)


def _has_lock() -> bool:
    return sys.platform == "linux" and hasattr(fcntl, "F_OFD_SETLK")


def _set_lock(descriptor: int, byte: int, kind: int) -> bool:
    """Set or end a lock; False if this system or this file system has none.

    Raises:
        BlockingIOError: another holds it.
    """
    if not _has_lock():
        return False
    request = struct.pack(_FLOCK, kind, os.SEEK_SET, LOCK_BYTE + byte, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
    except OSError as exc:
        if exc.errno in _HELD:
            raise BlockingIOError(exc.errno, exc.strerror) from exc
        return False
    return True


# -- its other names -----------------------------------------------------------------------------------


def check_one_name(path: Path) -> None:
    """Refuse to write a ledger that has several names: its log and its locks belong to one path.

    Symbolic links are allowed: they lead to the file's own name.

    Raises:
        LedgerError: its file has several hard links, or is a mount point by itself.
    """
    try:
        status = path.stat()
    except OSError:
        return
    if not stat.S_ISREG(status.st_mode):
        return
    copy = f"use a copy: batcher ledger backup COPY -l {path}"
    if status.st_nlink > 1:
        raise LedgerError(
            f"{path}: this file has {status.st_nlink} names (hard links); runs under two of them would send "
            f"everything twice, so batcher only reads it. Remove the other links (find "
            f"{path.parent} -samefile {path} lists those nearby), or {copy}"
        )
    if is_mount_point(path):
        raise LedgerError(
            f"{path}: this file is mounted by itself; its log stays outside the mount and is lost with the "
            f"container, and what was sent would be sent again, so batcher only reads it. Mount its folder "
            f"instead, or {copy}"
        )


def is_mount_point(path: Path) -> bool:
    """Return whether a path is a mount point."""
    try:
        place = os.fsencode(path.resolve())
        return any(mounted == place for mounted, _ in mounts())
    except OSError:
        return os.path.ismount(path)


def mounts() -> list[tuple[bytes, str]]:
    """List the mount points with the kinds of their file systems, the oldest first.

    Raises:
        OSError: this system has no such list (only Linux has).
    """
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        before, _, after = line.partition(b" - ")
        place = _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), before.split(b" ")[4])
        found.append((place, after.split(b" ")[0].decode("ascii", "replace")))
    return found
