"""An event loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

BEGINNING_S = 1_000.0
_ITERATION_S = 1e-9
"""Every iteration of the loop takes some time, as on a real clock, which never stands still."""


class _JumpingSelector(selectors.SelectSelector):
    """A selector that never waits: it lets the requested time pass immediately, and some more if set to."""

    def __init__(self, late_s: Callable[[], float]) -> None:
        super().__init__()
        self.now_s = BEGINNING_S
        self._late_s = late_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        self.now_s += _ITERATION_S
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("everything waits and no timer is set: this would hang")
        self.now_s += max(timeout, 0.0) + self._late_s()
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time. Timers are late by the result of ``late_s``."""

    def __init__(self, late_s: Callable[[], float] = lambda: 0.0) -> None:
        self._jumping = _JumpingSelector(late_s)
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    def pass_time(self, seconds: float) -> None:
        """Let time pass while nothing runs, as a machine that sleeps does."""
        self._jumping.now_s += seconds


def run_virtually(main: Coroutine[Any, Any, T], late_s: Callable[[], float] = lambda: 0.0) -> T:
    """Run a coroutine on virtual time."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(late_s)) as runner:
        return runner.run(main)


def virtual_loop() -> VirtualTimeLoop:
    """The loop that runs the caller."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop


def now_s() -> float:
    """Virtual monotonic seconds."""
    return asyncio.get_running_loop().time()


def passed_s() -> float:
    """Virtual seconds since the beginning, to the millisecond."""
    return round(now_s() - BEGINNING_S, 3)
