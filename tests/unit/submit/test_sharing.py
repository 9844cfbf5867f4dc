"""Turns under a lease: an attempt leaves only under the lease under which it has begun."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import cast

from batcher.flowcontrol.pacer import Pacer
from batcher.submit.sharing import Lapsing, LeasedTurns


def leased() -> tuple[LeasedTurns, Lapsing]:
    """Turns, and the lease that they are under."""
    lease = cast("Lapsing", SimpleNamespace(lapses=1))
    return LeasedTurns(Pacer(1000, time.monotonic), lease), lease


async def test_turn_under_one_lease_leaves() -> None:
    """Without a lapse, a request leaves."""
    turns, _ = leased()
    async with turns.line():
        turn = await turns.turn()
    assert turn is not None
    assert await turns.leave(turn)


async def test_attempt_of_a_lapsed_lease_gets_no_turn() -> None:
    """An attempt that began before a lapse may have been taken over, and gets no turn."""
    turns, lease = leased()
    async with turns.line():
        lease.lapses += 1
        assert await turns.turn() is None


async def test_request_of_a_lapsed_lease_does_not_leave() -> None:
    """A request whose connection was made slowly is held back if the lease lapsed meanwhile."""
    turns, lease = leased()
    async with turns.line():
        turn = await turns.turn()
    assert turn is not None
    lease.lapses += 1
    assert not await turns.leave(turn)


async def test_next_attempt_after_a_lapse_leaves() -> None:
    """The lapse holds back what had begun before it, and nothing after."""
    turns, lease = leased()
    lease.lapses += 1
    async with turns.line():
        turn = await turns.turn()
    assert turn is not None
    assert await turns.leave(turn)
