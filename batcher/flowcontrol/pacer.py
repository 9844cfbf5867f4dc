"""The pacer: when the next request may leave, and how it listens to the service.

Mechanism and policy stand apart. :class:`Pace` says how many requests a second are right just now; it is
pure and knows no waiting. :class:`Pacer` makes turns of it with a token bucket (aiolimiter) that holds
hardly more than one token, so that requests leave evenly spaced: a bucket of 20 lets 20 go at once *and*
refills meanwhile, 39 in one second. The little more than one is what a late timer may catch up, so that
lateness does not add up to a slower pace.

Why the pace ends near the limit without knowing how the service counts: a margin below the limit keeps
evenly spaced requests within any second, sliding or aligned. Where the network bunches them all the same,
a refusal says so, and costs two things: one turn is left out at once, so that the second which was full can
empty (a refused call may count as well, and would hold it full), and the pace falls by little, by more
when refusals crowd, which is how a neighbour on the same AppId shows. It is regained slowly at first, since
what was refused just now would be refused again, and faster the longer nothing was refused, since then the
neighbour has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from aiolimiter import AsyncLimiter

from batcher.flowcontrol.rate_policy import Pace

MARGIN = 0.0125
"""How far below the limit the pace stays at most: at 20/s, 20 requests leave in 1.0125 s and not in 1 s. The
12 ms between are what requests may bunch on their way before 21 of them arrive within one second."""

HEADWAY = 0.005
"""So much faster than the pace the bucket fills: lateness does not add up, and the window keeps the pace."""

CATCH_UP_TURNS = 0.5
CATCH_UP_S = 0.005
"""Lateness that may be made up for: half a turn, or at high rates, where timers are too coarse, this long."""

LATE_S = 0.02
"""A request that leaves so long after its turn has had to wait for something, and others with it."""

AHEAD_S = 0.02
"""How long before its instant an attempt may begin, so that a slow disk does not bunch requests."""

_PATIENCE_PER_S = 50.0
"""Above this pace the wait for a turn is too short to be worth interrupting."""


class Turn:
    """Leave to send one request."""

    __slots__ = ("at",)

    def __init__(self, at: float) -> None:
        self.at = at
        """Monotonic seconds at which it leaves."""


class SlidingWindow:
    """The last requests that left, as many as the limit allows in a second, and how long that must take.

    It goes by the moment in which a request really left: one that was late moves its successors, not the
    distance to them.

    Args:
        rate_per_s: the limit; above 200 a second timers are too coarse to keep such distances.
        clock: monotonic seconds.
    """

    def __init__(self, rate_per_s: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        limit = max(1, round(rate_per_s)) if rate_per_s <= 200 else 0
        self._lasts_s = limit / rate_per_s * (1 + MARGIN)
        self._least_s = (1 - CATCH_UP_TURNS) / rate_per_s
        self._turns: deque[Turn] = deque(maxlen=limit)

    def wait_s(self) -> float:
        """How long the next one has to wait; nothing or less when it may leave."""
        if not self._turns:
            return 0.0
        wait_s = self._turns[-1].at + self._least_s - self._clock()
        if len(self._turns) == self._turns.maxlen:
            wait_s = max(wait_s, self._turns[0].at + self._lasts_s - self._clock())
        return wait_s

    def enter(self) -> Turn:
        """One leaves now."""
        turn = Turn(self._clock())
        self._turns.append(turn)
        return turn

    def withdraw(self, turn: Turn) -> None:
        """One has not left after all, or not yet."""
        with contextlib.suppress(ValueError):
            self._turns.remove(turn)


class _AdmissionQueue(AbstractAsyncContextManager[None]):
    """So many at once, and nobody before being admitted."""

    def __init__(self, places: int, admitted: Callable[[], Awaitable[None]]) -> None:
        self._places = asyncio.Semaphore(places)
        self._admitted = admitted

    async def __aenter__(self) -> None:
        await self._places.acquire()
        try:
            await self._admitted()
        except BaseException:
            self._places.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._places.release()


class Pacer:
    """Turns at a pace.

    Args:
        rate_per_s: the limit; the pace stays a margin below it.
        clock: monotonic seconds.
        start_per_s: the pace that an earlier run has learned.
    """

    def __init__(
        self, rate_per_s: float, clock: Callable[[], float], start_per_s: float | None = None
    ) -> None:
        self.rate_per_s = rate_per_s
        self.pace = Pace(rate_per_s / (1 + MARGIN), clock(), start_per_s)
        self._clock = clock
        self._held_until = 0.0
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._stopped = asyncio.Event()
        self._left_out = 0
        self._line = _AdmissionQueue(max(1, math.floor(rate_per_s * AHEAD_S)), self.admitted)
        self._window = SlidingWindow(rate_per_s, clock)
        self._bucket_per_s = 0.0
        self._bucket = AsyncLimiter(1)

    def line(self) -> AbstractAsyncContextManager[None]:
        """Be among the next to get a turn: here an attempt may begin, since it has hardly to wait any more.

        There is one place in the line at 20/s and more at rates where one begin after another would be too
        slow; while turns are held back nobody is let in.
        """
        return self._line

    async def admitted(self) -> None:
        """Wait while turns are held back."""
        while self.held:
            await self._resumed.wait()
            await self.stopped_within(self._held_until - self._clock())

    async def turn(self) -> Turn | None:
        """Wait for the instant to send.

        Returns:
            None when turns were held back or stopped meanwhile: do not send.
        """
        await self._instant()
        while self._left_out and not self.stopped:
            self._left_out -= 1
            await self._instant()
        now = self._clock()
        if abs(self.pace.per_s(now) - self._bucket_per_s) > 0.001 * self._bucket_per_s:
            await self._pour(now)  # this turn's token is taken already: no turn is won or lost
        await self._room()
        return None if self.held or self.stopped else self._window.enter()

    async def leave(self, turn: Turn) -> bool:
        """The request of a turn is about to leave, perhaps late: its connection had to be made first.

        One that is late stands in line again, since many that waited for a stalled network would else leave
        together.

        Returns:
            False when turns are held back or stopped by now: it must not leave.
        """
        if self._clock() - turn.at > LATE_S:
            self._window.withdraw(turn)
            await self._room()
            turn = self._window.enter()
        turn.at = self._clock()
        return not self.held and not self.stopped

    async def probe_turn(self) -> bool:
        """Wait for an instant to send a probe, which may leave while turns are held; False when stopped."""
        await self._instant()
        await self._room()
        self._window.enter()
        return not self.stopped

    def slow_down(self, retry_after_s: float | None = None) -> None:
        """The service said "too frequent", and perhaps for how long it wants to hear nothing."""
        if self.pace.refused(self._clock()):
            self._left_out += 1
        if retry_after_s:
            self.hold(retry_after_s)

    def hold(self, seconds: float) -> None:
        """Give no turns for so long; once stopped there is nothing to hold back."""
        if not self.stopped:
            self._held_until = max(self._held_until, self._clock() + seconds)

    def pause(self) -> None:
        """Give no turns until :meth:`resume`."""
        self._resumed.clear()

    def resume(self) -> None:
        """Give turns again, once no hold is left."""
        self._resumed.set()

    def stop(self) -> None:
        """Give no more turns, and let nobody wait for one."""
        self._stopped.set()
        self._held_until = 0.0
        self._resumed.set()

    async def stopped_within(self, seconds: float) -> bool:
        """Wait for so long, or until stopped; returns whether it was."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        return self.stopped

    @property
    def stopped(self) -> bool:
        """Whether there will be no more turns."""
        return self._stopped.is_set()

    @property
    def held(self) -> bool:
        """Whether turns are held back at this moment."""
        return not self._resumed.is_set() or self._clock() < self._held_until

    @property
    def pace_per_s(self) -> float:
        """The pace at this moment."""
        return self.pace.per_s(self._clock())

    async def _room(self) -> None:
        """Wait until the window has room for one more, or until stopped."""
        while (wait_s := self._window.wait_s()) > 0 and not await self.stopped_within(wait_s):
            pass

    async def _pour(self, now: float, *, leaving: float = 0.0) -> None:
        """A new bucket for the pace of this moment, which holds so many tokens at first."""
        self._bucket_per_s = self.pace.per_s(now)
        per_s = self._bucket_per_s * (1 + HEADWAY)
        capacity = 1 + max(CATCH_UP_TURNS, per_s * CATCH_UP_S)
        self._bucket = AsyncLimiter(capacity, capacity / per_s)
        await self._bucket.acquire(capacity - leaving)

    async def _instant(self) -> None:
        if self._bucket_per_s == 0.0:
            await self._pour(self._clock(), leaving=1.0)
        if self._bucket.has_capacity() or self._bucket_per_s > _PATIENCE_PER_S:
            await self._bucket.acquire()
            return
        instant = asyncio.ensure_future(self._bucket.acquire())
        stopped = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait((instant, stopped), return_when=asyncio.FIRST_COMPLETED)
        instant.cancel()
        stopped.cancel()
