"""The pacer: decides when the next request may leave, and reacts to refusals of the service.

Every flow has one pacer for each Action it uses. Mechanism and policy are separate.
:class:`~batcher.flowcontrol.rate_policy.Pace` is the policy: how many requests a second are right at the
moment; it is pure. :class:`Pacer` is the mechanism: it gives turns at that pace with a token bucket
(aiolimiter) that holds hardly more than one token, so that requests leave evenly spaced. A bucket of 20
would let 20 requests leave together *and* refill meanwhile, 39 in one second. The small excess over one
token lets a late timer catch up, so that lateness does not add up to a slower pace. :class:`SlidingWindow`
counts each request at the moment it leaves. Several pacers may share one window, and a window may share its
count with other processes. Where several runs share one limit, :meth:`Pacer.share` sets the part of this one
while it runs; with a part of 0 it stands by.

The pace ends near the limit although the service's way of counting is not documented. A margin below the
limit keeps evenly spaced requests within any second, sliding or aligned. When the network bunches them
nevertheless, the service refuses one. A refusal has two effects. One turn is skipped immediately, so that
the full second can empty: a refused call may count as well, and would keep it full. And the pace falls a
little, or more when refusals crowd, which shows another program on the same AppId. How fast the pace is
regained depends on the share of recent calls that were refused: fast after isolated refusals, since waiting
would cost more calls than they do; slowly after many, since the next calls would be refused again; and
faster the longer nothing was refused, since then the other program has ended.

Do not change the numbers without measuring with ``bench/pacing.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

from aiolimiter import AsyncLimiter

from batcher.flowcontrol.rate_policy import SLOWED, TOO_FREQUENT, Pace, why_slow
from batcher.flowcontrol.sliding_window import CATCH_UP_S, CATCH_UP_TURNS, MARGIN, SlidingWindow, Turn

HEADWAY = 0.005
"""The bucket fills faster than the pace by this share, so lateness does not add up; the window keeps it."""

AHEAD_S = 0.02
"""The largest lead of an attempt on its instant on a fast disk, so that commits do not bunch requests."""

LONGEST_BEGIN_S = 0.5
"""The largest lead of an attempt on its instant, however slow the disk is."""

MOST_IN_LINE = 1_000
"""The most attempts that may be begun and wait for their turn, at any rate."""

BEGIN_MEMORY = 0.98
"""The share of the slowest begin that counts after each further one: a stall of the disk fades soon."""

STANDING_BY = "other runs have the whole limit"
"""Why a run whose share is 0 sends nothing."""

_PATIENCE_PER_S = 50.0
"""Above this pace the wait for a turn is too short to be worth interrupting."""


def places_in_line(rate_per_s: float, begin_s: float) -> int:
    """Return how many attempts may be begun and wait for their turn: as many as leave while one begins.

    Args:
        rate_per_s: requests a second.
        begin_s: how long it takes to begin an attempt, commit included.
    """
    begun_meanwhile = math.floor(rate_per_s * min(begin_s, LONGEST_BEGIN_S) + 0.5)
    return min(max(1 + begun_meanwhile, math.floor(rate_per_s * AHEAD_S)), MOST_IN_LINE)


class _AdmissionQueue(AbstractAsyncContextManager[None]):
    """The queue before the next turns: a number of places; a caller enters once it is admitted."""

    def __init__(self, places: int, admitted: Callable[[], Awaitable[None]]) -> None:
        self._target = self._made = places
        self._places = asyncio.Semaphore(places)
        self._admitted = admitted

    def resize(self, places: int) -> None:
        """Change the number of places; places in excess vanish when they are left."""
        self._target = places
        while self._made < places:
            self._made += 1
            self._places.release()

    async def __aenter__(self) -> None:
        await self._places.acquire()
        try:
            await self._admitted()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._made > self._target:
            self._made -= 1
        else:
            self._places.release()


class Pacer:
    """Turns at a pace.

    Args:
        rate_per_s: the limit; the pace stays a margin below it.
        clock: monotonic seconds.
        start_share: the share of its pace that an earlier run ended with.
        age_s: how long ago that was.
        window: counts requests as they leave, shared with other pacers; a window of its own when not given.
        leased: the last check before a request leaves: whether the run may still send at all.
        departed: called for each request that leaves.

    Attributes:
        rate_per_s: the limit at this moment: the share where it is shared.
    """

    def __init__(
        self,
        rate_per_s: float,
        clock: Callable[[], float],
        start_share: float | None = None,
        *,
        age_s: float = 0.0,
        window: SlidingWindow | None = None,
        leased: Callable[[], bool] = lambda: True,
        departed: Callable[[], None] = lambda: None,
    ) -> None:
        self.rate_per_s = rate_per_s
        self.pace = Pace(rate_per_s / (1 + MARGIN), clock(), start_share, age_s)
        self._clock = clock
        self._leased = leased
        self._departed = departed
        self._held_until = 0.0
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._shared = asyncio.Event()
        self._shared.set()
        self._reshared = asyncio.Event()
        self._stopped = asyncio.Event()
        self._single = False
        self._left_out = 0
        self._begin_s = 0.0
        self._line = _AdmissionQueue(places_in_line(rate_per_s, 0.0), self.admitted)
        self._window = window or SlidingWindow(rate_per_s, clock)
        self._bucket_per_s = 0.0
        self._bucket = AsyncLimiter(1)

    def line(self) -> AbstractAsyncContextManager[None]:
        """Return the line before the next turns: within it an attempt may begin, since its wait is short.

        There is one place in the line at 20/s, and more where the disk would otherwise set the pace: on slow
        disks, and on any disk at high rates. While turns are held back no caller is admitted.
        """
        return self._line

    def begun_within(self, seconds: float) -> None:
        """Note how long it took to begin an attempt in the line."""
        self._begin_s = max(seconds, self._begin_s * BEGIN_MEMORY)
        self._line.resize(places_in_line(self.rate_per_s, self._begin_s))

    def lease_with(self, leased: Callable[[], bool], departed: Callable[[], None]) -> None:
        """Let requests leave only while a lease lasts, the last check before the first byte; report each."""
        self._leased, self._departed = leased, departed

    def share(self, rate_per_s: float) -> None:
        """Change the limit at once; the pace keeps its learned part of it. With 0 no request leaves.

        Call it in the event loop, with the share of this run when several runs share a limit.
        """
        if rate_per_s == self.rate_per_s:
            return
        self.rate_per_s = rate_per_s
        if rate_per_s > 0:
            self.pace.recap(rate_per_s / (1 + MARGIN), self._clock())
            self._window.resize(rate_per_s)
            self._line.resize(places_in_line(rate_per_s, self._begin_s))
            self._bucket_per_s = 0.0  # another bucket for the next turn
            self._shared.set()
        elif not self.stopped:
            self._shared.clear()
        self._reshared.set()  # those that wait for a token of the old bucket
        self._reshared = asyncio.Event()

    async def admitted(self) -> None:
        """Wait while turns are held back, or other runs have the whole limit."""
        while self.held or self.standing_by:
            await self._shared.wait()
            await self._resumed.wait()
            await self.stopped_within(self._held_until - self._clock())

    async def turn(self) -> Turn | None:
        """Wait for the instant to send.

        Returns:
            None when turns were held back or stopped meanwhile: do not send.
        """
        await self._instant()
        while self._left_out and not self.stopped and not self.standing_by:
            self._left_out -= 1
            await self._instant()
        now = self._clock()
        if abs(self.pace.per_s(now) - self._bucket_per_s) > 0.001 * self._bucket_per_s:
            await self._pour(now)  # this turn's token is taken already, so no turn is gained or lost
        turn = Turn()
        if not await self._enter(turn):
            return None
        if self._single:
            self.pause()
            turn.alone = True
        return turn

    async def leave(self, turn: Turn) -> bool:
        """Count the request of a turn at the moment it leaves: late, if its connection had to be made first.

        A late request waits for room again; otherwise all that waited for a stalled network would leave
        together. It is called for every request, probes included, just before the first byte.

        Returns:
            False when turns are held back or stopped by now, or the share is gone: it must not leave.
        """
        may_leave = self._may_leave(turn) if self._window.leave(turn) else await self._enter(turn)
        if may_leave:
            self._departed()
        return may_leave

    async def probe_turn(self) -> Turn | None:
        """Wait for an instant to send a probe, which may leave while turns are held; None when stopped.

        While other runs have the whole limit no probe leaves either.
        """
        turn = Turn(alone=True)
        while not self.stopped:
            await self._shared.wait()
            await self._instant()
            if await self._enter(turn):
                return turn
        return None

    def slow_down(self, retry_after_s: float | None = None, said: str = TOO_FREQUENT) -> None:
        """Slow down: the service refused a call as too frequent.

        Args:
            retry_after_s: for how long it asks for no calls.
            said: the words of the refusal, such as ``HTTP 503``.
        """
        if self.pace.refused(self._clock(), said):
            self._left_out += 1
        if retry_after_s:
            self.hold(retry_after_s)

    def hold(self, seconds: float) -> None:
        """Give no turns for this long; without effect once stopped."""
        if not self.stopped:
            self._held_until = max(self._held_until, self._clock() + seconds)

    def pause(self) -> None:
        """Give no turns until :meth:`resume` or :meth:`single`."""
        self._single = False
        self._resumed.clear()

    def resume(self) -> None:
        """Give turns again, once no hold is left."""
        self._single = False
        self._resumed.set()

    def single(self) -> None:
        """Give one turn, once no hold is left, then pause again."""
        self._single = True
        self._resumed.set()

    def stop(self) -> None:
        """Give no more turns, and end all waits for one."""
        self._stopped.set()
        self._held_until = 0.0
        self._resumed.set()
        self._shared.set()

    async def stopped_within(self, seconds: float) -> bool:
        """Wait this long, or until stopped; return whether it was stopped."""
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
    def standing_by(self) -> bool:
        """Whether other runs have the whole limit; no fault of the service, and no hold."""
        return not self._shared.is_set()

    @property
    def pace_per_s(self) -> float:
        """The present pace; 0 while other runs have the whole limit."""
        return 0.0 if self.standing_by else self.pace.per_s(self._clock())

    def learned_per_s(self, rate_per_s: float) -> float:
        """Return the pace that this run would have at a limit: what it has learned is a part of any limit."""
        return self.pace.share(self._clock()) * rate_per_s / (1 + MARGIN)

    @property
    def why_slow(self) -> str | None:
        """Why the pace is below the cap; None when it is not."""
        if self.standing_by:
            return STANDING_BY
        if self.held:
            return "the service asked for a pause"
        return why_slow(self.pace.refusals) if self.pace.share(self._clock()) < SLOWED else None

    async def _enter(self, turn: Turn) -> bool:
        """Wait until the window has room and count the turn; False when the request must not leave."""
        while self._may_leave(turn):
            if (wait_s := self._window.enter(turn)) <= 0:
                return True
            await self._reshared_within(wait_s)
        return False

    def _may_leave(self, turn: Turn) -> bool:
        if self.stopped or self.standing_by or not self._leased():
            return False
        return turn.alone or not self.held

    async def _pour(self, now: float, *, leaving: float = 0.0) -> None:
        """Make a new bucket for the present pace, with ``leaving`` tokens in it."""
        self._bucket_per_s = self.pace.per_s(now)
        per_s = self._bucket_per_s * (1 + HEADWAY)
        capacity = 1 + max(CATCH_UP_TURNS, per_s * CATCH_UP_S)
        self._bucket = AsyncLimiter(capacity, capacity / per_s)
        await self._bucket.acquire(capacity - leaving)

    async def _instant(self) -> None:
        """Wait for a token; not while stopped, nor while other runs have the whole limit."""
        while not self.standing_by:
            if self._bucket_per_s == 0.0:
                await self._pour(self._clock(), leaving=1.0)
            if self._bucket_per_s > _PATIENCE_PER_S or self._bucket.has_capacity():
                await self._bucket.acquire()
                return
            if not await self._reshared_within(None, self._bucket.acquire()):
                return

    async def _reshared_within(self, seconds: float | None, *others: Coroutine[Any, Any, None]) -> bool:
        """Wait this long, until stopped or until one of the others is done; True when the share changed."""
        reshared = self._reshared
        waits = [asyncio.ensure_future(wait) for wait in (reshared.wait(), self._stopped.wait(), *others)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return reshared.is_set()
