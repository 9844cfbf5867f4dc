"""The rows of runs that share a limit, as the database keeps them: one handover at a time."""

from __future__ import annotations

from dataclasses import dataclass

from batcher.flowcontrol.share_lease import Beat
from batcher.flowcontrol.shares import SharedLimit, ShareRow, handover
from batcher.ledger.shared_runs import TTL_S


@dataclass
class KeptRow:
    """What is on record about one run; times by the clock of the database."""

    leased_until: float
    share: int = 0
    held: int = 0
    wanted: int | None = None
    ended: bool = False


class ShareTable:
    """Applies the statements of runs, each in one transaction, in the order of the calls."""

    def __init__(self, limit: SharedLimit) -> None:
        self.limit = limit
        self.rows: dict[int, KeptRow] = {}

    def join(self, now: float, wanted: int | None = None) -> int:
        """Keep a new run, without a share yet; return its id."""
        self.rows[id_ := len(self.rows) + 1] = KeptRow(now + TTL_S, wanted=wanted)
        return id_

    def beat(self, id_: int, beat: Beat, now: float) -> int:
        """Apply the handover to the row of a run; return its share."""
        row = self.rows[id_]
        row.wanted = beat.wanted
        seen = {other: self._seen(other, now) for other in self.rows}
        own = seen.pop(id_)
        grant = handover(own, [*seen.values()], beat.used, units=self.limit.units)
        row.share, row.held, row.leased_until = grant.share, grant.held, now + TTL_S
        return row.share

    def renew(self, id_: int, now: float) -> None:
        """Extend the lease of a run with the commit of a group; never revive it."""
        row = self.rows[id_]
        if row.leased_until > now:
            row.leased_until = now + TTL_S

    def leave(self, id_: int, now: float, held: int | None = None) -> None:
        """End a run and its lease; what it still holds is free a quiet time later.

        Args:
            id_: the run, which sends no more.
            now: by the clock of the database.
            held: what it says that it still holds; None for a run whose process has ended.
        """
        row = self.rows[id_]
        row.held = row.held if held is None else min(row.held, held)
        row.ended, row.share, row.leased_until = True, 0, min(row.leased_until, now)

    def held(self, now: float) -> int:
        """The sum of what all runs may hold."""
        return sum(row.held for row in self.rows.values() if row.leased_until + self.limit.quiet_s > now)

    def members(self, now: float) -> list[int]:
        """The runs that get a part."""
        return [id_ for id_ in self.rows if self._seen(id_, now).member]

    def _seen(self, id_: int, now: float) -> ShareRow:
        row = self.rows[id_]
        return ShareRow(
            id_,
            row.held,
            row.wanted,
            member=not row.ended and row.leased_until > now,
            counted=row.leased_until + self.limit.quiet_s > now,
        )
