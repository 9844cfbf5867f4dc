"""The rate meter: counts requests that may have left, and measures how many of them a second.

The workers of a run count submissions with it, and the tracker counts polls. Reading the rate changes
nothing, so that a display, metrics and events may read it as often as they like.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

METER_S = 10
"""The rate now is measured over this many seconds."""


@dataclass(frozen=True, slots=True)
class CurrentRate:
    """The rate at which a run sends at this moment."""

    now_per_s: float
    """Requests sent per second, over the last ten seconds."""
    pace_per_s: float
    """The pace that the pacer allows now."""
    cap_per_s: float
    why_slow: str | None
    """Why the pace is below the cap; None when it is not."""
    sent: int
    seconds: float
    """Since the run began to send."""
    waiting: bool = False
    """Nothing is sent at all for now, for the reason that ``why_slow`` gives."""


class RateMeter:
    """Counts requests by the second.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_second: deque[list[int]] = deque(maxlen=METER_S)
        """Second and requests counted in it; seconds without a request are left out."""
        self.count = 0
        self.start()

    def start(self) -> None:
        """Measure the time from now on."""
        self._started_at = self._clock()

    def add(self) -> None:
        """Count one request."""
        self.count += 1
        second = int(self._clock())
        if self._by_second and self._by_second[-1][0] == second:
            self._by_second[-1][1] += 1
        else:
            self._by_second.append([second, 1])

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started_at

    @property
    def per_s(self) -> float:
        """Requests per second over the last ten seconds, or since the start if that is less."""
        now = self._clock()
        since = max(int(now) - METER_S + 1, int(self._started_at))
        recent = sum(n for second, n in self._by_second if second >= since)
        return recent / max(now - max(since, self._started_at), 1.0)
