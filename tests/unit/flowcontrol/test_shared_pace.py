"""Runs with a share of one limit each: what arrives at the service, over paths of different length."""

from __future__ import annotations

import asyncio

import pytest
from support.instants import most_in_a_second
from support.share_table import ShareTable
from support.virtual_time import now_s, passed_s, run_virtually

from batcher.flowcontrol.pacer import STANDING_BY, Pacer
from batcher.flowcontrol.share_lease import BEAT_EVERY_S, ShareLease
from batcher.flowcontrol.shares import SharedLimit
from batcher.ledger.shared_runs import TTL_S

LIMIT = SharedLimit(20.0)
PATHS_S = (0.0, 0.04, 0.2, 0.01, 0.12, 0.0, 0.07, 0.16)
"""How long the requests of each run are on their way; the replies of the database take half of it."""


class PacedRun:
    """A run that sends as fast as its share allows, and reports to the table every two seconds."""

    def __init__(self, table: ShareTable, arrivals: list[float], path_s: float) -> None:
        self.table, self.arrivals, self.path_s = table, arrivals, path_s
        self.lease = ShareLease(table.limit.quiet_s, TTL_S)
        self.pacer = Pacer(table.limit.per_s, now_s)
        self.pacer.lease_with(lambda: self.lease.lasts(now_s()), lambda: self.lease.departed(now_s()))
        self.pacer.share(0)
        self.awake = asyncio.Event()
        self.awake.set()
        self.id = table.join(now_s())
        self.tasks = [asyncio.create_task(work) for work in (self._report(), self._work(), self._work())]

    async def _report(self) -> None:
        while True:
            await self.awake.wait()
            beat = self.lease.beat(now_s())
            await asyncio.sleep(self.path_s / 4)
            share = self.table.beat(self.id, beat, now_s())
            await asyncio.sleep(self.path_s / 4)
            await self.awake.wait()
            self.lease.granted(beat, share, now_s())
            self.pacer.share(self.table.limit.rate_per_s(self.lease.share(now_s())))
            await asyncio.sleep(BEAT_EVERY_S)

    async def _work(self) -> None:
        while True:
            async with self.pacer.line():
                turn = await self.pacer.turn()
            await self.awake.wait()
            if turn is not None and await self.pacer.leave(turn):
                self.arrivals.append(now_s() + self.path_s)

    async def kill(self) -> None:
        """End at once; what has left arrives."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def leave(self) -> None:
        """End, and give the share back."""
        await self.kill()
        self.table.leave(self.id, now_s(), self.lease.left_over(now_s()))


class PacedRuns:
    """Runs on one table, and all that arrives."""

    def __init__(self, n: int) -> None:
        self.table, self.arrivals = ShareTable(LIMIT), list[float]()
        self.runs: list[PacedRun] = []
        self.join(n)

    def join(self, n: int = 1) -> None:
        """Add runs."""
        for _ in range(n):
            path_s = PATHS_S[len(self.table.rows) % len(PATHS_S)]
            self.runs.append(PacedRun(self.table, self.arrivals, path_s))

    async def end(self) -> None:
        """Kill all that are left."""
        await asyncio.gather(*(run.kill() for run in self.runs))

    def rate_per_s(self, begin_s: float, end_s: float) -> float:
        """Arrivals a second between two moments since the beginning."""
        offset = now_s() - passed_s()
        return sum(begin_s <= at - offset < end_s for at in self.arrivals) / (end_s - begin_s)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_runs_on_different_paths_reach_the_limit_and_keep_it(n: int) -> None:
    """However long the paths are, no second at the service holds a 21st request, and 19.5/s arrive."""

    async def scenario() -> tuple[int, float]:
        runs = PacedRuns(n)
        await asyncio.sleep(45)
        await runs.end()
        return most_in_a_second(runs.arrivals), runs.rate_per_s(15, 45)

    most, rate_per_s = run_virtually(scenario())
    assert most == 20
    assert rate_per_s >= 19.5


@pytest.mark.parametrize("how", ["kill", "leave", "pause"])
@pytest.mark.parametrize("n", [2, 3, 8])
def test_survivors_take_the_share_of_a_run_that_ends_and_keep_the_limit(n: int, how: str) -> None:
    """After a kill, a leave or a long pause the others send at the limit again, and never above it."""

    async def scenario() -> tuple[int, float, int]:
        runs = PacedRuns(n)
        await asyncio.sleep(15.3)
        gone = runs.runs[0]
        if how == "pause":
            gone.awake.clear()
        else:
            await (gone.kill() if how == "kill" else gone.leave())
        recovers_s = 5.0 if how == "leave" else 15.0
        await asyncio.sleep(recovers_s + 10)
        rate_per_s = runs.rate_per_s(15.3 + recovers_s, 25.3 + recovers_s)
        gone.awake.set()
        runs.join()
        await asyncio.sleep(15)
        await runs.end()
        return most_in_a_second(runs.arrivals), rate_per_s, runs.table.held(now_s())

    most, rate_per_s, held = run_virtually(scenario())
    assert most == 20
    assert rate_per_s >= 19.3
    assert held == 20


def test_runs_beyond_the_units_stand_by_and_step_in() -> None:
    """Of 22 runs two stand by; when two leave, they send."""

    async def scenario() -> tuple[list[str | None], list[str | None], int]:
        runs = PacedRuns(22)
        await asyncio.sleep(10)
        before = [run.pacer.why_slow for run in runs.runs[20:]]
        for run in runs.runs[:2]:
            await run.leave()
        await asyncio.sleep(10)
        after = [run.pacer.why_slow for run in runs.runs[20:]]
        await runs.end()
        return before, after, most_in_a_second(runs.arrivals)

    assert run_virtually(scenario()) == ([STANDING_BY] * 2, [None] * 2, 20)


def test_run_after_one_that_has_sent_little_begins_at_once() -> None:
    """The limit without the requests of the run before is free when that has left, and all of it soon."""

    async def scenario() -> tuple[list[int], int]:
        runs = PacedRuns(1)
        await asyncio.sleep(0.32)
        await runs.runs[0].leave()
        sent = len(runs.arrivals)
        runs.join()
        shares = list[int]()
        for _ in range(2):
            await asyncio.sleep(0.1 + 2 * BEAT_EVERY_S * len(shares))
            shares.append(runs.runs[1].lease.share(now_s()) + sent * (not shares))
        await asyncio.sleep(5)
        await runs.end()
        return shares, most_in_a_second(runs.arrivals)

    assert run_virtually(scenario()) == ([20, 20], 20)
