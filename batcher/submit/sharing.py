"""A run among the others of its ledger: reports its share, takes over from lost runs, and stops with them.

Made by the runner on a ledger that several runs share. Every two seconds the run reports to the database
(:mod:`batcher.flowcontrol.shares`), and its pacer gets the share that was granted. When the reports fail, the
lease ends by the run's own clock, and no request leaves any more.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.share_lease import BEAT_EVERY_S, ShareLease
from batcher.flowcontrol.shares import SharedLimit, ShareRow, handover, limit_among
from batcher.flowcontrol.sliding_window import Turn
from batcher.ledger.run_sharing import RunSharing, boottime
from batcher.ledger.shared_runs import TTL_S, Granted, RunShare
from batcher.model.events import Message, OnEvent
from batcher.model.outcome import Settlement
from batcher.model.submission import Claim, RunId
from batcher.report.formatting import count

STANDING_BY_S = 0.5
"""Seconds between two reports of a run without a share: it begins as soon as there is one."""

LOOK_FOR_LOST_S = 5.0
"""Seconds between two looks for runs that are lost."""

SPARE_S = 5.0
"""How much longer than a request may take the run waits before it takes over from another."""


def granted_by(rate_per_s: float) -> Callable[[RunShare, Sequence[RunShare]], Granted]:
    """Return the rule of the handover for a run with this rate."""

    def judge(own: RunShare, others: Sequence[RunShare]) -> Granted:
        rates = [row.rate_per_s for row in others if row.member]
        limit = limit_among([rate_per_s, *rates])
        grant = handover(_row(own), list(map(_row, others)), own.held, units=limit.units)
        return Granted(grant.share, grant.held, 1 + len(rates), limit.per_s)

    return judge


def _row(row: RunShare) -> ShareRow:
    return ShareRow(row.id, row.held, row.wanted, row.member, row.counted)


class Sharing:
    """One run among others.

    Args:
        ledger: the ledger's part for several runs.
        pacer: gets the share.
        rate_per_s: the most that this run may send.
        timeout_s: how long a request may take.
        judge: decides what becomes of a submission whose answer is lost.
        on_event: called when the run joins others, and when it takes over from one.
        halt: called with the reason when another run has halted.

    Attributes:
        lapses: how often the lease had ended before the run got it again.
    """

    def __init__(
        self,
        ledger: RunSharing,
        pacer: Pacer,
        rate_per_s: float,
        timeout_s: float,
        *,
        judge: Callable[[Claim], Settlement],
        on_event: OnEvent,
        halt: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._pacer = pacer
        self._rate_per_s = rate_per_s
        self._grace_s = timeout_s + SPARE_S
        self._judge = judge
        self._on_event = on_event
        self._halt = halt
        self._limit = limit_among([rate_per_s])
        self._wanted = math.ceil(rate_per_s)
        self._lease = ShareLease(self._limit.quiet_s, TTL_S, wanted=self._wanted)
        self.lapses = 0
        self._run_id = RunId(0)
        self._steady_since: float | None = None
        """Since when the reports have succeeded without a gap."""
        self._members = 0
        self._end_of_lease: asyncio.TimerHandle | None = None
        ledger.renewed = self._renewed
        pacer.lease_with(self.lasts, lambda: self._lease.departed(boottime()))

    def lasts(self) -> bool:
        """Whether a request may leave: the last check before its first byte."""
        return self._lease.lasts(boottime())

    async def join(self, run_id: RunId) -> None:
        """Take a lease and a share, and settle what dead processes of this machine have left."""
        self._run_id = run_id
        self._pacer.share(0.0)
        await self._ledger.join(run_id, self._wanted)
        await self.take_over()  # first: what a dead run had is free the sooner
        await self._report()

    async def keep(self) -> None:
        """Report until cancelled, and look for lost runs."""
        looked = boottime()
        while True:
            await asyncio.sleep(BEAT_EVERY_S if self._lease.share(boottime()) else STANDING_BY_S)
            await self._report()
            if boottime() - looked >= LOOK_FOR_LOST_S:
                looked = boottime()
                await self.take_over()

    async def take_over(self) -> None:
        """Settle what lost runs have left as in doubt.

        A lease is judged only by a run that has itself reported without a gap for as long: after an outage
        of the server no run calls another one dead.
        """
        steady_s = 0.0 if self._steady_since is None else boottime() - self._steady_since
        grace_s = self._grace_s if steady_s > TTL_S + self._grace_s else None
        taken = 0
        while found := await self._ledger.take_over(self._run_id, grace_s, self._judge):
            taken += found
        if taken:
            text = f"took over from a run that is lost: {count(taken, 'request')} without an answer"
            self._on_event(Message(text))

    async def leave(self) -> None:
        """End the lease: the last request has left, and its answer is on record."""
        if self._end_of_lease is not None:
            self._end_of_lease.cancel()
        await self._ledger.leave(self._run_id, self._lease.left_over(boottime()))

    async def halted(self, why: str) -> None:
        """Let the other runs stop, too: the account must not be used."""
        await self._ledger.halt(why)

    async def _report(self) -> None:
        now = boottime()
        beat = self._lease.beat(now)
        judge = granted_by(self._rate_per_s)
        granted = await self._ledger.report(
            self._run_id,
            self._limit.quiet_s,
            beat.wanted,
            lambda own, others: judge(own._replace(held=beat.used, wanted=beat.wanted), others),
        )
        after = boottime()
        gap = self._steady_since is None or after - now > TTL_S
        self._steady_since = after if gap else self._steady_since
        self.lapses += after >= self._lease.ends_at
        self._lease.granted(beat, granted.share, after)
        self._limit = SharedLimit(granted.limit_per_s)
        self._apply()
        self._report_members(granted)
        if granted.halted_why is not None:
            self._halt(f"another run of this ledger has halted: {granted.halted_why}")

    def _renewed(self, sent_at: float) -> None:
        self._lease.renewed(sent_at, boottime())
        self._watch_lease()

    def _apply(self) -> None:
        share = self._lease.share(boottime())
        self._pacer.share(min(self._rate_per_s, self._limit.rate_per_s(share)))
        self._watch_lease()

    def _watch_lease(self) -> None:
        """Stand by when the lease ends, unless it is renewed before."""
        if self._end_of_lease is not None:
            self._end_of_lease.cancel()
        left_s = self._lease.ends_at - boottime()
        if left_s > 0:
            loop = asyncio.get_running_loop()
            self._end_of_lease = loop.call_later(left_s, self._apply)

    def _report_members(self, granted: Granted) -> None:
        others = granted.members - 1
        if others and not self._members and granted.share:
            part = f"{granted.share} of {granted.limit_per_s:g} a second are its own"
            text = f"run {self._run_id} joins {count(others, 'other')}: {part}"
            self._on_event(Message(text))
        if granted.share:
            self._members = others


class Lapsing(Protocol):
    """A lease that may end and be had again."""

    lapses: int
    """How often it had ended before."""


class LeasedTurns:
    """The pacer as one worker uses it: a request leaves only under the lease under which its attempt began.

    A run whose lease has ended may have been taken over, its attempts called in doubt and sent again by
    others. It may get its lease again, but those attempts must not leave any more.
    """

    def __init__(self, pacer: Pacer, sharing: Lapsing) -> None:
        self.begun_within = pacer.begun_within
        self._pacer = pacer
        self._sharing = sharing
        self._lapses = 0

    @asynccontextmanager
    async def line(self) -> AsyncIterator[None]:
        """Wait to be among the next to get a turn; the attempt begins within."""
        async with self._pacer.line():
            self._lapses = self._sharing.lapses
            yield

    async def turn(self) -> Turn | None:
        """Wait for the moment to send; None when nothing may be sent after all."""
        turn = await self._pacer.turn()
        return turn if self._sharing.lapses == self._lapses else None

    async def leave(self, turn: Turn) -> bool:
        """Note that the request of a turn is about to leave; False when it must not any more."""
        return await self._pacer.leave(turn) and self._sharing.lapses == self._lapses
