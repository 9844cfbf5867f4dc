"""The window of a run: how long it is still open, by either clock."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta

import pytest

from batcher.flowcontrol.deadline import Deadline


def test_its_length_counts_from_its_making() -> None:
    """Whatever takes time after that is within it."""
    now = [100.0]
    window = Deadline(60.0, clock=lambda: now[0])
    assert window.left_s == 60.0
    now[0] = 145.0
    assert window.left_s == 15.0
    now[0] = 170.0
    assert window.left_s == -10.0


@pytest.mark.parametrize(("hours", "lasts_s", "left_s"), [(2, None, 7200), (2, 60.0, 60), (-1, 60.0, -3600)])
def test_of_two_ends_the_first_counts(hours: int, lasts_s: float | None, left_s: float) -> None:
    """A moment that has passed while something was waited for stays passed: it is not tomorrow's."""
    window = Deadline(lasts_s, datetime.now(UTC) + timedelta(hours=hours), clock=lambda: 0.0)
    assert window.left_s == pytest.approx(left_s, abs=5)


async def test_one_without_an_end_is_never_over() -> None:
    """Waiting for it waits."""
    window = Deadline()
    assert window.left_s == math.inf
    waiting = asyncio.ensure_future(window.over())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


async def test_whoever_waits_for_one_that_is_over_does_not_wait() -> None:
    """It returns at once."""
    async with asyncio.timeout(5):
        await Deadline(0.0).over()
        await Deadline(until=datetime.now(UTC) - timedelta(seconds=1)).over()
