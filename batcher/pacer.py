"""The pacer: when the next request may leave.

A token bucket (aiolimiter) that holds hardly more than one token, so that requests leave evenly spaced:
a bucket of 20 lets 20 go at once *and* refills meanwhile, 39 in one second. The little more than one is
what a late timer may catch up, so that lateness does not add up to a slower pace; at high rates, where
timers are too coarse for single requests, it is a few milliseconds' worth of requests.

A margin below the limit keeps a second of the server's from holding one request too many, however the
server counts. The pacer knows how to wait; whether and until when is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiolimiter import AsyncLimiter

MARGIN = 0.01
"""How far below the limit the pace stays: 20/s becomes 19.8/s, one request every 50.5 ms."""

CATCH_UP_S = 0.005
"""Lateness that may be made up for. More would put 21 requests into one second at 20/s."""

AHEAD_S = 0.05
"""How long before its instant an attempt may begin, so that a slow disk does not bunch requests."""

_PATIENCE_PER_S = 50.0
"""Above this pace the wait for a turn is too short to be worth interrupting."""


class Pacer:
    """Turns at an even pace.

    Args:
        rate_per_s: the limit; the pace stays a margin below it.
        clock: monotonic seconds.
    """

    def __init__(self, rate_per_s: float, clock: Callable[[], float]) -> None:
        self.rate_per_s = rate_per_s
        self.pace_per_s = rate_per_s * (1 - MARGIN)
        self._clock = clock
        self._held_until = 0.0
        self._released = asyncio.Event()
        self._stopped = False
        self._line = asyncio.Semaphore(max(1, math.floor(rate_per_s * AHEAD_S)))
        capacity = 1 + self.pace_per_s * CATCH_UP_S
        self._bucket = AsyncLimiter(capacity, capacity / self.pace_per_s)

    @asynccontextmanager
    async def line(self) -> AsyncIterator[None]:
        """Be among the next to get a turn: here an attempt may begin, since it has hardly to wait any more.

        There is one place in the line at 20/s and more at rates where one begin after another would be too
        slow; while turns are held back nobody is let in.
        """
        async with self._line:
            while self.held:
                await self._until_released(self._held_until - self._clock())
            yield

    async def turn(self) -> bool:
        """Wait for the instant to send.

        Returns:
            False when turns were held back or stopped meanwhile: do not send.
        """
        if self._bucket.has_capacity() or self.pace_per_s > _PATIENCE_PER_S:
            await self._bucket.acquire()
        else:
            instant = asyncio.ensure_future(self._bucket.acquire())
            stopped = asyncio.ensure_future(self._released.wait())
            await asyncio.wait((instant, stopped), return_when=asyncio.FIRST_COMPLETED)
            instant.cancel()
            stopped.cancel()
        return not self.held and not self._stopped

    def hold(self, seconds: float) -> None:
        """Give no turns for so long, or until released."""
        self._held_until = max(self._held_until, self._clock() + seconds)
        self._released.clear()

    def release(self) -> None:
        """Give turns again."""
        self._held_until = 0.0
        self._released.set()

    def stop(self) -> None:
        """Give no more turns, and let nobody wait for one."""
        self._stopped = True
        self.release()

    @property
    def held(self) -> bool:
        """Whether turns are held back at this moment."""
        return self._clock() < self._held_until

    async def _until_released(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._released.wait()
