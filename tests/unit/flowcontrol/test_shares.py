"""How a limit is split into whole shares, and handed over from run to run."""

from __future__ import annotations

import pytest

from batcher.flowcontrol.share_lease import ShareLease
from batcher.flowcontrol.shares import (
    SharedLimit,
    ShareGrant,
    ShareRow,
    handover,
    split,
    split_as_wanted,
)
from batcher.ledger.shared_runs import TTL_S

QUIET_S = SharedLimit(20).quiet_s


@pytest.mark.parametrize(
    ("units", "runs", "expected"),
    [
        (20, 0, ()),
        (20, 1, (20,)),
        (20, 2, (10, 10)),
        (20, 3, (7, 7, 6)),
        (20, 8, (3, 3, 3, 3, 2, 2, 2, 2)),
        (20, 20, (1,) * 20),
        (20, 22, (1,) * 20 + (0, 0)),
        (1, 3, (1, 0, 0)),
    ],
)
def test_split_among_runs_is_whole_and_even(units: int, runs: int, expected: tuple[int, ...]) -> None:
    """Parts are whole, differ by one at most, and add up to the limit."""
    assert split(units, runs) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ((), ()),
        ((None, None, None), (7, 7, 6)),
        ((None, 1, None), (10, 1, 9)),
        ((1, 1, 1), (1, 1, 1)),
        ((0, None), (0, 20)),
        ((8, None, 7), (7, 7, 6)),
        ((5, 8, None), (5, 8, 7)),
        ((5, 7, None), (5, 7, 8)),
        ((1, *(None,) * 21), (1,) * 20 + (0, 0)),
        ((0, *(None,) * 20), (0, *(1,) * 20)),
    ],
)
def test_split_with_runs_that_want_less_gives_the_rest_to_others(
    wanted: tuple[int | None, ...], expected: tuple[int, ...]
) -> None:
    """A run gets no more than it has a use for; the others split what is left."""
    assert split_as_wanted(20, wanted) == expected


@pytest.mark.parametrize(
    ("per_s", "units", "unit_per_s", "quiet_s"),
    [
        (20.0, 20, 1.0, 2.0),
        (2.5, 2, 1.25, 2.0),
        (1.5, 2, 0.75, 1 + 2 / 1.5),
        (0.2, 1, 0.2, 6.0),
        (400.0, 400, 1.0, 2.0),
        (333.3, 333, 333.3 / 333, 2.0),
    ],
)
def test_units_of_a_limit_add_up_to_it(per_s: float, units: int, unit_per_s: float, quiet_s: float) -> None:
    """A limit that is not whole has units of nearly one request a second, and a quiet time to fit."""
    limit = SharedLimit(per_s)
    assert limit.units == units
    assert limit.rate_per_s(1) == pytest.approx(unit_per_s)
    assert limit.rate_per_s(units) == pytest.approx(per_s)
    assert limit.quiet_s == pytest.approx(quiet_s, rel=0.01)


@pytest.mark.parametrize(
    ("rate_per_s", "share"), [(0.1, 1), (1.0, 1), (6.9, 6), (7.0, 7), (20, 20), (99, 20)]
)
def test_share_of_a_rate_stays_below_it(rate_per_s: float, share: int) -> None:
    """A run with a lower rate of its own wants as many units as that allows, and one at least."""
    assert SharedLimit(20).share_of(rate_per_s) == share


FIRST, SECOND = ShareRow(1, held=20), ShareRow(2)


@pytest.mark.parametrize(
    ("own", "others", "used", "expected"),
    [
        pytest.param(ShareRow(1), [], 0, ShareGrant(20, 20), id="alone"),
        pytest.param(SECOND, [FIRST], 0, ShareGrant(0, 0), id="nothing is free yet"),
        pytest.param(FIRST, [SECOND], 20, ShareGrant(10, 20), id="less at once, held for a quiet time"),
        pytest.param(FIRST, [SECOND], 10, ShareGrant(10, 10), id="then free"),
        pytest.param(SECOND, [ShareRow(1, held=13)], 0, ShareGrant(7, 7), id="as far as there is room"),
        pytest.param(SECOND, [ShareRow(1, held=10)], 0, ShareGrant(10, 10), id="all of its part"),
        pytest.param(
            ShareRow(1, held=10, counted=False, member=False),
            [ShareRow(2, held=20)],
            10,
            ShareGrant(0, 0),
            id="back from an ended lease as a newcomer",
        ),
        pytest.param(
            ShareRow(1, held=10, member=False),
            [ShareRow(2, held=10)],
            10,
            ShareGrant(10, 10),
            id="just in time",
        ),
        pytest.param(
            SECOND,
            [ShareRow(1, held=12, member=False)],
            0,
            ShareGrant(8, 8),
            id="of a dead run everything but what it holds",
        ),
        pytest.param(
            SECOND, [ShareRow(1, held=20, member=False, counted=False)], 0, ShareGrant(20, 20), id="then all"
        ),
        pytest.param(
            ShareRow(1, held=10, wanted=1),
            [ShareRow(2, held=10)],
            10,
            ShareGrant(1, 10),
            id="one for a probe",
        ),
        pytest.param(
            ShareRow(2, held=10),
            [ShareRow(1, held=1, wanted=1)],
            10,
            ShareGrant(19, 19),
            id="the rest for others",
        ),
        pytest.param(SECOND, [ShareRow(1, held=25)], 0, ShareGrant(0, 0), id="never less than nothing"),
    ],
)
def test_handover_gives_less_at_once_and_more_when_there_is_room(
    own: ShareRow, others: list[ShareRow], used: int, expected: ShareGrant
) -> None:
    """The grant fits into what the others hold; what was used stays held."""
    assert handover(own, others, used, units=20) == expected


