"""How fast is right: cut by refusals, regained with time, never above the cap."""

from __future__ import annotations

from batcher.flowcontrol.rate_policy import Pace

CAP = 19.75


def test_a_refusal_costs_a_little_at_once() -> None:
    """One refusal takes two per cent off."""
    pace = Pace(CAP, 0.0)
    pace.refused(10.0)
    assert 0.975 < pace.per_s(10.0) / CAP < 0.985


def test_refusals_of_one_second_are_heard_as_one() -> None:
    """Refusals that arrive together do not add up."""
    pace = Pace(CAP, 0.0)
    assert [pace.refused(10.0 + n * 0.01) for n in range(5)] == [True, False, False, False, False]


def test_a_crowd_of_refusals_costs_more() -> None:
    """When refusals crowd, somebody else takes a part of the limit: the pace falls within seconds."""
    pace = Pace(CAP, 0.0)
    for n in range(40):
        pace.refused(10.0 + n * 0.1)
    assert pace.per_s(14.0) < 12.0


def test_what_was_lost_comes_back_slowly_then_faster() -> None:
    """Right after a refusal little is regained; after minutes of quiet all of it, and not more."""
    pace = Pace(CAP, 0.0, 11.5)  # what a neighbour with 8/s leaves
    pace.refused(4.0)
    low = pace.per_s(4.0)
    after = [low]
    for second in range(5, 300):
        after.append(pace.per_s(float(second)))
    assert after[10] - low < 0.3
    assert after[180] >= 0.95 * CAP
    assert max(after) == after[-1] == CAP
    assert after == sorted(after)


def test_a_clock_that_stands_still_or_jumps_far_changes_nothing_for_the_worse() -> None:
    """No time regains nothing, and an age regains the cap."""
    pace = Pace(CAP, 0.0)
    pace.refused(1.0)
    assert pace.per_s(1.0) == pace.per_s(1.0)
    assert pace.per_s(1e9) == CAP


def test_a_learned_pace_is_where_a_run_begins() -> None:
    """A run begins at the pace that an earlier one has learned, within the cap and the floor."""
    assert Pace(CAP, 0.0, 12.0).per_s(0.0) == 12.0
    assert Pace(CAP, 0.0, 500.0).per_s(0.0) == CAP
    assert Pace(CAP, 0.0, 0.0001).per_s(0.0) == Pace.FLOOR * CAP


def test_it_never_falls_below_the_floor() -> None:
    """Refusals without end leave a request now and then, which finds out when they end."""
    pace = Pace(CAP, 0.0)
    for n in range(10_000):
        pace.refused(n * 0.25)
    assert pace.per_s(2500.0) >= Pace.FLOOR * CAP
