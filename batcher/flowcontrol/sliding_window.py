"""The window: counts requests at the moment they leave, and says when the next one may.

Every request enters it just before its first byte leaves, also probes. All pacers of one Action in a process
share one window, and a window may share its count with other processes
(:mod:`batcher.flowcontrol.shared_moments`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

MARGIN = 0.0125
"""The share by which the pace stays below the limit at most: at 20/s, 20 requests leave in 1.0125 s and not
in 1 s. Requests may bunch by these 12 ms on their way before 21 of them arrive within one second."""

CATCH_UP_TURNS = 0.5
CATCH_UP_S = 0.005
"""Lateness that may be made up for: half a turn, or at high rates, where timers are too coarse, this long."""

LATE_S = 0.02
"""A request that leaves this long after its turn has waited for something, and probably others with it."""


class Spacing:
    """How close to one another requests may leave under a limit.

    Args:
        limit_per_s: requests per second.

    Attributes:
        most: how many requests may leave within ``lasts_s``.
        lasts_s: the length of the window.
        least_s: the least distance from the last request.
    """

    def __init__(self, limit_per_s: float) -> None:
        self.most = max(1, round(limit_per_s))
        self.lasts_s = self.most / limit_per_s * (1 + MARGIN)
        self.least_s = (1 - CATCH_UP_TURNS) / limit_per_s

    def wait_s(self, moments: Sequence[float], at: float) -> float:
        """Return how long until another request may leave; 0 or less when it may leave now.

        Args:
            moments: at which other requests left, oldest first.
            at: the present moment.
        """
        if not moments:
            return 0.0
        wait_s = moments[-1] + self.least_s - at
        if len(moments) >= self.most:
            wait_s = max(wait_s, moments[-self.most] + self.lasts_s - at)
        return wait_s


class Turn:
    """Permission to send one request.

    Args:
        alone: it may leave while the others are held back: a probe, or the turn of :meth:`Pacer.single`.
    """

    __slots__ = ("alone", "at")

    def __init__(self, at: float = -math.inf, *, alone: bool = False) -> None:
        self.at = at
        """Monotonic seconds at which it leaves; -inf before it is counted."""
        self.alone = alone


class Elsewhere(Protocol):
    """A count that is shared, for example with other processes."""

    def enter(self, at: float, instead_of: float) -> float:
        """Count a request that leaves now, if there is room.

        Args:
            at: monotonic seconds.
            instead_of: the moment at which the same request was counted before; -inf when it was not.

        Returns:
            How long to wait before asking again; nothing or less when it is counted.
        """

    def move(self, before: float, at: float) -> None:
        """Correct the moment of a request that was counted already."""


class SlidingWindow:
    """The last requests that left, as many as the limit allows in a second, and how long that must take.

    It counts the moment at which a request really left: a late request delays its successors, and the
    distance to them stays. All pacers of one Action in a command share one window.

    Args:
        rate_per_s: the limit; above 200 a second timers are too coarse to keep such distances.
        clock: monotonic seconds.
        elsewhere: a count that has to have room, too.
    """

    COUNTED_PER_S = 200

    def __init__(
        self, rate_per_s: float, clock: Callable[[], float], elsewhere: Elsewhere | None = None
    ) -> None:
        self._clock = clock
        self._elsewhere = elsewhere
        self._turns: deque[Turn] = deque()
        self.resize(rate_per_s)

    def resize(self, rate_per_s: float) -> None:
        """Change the limit; the count elsewhere keeps its own.

        Requests that left before count under the new limit, as many as the largest limit so far allowed.
        """
        self._spacing = Spacing(rate_per_s)
        kept = self._spacing.most if rate_per_s <= self.COUNTED_PER_S else 0
        self._turns = deque(self._turns, maxlen=kept and max(kept, self._turns.maxlen or 0))

    def enter(self, turn: Turn) -> float:
        """Count a turn at this moment, if there is room; one that was counted before counts anew.

        Returns:
            How long to wait before asking again; nothing or less when it is counted.
        """
        if turn in self._turns:
            self._turns.remove(turn)
        now = self._clock()
        wait_s = self._spacing.wait_s([other.at for other in self._turns], now)
        if wait_s <= 0 and self._elsewhere is not None:
            wait_s = self._elsewhere.enter(now, turn.at)
        if wait_s <= 0:
            turn.at = now
            self._turns.append(turn)
        return wait_s

    def leave(self, turn: Turn) -> bool:
        """Note that the request of a turn leaves now; False when it is so late that it must enter again."""
        now = self._clock()
        if now - turn.at > LATE_S:
            return False
        if self._elsewhere is not None:
            self._elsewhere.move(turn.at, now)
        turn.at = now
        return True
