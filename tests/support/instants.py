"""What a list of moments amounts to: how many of them lie within a second, or between two."""

from __future__ import annotations

from collections.abc import Iterable


def most_in_a_second(instants: Iterable[float]) -> int:
    """The largest number of instants within any window of one second."""
    ordered, most, first = sorted(instants), 0, 0
    for last, instant in enumerate(ordered):
        while ordered[first] <= instant - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def between(instants: Iterable[float], begin_s: float, end_s: float) -> int:
    """How many instants lie between two moments."""
    return sum(begin_s < at <= end_s for at in instants)
