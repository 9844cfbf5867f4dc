"""One run: everything wired together, started, watched over and stopped.

The runner opens nothing that others have to close and prints nothing; it is handed a ledger, a client and
prepared manifests, and ends with an :class:`Ending`. What the workers report is heeded here: the service
may ask us to slow down, a fault of the account halts the run, a ledger that cannot be written stops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import traceback
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from batcher.errors import LedgerError, ManifestError
from batcher.exit_codes import PRECEDENCE, TIME_OVER, ExitCode, defect, line_of
from batcher.flowcontrol.deadline import Deadline
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.rate_meter import METER_S, CurrentRate
from batcher.flowcontrol.retry_policy import LARGEST_BACKOFF_S, decide
from batcher.ledger import RunLedger, shielded
from batcher.model.events import DefectMet, Halted, OnEvent, PaceChanged, RunStarted, ignore_event
from batcher.model.outcome import Outage, ReplyLost, Settlement
from batcher.model.records import Tally
from batcher.model.submission import TROUBLED, InDoubtPolicy, RunId, State
from batcher.submit.governor import Governor, MaxFailures
from batcher.submit.loader import Loader
from batcher.submit.manifest_checks import CutOff, Prepared
from batcher.submit.queue import SubmissionQueue
from batcher.submit.worker import RunState, Worker
from batcher.zego.client import ZegoClient

ROWS_WHILE_SENDING = 1_000
"""Rows of a manifest in one transaction while a run goes on: the begins wait behind it."""

NOTE_PACE_S = 5.0
"""How often the pace is put on record while it changes."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a run goes."""

    rate_per_s: float = 20.0
    concurrency: int = 64
    in_doubt: InDoubtPolicy = InDoubtPolicy.RETRY
    limit: int | None = None
    """How many submissions may be taken up; None for all."""
    lasts_s: float | None = None
    """How long it may send before it is drained; None without end."""
    until: datetime | None = None
    """Wall time at which it is drained."""
    max_failures: MaxFailures = field(default_factory=lambda: MaxFailures(share=0.5))
    grace_s: float = 30.0
    """How long what is on the wire may take to end once the run is told to stop."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended."""

    exit: ExitCode
    reason: str
    """Why, in words for a person."""
    run_id: RunId
    sent: int
    """Requests that may have left."""
    seconds: float
    unrecorded: tuple[Settlement, ...] = ()
    """Attempts whose end could not be written to the ledger."""
    outage: Outage | None = None
    """The endpoint did not answer when the run ended: that is why work is left."""
    cut_off: tuple[str, ...] = ()
    """Manifests that the run waited for until its time was over, and that had not come by then."""
    unusable: bool = False
    """A manifest turned out unusable on the way, whatever else ended the run."""


