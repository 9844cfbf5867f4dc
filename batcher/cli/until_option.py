"""The ``--until`` option: a time of day, as a moment."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from batcher.cli.local_time import moment_text, zone_folders, zone_problem
from batcher.cli.terminal.console import Console
from batcher.config.settings import Settings
from batcher.report import estimate


def until(settings: Settings, now: datetime) -> datetime | None:
    """Return the next moment at which clocks show the time of day that ``--until`` names.

    A time that a clock change skips becomes the moment of the change. A repeated time is its first occurrence
    still ahead.

    Args:
        now: local time without a zone; ``fold`` tells the two occurrences of a repeated hour apart.
    """
    if settings.until is None:
        return None
    hour, minute = map(int, settings.until.split(":"))
    began = now.astimezone(UTC)
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    # Yesterday's date too: a change at midnight repeats the last hour of the day before.
    days = (today + timedelta(days=n) for n in (-1, 0, 1, 2))
    return min(moment for day in days for moment in _moments(day) if moment > began)


def announce_until(console: Console, settings: Settings, ends: datetime | None) -> None:
    """Say when ``--until`` ends a command, with the zone; warn about a zone that is unknown."""
    if ends is None:
        return
    if problem := zone_problem(os.environ.get("TZ"), zone_folders()):
        console.warn(problem)
    console.say(f"until {settings.until} ({moment_text(ends)})")


def window_s(settings: Settings, now: datetime) -> float | None:
    """Return how long a run that begins now may last, in seconds; None for no limit."""
    return estimate.window_s(settings.max_duration, until(settings, now), now.astimezone(UTC))


def _moments(local: datetime) -> tuple[datetime, ...]:
    """Return the moments at which clocks show a local time: one, two, or the change that skips it."""
    moments = sorted(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if moments[0].astimezone().replace(tzinfo=None, fold=0) == local.replace(fold=0):
        return tuple(moments)
    return (_change_between(*moments),)


def _change_between(before: datetime, after: datetime) -> datetime:
    """Return the moment at which the offset from UTC changes, to the second."""
    offset = before.astimezone().utcoffset()
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        before, after = (middle, after) if middle.astimezone().utcoffset() == offset else (before, middle)
    return after
