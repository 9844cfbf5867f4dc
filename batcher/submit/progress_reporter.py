"""The progress of a run: an event about once a second, and the pace kept in the ledger.

Started and stopped by the runner. Reporting never disturbs the run: when the ledger cannot be read or written
for now, that report is left out; the workers notice the fault themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from batcher.errors import LedgerError
from batcher.flowcontrol.rate_meter import CurrentRate
from batcher.ledger.run_ledger import RunLedger
from batcher.model.events import OnEvent, PaceChanged, Progress
from batcher.model.submission import RunId
from batcher.report.counts import figures

REPORT_S = 1.0
"""Seconds between two reports of progress."""

NOTE_PACE_EVERY = 5
"""After how many reports the pace is written to the ledger, if it has changed."""


class ProgressReporter:
    """Reports how far a run is.

    Args:
        ledger: where the counts come from, and where the pace is kept for readers and for the next run.
        run_id: the run.
        rate: returns how fast it sends now.
        rate_per_s: the whole rate that the run was started with.
        ended_before: how many submissions had ended before it began.
        on_event: called with each report.
    """

    def __init__(
        self,
        ledger: RunLedger,
        run_id: RunId,
        rate: Callable[[], CurrentRate],
        rate_per_s: float,
        ended_before: int,
        on_event: OnEvent,
    ) -> None:
        self._ledger = ledger
        self._run_id = run_id
        self._rate = rate
        self._rate_per_s = rate_per_s
        self._ended_before = ended_before
        self._on_event = on_event
        self._noted: tuple[float, str | None] | None = None

    @asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        """Report while the block runs, and once more at its end."""
        closing = asyncio.Event()
        task = asyncio.create_task(self._repeat(closing), name="progress")
        try:
            yield
        finally:
            closing.set()
            await task

    async def _repeat(self, closing: asyncio.Event) -> None:
        reports = 0
        while not closing.is_set():
            if reports % NOTE_PACE_EVERY == 0:
                await self._note_pace()
            reports += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPORT_S):
                    await closing.wait()
            await self._report()

    async def _report(self) -> None:
        try:
            now = figures(await self._ledger.tallies())
        except LedgerError:
            return
        rate = self._rate()
        self._on_event(
            Progress(
                total=now.total,
                states=now.by_state,
                sent=rate.sent,
                now_per_s=rate.now_per_s,
                pace_per_s=rate.pace_per_s,
                cap_per_s=rate.cap_per_s,
                why_slow=rate.why_slow,
                seconds=rate.seconds,
                seconds_left=None
                if rate.waiting
                else seconds_left(now.open, now.ended - self._ended_before, rate.seconds),
                paused=rate.waiting,
            )
        )

    async def _note_pace(self) -> None:
        """Write the pace, and why it is below the cap, to the ledger when it has changed."""
        rate = self._rate()
        pace = round(rate.pace_per_s, 2), rate.why_slow
        if pace == self._noted:
            return
        if rate.cap_per_s:  # of the part of a limit that the run has, the learned part is kept for the whole
            learned = round(rate.pace_per_s / rate.cap_per_s * self._rate_per_s, 2)
            with contextlib.suppress(LedgerError):
                await self._ledger.note_pace(self._run_id, learned, rate.why_slow)
        self._on_event(PaceChanged(pace[0], rate.cap_per_s, pace[1]))
        self._noted = pace


def seconds_left(open_submissions: int, ended: int, seconds: float) -> float | None:
    """Return how long the rest takes at the rate of this run; None while that is unknown.

    Args:
        open_submissions: still to be sent, or in flight.
        ended: submissions that ended in this run.
        seconds: how long it has run.
    """
    if ended <= 0 or seconds < 1:
        return None
    return open_submissions / (ended / seconds)
