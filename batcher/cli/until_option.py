"""When a run ends although there is work left: after so long, or at a time of day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from batcher.config.settings import Settings
from batcher.report import estimate


def until(settings: Settings, now: datetime) -> datetime | None:
    """The next moment at which it is the time of day that ``--until`` names.

    Args:
        now: local time without a zone: what the clock on the wall shows.
    """
    if settings.until is None:
        return None
    hour, minute = map(int, settings.until.split(":"))
    at = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if at <= now:
        at += timedelta(days=1)
    return at.astimezone(UTC)


def window_s(settings: Settings, now: datetime) -> float | None:
    """How long a run that begins now may last; None when it has no end."""
    return estimate.window_s(settings.max_duration, until(settings, now), now.astimezone(UTC))
