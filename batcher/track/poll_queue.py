"""The queue of polls: which task is polled next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from batcher.ledger.tasks import Followed, Polled, TaskCounts
from batcher.model.submission import SubmissionId
from batcher.track.poll_policy import FIRST_WAIT_S

PAGE = 100
"""Due tasks taken from the ledger at once: five seconds' worth."""

LOOK_EVERY_S = 1.0
"""How often the ledger is looked at while nothing is due: others write it, too."""


class Book(Protocol):
    """What is asked of the ledger."""

    async def take_up(self, longest_wait_ms: int) -> None:
        """Begin to follow tasks."""

    async def seed(self, first_wait_ms: int) -> int:
        """Follow submissions that are not followed yet; returns how many."""

    async def due(self, now_ms: int, limit: int) -> list[Followed]:
        """Tasks that are to be asked about now."""

    async def left(self, *, beyond: int = 0) -> TaskCounts:
        """What is left to follow."""

    async def note(self, polled: Polled) -> bool:
        """Record what a poll has brought."""


# -- which task is next --------------------------------------------------------------------------------


class Agenda:
    """Hands out tasks that are due, each to one worker at a time, in the order of their due times.

    Args:
        book: where they are found.
        now_ms: Unix milliseconds that never go back.
        is_over: whether the agenda ends once nothing is left to follow.
    """

    def __init__(self, book: Book, now_ms: Callable[[], int], is_over: Callable[[], bool]) -> None:
        self._book = book
        self._now_ms = now_ms
        self._is_over = is_over
        self._page: deque[Followed] = deque()
        self._held: set[SubmissionId] = set()
        self._fetching = asyncio.Lock()
        self._changed = asyncio.Event()
        self._barren = False
        """What is not followed yet cannot be: the ledger is damaged, and has no task id for it."""
        self.closed = False
        self.emptied = False
        """It ended since all tasks have ended."""

    async def next(self) -> Followed | None:
        """The task to ask about next; waits until one is due. None when there is none any more."""
        async with self._fetching:
            while not self.closed:
                if self._page:
                    task = self._page.popleft()
                    self._held.add(task.id)
                    return task
                self._changed.clear()
                if not await self._fetch():
                    await self._wait()
        return None

    def done(self, task: Followed) -> None:
        """What came of asking about a task is on record, or given up."""
        self._held.discard(task.id)
        if not self._held:
            self._changed.set()

    def look(self) -> None:
        """Something has changed that may end the waiting."""
        self._changed.set()

    def close(self) -> None:
        """Hand out nothing more."""
        self.closed = True
        self._changed.set()

    async def _fetch(self) -> bool:
        if (await self._book.left()).untracked:
            self._barren = not await self._book.seed(int(FIRST_WAIT_S * 1000))
        held = set(self._held)  # as it is now: what is recorded meanwhile may still seem due
        found = await self._book.due(self._now_ms(), PAGE + len(held))
        self._page.extend(task for task in found if task.id not in held)
        return bool(self._page)

    async def _wait(self) -> None:
        """Wait until something may be due, or there is nothing to wait for."""
        over = self._is_over()  # before the look: what is submitted later is then not overlooked
        in_hand = len(self._held)  # they may be put off while the ledger is asked
        left = await self._book.left(beyond=in_hand)
        if left.untracked and not self._barren:
            return
        if left.next_due_ms is None and not in_hand and not self._held and over:
            self.emptied = True
            self.close()
            return
        due_s = LOOK_EVERY_S if left.next_due_ms is None else (left.next_due_ms - self._now_ms()) / 1000
        try:
            async with asyncio.timeout(min(max(due_s, 0.01), LOOK_EVERY_S)):
                await self._changed.wait()
        except TimeoutError:
            pass
