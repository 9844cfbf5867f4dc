"""How long the rest takes, in hours and in nights. Pure."""

from __future__ import annotations

import math

from batcher.report.words import count, duration


def rest(left: int, rate_per_s: float, window_s: float | None) -> str:
    """``about 3 h 20 min at 19.8 a second, in 2 nights of 2 h 15 min``.

    Args:
        left: submissions still to be sent.
        rate_per_s: at which they are sent.
        window_s: how long a run may last; None when it has no end.
    """
    seconds = left / rate_per_s
    nights = math.ceil(seconds / window_s) if window_s else 1
    text = f"about {duration(seconds)} at {rate_per_s:.3g} a second"
    return (
        text
        if nights == 1 or not window_s
        else f"{text}, in {count(nights, 'night')} of {duration(window_s)}"
    )
