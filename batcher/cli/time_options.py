"""Options that are a moment (``24h``, ``2026-11-30``) or a length of time (``90s``).

Called by the commands ``discover`` and ``verify-ids``, which take times of recordings. The library takes
aware datetimes and seconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from batcher.errors import SettingsError

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)")
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?")
_UNITS_S = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def moment_of(text: str | None, option: str, now: datetime) -> datetime | None:
    """Read a moment: an age (``24h``), or a date with or without a time; local time without a zone.

    Args:
        text: the option's value; None when it is not given.
        option: its name, for the message.
        now: the moment from which an age counts, with its zone.

    Raises:
        SettingsError: the text is neither.
    """
    if text is None:
        return None
    stripped = text.strip()
    try:
        if age := _AGE.fullmatch(stripped):
            return now - timedelta(seconds=float(age[1]) * _UNITS_S[age[2]])
        return datetime.fromisoformat(stripped).astimezone(UTC)
    except (ValueError, OverflowError):
        raise SettingsError(
            f"{option} {text}: give how long ago (90m, 24h, 7d) or a date (2026-11-30, 2026-11-30T05:30); "
            "a date without a zone is local time, 2026-11-30T05:30Z is UTC"
        ) from None


def seconds_of(text: str, option: str) -> float:
    """Read a length of time in seconds: ``10``, ``90s``, ``5m``.

    Raises:
        SettingsError: the text is not a length of time.
    """
    if not (length := _LENGTH.fullmatch(text.strip())):
        raise SettingsError(f"{option} {text}: give seconds, or a number with s, m or h")
    return float(length[1]) * _UNITS_S[length[2]]
