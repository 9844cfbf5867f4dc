"""The pacer while its share of the limit changes: at once in both directions, and nothing at 0."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any

import pytest
from support.instants import between, most_in_a_second
from support.virtual_time import now_s, passed_s, run_virtually

from batcher.flowcontrol.outage import Guard
from batcher.flowcontrol.pacer import STANDING_BY, Pacer
from batcher.flowcontrol.rate_meter import RateMeter
from batcher.flowcontrol.sliding_window import MARGIN, SlidingWindow, Turn


def left_with_shares(*shares: tuple[float, float]) -> list[float]:
    """The instants, since the beginning, of requests of a pacer whose share is set at moments."""

    async def scenario() -> list[float]:
        pacer = Pacer(20.0, now_s)
        left: list[float] = []

        async def work() -> None:
            while True:
                async with pacer.line():
                    turn = await pacer.turn()
                if turn is not None and await pacer.leave(turn):
                    left.append(passed_s())

        workers = [asyncio.create_task(work()) for _ in range(8)]
        for lasts_s, share in shares:
            pacer.share(share)
            await asyncio.sleep(lasts_s)
        pacer.stop()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        return left

    return run_virtually(scenario())


def test_smaller_share_takes_effect_at_once() -> None:
    """From the moment of the change on, any second holds the new share at most."""
    left = left_with_shares((10.0, 20.0), (10.0, 7.0))
    assert between(left, 0, 10) >= 196
    assert most_in_a_second([at for at in left if at > 10.0]) == 7
    assert between(left, 10, 20) >= 64  # the first when seven of the last second have passed


def test_larger_share_takes_effect_at_once() -> None:
    """A worker that waits for a slow turn gets a faster one when the share grows."""
    left = left_with_shares((10.2, 1.0), (5.0, 20.0))
    assert between(left, 10.2, 10.3) >= 1
    assert between(left, 10.2, 15.2) >= 97
    assert most_in_a_second(left) == 20


def test_share_that_shrinks_and_grows_within_a_second_keeps_the_limit() -> None:
    """Requests that left under a larger share count when the share is large again."""
    left = left_with_shares((2.0, 20.0), *((0.03, share) for _ in range(40) for share in (1.0, 20.0)))
    assert most_in_a_second(left) <= 20


def test_share_of_zero_lets_nothing_leave_until_it_grows() -> None:
    """While other runs have the whole limit there is no turn, and turns begin as soon as there is a share."""
    left = left_with_shares((5.0, 20.0), (60.0, 0.0), (5.0, 10.0))
    assert between(left, 5.0, 64.9) == 0
    assert between(left, 64.9, 65.2) >= 1


def virtually(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario on virtual time."""
    run_virtually(scenario)


def test_standing_by_reads_neither_as_an_outage_nor_as_a_hold() -> None:
    """A run without a share has a reason of its own, and resumes without a probe."""

    async def scenario() -> None:
        pacer = Pacer(20.0, now_s)
        seen = []
        for share in (20.0, 0.0, 7.0):
            pacer.share(share)
            seen.append((pacer.standing_by, pacer.held, pacer.rate_per_s, pacer.why_slow))
        assert seen == [
            (False, False, 20.0, None),
            (True, False, 0.0, "other runs have the whole limit"),
            (False, False, 7.0, None),
        ]

    virtually(scenario())


def test_rate_while_standing_by_says_that_nothing_is_sent() -> None:
    """Displays show the reason, and no time that is left; the guard has no outage."""

    async def scenario() -> None:
        pacer = Pacer(20.0, now_s)
        guard = Guard(pacer, halt=pytest.fail, clock=now_s)
        pacer.share(0)
        rate = guard.current_rate(RateMeter(now_s))
        assert (rate.pace_per_s, rate.waiting, rate.why_slow) == (0.0, True, STANDING_BY)
        assert guard.outage is None

    virtually(scenario())


