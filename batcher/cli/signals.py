"""Signals: how work that waits, loads or writes is interrupted.

``run``, ``track``, ``listen`` and ``sandbox`` drain, and install handlers of their own.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self


class Interruptible:
    """Within it a signal to end cancels the task, so that all it holds is cleaned up, instead of the process.

    Signals that the process was told to ignore stay ignored. Use as a context manager.

    Attributes:
        code: the exit code, when a signal came.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        self._blocking = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # as it was handed out

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """For long work without a pause: here a signal cancels where it strikes."""
        self._blocking = True
        try:
            yield
        finally:
            self._blocking = False

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.code = 128 + number
        if self._blocking:
            raise asyncio.CancelledError
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
