"""The two headers of an answer that decide something: ``Date`` and ``Retry-After``. Pure."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_S = 3600.0
"""A longer ``Retry-After`` is cut to this."""

_EARLIEST_S, _LATEST_S = 1_577_836_800.0, 4_102_444_800.0
"""Unix seconds of 2020 and 2100. A ``Date`` outside is ignored: that server's clock is wrong."""


def server_time(date: str | None) -> float | None:
    """Return a ``Date`` header in Unix seconds; None without one that is readable and plausible."""
    if date is None:
        return None
    try:
        at = parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
    return at if _EARLIEST_S <= at < _LATEST_S else None


def retry_after_s(
    value: str | None, clock: Callable[[], float], longest_s: float = MAX_RETRY_AFTER_S
) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for; None without a readable one.

    Args:
        value: a number of seconds, or a date.
        clock: Unix seconds, to compare a date with.
        longest_s: the most that is returned.
    """
    if value is None:
        return None
    try:
        is_number = value.isascii() and value.strip().isdecimal()
        seconds = float(value) if is_number else parsedate_to_datetime(value).timestamp() - clock()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), longest_s)
