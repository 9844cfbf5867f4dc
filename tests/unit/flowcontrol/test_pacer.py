"""The moments at which requests may leave: evenly, as near to the limit as possible, never above it."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import NamedTuple

import pytest
from support.instants import most_in_a_second
from support.virtual_time import now_s, passed_s, run_virtually, virtual_loop

from batcher.flowcontrol.pacer import AHEAD_S, LONGEST_BEGIN_S, MOST_IN_LINE, Pacer, places_in_line
from batcher.flowcontrol.sliding_window import SlidingWindow, Turn

LIMIT = 20.0


def take_turns(
    n: int, rate_per_s: float = LIMIT, late_s: Callable[[], float] = lambda: 0.0, workers: int = 64
) -> list[float]:
    """The instants of a number of turns that a pool of workers takes as fast as it can."""

    async def take() -> list[float]:
        pacer = Pacer(rate_per_s, now_s)
        instants: list[float] = []

        async def work() -> None:
            while len(instants) < n:
                async with pacer.line():
                    if len(instants) < n and await pacer.turn():
                        instants.append(now_s())

        await asyncio.gather(*(work() for _ in range(workers)))
        return instants[:n]

    return run_virtually(take(), late_s)


def rate_of(instants: list[float]) -> float:
    """Turns per second, over all of them."""
    return (len(instants) - 1) / (instants[-1] - instants[0])


class Lateness(NamedTuple):
    """How late timers fire: which share of them, and by how much at most."""

    share: float
    most_s: float

    def draw(self, seed: int) -> Callable[[], float]:
        """Seconds that the next timer is late."""
        rng = random.Random(seed)
        return lambda: rng.uniform(0.0, self.most_s) if rng.random() < self.share else 0.0


LATE = [
    Lateness(0.0, 0.0),
    Lateness(1.0, 0.002),
    Lateness(0.5, 0.03),
    Lateness(0.1, 0.2),
    Lateness(0.02, 3.0),
]


@pytest.mark.parametrize("late", LATE)
def test_any_second_holds_at_most_the_limit(late: Lateness) -> None:
    """At 20/s no second, wherever it begins, holds a 21st turn, even when timers are late at random."""
    for seed in range(3):
        assert most_in_a_second(take_turns(1000, late_s=late.draw(seed))) <= LIMIT


@pytest.mark.parametrize("late", LATE[:2])
def test_pace_is_close_to_the_limit(late: Lateness) -> None:
    """With punctual or slightly late timers, 20/s become at least 19.7/s."""
    assert 19.7 <= rate_of(take_turns(1000, late_s=late.draw(1))) <= LIMIT


def test_turns_are_evenly_spaced() -> None:
    """With punctual timers no two turns are given together, and there is no gap."""
    gaps = [b - a for a, b in itertools.pairwise(take_turns(200))]
    assert min(gaps) > 0.4 / LIMIT
    assert max(gaps) < 1.6 / LIMIT


@pytest.mark.parametrize("rate_per_s", [1, 2, 20, 50, 51, 100, 300, 2000, 5000])
@pytest.mark.parametrize("late", [Lateness(0.0, 0.0), Lateness(1.0, 0.001)])
def test_every_rate_is_reached_and_none_exceeded(rate_per_s: float, late: Lateness) -> None:
    """From 1 to 5,000/s the pace reaches 95 % of the rate, also with coarse timers, and stays below."""
    instants = take_turns(int(rate_per_s * (4 if rate_per_s <= 300 else 2)) + 20, rate_per_s, late.draw(2))
    assert 0.95 * rate_per_s <= rate_of(instants)
    catch_up = max(0.0, 0.01 * rate_per_s) if rate_per_s > LIMIT else 0.0
    assert most_in_a_second(instants) <= rate_per_s + catch_up


def test_turns_after_an_idle_time_keep_their_distance() -> None:
    """After a pause without any work the turns are as far apart as before it."""

    async def take() -> list[float]:
        pacer = Pacer(LIMIT, now_s)
        for _ in range(5):
            await pacer.turn()
        await asyncio.sleep(100)
        instants = []
        for _ in range(25):
            assert await pacer.turn()
            instants.append(now_s())
        return instants

    assert most_in_a_second(run_virtually(take())) <= LIMIT


@pytest.mark.parametrize("paused", [False, True])
def test_hold_is_not_followed_by_a_burst(paused: bool) -> None:
    """When a hold runs out, or a pause is ended, the turns after it keep to the pace."""

    async def take() -> list[float]:
        pacer = Pacer(LIMIT, now_s)
        instants: list[float] = []

        async def work() -> None:
            while len(instants) < 100:
                async with pacer.line():
                    if await pacer.turn():
                        instants.append(now_s())

        workers = [asyncio.create_task(work()) for _ in range(64)]
        await asyncio.sleep(1)
        before = len(instants)
        if paused:
            pacer.pause()
        else:
            pacer.hold(10.0)
        await asyncio.sleep(5)
        assert before == len(instants)
        pacer.resume()
        await asyncio.gather(*workers)
        return instants

    assert most_in_a_second(run_virtually(take())) <= LIMIT


def test_pacer_on_a_machine_that_slept_makes_up_for_one_turn() -> None:
    """After the whole process stood still, no more than one late turn is made up for."""

    async def take() -> list[float]:
        pacer = Pacer(LIMIT, now_s)
        instants = []
        for n in range(60):
            assert await pacer.turn()
            instants.append(now_s())
            if n == 30:
                virtual_loop().pass_time(600.0)
        return instants

    assert most_in_a_second(run_virtually(take())) <= LIMIT


def test_turns_begin_when_the_hold_ends() -> None:
    """No caller is admitted to the line before the hold ends; the first one is admitted at that moment."""

    async def wait() -> float:
        pacer = Pacer(LIMIT, now_s)
        pacer.hold(7.0)
        pacer.hold(3.0)
        assert pacer.held
        async with pacer.line():
            assert not pacer.held
            assert await pacer.turn()
        return passed_s()

    assert run_virtually(wait()) == pytest.approx(7.0)


@pytest.mark.parametrize(("hold_s", "expected_s"), [(0.0, 42.0), (50.0, 50.0)])
def test_pause_and_hold_together_last_until_the_later_end(hold_s: float, expected_s: float) -> None:
    """Turns are given again once the pause and the hold have ended, whichever is later."""

    async def wait() -> float:
        pacer = Pacer(LIMIT, now_s)
        pacer.pause()
        pacer.hold(hold_s)
        asyncio.get_running_loop().call_later(42.0, pacer.resume)
        async with pacer.line():
            assert await pacer.turn()
        return passed_s()

    assert run_virtually(wait()) == pytest.approx(expected_s)


def test_turn_during_a_hold_is_not_given() -> None:
    """A caller that waits for a turn when a hold begins gets none."""

    async def wait() -> Turn | None:
        pacer = Pacer(LIMIT, now_s)
        assert await pacer.turn()
        turn = asyncio.create_task(pacer.turn())
        await asyncio.sleep(0.01)
        pacer.hold(5.0)
        return await turn

    assert run_virtually(wait()) is None


def test_requests_that_waited_for_a_connection_do_not_leave_together() -> None:
    """After a stall of the network the requests that waited leave at the pace, not in a bunch."""

    async def stall() -> list[float]:
        pacer = Pacer(LIMIT, now_s)
        connected = asyncio.Event()
        left: list[float] = []

        async def send(turn: Turn) -> None:
            await connected.wait()
            assert await pacer.leave(turn)
            left.append(now_s())

        async with asyncio.TaskGroup() as group:
            for n in range(100):
                async with pacer.line():
                    turn = await pacer.turn()
                assert turn is not None
                group.create_task(send(turn))
                if n == 60:
                    connected.set()
        return left

    left = run_virtually(stall())
    assert len(left) == 100
    assert most_in_a_second(left) <= LIMIT


def test_request_about_to_leave_is_kept_when_turns_are_held_back() -> None:
    """A request whose connection took long does not leave during a hold, nor after the stop."""

    async def late() -> list[bool]:
        pacer = Pacer(LIMIT, now_s)
        one = await pacer.turn()
        assert one is not None
        pacer.hold(5.0)
        held = await pacer.leave(one)
        pacer.stop()
        return [held, await pacer.leave(one)]

    assert run_virtually(late()) == [False, False]


def test_probe_counts_like_any_request() -> None:
    """Probes take turns and leave traces in the window."""

    async def take() -> list[float]:
        pacer = Pacer(LIMIT, now_s)
        instants = []
        for n in range(100):
            if n % 7 == 3:
                assert await pacer.probe_turn()
            else:
                assert await pacer.turn()
            instants.append(now_s())
        return instants

    assert most_in_a_second(run_virtually(take())) <= LIMIT


def test_stop_ends_every_wait() -> None:
    """A stop ends the waits in the line and for a turn, and no turn is given."""

    async def wait() -> tuple[list[Turn | None], float]:
        pacer = Pacer(0.01, now_s)
        assert await pacer.turn()

        async def work() -> Turn | None:
            async with pacer.line():
                return await pacer.turn()

        turn = asyncio.create_task(pacer.turn())
        pacer.hold(3600.0)
        workers = [asyncio.create_task(work()) for _ in range(5)]
        await asyncio.sleep(1)
        pacer.stop()
        return await asyncio.gather(turn, *workers), passed_s()

    assert run_virtually(wait()) == ([None] * 6, 1.0)


def test_hold_after_a_stop_has_no_effect() -> None:
    """An answer that arrives after the stop and asks for a pause does not keep the run from ending."""

    async def wait() -> float:
        pacer = Pacer(LIMIT, now_s)
        pacer.stop()
        pacer.hold(3600.0)
        async with pacer.line():
            assert not await pacer.turn()
        return passed_s()

    assert run_virtually(wait()) == pytest.approx(0.0, abs=1.0)


@pytest.mark.parametrize("rate_per_s", [0.1, 1, 20, 39, 100, 2000])
def test_line_has_few_places(rate_per_s: float) -> None:
    """At 20/s one attempt begins ahead of its turn; at high rates as many as leave within ``AHEAD_S``."""
    width = 1 if rate_per_s <= LIMIT else max(1, int(rate_per_s * AHEAD_S))

    async def most_in_line() -> int:
        pacer = Pacer(rate_per_s, now_s)
        most = in_line = 0

        async def work() -> None:
            nonlocal most, in_line
            async with pacer.line():
                in_line += 1
                most = max(most, in_line)
                await asyncio.sleep(1)
                in_line -= 1

        await asyncio.gather(*(work() for _ in range(3 * width)))
        return most

    assert run_virtually(most_in_line()) == width


def test_worker_cancelled_in_the_line_leaves_its_place() -> None:
    """A cancelled worker takes neither the place in the line nor the turn with it."""

    async def most_in_line() -> bool:
        pacer = Pacer(LIMIT, now_s)
        assert await pacer.turn()

        async def work() -> bool:
            async with pacer.line():
                return bool(await pacer.turn())

        first, second = asyncio.create_task(work()), asyncio.create_task(work())
        await asyncio.sleep(0.01)
        first.cancel()
        return await second

    assert run_virtually(most_in_line()) is True


@pytest.mark.parametrize(
    ("rate_per_s", "begin_s", "expected"),
    [
        (20, 0.0, 1),
        (20, 0.02, 1),
        (20, 0.06, 2),
        (20, 0.2, 5),
        (20, LONGEST_BEGIN_S, 11),
        (20, 3600.0, 11),
        (1, 0.2, 1),
        (2000, 0.001, 40),
        (2000, 0.1, 201),
        (1_000_000, 0.1, MOST_IN_LINE),
    ],
)
def test_places_in_line_by_rate_and_begin(rate_per_s: float, begin_s: float, expected: int) -> None:
    """As many attempts begin ahead as leave while one begins, and not more than half a second's."""
    assert places_in_line(rate_per_s, begin_s) == expected


