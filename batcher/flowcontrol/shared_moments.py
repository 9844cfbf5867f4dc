"""The list of moments at which the last requests left, in a file that all processes of the machine share.

Called by :mod:`batcher.flowcontrol.machine_limit`, which has one list for each limit. The pacer's window
(:class:`batcher.flowcontrol.sliding_window.SlidingWindow`) asks :class:`MachineCount` just before each
request leaves. The format of the file must stay the same between versions that run on one machine.
"""

from __future__ import annotations

import bisect
import contextlib
import fcntl
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from batcher.flowcontrol.limit_key import LimitKey
from batcher.flowcontrol.shared_folder import (
    MAGIC,
    is_named,
    open_file,
    open_folder,
    shared_folders,
    sweep,
    try_lock,
)
from batcher.flowcontrol.sliding_window import SlidingWindow, Spacing

LOCKED_RETRY_S = 0.002
"""Seconds until a process asks again while another process has the list."""
LOCKED_LONGEST_S = 2.0
"""A process that keeps the list for this long is stopped or hostile; then this process counts by itself."""
FUTURE_S = 1.0
"""A moment farther ahead was written before a restart of the machine."""


class SharedMoments:
    """The moments at which the last requests of all processes left; safe in threads.

    Args:
        key: of the limit.
        places: where the shared folder may lie.
        clock: monotonic seconds, the same in all processes of the machine.
    """

    def __init__(
        self,
        key: LimitKey,
        places: tuple[Path, ...] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = f"{key.file_name}.moments"
        self._places = shared_folders() if places is None else places
        self._clock = clock
        self._threads = threading.Lock()
        self._folder = self._file = -1
        self._own: list[float] = []
        """The moments of this process: the file may vanish."""
        self._locked_since: float | None = None
        self.problem: str | None = None
        """Why nothing is shared with other processes; None when it is."""
        with contextlib.suppress(BlockingIOError), self.taken():
            sweep(self._folder)

    @contextmanager
    def taken(self) -> Iterator[list[float]]:
        """Lock the list and yield the moments, oldest first, to read and to change.

        Raises:
            BlockingIOError: another process has the list.
        """
        with self._threads:
            shared = self._lock()
            try:
                before = {*self._own, *(self._read() if shared else ())}
                moments = sorted(before)
                yield moments
                after = set(moments)
                if after != before:
                    own = ({*self._own} & after) | (after - before)
                    self._own = sorted(own)[-SlidingWindow.COUNTED_PER_S :]
                    if shared:
                        self._write(moments[-SlidingWindow.COUNTED_PER_S :])
            finally:
                if shared:
                    fcntl.flock(self._file, fcntl.LOCK_UN)

    def _lock(self) -> bool:
        """Lock the file; False when no file can be shared."""
        try:
            if self._file < 0 or not is_named(self._file, self._folder, self._name):
                self._open()
            if try_lock(self._file):
                self._locked_since = self.problem = None
                return True
        except OSError as exc:
            self.problem = exc.strerror or str(exc)
            return False
        self._locked_since = self._locked_since or self._clock()
        if self._clock() - self._locked_since < LOCKED_LONGEST_S:
            raise BlockingIOError
        self.problem = "another process does not release the shared list"
        return False

    def _open(self) -> None:
        self.close()
        self._folder = open_folder(self._places)
        self._file = open_file(self._folder, self._name, writing=True)

    def close(self) -> None:
        """Release the file."""
        for descriptor in (self._file, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._folder = -1

    def _read(self) -> tuple[float, ...]:
        content = os.pread(self._file, len(MAGIC) + 8 * SlidingWindow.COUNTED_PER_S, 0)[len(MAGIC) :]
        moments = struct.unpack(f"{len(content) // 8}d", content[: len(content) // 8 * 8])
        latest = self._clock() + FUTURE_S
        return tuple(at for at in moments if 0 < at < latest)

    def _write(self, moments: list[float]) -> None:
        content = MAGIC + struct.pack(f"{len(moments)}d", *moments)
        os.pwrite(self._file, content, 0)
        os.ftruncate(self._file, len(content))

    @property
    def folder(self) -> int:
        """A descriptor of the shared folder, for use while the list is taken; -1 when nothing is shared."""
        return self._folder if self.problem is None else -1


class MachineCount:
    """The count that a window asks before a request leaves; it covers all processes of the machine.

    Args:
        moments: the shared list.
        limit_per_s: over all processes.
    """

    def __init__(self, moments: SharedMoments, limit_per_s: float) -> None:
        self._moments = moments
        self._spacing = Spacing(limit_per_s)

    def enter(self, at: float, instead_of: float) -> float:
        """Count a request that leaves now, if there is room; return how long to wait otherwise."""
        try:
            with self._moments.taken() as moments:
                others = [moment for moment in moments if moment != instead_of]
                if (wait_s := self._spacing.wait_s(others, at)) <= 0:
                    bisect.insort(others, at)
                    moments[:] = others
                return wait_s
        except BlockingIOError:
            return LOCKED_RETRY_S

    def move(self, before: float, at: float) -> None:
        """Correct the moment of a request that is counted already; without a lock it stays a few ms off."""
        with contextlib.suppress(BlockingIOError), self._moments.taken() as moments:
            if before in moments:
                moments.remove(before)
                bisect.insort(moments, at)
