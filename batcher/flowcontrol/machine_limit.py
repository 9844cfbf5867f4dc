"""The limit of one AppId and Action on this machine, over all processes.

The service counts 20 requests a second for each Action over everything that shares an AppId. Two mechanisms
keep all processes of a machine below that together:

* The shared list of moments (:mod:`batcher.flowcontrol.shared_moments`): every request is counted there just
  before its first byte, and waits while the list is full. It applies to runs, probes, polls and searches.
* The places of runs (:mod:`batcher.flowcontrol.run_place`): two runs at full speed would only halve one
  another, so the second waits, unless both rates together stay within the limit.

Called by the commands and the library, by :func:`window_for` and :func:`admitted`. Where no file can be
shared the limit holds within the process alone. Every pacer must get its window from here.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from batcher.errors import LimitBusy
from batcher.flowcontrol.cancellation import noting_cancellation
from batcher.flowcontrol.limit_key import LIMIT_PER_S, Action, LimitKey
from batcher.flowcontrol.run_place import RunPlace, Sender, try_place
from batcher.flowcontrol.shared_moments import LOCKED_RETRY_S, MachineCount, SharedMoments
from batcher.flowcontrol.sliding_window import SlidingWindow
from batcher.model.durations import at_least_a_second

__all__ = ["LIMIT_PER_S", "Action", "LimitKey", "Sender", "admitted", "why_unshared", "window_for"]

LOOK_EVERY_S = 0.2
"""Seconds after which a waiting run checks again whether there is room for it."""


class _Process:
    """The lists and places of this process, by limit; safe in threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.moments: dict[LimitKey, SharedMoments] = {}
        self.places: dict[LimitKey, RunPlace] = {}

    def moments_of(self, key: LimitKey) -> SharedMoments:
        """Return the list of moments, the same one for all pacers of a limit."""
        with self.lock:
            if key not in self.moments:
                self.moments[key] = SharedMoments(key)
            return self.moments[key]

    def place_of(self, key: LimitKey, sender: Sender) -> RunPlace | list[Sender] | None:
        """Take a place for one more run of this process.

        Returns:
            The other runs when there is no room for this one; None when nothing can be shared.

        Raises:
            BlockingIOError: another process has the list at this moment.
        """
        moments = self.moments_of(key)
        with self.lock:
            if (own := self.places.get(key)) is not None:
                own.join(sender)
                return own
            taken = try_place(key, moments, sender)
            if isinstance(taken, RunPlace):
                self.places[key] = taken
            return taken

    def leave(self, key: LimitKey, place: RunPlace | None, sender: Sender) -> None:
        """Release the place of a run that has ended."""
        with self.lock:
            if place is not None and self.places.get(key) is place and place.leave(sender):
                del self.places[key]

    def forget(self) -> None:
        """Close all files after a fork: the parent's locks must not outlive the parent."""
        for moments in self.moments.values():
            moments.close()
        for place in self.places.values():
            place.close()
        self.lock, self.moments, self.places = threading.Lock(), {}, {}


_PROCESS = _Process()
os.register_at_fork(after_in_child=_PROCESS.forget)


def window_for(key: LimitKey, rate_per_s: float) -> SlidingWindow:
    """Return the window of a command; all its pacers of this Action must share it.

    Args:
        key: of the limit.
        rate_per_s: of the command; a rate above the limit means that the user's account has a higher one.
    """
    if rate_per_s > SlidingWindow.COUNTED_PER_S:
        return SlidingWindow(rate_per_s, time.monotonic)
    count = MachineCount(_PROCESS.moments_of(key), max(rate_per_s, LIMIT_PER_S))
    return SlidingWindow(rate_per_s, time.monotonic, count)


def why_unshared(key: LimitKey) -> str | None:
    """Return why the limit is not shared with other processes; None when it is."""
    return _PROCESS.moments_of(key).problem


@asynccontextmanager
async def admitted(
    key: LimitKey,
    sender: Sender,
    *,
    wait_s: float | None = None,
    waited_s: float = 0.0,
    on_wait: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[None]:
    """Hold a place among the runs of this machine; the runs of one process share a place.

    Args:
        key: of the limit.
        sender: the run.
        wait_s: how long to wait for other runs; None where there is no such option.
        waited_s: how much of that has passed already.
        on_wait: called once, with a text, when the run begins to wait.

    Raises:
        LimitBusy: other runs use the limit.
    """
    with noting_cancellation("stopped while waiting for another run"):
        place = await _awaited_place(key, sender, wait_s, time.monotonic() - waited_s, on_wait)
    try:
        yield
    finally:
        _PROCESS.leave(key, place, sender)


async def _awaited_place(
    key: LimitKey, sender: Sender, wait_s: float | None, began: float, on_wait: Callable[[str], None]
) -> RunPlace | None:
    reported = False
    while True:
        try:
            taken = _PROCESS.place_of(key, sender)
        except BlockingIOError:
            await asyncio.sleep(LOCKED_RETRY_S)
            continue
        if not isinstance(taken, list):
            return taken
        left_s = (wait_s or 0.0) - (time.monotonic() - began)
        if left_s <= 0:
            raise LimitBusy(busy_text(key, sender, taken, wait_s))
        if not reported:
            up_to = at_least_a_second(wait_s or 0.0)
            on_wait(f"waiting up to {up_to} for another run with AppId {key.app_id}: {taken[0]}")
            reported = True
        await asyncio.sleep(min(LOOK_EVERY_S, left_s))


def busy_text(key: LimitKey, sender: Sender, others: list[Sender], wait_s: float | None) -> str:
    """Return the message for a run that found no room next to others, with the remedy."""
    also = f", also after waiting {at_least_a_second(wait_s or 0.0)}" if wait_s else ""
    remedy = {None: "Wait until it has ended", 0.0: "Wait for it, or use --wait-lock"}.get(
        wait_s, "Wait longer"
    )
    return (
        f"another run uses the limit of AppId {key.app_id}{also}: {'; '.join(map(str, others))}. {remedy}, "
        f"or give both runs a --rate so that they add up to {LIMIT_PER_S:g} at most (this one has "
        f"{sender.rate_per_s:g})"
    )
