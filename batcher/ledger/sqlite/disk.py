"""The disk under a ledger: its room, its kind, and whether the file is still the one that was opened.

Called by the writer before each transaction, and by a run before it begins. It also reserves room during a
run, and frees it when the disk is full, so that the answers of requests in flight can still be recorded.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from batcher.errors import LedgerError
from batcher.files import reason_of
from batcher.ledger.sqlite.identity import inode_of, mounts
from batcher.model.records import Room

RESERVE_BYTES = 4 << 20
"""Enough for the answers of several hundred requests, with every page they touch written twice."""

LEAST_FREE_BYTES = 16 << 20
"""The free space that a run needs to begin."""

BYTES_PER_ATTEMPT = 250
"""The space that one more attempt takes in a ledger."""

_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "webdav", "9p", "ceph", "glusterfs", "lustre"}


class LedgerDisk:
    """The file of an open ledger, and the reserve next to it.

    SQLite would continue to write to a file that has no name any more, so the file's identity is
    compared with the one it had when it was opened.

    Args:
        path: the ledger.
        alone: raises LedgerError when another process may write.
    """

    def __init__(self, path: Path, alone: Callable[[], None] = lambda: None) -> None:
        self._path = path
        resolved = path.resolve()
        self._reserve = resolved.with_name(resolved.name + ".reserve")
        self._opened = inode_of(path)
        self._alone = alone

    def check(self) -> None:
        """Make sure that the file is still the one that was opened.

        Raises:
            LedgerError: it was deleted or replaced, or another process may write it.
        """
        self._alone()
        if inode_of(self._path) != self._opened:
            raise LedgerError(
                f"{self._path}: the ledger was deleted or replaced while in use; nothing more is sent. "
                "Put the file back if it was moved, then run again"
            )

    def set_room_aside(self) -> None:
        """Reserve room that is freed when the disk is full.

        Raises:
            LedgerError: the disk has not that much room.
        """
        try:
            self._reserve.unlink(missing_ok=True)  # never written through: it may be a link to something else
            with open(self._reserve, "xb", opener=_opened_anew) as file:
                # Written, not only allocated: some file systems promise room that they do not have.
                file.write(os.urandom(1 << 16) * (RESERVE_BYTES >> 16))
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            self.give_room()
            raise LedgerError(
                f"{self._reserve}: {reason_of(exc, self._reserve, to='write')}. "
                f"A run needs {RESERVE_BYTES >> 20} MiB next to its ledger"
            ) from exc

    def give_room(self) -> None:
        """Free the reserve."""
        with contextlib.suppress(OSError):
            self._reserve.unlink()


def check_room(path: Path, open_submissions: int) -> str | None:
    """Check the free space before a run begins; returns a warning when the work may not fit.

    Raises:
        LedgerError: the free space is below the minimum.
    """
    free = shutil.disk_usage(path.resolve().parent).free
    if free < LEAST_FREE_BYTES:
        raise LedgerError(
            f"{path}: only {free >> 20} MiB are free on its disk; a run needs {LEAST_FREE_BYTES >> 20} MiB. "
            "Free some space, then run again"
        )
    needed = open_submissions * BYTES_PER_ATTEMPT
    if free < needed + LEAST_FREE_BYTES:
        return (
            f"{path}: {free >> 20} MiB are free on its disk, and the open submissions will take about "
            f"{needed >> 20} MiB; the run will stop when the disk is full; free some space, then run again"
        )
    return None


def network_file_system(path: Path) -> str | None:
    """Return the kind of network file system a file is on; None on a local disk, or if it is unknown."""
    try:
        kind = _kind(path.resolve().parent)
    except OSError:
        return None
    return kind if kind in _NETWORK or "fuse." in kind else None


def _kind(folder: Path) -> str:
    place = os.fsencode(folder)
    best, kind = b"", ""
    for mounted, its_kind in mounts():
        inside = mounted in (b"/", place) or place.startswith(mounted + b"/")
        if inside and len(mounted) >= len(best):
            best, kind = mounted, its_kind
    return kind


def _opened_anew(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def room(path: Path, open_submissions: int) -> Room:
    """The room on the disk of a ledger, and what the open work takes.

    Raises:
        OSError: its folder cannot be inspected.
    """
    free = shutil.disk_usage(path.resolve().parent).free
    return Room(free, open_submissions * BYTES_PER_ATTEMPT, LEAST_FREE_BYTES)
