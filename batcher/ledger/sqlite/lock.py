"""The lock on a ledger: one process writes, and the second one learns which process that is.

Stands between the writers of a ledger and the operating system, whose locks vanish with their process.
There are two. The one on ``LEDGER.lock`` is there before the ledger is; the file names its holder, for people
alone: nothing is decided by what it says. The one on the ledger's own file keeps a second run out when
``LEDGER.lock`` was removed under the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import platform
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from filelock import FileLock, Timeout

from batcher.errors import LedgerBusy, LedgerError
from batcher.ledger.sqlite.identity import (
    InodeLock,
    check_one_name,
    inode_of,
    is_inode_locked,
    lock_inode,
)

LOOK_EVERY_S = 0.1
"""How often the lock is tried while somebody else holds it."""

SETTLE_S = 0.3
"""A lock that is held for longer is held by whom its file names: he has written it at once."""

_MOST_BYTES = 1024
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a ledger's lock."""

    pid: int
    host: str
    since: datetime
    command: str
    """The command's name, without its arguments: those may hold signed URLs."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S} UTC ({self.command})"

    @property
    def is_here(self) -> bool:
        """Whether its process would be one of this machine's."""
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


class Purpose(Enum):
    """What a lock is for: each has a file of its own, so that who tracks works beside who sends."""

    SENDING = "lock"
    TRACKING = "track.lock"
    FETCHING = "fetch.lock"

    @property
    def byte(self) -> int:
        """Which byte of the ledger's own file is locked for it."""
        return list(Purpose).index(self)


_HELD = {
    Purpose.SENDING: "another run holds this ledger",
    Purpose.TRACKING: "somebody follows this ledger's tasks already",
    Purpose.FETCHING: "somebody fetches this ledger's pictures already",
}


@dataclass(frozen=True, slots=True)
class LockClient:
    """Who asks for a lock."""

    command: str = "batcher"
    wait_s: float | None = None
    """How long to wait for another holder; None for a command that has no such option."""
    on_wait: Callable[[str], None] = field(default=lambda _: None)
    """Called once, when there is somebody to wait for."""
    purpose: Purpose = Purpose.SENDING


class LedgerLock:
    """A lock that is held, until released or until the process ends.

    Attributes:
        is_first: no lock file was there before, so no ledger is likely to have been.
    """

    def __init__(
        self, path: Path, lock: FileLock, name: _NameFile, inode: InodeLock | None, client: LockClient
    ) -> None:
        self._path = path
        self._lock = lock
        self._descriptor = name.descriptor
        self._inode = inode
        self._client = client
        self._file = inode_of(Path(lock.lock_file))
        self.is_first = name.is_new
        _write(name.descriptor, Holder(os.getpid(), platform.node(), datetime.now(UTC), client.command))

    def cover(self) -> None:
        """Lock the ledger's file too, if it was made or replaced since.

        Raises:
            LedgerBusy: another process holds it, whose lock file was removed.
        """
        if self._inode is not None and self._inode.file == inode_of(self._path):
            return
        try:
            before, self._inode = self._inode, lock_inode(self._path, self._client.purpose.byte)
        except BlockingIOError as exc:
            raise LedgerBusy(_busy(self._path, None, self._client)) from exc
        if before is not None:
            before.release()

    def check(self) -> None:
        """Make sure that no second process can have been let in.

        Raises:
            LedgerError: the lock file was removed or replaced, and the ledger itself cannot be locked here.
        """
        if self._inode is None and inode_of(Path(self._lock.lock_file)) != self._file:
            raise LedgerError(
                f"{self._lock.lock_file}: the lock file was removed or replaced while in use; another run "
                "may have begun, so nothing more is sent. See that only one is running, then run again"
            )

    def release(self) -> None:
        """Release it; no name stays behind."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1
        if self._inode is not None:
            self._inode.release()
            self._inode = None
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


async def take_lock(path: Path, client: LockClient | None = None) -> LedgerLock:
    """Take the lock of a ledger, waiting for another holder as long as is wanted.

    Raises:
        LedgerBusy: another process holds it.
        LedgerError: the lock file cannot be made, or the ledger's file has another name.
    """
    client, path = client or LockClient(), _resolved(path)
    check_one_name(path)
    place = _place(path, client.purpose)
    name = _open(path, place)
    lock = FileLock(place, mode=0o600, thread_local=False, fallback_to_soft=False)
    try:
        inode = await _acquire(path, lock, client)
        return LedgerLock(path, lock, name, inode, client)
    except BaseException:
        os.close(name.descriptor)
        raise


async def _acquire(path: Path, lock: FileLock, client: LockClient) -> InodeLock | None:
    began, wait_s, said = time.monotonic(), client.wait_s or 0.0, False
    while True:
        try:
            return _acquired(path, lock, client)
        except BlockingIOError:
            pass
        waited_s = time.monotonic() - began
        # A name is believed when its process lives; what cannot be known, such as another machine's
        # process, after a moment. A look at the lock by `lock_holder` has passed by then, too.
        holder = _holder(path, client.purpose)
        named = holder is not None and holder.is_here and holder.lives
        if named or waited_s >= SETTLE_S:
            if waited_s >= wait_s:
                raise LedgerBusy(_busy(path, holder, client))
            if not said:
                client.on_wait(f"{path}: waiting up to {wait_s:g} s for {_named(holder, client.purpose)}")
                said = True
        rest_s = max(wait_s, SETTLE_S) - waited_s
        await asyncio.sleep(min(LOOK_EVERY_S, max(rest_s, 0.0)))


def _acquired(path: Path, lock: FileLock, client: LockClient) -> InodeLock | None:
    """Both locks; the second one is None where there is no file to lock yet, or no such lock.

    Raises:
        BlockingIOError: another holds one of them.
    """
    try:
        lock.acquire(timeout=0)
    except Timeout as exc:
        raise BlockingIOError from exc
    except (OSError, NotImplementedError) as exc:
        raise _unusable(path, str(exc)) from exc
    try:
        return lock_inode(path, client.purpose.byte)
    except BlockingIOError:
        lock.release()
        raise


async def lock_holder(path: Path) -> Holder | bool:
    """Who holds the lock: True for somebody who cannot be named, False for nobody. Leaves no trace.

    Trying the lock holds it for an instant. A run that asks just then finds no name in the file, or a dead
    one, and asks again.

    Raises:
        LedgerError: the lock file cannot be read.
    """
    began = time.monotonic()
    while _is_held(path):
        holder, settled = _holder(path), time.monotonic() - began >= SETTLE_S
        if holder is not None and (settled or (holder.is_here and holder.lives)):
            return holder
        if settled:
            return True
        await asyncio.sleep(LOOK_EVERY_S)
    return False


def _is_held(path: Path) -> bool:
    return _is_file_held(path) or is_inode_locked(path.resolve(), Purpose.SENDING.byte)


def _is_file_held(path: Path) -> bool:
    try:
        descriptor = os.open(_place(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise _unusable(path, f"its lock file cannot be read: {exc.strerror}") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as exc:
        raise _unusable(path, f"its lock file cannot be locked: {exc.strerror}") from exc
    finally:
        os.close(descriptor)
    return False


# -- the file -----------------------------------------------------------------------------------------


class _NameFile(NamedTuple):
    """The lock file, opened to write the holder's name into it."""

    descriptor: int
    is_new: bool


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as exc:
        raise _unusable(path, "its path leads nowhere; name another --ledger") from exc