def leased(share: int, at: float = 100.0) -> ShareLease:
    """A lease with a share that was granted in reply to a beat at that moment."""
    lease = ShareLease(QUIET_S, TTL_S)
    assert lease.granted(lease.beat(at), share, at + 0.1)
    return lease


def test_new_lease_lets_nothing_leave() -> None:
    """Before the first grant the share is 0."""
    lease = ShareLease(QUIET_S, TTL_S)
    assert (lease.share(0.0), lease.used(0.0), lease.lasts(0.0)) == (0, 0, False)


def test_lease_ends_by_the_moment_before_its_beat() -> None:
    """However late the reply is, the lease lasts for 9.5 s from the moment before the beat left."""
    lease = ShareLease(QUIET_S, TTL_S)
    assert lease.granted(lease.beat(100.0), 7, 105.0)
    assert lease.ends_at == 109.5
    assert (lease.share(109.4), lease.lasts(109.4)) == (7, True)
    assert (lease.share(109.5), lease.lasts(109.5)) == (0, False)


def test_grant_in_reply_to_an_older_beat_is_void() -> None:
    """Once a newer beat has left, neither the share nor the lease of an older reply counts."""
    lease = leased(7)
    older, newest = lease.beat(102.0), lease.beat(104.0)
    assert not lease.granted(older, 20, 104.1)
    assert (lease.share(104.1), lease.ends_at) == (7, 109.5)
    assert lease.granted(newest, 5, 104.2)
    assert (lease.share(104.2), lease.ends_at) == (5, 113.5)


def test_larger_share_of_before_is_used_for_a_quiet_time() -> None:
    """After less was granted, the beats of the next two seconds report the larger share."""
    lease = leased(20)
    assert lease.granted(lease.beat(102.0), 10, 102.1)
    assert [lease.used(at) for at in (102.2, 104.0, 104.2)] == [20, 20, 10]


def test_use_ends_a_quiet_time_after_the_lease() -> None:
    """A run that slept reports what it used only while requests of then may still arrive."""
    lease = leased(20)
    assert [lease.beat(at).used for at in (109.4, 111.4, 111.6)] == [20, 20, 0]
    assert lease.granted(lease.beat(130.0), 4, 130.1)
    assert lease.used(130.2) == 4


def test_run_that_leaves_holds_what_it_has_sent_within_the_quiet_time() -> None:
    """Each request of the last two seconds is one unit, the share at most; without one nothing is held."""
    lease = leased(3)
    assert lease.left_over(100.2) == 0
    for at in (100.2, 100.5, 101.0, 101.3, 101.6):
        lease.departed(at)
    assert [lease.left_over(at) for at in (101.7, 102.6, 103.1, 103.6)] == [3, 3, 2, 0]


def test_renewal_extends_a_lease_and_never_revives_it() -> None:
    """The commit of a group extends the lease while it lasts; afterwards only a grant does."""
    lease = leased(20)
    assert lease.renewed(108.0, 109.0)
    assert (lease.share(117.4), lease.ends_at) == (20, 117.5)
    assert not lease.renewed(117.0, 118.0)
    assert lease.share(118.0) == 0


def test_run_that_wants_less_uses_less_at_once() -> None:
    """In an outage the run keeps one unit, and reports what it used before until that is past."""
    lease = leased(20)
    lease.want(1, 101.0)
    assert lease.share(101.0) == 1
    assert [(beat.used, beat.wanted) for beat in (lease.beat(102.0), lease.beat(103.1))] == [(20, 1), (1, 1)]
    lease.want(None, 104.0)
    assert (lease.share(104.0), lease.beat(104.0).wanted) == (1, None)


def test_grant_larger_than_what_is_wanted_by_now_is_not_used() -> None:
    """An outage that begins while a beat is under way limits its grant, too."""
    lease = ShareLease(QUIET_S, TTL_S)
    beat = lease.beat(100.0)
    lease.want(1, 100.1)
    assert lease.granted(beat, 20, 100.2)
    assert lease.share(100.2) == 1