def test_line_with_a_slow_disk_widens_and_narrows_again() -> None:
    """Begins of 200 ms do not set the pace; once they are fast, one attempt is begun ahead."""

    async def run() -> tuple[list[float], int]:
        pacer = Pacer(LIMIT, now_s)
        instants: list[float] = []
        in_line = most = 0
        begin_s = 0.2

        async def work(n: int) -> None:
            nonlocal in_line, most
            while len(instants) < n:
                async with pacer.line():
                    in_line += 1
                    most = max(most, in_line)
                    await asyncio.sleep(begin_s)
                    pacer.begun_within(begin_s)
                    if await pacer.turn():
                        instants.append(now_s())
                    in_line -= 1

        await asyncio.gather(*(work(400) for _ in range(64)))
        assert 4 <= most <= 6
        begin_s, slow = 0.001, list(instants)
        await asyncio.gather(*(work(700) for _ in range(64)))
        most = 0
        await asyncio.gather(*(work(800) for _ in range(64)))
        return slow, most

    slow, most = run_virtually(run())
    assert rate_of(slow[40:]) >= 19.5
    assert most_in_a_second(slow) <= LIMIT
    assert most == 1


@pytest.mark.parametrize("late_s", [0.3, 0.9, 1.4, 2.5])
def test_probe_that_leaves_late_counts_when_it_leaves(late_s: float) -> None:
    """A probe whose connection took its time is no 21st request of the second in which it leaves."""

    async def run() -> list[float]:
        pacer = Pacer(LIMIT, now_s)
        left: list[float] = []

        async def send(turn: Turn, wait_s: float) -> None:
            await asyncio.sleep(wait_s)
            if await pacer.leave(turn):
                left.append(now_s())

        async def work() -> None:
            while len(left) < 100:
                async with pacer.line():
                    turn = await pacer.turn()
                if turn is not None:
                    await send(turn, 0.0)

        workers = [asyncio.create_task(work()) for _ in range(64)]
        await asyncio.sleep(1.5)
        pacer.pause()
        turn = await pacer.probe_turn()
        assert turn is not None
        probing = asyncio.create_task(send(turn, late_s))
        await asyncio.sleep(0.2)
        pacer.resume()  # by another caller: a probe in flight does not hold turns back by itself
        await asyncio.gather(probing, *workers)
        return sorted(left)

    assert most_in_a_second(run_virtually(run())) <= LIMIT


