"""stderr behind a thread: a pipe that nobody reads and a terminal that stands still hold no run up.

Between whoever has a line to say and the descriptor. Lines keep their order. What only tells how far things
are may be left out when too many wait already, and is counted; a problem never is. Whoever ends waits a
little for the reader, and not longer. Never raises: a reader that has gone away is nobody's fault.
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
"""Lines: with so many waiting, those that are not needed are left out."""

END_S = 5.0
"""How long the end of the process waits for a reader that does not read."""


class Outlet:
    """A descriptor that is written to by a thread of its own, which ends with the process.

    Attributes:
        left_out: how many lines were not written, since nobody read those before them.
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
        """Have something written; returns at once.

        Args:
            data: one line or more.
            needed: it is never left out.
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
        """Whether something is not written yet."""
        return self._writing or bool(self._waiting)

    def settle(self, limit_s: float) -> None:
        """Wait until all is written, or the time is over."""
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
            except BlockingIOError:  # whoever shares it has asked not to be held up
                select.select([], [self._descriptor], [])


def of_stderr() -> Outlet | None:
    """The outlet that stderr goes through; None for one that holds nobody up, or is not the process's own."""
    stream = sys.stderr
    try:
        if not isinstance(stream, io.TextIOWrapper) or stream.fileno() != _STDERR:
            return None
        return None if stat.S_ISREG(os.fstat(_STDERR).st_mode) else _outlet(os.getpid())
    except (OSError, ValueError):
        return None


class Drawing(io.TextIOBase):
    """stderr as a file for whoever draws on a terminal: what is drawn goes through the outlet in its turn.

    Args:
        outlet: to which it goes.
    """

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    @property
    def encoding(self) -> str:  # type: ignore[override] # a file's own is an attribute
        """That of stderr."""
        return _encoding()

    def write(self, text: str) -> int:
        """Have it written."""
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
    """A text as stderr takes it."""
    return text.encode(_encoding(), "backslashreplace")


_STDERR = 2


def _encoding() -> str:
    return getattr(sys.__stderr__, "encoding", None) or "utf-8"


@functools.cache
def _outlet(process: int) -> Outlet:
    """One for each process: a fork takes no thread along."""
    del process
    outlet = Outlet(_STDERR)
    atexit.register(outlet.settle, END_S)
    return outlet


def write_line(text: str, *, needed: bool = True) -> None:
    """Write to stderr, as it is; a closed pipe, a full one or a vanished terminal stops nobody.

    Args:
        text: one line or more.
        needed: it may not be left out when nobody reads those before it.
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
        with contextlib.suppress(OSError, ValueError):  # so that its end finds nothing left to complain of
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    except (OSError, ValueError):
        pass
