"""The time limit of a command: a duration, a wall time, or the earlier of the two.

Made by every command that has ``--max-duration`` or ``--until``. The duration counts from the moment the
object is made, so that the reading of manifests is included, and it includes time for which the machine
slept. A monotonic clock alone would not count that time.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

LOOK_AT_CLOCK_S = 1.0
"""Seconds between two readings of the clocks while a time limit is set."""

DRIFT_S = 1.0
"""A difference between the clocks up to this is drift, not sleep."""


class ElapsedTime:
    """Seconds since a moment, with the time for which the machine slept.

    A monotonic clock stops during a suspend, the wall clock does not. A wall clock that is set back has no
    effect.

    Args:
        clock: monotonic seconds.
        wall: Unix seconds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._began_at = clock()
        self._slept_s = 0.0
        self._wall_ahead_s = wall() - self._began_at

    def __call__(self) -> float:
        """Return the seconds since this object was made."""
        now = self._clock()
        wall_ahead_s = self._wall() - now
        moved_s = wall_ahead_s - self._wall_ahead_s
        if abs(moved_s) >= DRIFT_S:
            self._wall_ahead_s = wall_ahead_s
            self._slept_s += max(moved_s, 0.0)
        return now - self._began_at + self._slept_s


class Deadline:
    """A time limit that starts now.

    Args:
        lasts_s: its duration; None for no limit.
        until: the wall time at which it ends, with its zone; None for no limit.
        clock: monotonic seconds.
        wall: Unix seconds.
    """

    def __init__(
        self,
        lasts_s: float | None = None,
        until: datetime | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._lasts_s = lasts_s
        self._until = until
        self._wall = wall
        self._elapsed_s = ElapsedTime(clock, wall)

    @property
    def left_s(self) -> float:
        """The time that is left; 0 or less when the limit is reached."""
        left_s = math.inf if self._until is None else self._until.timestamp() - self._wall()
        if self._lasts_s is not None:
            left_s = min(left_s, self._lasts_s - self._elapsed_s())
        return left_s

    async def over(self) -> None:
        """Wait until the limit is reached.

        The clocks are read repeatedly: the wall clock may be set, and the machine may sleep.
        """
        while (left_s := self.left_s) > 0:  # noqa: ASYNC110 - no clock reports that it was set
            await asyncio.sleep(min(left_s, LOOK_AT_CLOCK_S))

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Cancel the block with a TimeoutError when the limit is reached."""
        async with asyncio.timeout(None) as timeout:

            async def end() -> None:
                await self.over()
                timeout.reschedule(asyncio.get_running_loop().time())

            ending = asyncio.create_task(end(), name="window-limit")
            try:
                yield
            finally:
                ending.cancel()
