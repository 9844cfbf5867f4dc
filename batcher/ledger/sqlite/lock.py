"""The lock on a ledger: one process writes, and a second one learns which process that is.

Called by everything that writes a ledger, and by commands that report who does. There are two locks, and the
operating system releases both with their process. The one on ``LEDGER.lock`` exists before the ledger does.
The one on the ledger's own file keeps a second run out when ``LEDGER.lock`` was removed under the first: both
are needed, and must be taken in this order.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Self

from batcher.errors import LedgerBusy, LedgerError
from batcher.files import exists
from batcher.ledger.holding import Holder, LockClient, Purpose, busy_text, named
from batcher.ledger.sqlite.errors import unusable
from batcher.ledger.sqlite.identity import (
    InodeLock,
    check_one_name,
    inode_of,
    is_inode_locked,
    lock_inode,
)
from batcher.ledger.sqlite.lock_file import LockFile, holder_named, is_locked
from batcher.model.durations import at_least_a_second

LOOK_EVERY_S = 0.1
"""Seconds between two tries to take the lock while another process holds it."""

SETTLE_S = 0.3
"""A lock that is held for longer is held by the process that its file names: that is written immediately."""


class LedgerLock:
    """A lock that is held, until released or until the process ends.

    Attributes:
        is_first: no lock file was there before, so no ledger is likely to have been.
    """

    def __init__(
        self, path: Path, file: LockFile, inode: InodeLock | None, client: LockClient, *, is_first: bool
    ) -> None:
        self._path = path
        self._file = file
        self._inode = inode
        self._client = client
        self.is_first = is_first
        file.write(Holder(client.command))

    def cover(self) -> None:
        """Lock the ledger's file too, if it was created or replaced since.

        Raises:
            LedgerBusy: another process holds it, whose lock file was removed.
        """
        if self._inode is not None and self._inode.file == inode_of(self._path):
            return
        try:
            before, self._inode = self._inode, lock_inode(self._path, self._client.purpose.byte)
        except BlockingIOError as exc:
            raise LedgerBusy(busy_text(self._path, None, self._client)) from exc
        if before is not None:
            before.release()

    def check(self) -> None:
        """Make sure that no second process can have taken the lock.

        Raises:
            LedgerError: the lock file was removed or replaced, and the ledger itself cannot be locked here.
        """
        if self._inode is None and inode_of(Path(self._file.place)) != self._file.file:
            raise LedgerError(
                f"{self._file.place}: the lock file was removed or replaced while in use; another run "
                "may have begun, so nothing more is sent. See that only one is running, then run again"
            )

    def release(self) -> None:
        """Release both locks and remove the holder's name; a second time does nothing.

        A lock file that this lock created goes too if there is still no ledger: the command was refused.
        """
        if self.is_first and not exists(self._path):
            self._file.remove()
        self._file.erase()
        if self._inode is not None:
            self._inode.release()
            self._inode = None
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


async def take_lock(path: Path, client: LockClient | None = None) -> LedgerLock:
    """Take the lock of a ledger, and wait for another holder if the client waits.

    Raises:
        LedgerBusy: another process holds it.
        LedgerError: the lock file cannot be created, or the ledger's file has another name.
    """
    client, path = client or LockClient(), _resolved(path)
    check_one_name(path)
    place = _place(path, client.purpose)
    began, wait_s, reported, is_first = time.monotonic(), client.wait_s or 0.0, False, False
    while True:
        file = LockFile(path, place)
        is_first = is_first or file.is_new
        try:
            file.lock()
            inode = lock_inode(path, client.purpose.byte)  # the file's lock first
            return LedgerLock(path, file, inode, client, is_first=is_first)
        except BlockingIOError:
            file.close()
        except BaseException:
            file.close()
            raise
        waited_s = time.monotonic() - began
        # A name is believed when its process lives. One that cannot be checked, such as a process of another
        # machine, is believed after a moment: by then a check of `lock_holder` has ended, too.
        holder = holder_named(place)
        is_named = holder is not None and holder.is_here and holder.lives
        if is_named or waited_s >= SETTLE_S:
            if waited_s >= wait_s:
                raise LedgerBusy(busy_text(path, holder, client))
            if not reported:
                client.on_wait(
                    f"{path}: waiting up to {at_least_a_second(wait_s)} for {named(holder, client.purpose)}"
                )
                reported = True
        rest_s = max(wait_s, SETTLE_S) - waited_s
        await asyncio.sleep(min(LOOK_EVERY_S, max(rest_s, 0.0)))


async def lock_holder(path: Path) -> Holder | bool:
    """Return who holds the lock: True for a holder without a name, False for no holder. Leaves no trace.

    Trying the lock holds it for an instant. A run that asks in that instant finds no name in the file, or the
    name of a process that has ended, and asks again.

    Raises:
        LedgerError: the lock file cannot be read.
    """
    path, began = _resolved(path), time.monotonic()
    place = _place(path)
    while is_locked(path, place) or is_inode_locked(path, Purpose.SENDING.byte):
        holder, settled = holder_named(place), time.monotonic() - began >= SETTLE_S
        if holder is not None and (settled or (holder.is_here and holder.lives)):
            return holder
        if settled:
            return True
        await asyncio.sleep(LOOK_EVERY_S)
    return False


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as exc:
        raise unusable(path, "its path leads nowhere; name another --ledger") from exc


def _place(path: Path, purpose: Purpose = Purpose.SENDING) -> str:
    return f"{path}.{purpose.value}"
