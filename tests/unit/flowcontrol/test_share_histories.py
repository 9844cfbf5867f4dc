"""Any history of runs that share a limit: together they never use more than it, in any second."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.share_table import ShareTable

from batcher.flowcontrol.share_lease import BEAT_EVERY_S, Beat, ShareLease
from batcher.flowcontrol.shares import SharedLimit, split_as_wanted
from batcher.ledger.shared_runs import TTL_S

MOST_RUNS = 6
PASSING_S = (0.1, 0.4, 0.9, 1.5, 2.0, 2.5, 5.0, 9.4, 9.9, 10.4, 12.5, 30.0, 60.0)
NTH = st.integers(0, 99)


@dataclass
class Usage:
    """The shares that a run could use, by the clock of the test; every moment of them counts."""

    share: int = 0
    until: float = -math.inf
    before: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=50))
    sent: float = math.inf
    """As many requests at most have left since a quiet time before the end."""

    def change(self, share: int, until: float, now: float) -> None:
        """From now on the run may use another share, up to a moment."""
        self.before.append((min(now, self.until), self.share))
        self.share, self.until = share, until

    def most_since(self, since: float) -> int:
        """The largest share that was used after a moment."""
        shares = [share for until, share in (*self.before, (self.until, self.share)) if until > since]
        return int(min(max(shares, default=0), self.sent))


@dataclass
class SharingRun:
    """A run: its lease, its statements on their way, the replies that it has not read, its use."""

    id: int
    lease: ShareLease
    ahead_s: float
    """Its clock is ahead of the database's by this."""
    statements: deque[Beat | float] = field(default_factory=deque)
    """Beats, and the moments before groups that only renew the lease."""
    replies: list[tuple[Beat, int] | float] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    stalled: bool = False
    """It is paused, or cut off from the database."""

    def note(self, now: float) -> None:
        """Note what may be used from now on."""
        local = now + self.ahead_s
        self.usage.change(self.lease.share(local), self.lease.ends_at - self.ahead_s, now)


class SharingRuns(RuleBasedStateMachine):
    """Runs that join, report, pause, are cut off, are killed and leave; the database keeps their shares."""

    lease_of: Callable[..., ShareLease] = ShareLease
    table_of: Callable[[SharedLimit], ShareTable] = ShareTable

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.runs: list[SharingRun] = []
        self.gone: list[Usage] = []

    @initialize(
        per_s=st.sampled_from((20.0, 20.0, 3.0, 2.5, 400.0)), runs=st.integers(0, 4), late=st.booleans()
    )
    def begin(self, per_s: float, runs: int, late: bool) -> None:
        """Some runs share one of these limits already."""
        self.limit = SharedLimit(per_s)
        self.table = type(self).table_of(self.limit)
        for nth in range(runs):
            self.join(None, nth * 100.0)
        self.live(5, late)

    def teardown(self) -> None:
        """Once all runs report again, each has its part within some beats, and nothing is left over."""
        if not self.runs:
            return
        for run in self.runs:
            run.stalled = False
            run.statements.clear()
        self.live(15)
        members = self.table.members(self.now)
        assert members == [run.id for run in self.runs]
        parts = split_as_wanted(self.limit.units, [self.table.rows[id_].wanted for id_ in members])
        assert tuple(run.lease.share(self.now + run.ahead_s) for run in self.runs) == parts

    # -- what runs do ------------------------------------------------------------------------------

    @precondition(lambda self: len(self.runs) < MOST_RUNS)
    @rule(wanted=st.sampled_from((None, None, None, 1, 5)), ahead_s=st.sampled_from((0.0, -900.0, 5e6)))
    def join(self, wanted: int | None, ahead_s: float) -> None:
        """Another run joins."""
        lease = type(self).lease_of(self.limit.quiet_s, TTL_S, wanted=wanted)
        self.runs.append(SharingRun(self.table.join(self.now, wanted), lease, ahead_s))

    @precondition(lambda self: self.runs)
    @rule(nth=NTH, arrives=st.booleans())
    def send(self, nth: int, arrives: bool) -> None:
        """A run sends a beat, which is applied at once or later."""
        run = self._run(nth)
        run.statements.append(run.lease.beat(self.now + run.ahead_s))
        while arrives and run.statements:
            self.apply(nth)

    @precondition(lambda self: self.runs)
    @rule(nth=NTH, arrives=st.booleans())
    def commit(self, nth: int, arrives: bool) -> None:
        """A run sends a group that renews its lease, which is applied at once or later."""
        run = self._run(nth)
        run.statements.append(self.now + run.ahead_s)
        while arrives and run.statements:
            self.apply(nth)

    @precondition(lambda self: self.runs)
    @rule(nth=NTH)
    def apply(self, nth: int) -> None:
        """The database applies the oldest statement of a run."""
        run = self._run(nth)
        if run.statements:
            statement = run.statements.popleft()
            if isinstance(statement, Beat):
                run.replies.append((statement, self.table.beat(run.id, statement, self.now)))
            else:
                self.table.renew(run.id, self.now)
                run.replies.append(statement)

    @precondition(lambda self: self.runs)
    @rule(nth=NTH, which=NTH)
    def deliver(self, nth: int, which: int) -> None:
        """A run reads a reply, perhaps a late one."""
        run = self._run(nth)
        if run.replies:
            reply = run.replies.pop(which % len(run.replies))
            local = self.now + run.ahead_s
            if isinstance(reply, tuple):
                run.lease.granted(*reply, local)
            else:
                run.lease.renewed(reply, local)
            run.note(self.now)

    @precondition(lambda self: self.runs)
    @rule(nth=NTH)
    def lose(self, nth: int) -> None:
        """The connection of a run breaks: what was on its way is lost."""
        run = self._run(nth)
        run.statements.clear()
        run.replies.clear()

    @precondition(lambda self: self.runs)
    @rule(nth=NTH, wanted=st.sampled_from((None, None, 1, 2, 8)))
    def want(self, nth: int, wanted: int | None) -> None:
        """An outage of a run begins or ends."""
        run = self._run(nth)
        run.lease.want(wanted, self.now + run.ahead_s)
        run.note(self.now)

    # -- what befalls them -------------------------------------------------------------------------

    @precondition(lambda self: self.runs)
    @rule(nth=NTH)
    def stall(self, nth: int) -> None:
        """A run is paused, or cut off from the database, until it wakes."""
        run = self._run(nth)
        run.stalled = not run.stalled

    @precondition(lambda self: self.runs)
    @rule(nth=NTH, ends=st.booleans(), sent=st.sampled_from((None, 0, 1, 3, 500)))
    def end(self, nth: int, ends: bool, sent: int | None) -> None:
        """A run leaves that has sent some requests lately, or is killed, which its machine shows or not."""
        run = self.runs.pop(nth % len(self.runs))
        run.usage.change(0, -math.inf, self.now)
        self.gone.append(run.usage)
        if ends and sent is None:
            self.table.leave(run.id, self.now)
        elif ends and sent is not None:
            run.usage.sent = sent
            for _ in range(sent):
                run.lease.departed(self.now + run.ahead_s)
            self.table.leave(run.id, self.now, run.lease.left_over(self.now + run.ahead_s))

    @rule(seconds=st.sampled_from(PASSING_S))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    @rule(beats=st.integers(1, 10), late=st.booleans())
    def live(self, beats: int, late: bool = False) -> None:
        """Time passes, and every run that is not stalled reports; the first replies may be late."""
        for number in range(beats):
            for nth, run in enumerate(self.runs):
                self.now += BEAT_EVERY_S / len(self.runs)
                if not run.stalled:
                    self.send(nth, arrives=True)
                    if number or not late:
                        self.deliver(nth, len(run.replies) - 1)
                    self.limit_is_kept()

    @invariant()
    def limit_is_kept(self) -> None:
        """What all runs may have used within the quiet time is the limit at most; what they hold as well."""
        if not hasattr(self, "table"):
            return
        since = self.now - self.limit.quiet_s
        usages = [run.usage for run in self.runs] + self.gone
        assert sum(usage.most_since(since) for usage in usages) <= self.limit.units
        assert self.table.held(self.now) <= self.limit.units
        self.gone = [usage for usage in self.gone if usage.most_since(since)]

    def _run(self, nth: int) -> SharingRun:
        return self.runs[nth % len(self.runs)]


