"""``--until`` on the days on which clocks change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from batcher.cli.until_option import until, window_s
from batcher.config.examine import load_settings


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The zone of this machine for one test."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def at(text: str, fold: int = 0) -> datetime:
    """A local time."""
    return datetime.fromisoformat(text).replace(fold=fold)


BERLIN, SAO_PAULO, CAIRO, NEW_YORK = "Europe/Berlin", "America/Sao_Paulo", "Africa/Cairo", "America/New_York"


@pytest.mark.parametrize(
    ("zone", "now", "asked", "expected"),
    [
        # Berlin, 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC.
        (BERLIN, at("2026-03-29T01:50"), "02:30", "2026-03-29T01:00"),
        (BERLIN, at("2026-03-29T01:50"), "02:00", "2026-03-29T01:00"),
        (BERLIN, at("2026-03-29T01:50"), "02:59", "2026-03-29T01:00"),
        (BERLIN, at("2026-03-29T01:50"), "03:00", "2026-03-29T01:00"),
        (BERLIN, at("2026-03-28T12:00"), "02:30", "2026-03-29T01:00"),
        (BERLIN, at("2026-03-29T03:10"), "02:30", "2026-03-30T00:30"),
        (BERLIN, at("2026-03-29T03:00"), "02:30", "2026-03-30T00:30"),
        (BERLIN, at("2026-03-28T12:00"), "05:30", "2026-03-29T03:30"),
        # Berlin, 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC.
        (BERLIN, at("2026-10-24T22:00"), "02:30", "2026-10-25T00:30"),
        (BERLIN, at("2026-10-25T02:20"), "02:30", "2026-10-25T00:30"),
        (BERLIN, at("2026-10-25T02:40"), "02:30", "2026-10-25T01:30"),
        (BERLIN, at("2026-10-25T02:10", fold=1), "02:30", "2026-10-25T01:30"),
        (BERLIN, at("2026-10-25T02:40", fold=1), "02:30", "2026-10-26T01:30"),
        # New York, 8 March 2026: 02:00 becomes 03:00 at 07:00 UTC.
        (NEW_YORK, at("2026-03-08T01:59"), "02:30", "2026-03-08T07:00"),
        # Sao Paulo, 17 February 2018: midnight becomes 23:00 of the day before at 02:00 UTC.
        (SAO_PAULO, at("2018-02-17T23:40"), "23:30", "2018-02-18T02:30"),
        (SAO_PAULO, at("2018-02-17T23:50", fold=1), "23:30", "2018-02-19T02:30"),
        # Sao Paulo, 4 November 2018: midnight becomes 01:00 at 03:00 UTC.
        (SAO_PAULO, at("2018-11-03T22:00"), "00:00", "2018-11-04T03:00"),
        (SAO_PAULO, at("2018-11-03T22:00"), "00:30", "2018-11-04T03:00"),
        (CAIRO, at("2026-04-23T23:30"), "00:15", "2026-04-23T22:00"),
    ],
    indirect=["zone"],
)
def test_until_on_a_day_of_a_clock_change_is_the_next_such_moment(
    zone: str, now: datetime, asked: str, expected: str
) -> None:
    """A skipped time is the moment of the change, a repeated one its first occurrence still ahead."""
    end = until(load_settings({"until": asked}), now)
    assert end == datetime.fromisoformat(expected).replace(tzinfo=UTC), zone
    assert window_s(load_settings({"until": asked}), now) == (end - now.astimezone(UTC)).total_seconds()


ASKED = [load_settings({"until": f"{hour}:30"}) for hour in range(24)]


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        (BERLIN, "2026-03-28"),
        (BERLIN, "2026-10-24"),
        ("Australia/Lord_Howe", "2026-04-04"),
        ("UTC", "2026-06-01"),
    ],
    indirect=["zone"],
)
def test_until_at_any_time_is_ahead_and_shows_the_time_asked_for(zone: str, day: str) -> None:
    """At any hour and in any zone the end is in the future and at most a day and an hour away."""
    began = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    for n in range(30):
        now = (began + timedelta(minutes=95 * n)).astimezone(ZoneInfo(zone))
        for hour, asked in enumerate(ASKED):
            end = until(asked, now.replace(tzinfo=None))
            assert end is not None
            assert timedelta(0) < end - now.astimezone(UTC) <= timedelta(hours=25)
            shown = end.astimezone(ZoneInfo(zone))
            same = shown.replace(hour=hour, minute=30)
            exists = same.astimezone(UTC).astimezone(ZoneInfo(zone)).hour == hour
            assert (shown.hour, shown.minute) == (hour, 30) or not exists
