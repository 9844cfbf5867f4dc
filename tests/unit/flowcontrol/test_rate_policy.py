"""How fast is right: cut by refusals, regained with time, never above the cap."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from batcher.flowcontrol.rate_policy import TOO_FREQUENT, Pace, cut_of, regain_per_s, why_slow

CAP = 19.75


def test_refusal_cuts_the_pace_a_little() -> None:
    """One refusal takes two per cent off."""
    pace = Pace(CAP, 0.0)
    pace.refused(10.0)
    assert 0.975 < pace.per_s(10.0) / CAP < 0.985


def test_refusals_of_one_second_count_as_one() -> None:
    """Refusals that arrive together do not add up."""
    pace = Pace(CAP, 0.0)
    assert [pace.refused(10.0 + n * 0.01) for n in range(5)] == [True, False, False, False, False]


def test_crowded_refusals_cut_the_pace_more() -> None:
    """When refusals crowd, another program uses a part of the limit: the pace falls within seconds."""
    pace = Pace(CAP, 0.0)
    for n in range(40):
        pace.refused(10.0 + n * 0.1)
    assert pace.per_s(14.0) < 12.0


def crowded(pace: Pace, until_s: float) -> None:
    """Another program uses a part of the limit: a call in ten is refused, up to a second."""
    at, pace_s = 0.0, 0.0
    while at < until_s:
        pace_s += 10 / pace.per_s(at)
        at = pace_s
        pace.refused(at)


def test_pace_after_crowded_refusals_returns_slowly_then_faster() -> None:
    """Right after many refusals little is regained; after minutes of quiet all of it, and not more."""
    pace = Pace(CAP, 0.0)
    crowded(pace, 20.0)
    now = pace._refused_at
    after = [pace.per_s(now + second) for second in range(300)]
    assert after[0] < 0.6 * CAP
    assert after[10] - after[0] < 0.3
    assert after[180] >= 0.95 * CAP
    assert max(after) == after[-1] == CAP
    assert after == sorted(after)


def test_pace_after_isolated_refusal_is_back_within_seconds() -> None:
    """One refusal among many calls is no reason to stay slow."""
    pace = Pace(CAP, 0.0)
    pace.refused(100.0)
    assert pace.per_s(103.0) == CAP


@pytest.mark.parametrize(("refused_share", "least"), [(0.0, 0.999), (0.002, 0.98), (0.005, 0.95)])
def test_refusals_by_chance_cost_a_few_per_cent(refused_share: float, least: float) -> None:
    """Where half a per cent of all calls is refused at any pace, 95 % of the pace remains."""
    pace, rng, at, calls = Pace(CAP, 0.0), random.Random(1), 0.0, 20_000
    for _ in range(calls):
        at += 1 / pace.per_s(at)
        if rng.random() < refused_share:
            pace.refused(at, "HTTP 503")
    assert calls / at >= least * CAP


@pytest.mark.parametrize(
    ("crowd", "pace_per_s", "expected"),
    [(0, 20.0, 0.02), (1, 20.0, 0.07), (4, 20.0, 0.22), (19, 20.0, 0.3), (1, 0.1, 0.3)],
)
def test_cut_by_crowd(crowd: int, pace_per_s: float, expected: float) -> None:
    """A refusal takes two per cent off, more among others, and never more than 30."""
    assert cut_of(crowd, pace_per_s) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("quiet_s", "refused_share", "expected"),
    [
        (0.0, 0.0, 0.01),
        (0.0, 0.005, 0.0075),
        (0.0, 0.02, 0.0008),
        (0.0, 0.5, 0.0008),
        (20.0, 0.5, 0.0008),
        (120.0, 0.5, 0.0058),
    ],
)
def test_regain_by_quiet_and_refused_share(quiet_s: float, refused_share: float, expected: float) -> None:
    """The fewer calls were refused, and the longer ago, the faster the pace returns."""
    assert regain_per_s(quiet_s, refused_share) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("refusals", "expected"),
    [
        ({}, "an earlier run was throttled: its calls were too frequent"),
        ({TOO_FREQUENT: 1}, "the service reported once that calls are too frequent"),
        ({TOO_FREQUENT: 1200}, "the service reported 1,200 times that calls are too frequent"),
        ({"HTTP 503": 3}, "the service answered HTTP 503 3 times"),
        (
            {"HTTP 503": 3, TOO_FREQUENT: 1},
            "the service answered HTTP 503 3 times and reported once that calls are too frequent",
        ),
    ],
)
def test_reason_names_the_words_of_the_service(refusals: dict[str, int], expected: str) -> None:
    """A busy gateway is not called a limit."""
    assert why_slow(Counter(refusals)) == expected


def test_clock_that_stops_or_jumps_never_lowers_the_pace() -> None:
    """No time regains nothing, and an age regains the cap."""
    pace = Pace(CAP, 0.0)
    pace.refused(1.0)
    assert pace.per_s(1.0) == pace.per_s(1.0)
    assert pace.per_s(1e9) == CAP


@pytest.mark.parametrize(("share", "expected"), [(0.6, 0.6), (1.0, 1.0), (25.0, 1.0), (0.00001, 0.01)])
@pytest.mark.parametrize("cap_per_s", [CAP, 1.0, 500.0])
def test_learned_share_is_where_a_run_begins(cap_per_s: float, share: float, expected: float) -> None:
    """A run begins at the share of its cap that an earlier run ended with, never below the floor."""
    assert Pace(cap_per_s, 0.0, share).per_s(0.0) == pytest.approx(expected * cap_per_s)


@pytest.mark.parametrize(("age_s", "least", "most"), [(10.0, 0.6, 0.65), (60.0, 0.8, 1.0), (300.0, 1.0, 1.0)])
def test_learned_share_ages(age_s: float, least: float, most: float) -> None:
    """A share learned minutes ago counts little, and one learned yesterday not at all."""
    assert least <= Pace(CAP, 1000.0, 0.6, age_s).share(1000.0) <= most


def test_pace_never_falls_below_the_floor() -> None:
    """Refusals without end leave a request now and then, which finds out when they end."""
    pace = Pace(CAP, 0.0)
    for n in range(10_000):
        pace.refused(n * 0.25)
    assert pace.per_s(2500.0) >= Pace.FLOOR * CAP
