"""When a run ends although there is work left: after so long, or at a time of day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from batcher.settings import Settings


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
    end = until(settings, now)
    lasts = [settings.max_duration] if settings.max_duration is not None else []
    if end is not None:
        lasts.append((end - now.astimezone(UTC)).total_seconds())
    return min(lasts, default=None)