def test_probe_may_leave_while_turns_are_held_back() -> None:
    """A probe is what ends a pause; after a stop it must not leave either."""

    async def run() -> list[bool]:
        pacer = Pacer(LIMIT, now_s)
        pacer.pause()
        probe = await pacer.probe_turn()
        assert probe is not None
        await asyncio.sleep(5)
        held = await pacer.leave(probe)
        pacer.stop()
        return [held, await pacer.leave(probe), await pacer.probe_turn() is None]

    assert run_virtually(run()) == [True, False, True]


@pytest.mark.parametrize("rates", [(20, 1), (20, 20), (10, 20), (20, 20, 20)])
def test_pacers_that_share_a_window_keep_one_limit(rates: tuple[float, ...]) -> None:
    """Pacers of one Action together stay below the limit, near to it, and each gets its part."""

    async def run() -> list[list[float]]:
        window = SlidingWindow(LIMIT, now_s)

        async def work(pacer: Pacer, left: list[float]) -> None:
            while now_s() < began + 30:
                async with pacer.line():
                    turn = await pacer.turn()
                assert turn is not None
                if next(numbers) % 20 == 0:  # its connection has to be made first
                    await asyncio.sleep(0.3)
                assert await pacer.leave(turn)
                left.append(now_s())

        began, flows, numbers = now_s(), [list[float]() for _ in rates], itertools.count()
        async with asyncio.TaskGroup() as group:
            for rate_per_s, left in zip(rates, flows, strict=True):
                pacer = Pacer(rate_per_s, now_s, window=window)
                for _ in range(32):
                    group.create_task(work(pacer, left))
        return [[at for at in left if at < began + 30] for left in flows]

    flows = run_virtually(run())
    together = sorted(itertools.chain(*flows))
    assert most_in_a_second(together) <= LIMIT
    assert rate_of(together) >= 18.5
    fair = min(LIMIT / len(rates), *rates)
    assert min(map(len, flows)) >= 0.6 * fair * 30


def test_single_turn_is_given_alone_and_leaves_while_others_are_held() -> None:
    """Of many workers one gets the turn and leaves, however late its connection; the others wait."""

    async def scenario() -> None:
        pacer = Pacer(200, now_s)
        turns: list[Turn] = []

        async def work() -> None:
            async with pacer.line():
                turn = await pacer.turn()
            if turn is not None:
                turns.append(turn)

        pacer.pause()
        workers = [asyncio.create_task(work()) for _ in range(20)]
        await asyncio.sleep(1)
        pacer.single()
        await asyncio.sleep(5)
        assert [turn.alone for turn in turns] == [True]
        assert pacer.held
        assert await pacer.leave(turns[0])
        pacer.resume()
        await asyncio.gather(*workers)
        assert not any(turn.alone for turn in turns[1:])

    run_virtually(scenario())
