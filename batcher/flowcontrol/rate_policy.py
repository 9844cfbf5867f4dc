"""The pace: how many requests a second are right, cut by refusals and regained with time.

Called by the pacer (:mod:`batcher.flowcontrol.pacer`). Pure: the caller passes the time. The constants of
:class:`Pace` were found by simulation; measure with ``bench/pacing.py`` before changing them.
"""

from __future__ import annotations

import math
from collections import Counter, deque

TOO_FREQUENT = "too frequent"
"""The words for a call that the service refused as too frequent."""


# -- the policy ------------------------------------------------------------------------------------------


def cut_of(crowd: int, pace_per_s: float) -> float:
    """Return the share of the pace that a refusal takes off.

    Args:
        crowd: other refusals within the last second.
        pace_per_s: requests a second.
    """
    return min(Pace.CUT + crowd / max(pace_per_s, 1.0), Pace.LARGEST_CUT)


def regain_per_s(quiet_s: float, refused_share: float) -> float:
    """Return the share of the cap that is regained each second.

    Args:
        quiet_s: since the last refusal.
        refused_share: the refused part of recent calls.
    """
    brisk = Pace.BRISK * (1 - refused_share / Pace.BEARABLE)
    return max(brisk, Pace.REGAIN) + Pace.HASTE * max(0.0, quiet_s - Pace.CAUTIOUS_S) ** 2


def why_slow(refusals: Counter[str]) -> str:
    """Return why a pace is below its cap, in words."""
    if not refusals:
        return "an earlier run was throttled: its calls were too frequent"
    said = [
        f"reported {_times(n)} that calls are too frequent"
        if what == TOO_FREQUENT
        else f"answered {what} {_times(n)}"
        for what, n in refusals.most_common()
    ]
    return f"the service {' and '.join(said)}"


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n:,} times"


class Pace:
    """The right number of requests a second, judged by the service's refusals; a share of the cap.

    The numbers were found by simulation against limits of 20/s that count a sliding or an aligned second,
    with refused calls counted or not, under exponential jitter of 0, 5 and 20 ms, with a neighbour that
    starts and stops, and with refusals by chance of 0.2 to 2 % of all calls.

    Args:
        cap_per_s: the pace never exceeds it.
        now: monotonic seconds.
        start_share: the share of its cap that an earlier run ended with; None begins at the cap.
        age_s: how long ago that was: the share ages as in a run without refusals.
    """

    CUT = 0.02
    """The share that one refusal takes off."""
    CUT_EVERY_S = 0.2
    """Refusals of one full second arrive together and count as one."""
    LARGEST_CUT = 0.3
    BEARABLE = 0.02
    """The share of refused calls that does not slow the pace down for long."""
    MEMORY_S = 20.0
    """The time for which a call counts as recent."""
    BRISK = 0.01
    """Of the cap, regained per second while hardly any call is refused."""
    REGAIN = 0.0008
    """Of the cap, regained per second while more calls are refused than are bearable."""
    HASTE = 5e-7
    """Of the cap, regained in addition, by the square of the quiet seconds beyond the first 20."""
    CAUTIOUS_S = 20.0
    FLOOR = 0.01
    """Of the cap: the slowest pace. Only a request can find out that the limit is free again."""

    def __init__(
        self, cap_per_s: float, now: float, start_share: float | None = None, age_s: float = 0.0
    ) -> None:
        self.cap_per_s = cap_per_s
        self.refusals: Counter[str] = Counter()
        """The number of calls that the service refused, by its words."""
        self._share = max(min(start_share or 1.0, 1.0), self.FLOOR)
        self._updated_at = now - age_s
        self._refused_at = now - (age_s if start_share else self.CAUTIOUS_S)
        self._cut_at = -math.inf
        self._last_second: deque[float] = deque()
        self._recent = self.BEARABLE * self._recent_calls if start_share else 0.0

    def share(self, now: float) -> float:
        """Return the present pace as a share of the cap."""
        seconds, self._updated_at = now - self._updated_at, now
        if seconds > 0 and (self._share < 1.0 or self._recent):
            self._recent *= math.exp(-seconds / self.MEMORY_S)
            regained = regain_per_s(now - self._refused_at, self._recent / self._recent_calls) * seconds
            self._share = min(1.0, self._share + regained)
        return self._share

    def recap(self, cap_per_s: float, now: float) -> None:
        """Change the cap; the learned share of it, and the refused part of recent calls, stay.

        Args:
            cap_per_s: the new cap; more than 0.
            now: monotonic seconds.
        """
        self.share(now)
        refused_share = self._recent / self._recent_calls
        self.cap_per_s = cap_per_s
        self._recent = refused_share * self._recent_calls

    def per_s(self, now: float) -> float:
        """Return the present pace; never above the cap."""
        return self.share(now) * self.cap_per_s

    def refused(self, now: float, said: str = TOO_FREQUENT) -> bool:
        """Count a refused call; return whether the pace was cut for it.

        Args:
            now: monotonic seconds.
            said: the words of the refusal.
        """
        pace = self.per_s(now)
        self.refusals[said] += 1
        self._refused_at = now
        self._last_second.append(now)
        while self._last_second[0] < now - 1.0:
            self._last_second.popleft()
        if now - self._cut_at < self.CUT_EVERY_S:
            return False
        self._recent += 1
        self._share = max(self._share * (1 - cut_of(len(self._last_second) - 1, pace)), self.FLOOR)
        self._cut_at = now
        return True

    @property
    def _recent_calls(self) -> float:
        return max(self._share * self.cap_per_s, 1.0) * self.MEMORY_S


SLOWED = 0.995
"""Of the cap: a pace below this share is reported as slow."""
