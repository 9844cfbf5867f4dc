"""The part of a run's ledger that exists only where several runs may send at once.

Made by :class:`batcher.ledger.run_ledger.RunLedger` on a database that keeps several runs apart; a ledger in
a file has none.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Sequence

from batcher.ledger.process_identity import this_process
from batcher.ledger.read_thread import ReadThread
from batcher.ledger.shared_attempts import (
    BeginNext,
    LeftToShare,
    TakeOver,
    begin_next,
    left_to_share,
    still_open,
    take_over,
)
from batcher.ledger.shared_runs import (
    Granted,
    LiveRun,
    Membership,
    RunShare,
    ShareReport,
    halt,
    join,
    leave,
    live_runs,
    report_share,
    server_time,
)
from batcher.ledger.writer import Writer, shielded
from batcher.model.outcome import Settlement
from batcher.model.submission import Claim, RunId, SubmissionId


def boottime() -> float:
    """Return seconds of a clock that counts the time for which the machine sleeps, where there is one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class RunSharing:
    """A run's dealings with the other runs of its ledger.

    Attributes:
        membership: the lease, which each transaction of the writer renews.
        renewed: called in the loop with the moment before each renewal; set by the run.
    """

    def __init__(self, reads: ReadThread, clock: Callable[[], float]) -> None:
        self.renewed: Callable[[float], None] = lambda _: None
        self.membership = Membership(self._note_renewal, boottime)
        self._reads = reads
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._writer: Writer | None = None

    def write_with(self, writer: Writer) -> None:
        """Use this writer, whose transactions begin with the membership."""
        self._writer = writer

    async def server_time(self) -> float:
        """Return the time of the server in seconds."""
        return await self._reads.read(server_time)

    async def join(self, run_id: RunId, wanted: int | None) -> None:
        """Take the lease of a run that has been recorded; ``wanted`` is the largest share that it can use."""
        await shielded(self._writing.record(join, (run_id, this_process(), wanted)))
        self.membership.join(run_id)

    async def report(
        self,
        run_id: RunId,
        quiet_s: float,
        wanted: int | None,
        judge: Callable[[RunShare, Sequence[RunShare]], Granted],
    ) -> Granted:
        """Report to the database, and return the share that the run has from now on."""
        report = ShareReport(run_id, int(quiet_s * 1000), wanted, judge)
        return await shielded(self._writing.record(report_share, report, known=True))

    def begin_next(
        self, run_id: RunId, after_id: int, *, doubtful: bool, among: frozenset[int] | None = None
    ) -> asyncio.Future[Claim | None]:
        """Begin an attempt of the next submission, of all or among some; None when there is none now."""
        item = BeginNext(run_id, int(self._clock() * 1000), after_id, doubtful, among)
        return self._writing.record(begin_next, item)

    async def take_over(
        self, run_id: RunId, grace_s: float | None, judge: Callable[[Claim], Settlement]
    ) -> int:
        """Settle attempts that no living run will settle; returns how many.

        Args:
            run_id: the run that looks.
            grace_s: how long after its lease a run is waited for; None if no lease is judged.
            judge: decides what becomes of a submission whose answer is lost.
        """
        grace_ms = None if grace_s is None else int(grace_s * 1000)
        item = TakeOver(run_id, grace_ms, judge)
        return await shielded(self._writing.record(take_over, item, known=True))

    async def left(self, run_id: RunId) -> LeftToShare:
        """Return what is left to send, for a run that has found nothing to begin."""
        return await self._reads.read(left_to_share, run_id)

    async def still_open(self, ids: Collection[SubmissionId]) -> set[SubmissionId]:
        """Return those of some submissions that wait to be sent."""
        return await self._reads.read(still_open, ids)

    async def live_runs(self) -> list[LiveRun]:
        """Return the runs that have not ended."""
        return await self._reads.read(live_runs)

    async def halt(self, why: str) -> None:
        """Let the other runs stop within a report: the account must not be used."""
        await shielded(self._writing.record(halt, why, known=True))

    async def leave(self, run_id: RunId, held: int) -> None:
        """End the lease of a run whose last request has left; what it still holds, in units of the limit."""
        await shielded(self._writing.record(leave, (run_id, held), known=True))
        self.membership.part()

    @property
    def _writing(self) -> Writer:
        assert self._writer is not None, "it is set with the writer"
        return self._writer

    def _note_renewal(self, sent_at: float) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self.renewed, sent_at)