class Runner:
    """A run of a ledger's open work, and of what manifests bring.

    Args:
        ledger: opened for writing and bound; stays open.
        client: the service; stays open.
        settings: how the run goes.
        prepared: the manifests to load while sending goes on.
        version: of this program, for the record.
        pacer: gives turns to requests; one at the settings' rate when not given.
        on_event: told of what happens as it happens.
        settled: called with every settlement once it is judged, for whoever counts.
        window: when the run has to end; when not given it opens as the run begins, as the settings say.
        cut_off: the manifests had not come when the window was over: what came is loaded, nothing is sent.
        asked: what it will ask for, in words.
    """

    def __init__(
        self,
        ledger: RunLedger,
        client: ZegoClient,
        settings: RunSettings,
        prepared: Sequence[Prepared] = (),
        *,
        version: str,
        pacer: Pacer | None = None,
        on_event: OnEvent = ignore_event,
        settled: Callable[[Settlement], None] | None = None,
        window: Deadline | None = None,
        cut_off: CutOff | None = None,
        asked: tuple[str, ...] = (),
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._settings = settings
        self._prepared = prepared
        self._version = version
        self._on_event = on_event
        self._settled = settled
        self._window = window
        self._late = cut_off
        self._asked = asked
        self._clock = clock
        self._rng = rng or random.Random()
        self._pacer = pacer or Pacer(settings.rate_per_s, clock)
        self._governor = Governor(
            self._pacer,
            client,
            settings.max_failures,
            halt=lambda reason: self._stop(ExitCode.HALTED, reason),
            on_event=on_event,
            clock=clock,
        )
        self._claims = SubmissionQueue(
            ledger, limit=settings.limit, longest_delay_s=LARGEST_BACKOFF_S, clock=clock
        )
        self._loader = Loader(
            ledger, batch_rows=ROWS_WHILE_SENDING, added=self._claims.added, on_event=on_event
        )
        self._state = RunState()
        self._all_loaded = False
        self._stops: dict[ExitCode, str] = {}
        self._stopped_early: str | None = None
        self._unwanted = False
        self._cutting_off: asyncio.TimerHandle | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._loading: asyncio.Task[None] | None = None
        self._started_at = clock()
        self._meter: deque[tuple[int, int]] = deque(maxlen=METER_S + 1)

    # -- from outside ----------------------------------------------------------------------------

    async def run(self) -> Ending:
        """Carry everything open to its end, or as far as it goes.

        Raises:
            LedgerError: the run could not even be recorded as begun.
        """
        run_id = await self._ledger.start_run(self._settings.rate_per_s, self._version)
        await self._recover(run_id)
        if self._late:
            await self._loader.load_cut_off(self._prepared)
            self._close(self._late.reason)
        await self._claims.open(loading=bool(self._prepared))
        tallies = await self._ledger.tallies()
        to_send = sum(tally.n for tally in tallies if tally.state is State.PENDING)
        self._on_event(RunStarted(run_id, self._settings.rate_per_s, to_send, self._asked))
        self._started_at = self._clock()
        noting = asyncio.create_task(self._note_pace(run_id), name="pace-noter")
        window = self._window or Deadline(self._settings.lasts_s, self._settings.until, self._clock)
        closing = asyncio.create_task(self._close_in_time(window), name="window")
        try:
            async with asyncio.TaskGroup() as group:
                self._loading = group.create_task(self._load(), name="loader")
                self._workers = [
                    group.create_task(self._guarded(self._worker(run_id).work()), name=f"worker-{n}")
                    for n in range(self._settings.concurrency)
                ]
        finally:
            noting.cancel()
            closing.cancel()
            if self._cutting_off is not None:
                self._cutting_off.cancel()
        await self._all_recorded()
        ending = await self._ending(run_id)
        with contextlib.suppress(LedgerError) if ExitCode.LEDGER in self._stops else contextlib.nullcontext():
            await self._ledger.end_run(
                run_id,
                int(ending.exit),
                ending.reason,
                pace_per_s=self._pacer.pace_per_s,
                why_slow=self._governor.why_slow,
            )
        return ending

    def stop(self, code: ExitCode) -> None:
        """Drain: claim nothing more, let what is on the wire end and be recorded. A second time: at once."""
        if self._stops.keys() & {ExitCode.SIGINT, ExitCode.SIGTERM}:
            self._cut_off()
            return
        self._stop(code, "stopped by " + code.name)
        self._drain()

    def end_early(self, why: str) -> None:
        """Drain because whoever wanted the run wants it no more. A second time: at once."""
        if self._unwanted:
            self._cut_off()
        self.drain(why)

    def drain(self, why: str) -> None:
        """Drain, unless that is under way."""
        if not self._unwanted:
            self._unwanted = True
            self._close(why)

    @property
    def pace(self) -> CurrentRate:
        """How fast the run goes at this moment."""
        second, seconds = int(self._clock()), self._clock() - self._started_at
        if not self._meter or self._meter[-1][0] != second:
            self._meter.append((second, self._state.sent))
        first_second, first_sent = self._meter[0]
        span = max(self._clock() - first_second, 1.0) if len(self._meter) > 1 else max(seconds, 1.0)
        return CurrentRate(
            (self._state.sent - first_sent) / span if len(self._meter) > 1 else self._state.sent / span,
            self._pacer.pace_per_s,
            self._settings.rate_per_s,
            self._governor.why_slow,
            self._state.sent,
            seconds,
            self._governor.waiting_for is not None,
        )

    # -- the parts -------------------------------------------------------------------------------

    def _worker(self, run_id: RunId) -> Worker:
        return Worker(
            self._ledger,
            self._client,
            self._pacer,
            self._claims,
            self._state,
            self._observe if self._settled else self._governor.observe,
            run_id=run_id,
            policy=self._settings.in_doubt,
            jitter=self._jitter,
            refused_alone=self._governor.refused_alone,
        )

    def _jitter(self, most: float) -> float:
        return self._rng.uniform(0.0, most)

    async def _observe(self, settlement: Settlement) -> None:
        if self._settled is not None:
            self._settled(settlement)
        await self._governor.observe(settlement)

    async def _recover(self, run_id: RunId) -> None:
        """Settle what a killed run has left: an attempt that began and never ended is in doubt."""
        policy = self._settings.in_doubt
        if policy is InDoubtPolicy.HOLD:
            await self._ledger.hold_doubtful(run_id)
        lost = ReplyLost("its run ended before an answer was recorded")
        settlements = [
            Settlement(claim, lost, decide(lost, claim, policy=policy, proven=False, jitter=self._jitter))
            for claim in await self._ledger.sending()
        ]
        await asyncio.gather(*(shielded(self._ledger.settle(each, run_id)) for each in settlements))

    async def _load(self) -> None:
        try:
            if not self._stops and not self._stopped_early:  # that may have come before anything began
                await self._loader.load(self._prepared)
                self._all_loaded = True
        except ManifestError as exc:
            sent = self._state.sent
            self._stop(ExitCode.USAGE, f"{exc}. {sent:,} requests were sent before")
        except LedgerError as exc:
            self._stop(ExitCode.LEDGER, str(exc))
        except Exception as exc:
            self._met_defect(exc)
        finally:
            self._claims.loading_ended()

    async def _all_recorded(self) -> None:
        """Wait for what was handed to the ledger by workers that were cut off since."""
        await asyncio.gather(*map(shielded, self._state.outstanding), return_exceptions=True)
        if isinstance(self._state.fault, LedgerError):
            self._stop(ExitCode.LEDGER, str(self._state.fault))

    async def _note_pace(self, run_id: RunId) -> None:
        """Keep the pace and why it is below the cap on record, for whoever looks and for the next run."""
        noted: tuple[float, str | None] | None = None
        while True:
            now = round(self._pacer.pace_per_s, 2), self._governor.why_slow
            if now != noted:
                with contextlib.suppress(LedgerError):  # those who must record notice it themselves
                    await self._ledger.note_pace(run_id, *now)
                self._on_event(PaceChanged(now[0], self._settings.rate_per_s, now[1]))
            noted = now
            await asyncio.sleep(NOTE_PACE_S)

    async def _guarded(self, work: Coroutine[object, object, None]) -> None:
        """Let one worker's ledger fault stop the run in order instead of cancelling what is on the wire."""
        try:
            await work
        except LedgerError as exc:
            self._stop(ExitCode.LEDGER, str(exc))
            if self._loading is not None:
                self._loading.cancel()
        except Exception as exc:
            self._met_defect(exc)

    def _met_defect(self, exc: Exception) -> None:
        """Stop the run for an exception that nothing expects."""
        self._on_event(DefectMet(type(exc).__name__, line_of(exc), "".join(traceback.format_exception(exc))))
        self._stop(ExitCode.DEFECT, defect(exc))

    def _stop(self, code: ExitCode, reason: str) -> None:
        """Send nothing more; what is on the wire ends and is recorded, and loading goes on."""
        if code in (ExitCode.HALTED, ExitCode.DEFECT) and code not in self._stops:
            self._on_event(Halted(reason))
        self._stops.setdefault(code, reason)
        self._claims.close()
        self._pacer.stop()

    def _drain(self) -> None:
        """Read no further, and give what is on the wire its time to end."""
        if self._loading is not None:
            self._loading.cancel()
        if self._cutting_off is None:
            loop = asyncio.get_running_loop()
            self._cutting_off = loop.call_later(self._settings.grace_s, self._cut_off)

    async def _close_in_time(self, window: Deadline) -> None:
        """Drain the run when its time is over."""
        await window.over()
        self._close(TIME_OVER)

    def _close(self, why: str) -> None:
        """Leave work undone on purpose."""
        self._stopped_early = self._stopped_early or why
        self._claims.close()
        self._pacer.stop()
        self._drain()

    def _cut_off(self) -> None:
        for task in (*self._workers, self._loading):
            if task is not None:
                task.cancel()

    # -- the end ---------------------------------------------------------------------------------

    async def _ending(self, run_id: RunId) -> Ending:
        ending = Ending(
            ExitCode.DONE,
            "nothing is left to send",
            run_id,
            self._state.sent,
            self._clock() - self._started_at,
            tuple(self._state.unrecorded),
            cut_off=self._late.sources if self._late else (),
            unusable=ExitCode.USAGE in self._stops,
        )
        outage = self._governor.outage
        stopped = next((code for code in PRECEDENCE if code in self._stops), None)
        if stopped is None:
            code, reason = await self._outcome()
            outage = outage if code is ExitCode.WORK_LEFT else None
            return replace(ending, exit=code, reason=reason, outage=outage)
        reason = self._stops[stopped]
        if stopped is ExitCode.USAGE and (early := self._ended_early):
            if left := _left(await self._ledger.tallies()):
                reason = f"{early}, {left:,} left to send; {reason}"
                return replace(ending, exit=ExitCode.WORK_LEFT, reason=reason)
        elif outage is not None and stopped in (ExitCode.SIGINT, ExitCode.SIGTERM):
            to_send = None
            with contextlib.suppress(LedgerError):  # whoever still has to record meets it, too
                to_send = _left(await self._ledger.tallies())
            return replace(ending, exit=stopped, reason=_in_outage(reason, outage, to_send), outage=outage)
        return replace(ending, exit=stopped, reason=reason)

    @property
    def _ended_early(self) -> str | None:
        """Why the run leaves work undone on purpose; None when it does not."""
        limit = f"stopped at the limit of {self._settings.limit}" if self._claims.limit_reached else None
        return self._stopped_early or limit

    async def _outcome(self) -> tuple[ExitCode, str]:
        """How a run ends that nothing has stopped."""
        tallies = await self._ledger.tallies()
        left = _left(tallies)
        if self._late:
            return ExitCode.WORK_LEFT, (
                f"{self._late.reason}, {left:,} left to send; see what holds it up. The next run goes on"
            )
        if left:
            why = self._ended_early or "submissions came into the queue as the run ended"
            if outage := self._governor.outage:
                return ExitCode.WORK_LEFT, _in_outage(why, outage, left)
            return ExitCode.WORK_LEFT, f"{why}, {left:,} left to send"
        sources = await self._ledger.unfinished_sources()
        unfinished = ["stdin" if source == "-" else source for source in sources]
        if not self._all_loaded:  # perhaps not even begun, and so not on record as unfinished
            unfinished += [one.manifest.source for one in self._prepared]
        if unfinished:
            names = ", ".join(dict.fromkeys(unfinished))
            return ExitCode.WORK_LEFT, f"not read to the end yet: {names}; name it in a run to go on with it"
        reported = await self._ledger.last_reported_run()
        since = reported.id if reported else 0
        troubled = sum(t.n for t in tallies if t.state in TROUBLED and (t.run_id or 0) > since)
        rows = await self._ledger.count_invalid_rows(
            after_id=(reported.invalid_rows_seen or 0) if reported else 0
        )
        if troubled or rows:
            return ExitCode.TROUBLE, "nothing is left to send, but there is something to look at"
        return ExitCode.DONE, "nothing is left to send"


def _left(tallies: Sequence[Tally]) -> int:
    """How many are still to be sent."""
    return sum(tally.n for tally in tallies if tally.state in (State.PENDING, State.SENDING))


def _in_outage(why: str, outage: Outage, left: int | None) -> str:
    """Why a run has ended that waited for its endpoint, and what to do."""
    to_send = "" if left is None else f", {left:,} left to send"
    return (
        f"{why} while the endpoint did not answer (since {outage.since:%Y-%m-%d %H:%M:%S} UTC, last: "
        f"{outage.met}){to_send}; check the network and BATCHER_ENDPOINT. The next run goes on"
    )
