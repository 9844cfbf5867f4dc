"""Ways of counting a rate limit: given when requests arrive, say which of them are over it.

Where it stands: `service` asks one of these about each request that passed the gateway. They are pure but
for their own counts: the arrival time is an argument, in seconds of any clock that does not run backwards.
They never wait and never delay a request.
"""

from __future__ import annotations

from collections import deque
from math import floor
from typing import Protocol

from .variants import Counting


class Limit(Protocol):
    """Anything that can say whether a request arriving now is within the limit."""

    def admit(self, arrived_s: float) -> bool:
        """Count one arrival and say whether it is within the limit."""


class Unlimited:
    """No limit at all."""

    def admit(self, arrived_s: float) -> bool:  # noqa: ARG002 - the protocol's argument, of no use here
        """Admit everything."""
        return True


class SlidingSecond:
    """At most `limit` counted requests in any window of one second.

    With `count_refused` a refused call fills the window as well, so a caller who keeps calling too fast is
    refused until it slows down.
    """

    def __init__(self, limit: int, *, count_refused: bool) -> None:
        self._limit = limit
        self._count_refused = count_refused
        self._counted: deque[float] = deque()

    def admit(self, arrived_s: float) -> bool:
        """Count one arrival; one that came a full second ago is outside the window."""
        counted = self._counted
        while counted and counted[0] <= arrived_s - 1.0:
            counted.popleft()
        within = len(counted) < self._limit
        if within or self._count_refused:
            counted.append(arrived_s)
        return within


class AlignedSecond:
    """At most `limit` requests in each whole second of the clock.

    Counting refused calls would make no difference: they come when the second is already full, and the next
    second starts empty.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._second: int | None = None
        self._count = 0

    def admit(self, arrived_s: float) -> bool:
        """Count one arrival in its second."""
        second = floor(arrived_s)
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count <= self._limit


class TokenBucket:
    """A bucket of `limit` tokens, full at first, refilled at `limit` per second.

    With `count_refused` a refused call takes a token too and the bucket goes into debt, though never by more
    than its capacity: one second of silence always brings it back to empty.
    """

    def __init__(self, limit: int, *, count_refused: bool) -> None:
        self._limit = limit
        self._count_refused = count_refused
        self._tokens = float(limit)
        self._filled_s: float | None = None

    def admit(self, arrived_s: float) -> bool:
        """Refill up to this arrival, then take one token for it."""
        if self._filled_s is not None:
            refill = (arrived_s - self._filled_s) * self._limit
            self._tokens = min(float(self._limit), self._tokens + refill)
        self._filled_s = arrived_s
        # The tolerance keeps a caller at exactly the refill rate from failing by a rounding of floats.
        within = self._tokens >= 1.0 - 1e-9
        if within or self._count_refused:
            self._tokens = max(-float(self._limit), self._tokens - 1.0)
        return within


def limit_for(counting: Counting, per_s: int | None, *, count_refused: bool) -> Limit:
    """Build the limit of `per_s` requests per second; None or 0 means no limit."""
    if not per_s:
        return Unlimited()
    match counting:
        case Counting.SLIDING:
            return SlidingSecond(per_s, count_refused=count_refused)
        case Counting.ALIGNED:
            return AlignedSecond(per_s)
        case Counting.BUCKET:
            return TokenBucket(per_s, count_refused=count_refused)
