"""The pace: cut by refusals, regained with time."""

from __future__ import annotations

import math
from collections import deque


class Pace:
    """How many requests a second are right, as the service's refusals tell.

    The numbers were found by simulation against limits of 20/s that count a sliding or an aligned second,
    with refused calls counted or not, under exponential jitter of 0, 5 and 20 ms, and with a neighbour that
    comes and goes.

    Args:
        cap_per_s: what is never exceeded.
        start_per_s: what an earlier run has learned; None begins at the cap.
        now: monotonic seconds.
    """

    CUT = 0.02
    """What one refusal takes off."""
    CUT_EVERY_S = 0.2
    """Refusals of one full second arrive together and are heard as one."""
    LARGEST_CUT = 0.3
    REGAIN = 0.0008
    """Of the cap, regained per second, each second."""
    HASTE = 5e-7
    """Of the cap, regained more for the square of the seconds without a refusal beyond the first twenty."""
    CAUTIOUS_S = 20.0
    FLOOR = 0.01
    """Of the cap: it never gets slower, since only a request can find out that the limit is back."""

    def __init__(self, cap_per_s: float, now: float, start_per_s: float | None = None) -> None:
        self.cap_per_s = cap_per_s
        self.refusals = 0
        self._per_s = max(min(start_per_s or cap_per_s, cap_per_s), self.FLOOR * cap_per_s)
        self._updated_at = now
        self._refused_at = now - self.CAUTIOUS_S
        self._cut_at = -math.inf
        self._recent: deque[float] = deque()

    def per_s(self, now: float) -> float:
        """The pace at this moment; never above the cap."""
        seconds, self._updated_at = now - self._updated_at, now
        if self._per_s < self.cap_per_s and seconds > 0:
            quiet_s = max(0.0, now - self._refused_at - self.CAUTIOUS_S)
            regained = self.cap_per_s * (self.REGAIN + self.HASTE * quiet_s**2) * seconds
            self._per_s = min(self.cap_per_s, self._per_s + regained)
        return self._per_s

    def refused(self, now: float) -> bool:
        """The service said "too frequent"; returns whether the pace was cut for it."""
        pace = self.per_s(now)
        self.refusals += 1
        self._refused_at = now
        self._recent.append(now)
        while self._recent[0] < now - 1.0:
            self._recent.popleft()
        if now - self._cut_at < self.CUT_EVERY_S:
            return False
        crowd = (len(self._recent) - 1) / max(pace, 1.0)
        cut = min(self.CUT + crowd, self.LARGEST_CUT)
        self._per_s = max(pace * (1 - cut), self.FLOOR * self.cap_per_s)
        self._cut_at = now
        return True
