"""The queue of open submissions: decides which one is claimed next.

Made by the runner; workers call :meth:`SubmissionQueue.next`. The order must not be changed lightly:

1. submissions that were delayed and are due;
2. submissions that were never tried, in the order of the manifests;
3. submissions that would hold up the others: refused while others are not, or the cause of an earlier halt;
4. submissions that may have been sent already (in doubt).

One run holds a ledger, so that a claim needs no mark in it and a crash leaves none behind. Within a run,
delays use the monotonic clock; the wall time in the ledger is read once, at opening, and never makes a
submission wait longer than the largest backoff.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from batcher.flowcontrol.retry_policy import waits_behind
from batcher.model.submission import Claim, RunId, SubmissionId

PAGE = 1_000
"""The number of open submissions that one query fetches."""

MOST_BEHIND = 10_000
"""With more submissions than this behind fresh work in memory, those that are due are claimed first."""


class OpenWork(Protocol):
    """The ledger, as far as the queue uses it."""

    async def fresh(self, *, after_id: int, limit: int) -> list[Claim]:
        """Return open submissions without a delay, in order."""

    async def doubtful(self, *, after: tuple[int, int], limit: int) -> list[tuple[datetime | None, Claim]]:
        """Return open submissions whose answer was lost before, in order, with the time they wait for."""

    async def delayed(self) -> list[tuple[datetime, Claim]]:
        """Return open submissions that an earlier run delayed."""


class _Delayed(NamedTuple):
    due: float
    order: int
    claim: Claim
    counted: bool
    """Started in this run already, so that it no longer counts towards the limit."""


class SubmissionQueue:
    """Hands out open submissions, each to one worker at a time.

    Args:
        ledger: holds the open submissions.
        limit: how many submissions may be started; None for no limit.
        longest_delay_s: the most that is left of a delay from an earlier run.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        ledger: OpenWork,
        *,
        limit: int | None,
        longest_delay_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._left = limit
        self._longest_delay_s = longest_delay_s
        self._clock = clock
        self._delayed: list[_Delayed] = []
        self._behind: list[_Delayed] = []
        """Delayed, and not claimed while there is fresh work."""
        self._order = itertools.count()
        self._page: deque[Claim] = deque()
        self._fresh_after = 0
        self._fresh_ended = False
        self._doubtful_after: tuple[int, int] | None = None
        self._doubtful_ended = False
        self._last: list[tuple[float, Claim]] = []
        """Submissions in doubt of a run with a limit, with due times; claimed again after all others."""
        self._held: set[SubmissionId] = set()
        """Claimed, or waiting in memory: not to be claimed from the ledger a second time."""
        self._out = 0
        self._loading = False
        self._closed = False
        self._changed = asyncio.Event()
        self._fetching = asyncio.Lock()

    async def open(self, run_id: RunId, *, loading: bool) -> None:
        """Read the submissions that an earlier run delayed.

        Args:
            run_id: the run; one run holds the ledger, so it makes no difference.
            loading: submissions may be added until :meth:`loading_ended` is called.
        """
        del run_id
        self._loading = loading
        for not_before, claim in await self._ledger.delayed():
            self._delay(claim, self._due(not_before), counted=False)

    async def next(self) -> Claim | None:
        """Claim the next submission, once it is due; None when nothing is left, or after a close."""
        while not self._closed:
            if (claim := self._ready()) is not None:
                return claim
            self._changed.clear()
            if not await self._fetch():
                if not self._finished():
                    await self._wait()
                elif not await self._recheck():
                    self.close()
        return None

    def _ready(self) -> Claim | None:
        """Claim a submission that is due now; None when there is none in memory."""
        claim = None if self._closed else self._take()
        if claim is not None:
            self._held.add(claim.id)
            self._out += 1
        return claim

    def put_back(self, claim: Claim, delay_s: float, *, behind: bool = False) -> None:
        """Take back a claimed submission, due after a delay.

        Args:
            claim: as the ledger would hand it out now.
            delay_s: the delay.
            behind: claim it after fresh work.
        """
        self._out -= 1
        if claim.tries.doubt and self._doubtful_after is None:
            if self._left is not None:
                self._last.append((self._clock() + delay_s, claim))
            else:
                self._held.discard(claim.id)  # found again in the ledger, after all others
        else:
            self._delay(claim, self._clock() + delay_s, counted=True, behind=behind)
        self._changed.set()

    def done(self, claim: Claim) -> None:
        """Note that a claimed submission is no longer open."""
        self._out -= 1
        self._held.discard(claim.id)
        self._changed.set()

    def added(self) -> None:
        """Note that the ledger has new submissions."""
        self._fresh_ended = False
        self._changed.set()

    def loading_ended(self) -> None:
        """Note that no more submissions will be added."""
        self._loading = False
        self.added()

    def close(self) -> None:
        """Hand out no more submissions."""
        self._closed = True
        self._changed.set()

    @property
    def limit_reached(self) -> bool:
        """Whether as many submissions were started as the limit allows."""
        return self._left is not None and self._left <= 0

    def _delay(self, claim: Claim, due: float, *, counted: bool, behind: bool = False) -> None:
        self._held.add(claim.id)
        queue = self._behind if behind or waits_behind(claim) else self._delayed
        heapq.heappush(queue, _Delayed(due, next(self._order), claim, counted))

    def _take(self) -> Claim | None:
        if self._delayed or self._behind:
            for queue in self._queues:
                if (claim := self._due_of(queue)) is not None:
                    return claim
        if self._page and not self.limit_reached:
            claim = self._page.popleft()
            self._count()
            return claim
        return None

    def _due_of(self, queue: list[_Delayed]) -> Claim | None:
        """Claim the first delayed submission of a heap, if it is due."""
        if not queue or queue[0].due > self._clock():
            return None
        _, _, claim, counted = heapq.heappop(queue)
        if not counted:
            self._count()
        return claim

    @property
    def _queues(self) -> tuple[list[_Delayed], ...]:
        """The delayed submissions that may be claimed once they are due."""
        if self._fresh_left and len(self._behind) <= MOST_BEHIND:
            return (self._delayed,)
        return (self._delayed, self._behind)

    @property
    def _fresh_left(self) -> bool:
        """Whether there is, or may still be, work that was never tried."""
        if self.limit_reached:
            return False
        return bool(self._page) or not self._fresh_ended or self._loading or self._fetching.locked()

    def _count(self) -> None:
        """Count one more submission as started; at the limit, those not started yet stay in the ledger."""
        if self._left is None:
            return
        self._left -= 1
        if self.limit_reached:
            self._page.clear()
            for queue in (self._delayed, self._behind):
                queue[:] = [waiting for waiting in queue if waiting.counted]
                heapq.heapify(queue)

    async def _fetch(self) -> bool:
        """Fill the page from the ledger; False when the ledger had nothing for it."""
        async with self._fetching:
            if self._closed:
                return False
            if self._page:
                return True
            if not self._fresh_ended and not self.limit_reached:
                return await self._fetch_fresh()
            # In doubt: after all others, so not while any of those is in flight, delayed or still to be read.
            if self._doubtful_after is not None or not (self._out or self._delayed or self._loading):
                return await self._fetch_doubtful()
            return False

    async def _recheck(self) -> bool:
        """Check before the end whether other programs have added submissions meanwhile."""
        async with self._fetching:
            if self._closed or self.limit_reached:
                return False
            return not self._finished() or await self._fetch_fresh()

    async def _fetch_fresh(self) -> bool:
        self._fresh_ended = True  # before the query, so that what is added meanwhile is not missed
        claims = await self._ledger.fresh(after_id=self._fresh_after, limit=PAGE)
        if self.limit_reached:  # by other workers, during the query
            return False
        if claims:
            self._fresh_after = claims[-1].id
            self._fresh_ended = False
        return self._fill(claims)

    async def _fetch_doubtful(self) -> bool:
        self._doubtful_after = self._doubtful_after or (0, 0)
        if self._last:
            for due, claim in self._last:
                self._delay(claim, due, counted=True)
            self._last.clear()
            return True
        if self._doubtful_ended or self.limit_reached:
            return False
        found = await self._ledger.doubtful(after=self._doubtful_after, limit=PAGE)
        if self.limit_reached:
            return False
        if found:
            last = found[-1][1]
            self._doubtful_after = (last.tries.doubt, last.id)
        self._doubtful_ended = not found
        waiting = [(not_before, claim) for not_before, claim in found if claim.id not in self._held]
        for not_before, claim in waiting:
            if not_before is not None:
                self._delay(claim, self._due(not_before), counted=False)
        return self._fill([claim for not_before, claim in waiting if not_before is None]) or bool(found)

    def _due(self, not_before: datetime) -> float:
        """Return when a submission in the ledger is due, by the clock of this run."""
        delay_s = (not_before - datetime.now(UTC)).total_seconds()
        return self._clock() + min(max(delay_s, 0.0), self._longest_delay_s)

    def _fill(self, claims: list[Claim]) -> bool:
        """Put claims that are not held already on the page; False when there were no claims."""
        self._page.extend(claim for claim in claims if claim.id not in self._held)
        self._changed.set()
        return bool(claims)

    def _finished(self) -> bool:
        if self._out or self._delayed or self._behind or self._last:
            return False
        if self.limit_reached:
            return True
        return self._fresh_ended and self._doubtful_ended and not self._loading

    async def _wait(self) -> None:
        """Wait until something changes or the next delayed submission is due."""
        due_in_s = min((queue[0].due - self._clock() for queue in self._queues if queue), default=None)
        try:
            async with asyncio.timeout(due_in_s):
                await self._changed.wait()
        except TimeoutError:
            pass