def test_shares_in_any_history_stay_within_the_limit() -> None:
    """Joins, pauses, cuts, kills, lost and late replies: the sum of the shares is the limit at most."""
    run_state_machine_as_test(SharingRuns, settings=settings.get_profile("shares"))


# -- versions that are wrong must be found -----------------------------------------------------------


class LateGrants(ShareLease):
    """Applies a grant although a newer beat was sent."""

    def granted(self, beat: Beat, share: int, now: float) -> bool:
        return super().granted(replace(beat, number=self._newest), share, now)


class EndlessUse(ShareLease):
    """Reports its share as used although its lease has ended."""

    def used(self, now: float) -> int:
        return max(self._share, super().used(now))


class BelievingTable(ShareTable):
    """Counts what a run reports although its lease had run out."""

    def beat(self, id_: int, beat: Beat, now: float) -> int:
        share = super().beat(id_, beat, now)
        self.rows[id_].held = max(self.rows[id_].held, beat.used)
        return share


class RevivingTable(ShareTable):
    """Renews a lease that had ended, with all that it held."""

    def renew(self, id_: int, now: float) -> None:
        self.rows[id_].leased_until = now + TTL_S


class ForgettingTable(ShareTable):
    """Frees at once what a run that leaves has held."""

    def leave(self, id_: int, now: float, held: int | None = None) -> None:
        super().leave(id_, now, held)
        self.rows[id_].held = 0


class ForgetfulLease(ShareLease):
    """Does not count the last request of a run that leaves."""

    def left_over(self, now: float) -> int:
        return max(0, super().left_over(now) - 1)


FAULTY = {
    "late grant": (LateGrants, ShareTable),
    "use outlives the lease": (EndlessUse, BelievingTable),
    "commit revives": (ShareLease, RevivingTable),
    "leave frees at once": (ShareLease, ForgettingTable),
    "leave forgets a request": (ForgetfulLease, ShareTable),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_history_that_breaks_a_faulty_version_is_found(fault: str) -> None:
    """Each known mistake in the rules makes the sum exceed the limit in some history."""

    class Faulty(SharingRuns):
        lease_of, table_of = FAULTY[fault]

    searching = settings(
        settings.get_profile("shares"),
        max_examples=1000,
        stateful_step_count=100,
        derandomize=True,
        phases=[Phase.generate],
    )
    with pytest.raises(AssertionError, match=r"."):
        run_state_machine_as_test(Faulty, settings=searching)
