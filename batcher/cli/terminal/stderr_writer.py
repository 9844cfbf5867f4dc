"""stderr behind a thread, so that an unread pipe or a stopped terminal never delays a run.

Called by the console, by log records and by the progress display. Lines keep their order. When too many lines
wait, progress lines are dropped and counted; problems never are. The end of the process waits a limited time
for the reader. A closed pipe never raises.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import os
import select
import stat
import sys
import threading
from collections import deque

MOST_WAITING = 1_000
"""The number of waiting lines above which lines that are not needed are dropped."""

END_S = 5.0
"""The time limit of the wait for the reader at the end of the process."""


class Outlet:
    """A descriptor with a thread that writes to it.

    Attributes:
        left_out: the number of lines that were dropped, since the lines before them were not read.
    """

    def __init__(self, descriptor: int, most_waiting: int = MOST_WAITING) -> None:
        self.left_out = 0
        self._descriptor = descriptor
        self._most_waiting = most_waiting
        self._waiting = deque[bytes]()
        self._changed = threading.Condition()
        self._writing = False
        self._gone = False
        self._thread: threading.Thread | None = None

    def write(self, data: bytes, *, needed: bool) -> None:
        """Queue data to be written; return immediately.

        Args:
            data: one line or more.
            needed: never drop it.
        """
        with self._changed:
            if self._gone:
                return
            if not needed and len(self._waiting) >= self._most_waiting:
                self.left_out += 1
                return
            self._waiting.append(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="stderr", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    @property
    def behind(self) -> bool:
        """Whether data is waiting to be written."""
        return self._writing or bool(self._waiting)

    def settle(self, limit_s: float) -> None:
        """Wait until everything is written, or the time limit is reached."""
        with self._changed:
            self._changed.wait_for(lambda: not self.behind, limit_s)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._waiting))
                data, self._writing = self._waiting.popleft(), True
            try:
                self._write(data)
            except OSError:
                with self._changed:
                    self._gone = True
                    self._waiting.clear()

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # a process that shares it made it non-blocking
                select.select([], [self._descriptor], [])


def of_stderr() -> Outlet | None:
    """Return the outlet for stderr; None for a regular file, and for a stream that replaced stderr."""
    stream = sys.stderr
    try:
        if not isinstance(stream, io.TextIOWrapper) or stream.fileno() != _STDERR:
            return None
        return None if stat.S_ISREG(os.fstat(_STDERR).st_mode) else _outlet(os.getpid())
    except (OSError, ValueError):
        return None


class Drawing(io.TextIOBase):
    """stderr as a file for the progress display: it writes through the outlet, in order with the lines.

    Args:
        outlet: the outlet for stderr.
    """

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    @property
    def encoding(self) -> str:  # type: ignore[override] # a file's own is an attribute
        """The encoding of stderr."""
        return _encoding()

    def write(self, text: str) -> int:
        """Queue a text to be written."""
        self._outlet.write(encoded(text), needed=True)
        return len(text)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        with contextlib.suppress(OSError):
            return os.isatty(_STDERR)
        return False

    def fileno(self) -> int:
        """The descriptor of stderr."""
        return _STDERR


def encoded(text: str) -> bytes:
    """Encode a text for stderr."""
    return text.encode(_encoding(), "backslashreplace")


_STDERR = 2


def _encoding() -> str:
    return getattr(sys.__stderr__, "encoding", None) or "utf-8"


@functools.cache
def _outlet(process: int) -> Outlet:
    """Return the outlet of a process: threads do not survive a fork."""
    del process
    outlet = Outlet(_STDERR)
    atexit.register(outlet.settle, END_S)
    return outlet


def write_line(text: str, *, needed: bool = True) -> None:
    """Write a text to stderr unchanged. A closed pipe, a full pipe or a lost terminal is ignored.

    Args:
        text: one line or more.
        needed: never drop it, even if the lines before it are not read.
    """
    if not text or sys.stderr is None:
        return
    if outlet := of_stderr():
        outlet.write(encoded(text + "\n"), needed=needed)
        return
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):  # so that the interpreter reports no error at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    except (OSError, ValueError):
        pass