def test_share_of_zero_holds_a_begun_turn_and_a_probe_back() -> None:
    """A waiting caller gets no turn, at once; a late request stays; a probe waits for a share."""

    async def scenario() -> None:
        pacer = Pacer(1.0, now_s)
        late = await pacer.turn()
        assert late is not None
        waiting = asyncio.create_task(pacer.turn())
        await asyncio.sleep(0.1)
        pacer.share(0)
        assert await waiting is None
        assert passed_s() == 0.1
        assert not await pacer.leave(late)
        probe = asyncio.create_task(pacer.probe_turn())
        await asyncio.sleep(30)
        assert not probe.done()
        pacer.share(1.0)
        turn = await probe
        assert turn is not None
        assert await pacer.leave(turn)

    virtually(scenario())


def test_stop_ends_the_waits_of_a_run_that_stands_by() -> None:
    """A run without a share can be stopped: callers and probes get no turn."""

    async def scenario() -> None:
        pacer = Pacer(20.0, now_s)
        pacer.share(0)

        async def work() -> Turn | None:
            async with pacer.line():
                return await pacer.turn()

        waits = [asyncio.create_task(wait) for wait in (work(), pacer.probe_turn())]
        await asyncio.sleep(5)
        pacer.stop()
        pacer.share(0)
        assert await asyncio.gather(*waits) == [None, None]
        assert passed_s() == 5.0

    virtually(scenario())


def test_pace_keeps_its_learned_part_of_a_share() -> None:
    """Refusals slow a run down by a part of its share, however large the share is by then."""

    async def scenario() -> None:
        pacer = Pacer(20.0, now_s)
        for _ in range(20):
            pacer.slow_down()
            await asyncio.sleep(0.5)
        learned = pacer.pace_per_s * (1 + MARGIN) / 20.0
        assert learned < 0.6
        pacer.share(7.0)
        assert pacer.pace_per_s == pytest.approx(learned * 7.0 / (1 + MARGIN))
        pacer.share(0)
        pacer.share(20.0)
        assert pacer.pace_per_s == pytest.approx(learned * 20.0 / (1 + MARGIN))

    virtually(scenario())


def test_lease_that_ended_keeps_every_request() -> None:
    """The lease is checked last: a run that slept too long sends nothing, not even a probe."""

    async def scenario() -> None:
        leased = True
        pacer = Pacer(20.0, now_s, leased=lambda: leased)
        turn, alone = await pacer.turn(), await pacer.probe_turn()
        assert turn is not None
        assert alone is not None
        leased = False
        assert [await pacer.leave(turn), await pacer.leave(alone), await pacer.turn()] == [False, False, None]
        probe = asyncio.create_task(pacer.probe_turn())
        await asyncio.sleep(5)
        leased = True
        assert await probe is not None

    virtually(scenario())


class FullCount:
    """A count elsewhere, which notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def enter(self, at: float, instead_of: float) -> float:  # noqa: ARG002
        self.asked.append(at)
        return 0.0

    def move(self, before: float, at: float) -> None:
        pass


def test_window_with_a_smaller_limit_still_asks_the_count_of_the_machine() -> None:
    """The share limits this run's own window; the count of the machine keeps the limit it was made with."""

    async def scenario() -> None:
        machine = FullCount()
        window = SlidingWindow(20.0, now_s, machine)
        pacer = Pacer(20.0, now_s, window=window)
        pacer.share(2.0)
        for _ in range(10):
            assert await pacer.turn()
        assert passed_s() >= 4.0
        assert len(machine.asked) == 10

    virtually(scenario())


@pytest.mark.parametrize("shares", [*itertools.permutations((250.0, 100.0, 400.0), 2)])
def test_share_above_and_below_the_counted_rates_is_reached(shares: tuple[float, float]) -> None:
    """Above 200/s a share is kept by the bucket alone; a change in either direction loses nothing."""
    left = left_with_shares((0.0, 400.0), *((4.0, share) for share in shares))
    for nth, share in enumerate(shares):
        assert 0.94 * share <= between(left, 4 * nth + 1, 4 * nth + 4) / 3 <= share + 1
