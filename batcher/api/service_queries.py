"""The connection to the service for queries that cost nothing: searches and look-ups of recordings.

Called by ``api/discover`` and ``api/verify_ids``. Searches have a rate limit of their own, which every search
of this machine shares.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from batcher.discover.retrying_query import RetryingQuery
from batcher.errors import SettingsError
from batcher.flowcontrol.limit_key import Action
from batcher.flowcontrol.machine_limit import window_for
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.service_access import ServiceAccess
from batcher.model.events import OnEvent
from batcher.zego.client import ZegoClient

SEARCH_CONNECTIONS = 16
"""Searches in flight at most."""


def checked_rate(rate_per_s: float) -> float:
    """Return a rate that can be used.

    Raises:
        SettingsError: it cannot.
    """
    if not 0 < rate_per_s < math.inf:
        raise SettingsError(f"rate_per_s {rate_per_s:g}: give a number above 0")
    return rate_per_s


def check_times(since: datetime | None, until: datetime | None, remark: str = "") -> None:
    """Check the times between which recordings are searched.

    Raises:
        SettingsError: one has no time zone, or they are in the wrong order.
    """
    if any(at is not None and at.tzinfo is None for at in (since, until)):
        raise SettingsError("since, until: give times with a time zone")
    if since is not None and since > (until or datetime.now(UTC)):
        begin = f"{since:%Y-%m-%d %H:%M:%S %Z}"
        if until is None:
            raise SettingsError(f"since {begin}: is after now{remark}")
        raise SettingsError(f"since, until: {begin} is after {until:%Y-%m-%d %H:%M:%S %Z}{remark}")


@asynccontextmanager
async def search_client(
    service: ServiceAccess, rate_per_s: float, on_event: OnEvent
) -> AsyncIterator[tuple[ZegoClient, RetryingQuery]]:
    """Open a client and the query that sends its searches within their rate limit."""
    window = window_for(service.limit(Action.SEARCH), rate_per_s)
    async with service.client(SEARCH_CONNECTIONS) as client:
        yield client, RetryingQuery(Pacer(rate_per_s, time.monotonic, window=window), on_event)
