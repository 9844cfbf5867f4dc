"""Polls of claimed tasks: the tasks that a callback has called ended, and no others.

Called by the ``listen`` command, which confirms callbacks for as long as it runs.
"""

from __future__ import annotations

import time

from batcher.flowcontrol.pacer import Pacer, SlidingWindow
from batcher.ledger.callbacks import CallbackLedger
from batcher.model.events import OnEvent, ignore_event
from batcher.track.settings import Tracked, TrackSettings
from batcher.track.tracker import PollClient, Tracker

POLLERS = 8


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
    return await Tracker(ledger.claimed_tasks, client, settings, pacer=pacer, on_event=on_event).run()
