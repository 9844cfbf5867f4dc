"""Polls of claimed tasks: the tasks that a callback has called ended, and no others.

Called by the ``listen`` command, which confirms callbacks for as long as it runs.
"""

from __future__ import annotations

import time

from batcher.flowcontrol.pacer import Pacer, SlidingWindow
from batcher.ledger.callbacks import CallbackLedger
from batcher.ledger.tasks import Followed, Polled, TaskCounts
from batcher.model.events import OnEvent, ignore_event
from batcher.track.settings import Tracked, TrackSettings
from batcher.track.tracker import PollClient, Tracker

POLLERS = 8


class ClaimedTasks:
    """The claimed tasks of a ledger, as the tracker reads them."""

    def __init__(self, ledger: CallbackLedger) -> None:
        self._ledger = ledger

    async def take_up(self, longest_wait_ms: int) -> None:
        """Begin to follow tasks."""
        await self._ledger.tasks.take_up(longest_wait_ms)

    async def seed(self, first_wait_ms: int) -> int:
        """Follow no other tasks."""
        del first_wait_ms
        return 0

    async def due(self, now_ms: int, limit: int) -> list[Followed]:
        """Return claimed tasks that are due."""
        return await self._ledger.claimed(now_ms, limit)

    async def left(self, *, beyond: int = 0) -> TaskCounts:
        """Return when the next claimed task is due."""
        return TaskCounts(await self._ledger.next_claimed_ms(beyond), untracked=False)

    async def note(self, polled: Polled) -> bool:
        """Record the result of a poll."""
        return await self._ledger.tasks.note(polled)


async def poll_claimed(
    ledger: CallbackLedger,
    client: PollClient,
    rate_per_s: float,
    limit: SlidingWindow | None = None,
    on_event: OnEvent = ignore_event,
) -> Tracked:
    """Poll claimed tasks until the service refuses the account or the ledger fails; return the reason.

    Args:
        ledger: stays open.
        client: the service; stays open.
        rate_per_s: polls per second at most.
        limit: the window shared with other polls.
        on_event: called for outages.
    """
    settings = TrackSettings(rate_per_s, concurrency=POLLERS, follow=True)
    pacer = Pacer(rate_per_s, time.monotonic, window=limit)
    return await Tracker(ClaimedTasks(ledger), client, settings, pacer=pacer, on_event=on_event).run()
