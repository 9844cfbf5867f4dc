"""What a server counts: requests within a second, and how many a second.

A server notes an arrival when its process gets round to it. On a busy machine that is late by more than
the few milliseconds between the 20th and the 21st request, so a second is taken shorter by what such a
process was seen to be late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from batcher.sandbox import Entry

BEAT_S = 0.005
LEAST_LATE_S = 0.02
USUAL_LATE_S = 0.005
"""A process is so late on a machine that does nothing else."""


class Lateness:
    """How late a process of this machine is at most, and all in all."""

    def __init__(self) -> None:
        self.most_s = LEAST_LATE_S
        self.lost_s = 0.0

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            asleep = time.monotonic()
            await asyncio.sleep(BEAT_S)
            late_s = time.monotonic() - asleep - BEAT_S
            self.most_s = max(self.most_s, min(late_s + LEAST_LATE_S, 0.5))
            self.lost_s += late_s if late_s > USUAL_LATE_S else 0.0


@asynccontextmanager
async def lateness() -> AsyncIterator[Lateness]:
    """Watch within the block how late processes are."""
    seen = Lateness()
    watching = asyncio.create_task(seen.watch())
    try:
        yield seen
    finally:
        watching.cancel()


def moments(log: Iterable[Entry], action: str = "MediaThumbnails") -> list[float]:
    """When the requests of an Action arrived, in order; monotonic seconds."""
    return sorted(entry.arrived_s for entry in log if entry.action == action)


def most_in_a_second(instants: Sequence[float], late_s: float) -> int:
    """The largest number of instants within any window of one second, less what may be lateness."""
    most = first = 0
    for last, instant in enumerate(instants):
        while instants[first] <= instant - (1.0 - late_s):
            first += 1
        most = max(most, last - first + 1)
    return most


def rate_of(instants: Sequence[float], lost_s: float = 0.0) -> float:
    """Instants per second, over all of them; what a busy machine took from the processes does not count."""
    return (len(instants) - 1) / max(instants[-1] - instants[0] - lost_s, 0.001)
