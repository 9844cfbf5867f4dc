"""How long the rest takes, in hours and in nights. Pure."""

from __future__ import annotations

import math
from datetime import datetime

from batcher.report.formatting import at_least_a_second, count, duration


def window_s(lasts_s: float | None, until: datetime | None, began: datetime) -> float | None:
    """How long a run may last that began at a moment; None when it has no end.

    Args:
        lasts_s: after so long.
        until: at this moment; of both the first counts.
        began: like ``until`` with its zone.
    """
    ends = [] if lasts_s is None else [lasts_s]
    if until is not None:
        ends.append((until - began).total_seconds())
    return min(ends, default=None)


def rest(left: int, rate_per_s: float, window_s: float | None) -> str:
    """``about 3 h 20 min at 19.8 a second, in 2 nights of 2 h 15 min``.

    Args:
        left: submissions still to be sent.
        rate_per_s: at which they are sent.
        window_s: how long a run may last; None when it has no end.
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
