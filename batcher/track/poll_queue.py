"""The queue of polls: which task is polled next.

Called by the workers of the tracker. Due tasks are read from the ledger, a page at a time. Other processes
write to the same ledger, so it is checked again every second. Each task must be given to one worker at a
time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Protocol

from batcher.ledger.tasks import Followed, Polled, TaskCounts
from batcher.model.submission import SubmissionId
from batcher.track.poll_policy import FIRST_WAIT_S

PAGE = 100
"""Due tasks read from the ledger in one query: five seconds' worth."""

LOOK_EVERY_S = 1.0
"""Seconds between two checks of the ledger while nothing is due."""


class PollLedger(Protocol):
    """The ledger, as far as the queue and the tracker use it."""

    async def take_up(self, longest_wait_ms: int) -> None:
        """Begin to follow tasks."""

    async def seed(self, first_wait_ms: int) -> int:
        """Follow submissions that are not followed yet; return how many."""

    async def due(self, now_ms: int, limit: int) -> list[Followed]:
        """Return tasks that are due."""

    async def left(self, *, beyond: int = 0) -> TaskCounts:
        """Return what is left to follow."""

    async def note(self, polled: Polled) -> bool:
        """Record the result of a poll."""


class PollQueue:
    """Hands out tasks that are due, each to one worker at a time, in the order of their due times.

    Args:
        ledger: where tasks are read.
        now_ms: Unix milliseconds that never run backwards.
        ends_when_empty: whether the queue ends once nothing is left to follow.
    """

    def __init__(
        self, ledger: PollLedger, now_ms: Callable[[], int], ends_when_empty: Callable[[], bool]
    ) -> None:
        self._ledger = ledger
        self._now_ms = now_ms
        self._ends_when_empty = ends_when_empty
        self._page: deque[Followed] = deque()
        self._claimed: set[SubmissionId] = set()
        self._fetching = asyncio.Lock()
        self._changed = asyncio.Event()
        self._unfollowable = False
        """The rest has no task id in the ledger, which is damaged: it can never be followed."""
        self.closed = False
        self.emptied = False
        """The queue ended because all tasks have ended."""

    async def next(self) -> Followed | None:
        """Wait until a task is due and claim it; return None once the queue has ended."""
        async with self._fetching:
            while not self.closed:
                if self._page:
                    task = self._page.popleft()
                    self._claimed.add(task.id)
                    return task
                self._changed.clear()
                if not await self._fetch():
                    await self._wait()
        return None

    def done(self, task: Followed) -> None:
        """Release a claimed task: its result is recorded, or it stays due."""
        self._claimed.discard(task.id)
        if not self._claimed:
            self._changed.set()

    def look(self) -> None:
        """Check the ledger now: something has changed that may end the waiting."""
        self._changed.set()

    def close(self) -> None:
        """Hand out nothing more."""
        self.closed = True
        self._changed.set()

    async def _fetch(self) -> bool:
        if (await self._ledger.left()).untracked:
            self._unfollowable = not await self._ledger.seed(int(FIRST_WAIT_S * 1000))
        claimed = set(
            self._claimed
        )  # copied before the query: a result recorded meanwhile may still seem due
        found = await self._ledger.due(self._now_ms(), PAGE + len(claimed))
        self._page.extend(task for task in found if task.id not in claimed)
        return bool(self._page)

    async def _wait(self) -> None:
        """Wait until something may be due; end the queue when nothing can become due."""
        may_end = self._ends_when_empty()  # before the query, so that a later submission is not overlooked
        claimed = len(self._claimed)  # before the query, since claimed tasks may be put off meanwhile
        left = await self._ledger.left(beyond=claimed)
        if left.untracked and not self._unfollowable:
            return
        if left.next_due_ms is None and not claimed and not self._claimed and may_end:
            self.emptied = True
            self.close()
            return
        due_s = LOOK_EVERY_S if left.next_due_ms is None else (left.next_due_ms - self._now_ms()) / 1000
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(max(due_s, 0.01), LOOK_EVERY_S)):
                await self._changed.wait()
