"""Estimates of the remaining time, in hours and in nights. Pure."""

from __future__ import annotations

import math
from datetime import datetime

from batcher.report.formatting import at_least_a_second, count, duration


def window_s(lasts_s: float | None, until: datetime | None, began: datetime) -> float | None:
    """Return how long a run may last; None without a limit.

    Args:
        lasts_s: the longest duration.
        until: the latest moment; the earlier of the two limits counts.
        began: when the run began, with a zone like ``until``.
    """
    ends = [] if lasts_s is None else [lasts_s]
    if until is not None:
        ends.append((until - began).total_seconds())
    return min(ends, default=None)


def rest(left: int, rate_per_s: float, window_s: float | None) -> str:
    """Return the remaining time: ``about 3 h 20 min at 19.8 a second, in 2 nights of 2 h 15 min``.

    Args:
        left: submissions that are not sent yet.
        rate_per_s: the rate of sending.
        window_s: how long a run may last; None without a limit.
    """
    seconds = left / rate_per_s
    nights = math.ceil(seconds / window_s) if window_s else 1
    about = f"about {duration(seconds)}" if seconds >= 1 else at_least_a_second(seconds)
    text = f"{about} at {rate_per_s:.3g} a second"
    return (
        text
        if nights == 1 or not window_s
        else f"{text}, in {count(nights, 'night')} of {duration(window_s)}"
    )
