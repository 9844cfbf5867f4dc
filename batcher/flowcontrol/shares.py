"""Whole shares of one limit among several runs: how many requests a second each run may send.

Several runs may send on one ledger that is a database server. Each run has a whole share of the AppId's
limit: 20 a second among three runs are 7, 7 and 6. Requests of several runs cross on paths of different
length, but a stream with at most k requests in any second stays one however it is shifted, so the sum of the
shares bounds the sum of the streams. No clocks are compared and no request waits for a round trip.

The database applies :func:`handover` to one run's row at a time, under a lock, whenever that run reports
("beat"). Each run keeps its side in a :class:`~batcher.flowcontrol.share_lease.ShareLease`. Two rules keep
the sum below the limit:

* Less takes effect at once, at the run itself. More only as far as the others' ``held`` leaves room.
* What a run held ends a quiet time after its lease. It comes back as a newcomer. A run that leaves holds only
  as many units as it has sent requests within the last quiet time.

Pure: no I/O and no clock. ``tests/unit/flowcontrol/test_share_histories.py`` searches for histories that
break the rules; change nothing here without running it with ``--share-steps 100000``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batcher.flowcontrol.limit_key import LIMIT_PER_S

PATHS_DIFFER_S = 1.0
"""The difference between the paths of two runs to the service that a handover tolerates."""


@dataclass(frozen=True, slots=True)
class SharedLimit:
    """A limit and the units that it is divided into; one unit is one request a second for a whole limit."""

    per_s: float
    """Requests a second, over all runs."""

    @property
    def units(self) -> int:
        """How many units all shares add up to."""
        return max(1, round(self.per_s))

    @property
    def quiet_s(self) -> float:
        """How long what a run has used counts as held: a full window, and the difference of paths."""
        return max(1.0, self.units / self.per_s) + PATHS_DIFFER_S

    def rate_per_s(self, share: int) -> float:
        """Return the requests a second that a share allows.

        Args:
            share: in units.
        """
        return self.per_s * share / self.units

    def share_of(self, rate_per_s: float) -> int:
        """Return the largest share that allows no more than a rate; at least one unit."""
        return min(max(1, int(rate_per_s / self.per_s * self.units + 1e-9)), self.units)


def limit_among(rates_per_s: Iterable[float]) -> SharedLimit:
    """Return the limit that runs with these rates share: the documented one, or the highest of the rates."""
    return SharedLimit(max([LIMIT_PER_S, *rates_per_s]))


@dataclass(frozen=True, slots=True)
class ShareRow:
    """What the database has on record about the share of one run; all shares in units."""

    id: int
    held: int = 0
    """The most that the run may be using, or may have used within the quiet time."""
    wanted: int | None = None
    """The largest share that it has a use for; None for all it can get."""
    member: bool = True
    """It has not ended and its lease lasts: it gets a part."""
    counted: bool = True
    """Less than a quiet time has passed since its lease ended: what it held is not free yet."""


@dataclass(frozen=True, slots=True)
class ShareGrant:
    """The new record of one run, in units."""

    share: int
    """The share that it may use from now on."""
    held: int
    """At least ``share``; more while requests of a larger share may still be arriving."""


def split(units: int, runs: int) -> tuple[int, ...]:
    """Return whole parts of a limit that differ by one at most, the larger ones first.

    Args:
        units: of the whole limit.
        runs: among how many to split; runs beyond the units get 0 and stand by.
    """
    if runs < 1:
        return ()
    least, larger = divmod(units, runs)
    return (least + 1,) * larger + (least,) * (runs - larger)


def split_as_wanted(units: int, wanted: Sequence[int | None]) -> tuple[int, ...]:
    """Return the part of each run; what a run has no use for is split among the others.

    Args:
        units: of the whole limit.
        wanted: the largest share that each run has a use for; None for all it can get.
    """
    parts = dict.fromkeys(range(len(wanted)), 0)
    open_places = list(parts)
    while open_places:
        offered = dict(zip(open_places, split(units, len(open_places)), strict=True))
        wants = {place: want for place in open_places if (want := wanted[place]) is not None}
        content = {place: want for place, want in wants.items() if want < offered[place]}
        parts.update(content or offered)
        units -= sum(content.values())
        open_places = [place for place in open_places if place not in content] if content else []
    return tuple(parts.values())


def handover(own: ShareRow, others: Sequence[ShareRow], used: int, *, units: int) -> ShareGrant:
    """Return the new share of a run that reports, and what it must be taken to hold.

    The caller locks so that one handover at a time reads and writes the rows. The lock must come before the
    rows are read and before the database's clock is.

    Args:
        own: the row of the run before this report. When it is not ``counted``, the lease had run out for
            longer than the quiet time: others may have its share, and the run is a newcomer.
        others: the other rows; those that are not counted have no effect.
        used: the most that the run has used within the quiet time, as it reports; in units.
        units: of the whole limit.
    """
    members = sorted([own, *(row for row in others if row.member)], key=lambda row: row.id)
    parts = split_as_wanted(units, [row.wanted for row in members])
    free = units - sum(row.held for row in others if row.counted)
    share = max(0, min(parts[members.index(own)], free))
    return ShareGrant(share, max(share, used if own.counted else 0))
