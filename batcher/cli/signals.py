"""Signals: the one place that handles them, for every command.

Used by each command around the work that a signal may end. SIGINT and SIGTERM either call the command's
``stop`` or, without it, cancel the task. SIGHUP means that the terminal closed: it ends work that would be
cancelled, and is ignored by work that drains, unless the command handles it.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from batcher.errors import Interrupted


class Signals:
    """The signals that end work in an event loop; use as a context manager within a task.

    Without a ``stop``, signals that the process was started to ignore stay ignored. At the end the handlers
    of before are restored.

    Args:
        stop: called in the event loop with the exit code, once for each SIGINT and SIGTERM; when not given,
            the task is cancelled instead.
        hang_up: called in the event loop on SIGHUP; when not given, SIGHUP is ignored if there is a
            ``stop``, and cancels the task if there is none.

    Attributes:
        code: the exit code of the last signal; None when none arrived.
        cancelled: the same when the signal cancelled the block, which then ends without an exception.
    """

    def __init__(
        self, stop: Callable[[int], None] | None = None, *, hang_up: Callable[[], None] | None = None
    ) -> None:
        self.code: int | None = None
        self.cancelled: int | None = None
        self._stop = stop
        self._hang_up = hang_up
        self._immediate = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if self._stop is not None or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handler(number))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # as it was handed out
        if isinstance(exc, asyncio.CancelledError):
            self.cancelled = self.code
        return self.cancelled is not None

    @contextmanager
    def interrupting(self, message: str = "stopped before anything began") -> Iterator[None]:
        """Turn a cancellation by a signal into an error with a message.

        Args:
            message: used when the cancelled work has not noted a better one.

        Raises:
            Interrupted: a signal cancelled the block.
        """
        try:
            yield
        except asyncio.CancelledError as exc:
            if self.code is None:
                raise
            raise Interrupted(next(iter(getattr(exc, "__notes__", ())), message), self.code) from None

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Cancel at the very instruction a signal interrupts: for long work that never awaits."""
        self._immediate = True
        try:
            yield
        finally:
            self._immediate = False

    def _handler(self, number: int) -> Callable[[int, FrameType | None], None] | signal.Handlers:
        if number == signal.SIGHUP and self._hang_up is None and self._stop is not None:
            return signal.SIG_IGN
        return self._received

    def _received(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGHUP and self._hang_up is not None:
            self._loop.call_soon_threadsafe(self._hang_up)
            return
        self.code = 128 + number
        if self._immediate:
            raise asyncio.CancelledError
        if self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop, self.code)
        elif self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
