"""The window of a run: how long it is still open, by either clock."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta

import pytest
from support.virtual_time import BEGINNING_S, now_s, run_virtually

from batcher.flowcontrol.deadline import Deadline


def test_deadline_with_a_duration_counts_from_its_creation() -> None:
    """Everything that takes time after that counts."""
    now = [100.0]
    window = Deadline(60.0, clock=lambda: now[0])
    assert window.left_s == 60.0
    now[0] = 145.0
    assert window.left_s == 15.0
    now[0] = 170.0
    assert window.left_s == -10.0


@pytest.mark.parametrize(("hours", "lasts_s", "left_s"), [(2, None, 7200), (2, 60.0, 60), (-1, 60.0, -3600)])
def test_deadline_with_two_ends_ends_at_the_first(hours: int, lasts_s: float | None, left_s: float) -> None:
    """A moment that has passed while something was waited for stays passed: it is not tomorrow's."""
    window = Deadline(lasts_s, datetime.now(UTC) + timedelta(hours=hours), clock=lambda: 0.0)
    assert window.left_s == pytest.approx(left_s, abs=5)


async def test_deadline_without_an_end_never_ends() -> None:
    """Waiting for it waits."""
    window = Deadline()
    assert window.left_s == math.inf
    waiting = asyncio.ensure_future(window.over())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


async def test_deadline_that_has_ended_is_not_waited_for() -> None:
    """The wait returns immediately."""
    async with asyncio.timeout(5):
        await Deadline(0.0).over()
        await Deadline(until=datetime.now(UTC) - timedelta(seconds=1)).over()


class Machine:
    """A machine's two clocks; while it sleeps only the wall's clock moves on."""

    def __init__(self) -> None:
        self.mono, self.wall = 100.0, 1_700_000_000.0

    def run(self, seconds: float) -> None:
        """Let time pass while it is awake."""
        self.mono += seconds
        self.wall += seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass while it is suspended."""
        self.wall += seconds


def test_deadline_on_a_machine_that_slept_counts_the_sleep() -> None:
    """Its length is wall time."""
    machine = Machine()
    window = Deadline(3600.0, clock=lambda: machine.mono, wall=lambda: machine.wall)
    machine.run(60)
    machine.sleep(1800)
    assert window.left_s == pytest.approx(1740)
    machine.run(40)
    machine.sleep(1800)
    assert window.left_s == pytest.approx(-100)


def test_deadline_whose_wall_clock_is_set_back_ends_in_its_time() -> None:
    """A clock that is set back does not lengthen a run, before or after a sleep."""
    machine = Machine()
    window = Deadline(3600.0, clock=lambda: machine.mono, wall=lambda: machine.wall)
    machine.wall -= 7200
    machine.run(1000)
    assert window.left_s == pytest.approx(2600)
    machine.sleep(2000)
    assert window.left_s == pytest.approx(600)


def test_deadline_at_a_wall_time_follows_the_wall_clock() -> None:
    """A moment of the wall's clock passes while the machine sleeps."""
    machine = Machine()
    until = datetime.fromtimestamp(machine.wall + 3600, UTC)
    window = Deadline(until=until, clock=lambda: machine.mono, wall=lambda: machine.wall)
    machine.sleep(3700)
    assert window.left_s == pytest.approx(-100)


def test_deadline_notices_a_sleep_within_a_second_of_waking() -> None:
    """The wait for its end is shorter by the time for which the machine slept."""

    async def scenario() -> float:
        slept = [0.0]
        window = Deadline(3600.0, clock=now_s, wall=lambda: 1_700_000_000.0 + now_s() + slept[0])
        waiting = asyncio.ensure_future(window.over())
        await asyncio.sleep(10.5)
        slept[0], woke = 7200.0, now_s()
        await waiting
        return now_s() - woke

    assert run_virtually(scenario()) <= 1.01


def test_deadline_that_limits_a_block_ends_it_after_a_sleep() -> None:
    """The block is cancelled with a TimeoutError once the window is over by the wall's clock."""

    async def scenario() -> float:
        slept = [0.0]
        window = Deadline(3600.0, clock=now_s, wall=lambda: 1_700_000_000.0 + now_s() + slept[0])
        asyncio.get_running_loop().call_later(10.5, slept.__setitem__, 0, 7200.0)
        with pytest.raises(TimeoutError):
            async with window.limit():
                await asyncio.sleep(5000)
        async with window_of_an_hour().limit():
            await asyncio.sleep(1)
        return now_s()

    def window_of_an_hour() -> Deadline:
        return Deadline(3600.0, clock=now_s, wall=now_s)

    assert run_virtually(scenario()) <= BEGINNING_S + 13
