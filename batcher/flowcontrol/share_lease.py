"""A run's side of a shared limit: the share that it may use now, and until when.

Made by a run on a ledger that several runs share. The run reports to the database ("beat") every
:data:`BEAT_EVERY_S`, and passes what it reads to :class:`ShareLease`; the database's side is
:func:`batcher.flowcontrol.shares.handover`. Pure: the caller passes the readings of a clock. That clock must
count the time for which the machine sleeps (``CLOCK_BOOTTIME`` on Linux): a run that slept longer than its
lease must find that it has ended.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

LEASE_MARGIN_S = 0.5
"""A run stops this long before its lease ends: clocks may differ in speed."""

BEAT_EVERY_S = 2.0
"""Seconds between two reports."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One report of a run to the database."""

    number: int
    sent_at: float
    """Seconds of the run's clock, read before the report left."""
    used: int
    """The most that the run may have used within the quiet time; in units."""
    wanted: int | None
    """The largest share that the run has a use for; None for all it can get."""


class ShareLease:
    """The share of one run, in units, and its lease.

    A grant replaces the share only if it answers the newest beat. The database applies beats strictly one
    after another, and a newer beat has reported what was used *without* that grant.

    Args:
        quiet_s: how long what was used counts as held; :attr:`SharedLimit.quiet_s`.
        lease_s: how long the database lets a run send after each report.
        wanted: the largest share that the run has a use for; None for all it can get.
    """

    def __init__(self, quiet_s: float, lease_s: float, *, wanted: int | None = None) -> None:
        self._quiet_s = quiet_s
        self._lasts_s = lease_s - LEASE_MARGIN_S
        self._wanted = wanted
        self._newest = 0
        self._share = 0
        self._ends_at = -math.inf
        self._past: deque[tuple[float, int]] = deque()
        """Shares that were replaced, each with the moment of its end."""
        self._departures: deque[float] = deque()
        """The moments of the requests that left within the quiet time."""

    @property
    def ends_at(self) -> float:
        """The moment of the run's clock at which it must stop sending, unless a report succeeds before."""
        return self._ends_at

    def lasts(self, now: float) -> bool:
        """Whether a request may leave: the last check before its first byte."""
        return now < self._ends_at and self._share > 0

    def share(self, now: float) -> int:
        """Return the share that may be used now; 0 once the lease has ended."""
        return self._share if now < self._ends_at else 0

    def used(self, now: float) -> int:
        """Return the most that may have been used within the quiet time, or is used now."""
        while self._past and self._past[0][0] <= now - self._quiet_s:
            self._past.popleft()
        present = self._share if now < self._ends_at + self._quiet_s else 0
        return max(present, *(share for _, share in self._past), 0)

    def departed(self, now: float) -> None:
        """Note that a request leaves."""
        self._departures.append(now)
        self._forget_departures(now)

    def left_over(self, now: float) -> int:
        """Return what a run that sends no more still holds: as many units as it has sent requests lately."""
        self._forget_departures(now)
        return min(self.used(now), len(self._departures))

    def want(self, wanted: int | None, now: float) -> None:
        """Have a use for this share at most, at once; None for all that the run can get.

        A run that waits for a service that does not answer wants 1, for its probes; the others get the rest.
        """
        self._wanted = wanted
        if wanted is not None and wanted < self._share:
            self._replace(wanted, self._ends_at, now)

    def beat(self, now: float) -> Beat:
        """Return the next report; grants in reply to earlier ones are void from now on."""
        self._newest += 1
        return Beat(self._newest, now, self.used(now), self._wanted)

    def granted(self, beat: Beat, share: int, now: float) -> bool:
        """Apply the grant in reply to a beat; False when it is void.

        Args:
            beat: the report that the grant replies to.
            share: that the database granted, and has committed.
            now: the moment at which the reply was read.
        """
        if beat.number != self._newest:
            return False
        usable = share if self._wanted is None else min(share, self._wanted)
        self._replace(usable, max(self._ends_at, beat.sent_at + self._lasts_s), now)
        return True

    def renewed(self, sent_at: float, now: float) -> bool:
        """Extend the lease for a commit that renewed it without a handover; False when it had ended.

        Only a grant revives a lease that has ended: others may have the share by now.

        Args:
            sent_at: the moment before the transaction began.
            now: the moment at which its commit was confirmed.
        """
        if now >= self._ends_at:
            return False
        self._ends_at = max(self._ends_at, sent_at + self._lasts_s)
        return True

    def _forget_departures(self, now: float) -> None:
        while self._departures and self._departures[0] <= now - self._quiet_s:
            self._departures.popleft()

    def _replace(self, share: int, ends_at: float, now: float) -> None:
        if self._share:
            self._past.append((min(now, self._ends_at), self._share))
        self._share, self._ends_at = share, ends_at