def _place(path: Path, purpose: Purpose = Purpose.SENDING) -> str:
    return f"{_resolved(path)}.{purpose.value}"


def _open(path: Path, place: str) -> _NameFile:
    """Open the lock file ourselves first: the library makes missing folders, and waits for what cannot be."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        try:
            return _NameFile(os.open(place, flags | os.O_CREAT | os.O_EXCL, 0o600), is_new=True)
        except FileExistsError:
            descriptor = os.open(place, flags | os.O_CREAT, 0o600)
    except FileNotFoundError as exc:
        raise _unusable(path, "its folder does not exist; make it, or name another --ledger") from exc
    except OSError as exc:
        raise _unusable(path, f"{exc.strerror}; make its folder writable, or name another --ledger") from exc
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise _unusable(path, f"{place} is no lock file of ours; remove it while no run is going on")
    return _NameFile(descriptor, is_new=False)


def _write(descriptor: int, holder: Holder) -> None:
    """Put a name in the file, over the one before it: one line, so that no reader sees half of each."""
    line = json.dumps(
        {
            "pid": holder.pid,
            "host": holder.host,
            "since": holder.since.isoformat(timespec="seconds"),
            "command": holder.command,
        }
    )
    with contextlib.suppress(OSError):  # a full disk: the lock holds without a name
        os.pwrite(descriptor, f"{line}\n".encode(), 0)
        os.ftruncate(descriptor, len(line) + 1)


def _holder(path: Path, purpose: Purpose = Purpose.SENDING) -> Holder | None:
    """Whom the lock file names; None when it names nobody, or a process of this machine that has ended."""
    try:
        descriptor = os.open(_place(path, purpose), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        line, end, _ = os.pread(descriptor, _MOST_BYTES, 0).partition(b"\n")
        said = json.loads(line + end)
        holder = Holder(
            int(said["pid"]),
            _text(said["host"]),
            datetime.fromisoformat(said["since"]).astimezone(UTC),
            _text(said["command"]),
        )
    except (OSError, ValueError, OverflowError, TypeError, KeyError):
        return None
    finally:
        os.close(descriptor)
    return None if holder.pid <= 0 or (holder.is_here and not holder.lives) else holder


def _text(value: object) -> str:
    """A name out of a file that anybody may have written."""
    return "".join(one for one in str(value) if one.isprintable())[:_LONGEST_NAME]


# -- what is said -------------------------------------------------------------------------------------


def _named(holder: Holder | None, purpose: Purpose) -> str:
    who = "another run" if purpose is Purpose.SENDING else "another tracking"
    return f"{who}: {holder}" if holder else f"{who}, whose process cannot be told"


def _busy(path: Path, holder: Holder | None, client: LockClient) -> str:
    who, held = f": {holder}" if holder else "; its process cannot be told", _HELD[client.purpose]
    if client.wait_s:
        waited = f"also after waiting {client.wait_s:g} s"
        return f"{path}: {held}, {waited}{who}. Wait longer"
    if client.wait_s is None:
        return f"{path}: {held}{who}. Wait until it has ended"
    return f"{path}: {held}{who}. Wait for it, or use --wait-lock"


def _unusable(path: Path, why: str) -> LedgerError:
    return LedgerError(f"{path}: the ledger cannot be used: {why}")
