"""The rate meter: requests per second, on a clock set by hand."""

from __future__ import annotations

import pytest

from batcher.flowcontrol.rate_meter import RateMeter


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time it was set to."""
        return self.now


def measured(times: list[float], now: float, started: float = 100.0) -> float:
    """The rate at a moment, after requests at these times."""
    clock = Clock(started)
    meter = RateMeter(clock)
    for clock.now in times:
        meter.add()
    clock.now = now
    assert meter.count == len(times)
    assert meter.seconds == now - started
    return meter.per_s


@pytest.mark.parametrize(
    ("times", "now", "rate"),
    [
        ([], 105.0, 0.0),
        ([100.1, 100.2], 100.5, 2.0),  # less than a second counts as one
        ([100.0 + n / 20 for n in range(80)], 104.0, 20.0),
        ([100.0 + n / 20 for n in range(600)], 130.0, 200 / 10),
        ([100.0 + n / 20 for n in range(600)], 180.0, 0.0),  # nothing sent for long
    ],
)
def test_rate_is_measured_over_the_last_ten_seconds(times: list[float], now: float, rate: float) -> None:
    """Requests of earlier seconds no longer count."""
    assert measured(times, now) == pytest.approx(rate, rel=0.11)


def test_reading_the_rate_changes_nothing() -> None:
    """Two readers see the same rate, however often they read."""
    clock = Clock(0.0)
    meter = RateMeter(clock)
    for n in range(100):
        clock.now = n / 20
        meter.add()
        first = meter.per_s
        assert meter.per_s == first


def test_time_counts_from_the_start() -> None:
    """Time before the start, when manifests are prepared, does not lower the rate."""
    clock = Clock(0.0)
    meter = RateMeter(clock)
    clock.now = 60.0
    meter.start()
    for n in range(20):
        clock.now = 60.0 + n / 20
        meter.add()
    clock.now = 61.0
    assert meter.per_s == pytest.approx(20.0)
    assert meter.seconds == 1.0
