"""How the sandbox's rate limits count, under a clock that the test moves."""

from __future__ import annotations

import pytest

from batcher.sandbox.rate_limit import (
    AlignedSecond,
    Limit,
    SlidingSecond,
    TokenBucket,
    Unlimited,
    limit_for,
)
from batcher.sandbox.variants import Counting


def admitted(limit: Limit, arrivals_s: list[float]) -> list[bool]:
    return [limit.admit(arrived_s) for arrived_s in arrivals_s]


def evenly(per_s: float, seconds: float) -> list[float]:
    return [n / per_s for n in range(round(per_s * seconds))]


def test_sliding_admits_the_limit_in_any_second() -> None:
    """The call after a full window passes exactly one second after the oldest in it, not sooner."""
    limit = SlidingSecond(2, count_refused=False)
    assert admitted(limit, [0.0, 0.5, 0.999, 1.0, 1.4, 1.5]) == [True, True, False, True, False, True]


def test_sliding_with_refused_counted_punishes_calling_on() -> None:
    """When refused calls count, a caller above the limit stays refused until it pauses."""
    limit = SlidingSecond(2, count_refused=True)
    assert admitted(limit, [0.0, 0.4, 0.8, 1.2, 1.6]) == [True, True, False, False, False]
    assert admitted(limit, [2.7]) == [True]


def test_aligned_starts_afresh_with_each_whole_second() -> None:
    """Twice the limit fits around the turn of a second, which a sliding window would refuse."""
    limit = AlignedSecond(2)
    assert admitted(limit, [6.8, 6.9, 6.95, 7.0, 7.1, 7.2]) == [True, True, False, True, True, False]


def test_bucket_admits_its_capacity_at_once_and_refills_meanwhile() -> None:
    """A full bucket lets the limit go at once, then one for each share of a second."""
    limit = TokenBucket(4, count_refused=False)
    assert admitted(limit, [0.0] * 5) == [True] * 4 + [False]
    assert admitted(limit, [0.2, 0.25, 0.3]) == [False, True, False]


def test_bucket_never_holds_more_than_its_capacity() -> None:
    """An hour of silence saves up no more than the limit."""
    limit = TokenBucket(3, count_refused=False)
    assert admitted(limit, [0.0] + [3600.0] * 4) == [True, True, True, True, False]


def test_bucket_debt_is_paid_off_by_a_second_and_a_token() -> None:
    """When refused calls count, the debt of any flood is at most one capacity."""
    limit = TokenBucket(4, count_refused=True)
    assert admitted(limit, [0.0] * 50).count(True) == 4
    assert admitted(limit, [1.2]) == [False]
    assert admitted(limit, [2.45 + 0.25]) == [True]


@pytest.mark.parametrize("counting", list(Counting))
@pytest.mark.parametrize("count_refused", [False, True])
def test_a_caller_at_the_limit_is_never_refused(counting: Counting, count_refused: bool) -> None:
    """Evenly spaced calls at the documented rate all pass, however the second is counted."""
    limit = limit_for(counting, 16, count_refused=count_refused)  # a sixteenth is exact as a float
    assert all(admitted(limit, evenly(16, 60)))


@pytest.mark.parametrize("counting", list(Counting))
def test_a_caller_above_the_limit_gets_the_limit(counting: Counting) -> None:
    """At 25 calls per second, 20 per second pass in the long run if refused calls do not count."""
    limit = limit_for(counting, 20, count_refused=False)
    passed = admitted(limit, evenly(25, 60)).count(True)
    assert 20 * 60 <= passed <= 20 * 61


@pytest.mark.parametrize("off", [0, None])
def test_no_limit_admits_everything(off: int | None) -> None:
    """0 and None switch the limit off."""
    limit = limit_for(Counting.SLIDING, off, count_refused=True)
    assert isinstance(limit, Unlimited)
    assert all(admitted(limit, [0.0] * 1000))
