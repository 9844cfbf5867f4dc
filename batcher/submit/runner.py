"""The runner: one run from its record in the ledger to its end.

Made by :mod:`batcher.submit.run_setup`, run by the command line and the library. It is handed a ledger, a
client and prepared manifests, closes none of them and prints nothing. It wires queue, workers, loader and
governor together; :class:`batcher.submit.lifecycle.Lifecycle` says what phase the run is in, and
:func:`batcher.submit.ending.ending_of` how it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import traceback
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Protocol

from batcher.errors import LedgerError, ManifestError
from batcher.exit_codes import TIME_OVER, ExitCode, defect, line_of
from batcher.flowcontrol.deadline import Deadline
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.rate_meter import CurrentRate, RateMeter
from batcher.flowcontrol.retry_policy import LARGEST_BACKOFF_S, Jitter
from batcher.ledger.run_ledger import RunLedger
from batcher.ledger.writer import shielded
from batcher.model.events import DefectMet, Halted, OnEvent, RunStarted, ignore_event
from batcher.model.outcome import Settlement
from batcher.model.submission import Claim, InDoubtPolicy, RunId, State, source_name
from batcher.report.counts import Counts, figures
from batcher.submit.ending import Ending, LedgerAtEnd, ending_of
from batcher.submit.governor import Governor, Prober
from batcher.submit.lifecycle import Lifecycle, Phase, Stop
from batcher.submit.loader import Loader
from batcher.submit.manifest_checks import LateManifests
from batcher.submit.prepared import Prepared
from batcher.submit.progress_reporter import ProgressReporter
from batcher.submit.queue import SubmissionQueue
from batcher.submit.recovery import lost_settlement, recover, unused_settlement
from batcher.submit.settings import RunSettings
from batcher.submit.shared_queue import BegunAttempts, SharedQueue
from batcher.submit.sharing import LeasedTurns, Sharing
from batcher.submit.worker import OnSettled, PoolState, SubmitClient, Worker

ROWS_WHILE_SENDING = 1_000
"""Rows of a manifest in one transaction while workers send: beginning an attempt waits behind it."""


class RunClient(SubmitClient, Prober, Protocol):
    """The client, as far as a run uses it: submissions and probes."""


class Runner:
    """A run of a ledger's open work, and of what manifests add to it.

    Args:
        ledger: opened for writing and bound; stays open.
        client: the service; stays open.
        settings: how the run sends, and when it ends.
        prepared: the manifests to load while the workers send.
        version: the version of this program, for the record.
        pacer: gives turns to requests; by default one at the settings' rate.
        on_event: called with each event of the run.
        settled: called with each settlement once it is judged, for metrics.
        window: when the run has to end; by default it opens as the run begins, as the settings say.
        cut_off: the manifests had not arrived when the time limit was reached: the rows that did arrive are
            loaded, and nothing is sent.
        asked: what the run will ask for, in words.
        timeout_s: how long a request may take.
    """

    def __init__(
        self,
        ledger: RunLedger,
        client: RunClient,
        settings: RunSettings,
        prepared: Sequence[Prepared] = (),
        *,
        version: str,
        pacer: Pacer | None = None,
        on_event: OnEvent = ignore_event,
        settled: Callable[[Settlement], None] | None = None,
        window: Deadline | None = None,
        cut_off: LateManifests | None = None,
        asked: tuple[str, ...] = (),
        timeout_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._prepared = prepared
        self._loaded = False
        self._version = version
        self._on_event = on_event
        self._window = window
        self._clock = clock
        self._cut_off = cut_off
        self._asked = asked
        self._jitter: Jitter = partial((rng or random.Random()).uniform, 0.0)
        self._pacer = pacer or Pacer(settings.rate_per_s, clock)
        self._governor = Governor(
            self._pacer,
            client,
            settings.max_failures,
            halt=lambda reason: self._stop(ExitCode.HALTED, reason),
            on_event=on_event,
            clock=clock,
        )
        self._queue = self._queue_of(ledger)
        self._sharing = self._sharing_of(ledger, timeout_s)
        self._loader = Loader(
            ledger, batch_rows=ROWS_WHILE_SENDING, added=self._queue.added, on_event=on_event
        )
        self._pool = PoolState(RateMeter(clock))
        self._client = client
        self._observe = _observed(settled, self._governor)
        self._life = Lifecycle(self._entered)
        self._workers: list[asyncio.Task[None]] = []
        self._loading: asyncio.Task[None] | None = None
        self._grace: asyncio.TimerHandle | None = None

    # -- for callers -----------------------------------------------------------------------------

    async def run(self) -> Ending:
        """Send everything open, until nothing is left or the run is stopped.

        Raises:
            LedgerError: the beginning of the run could not be recorded.
        """
        run_id = await self._ledger.start_run(self._settings.rate_per_s, self._version)
        await self._recover(run_id)
        if self._cut_off is not None:
            await self._loader.load_cut_off(self._prepared)
            self._end_early(self._cut_off.reason)
        await self._queue.open(run_id, loading=bool(self._prepared))
        before = figures(await self._ledger.tallies())
        to_send = before.by_state[State.PENDING]
        self._on_event(RunStarted(run_id, self._settings.rate_per_s, to_send, self._asked))
        if self._life.phase is Phase.READY:
            self._life.move(Phase.SENDING)
        await self._work(run_id, before)
        await self._all_recorded(run_id)
        return await self._end(run_id)

    def stop(self, code: ExitCode) -> None:
        """Drain the run for a signal: nothing more is sent, requests in flight finish and are recorded.

        The second request to stop cuts off immediately: what is in flight then is in doubt.
        """
        self._life.take(Stop(code, "stopped by " + code.name, Phase.DRAINING, asked=True))

    def end_early(self, why: str) -> None:
        """Drain the run because its program asks. The second request to stop cuts off immediately."""
        self._end_early(why, asked=True)

    def drain(self, why: str) -> None:
        """Drain the run because its program asks, unless it drains already; never cuts off."""
        if self._life.phase not in (Phase.DRAINING, Phase.CUT_OFF):
            self._end_early(why, asked=True)

    @property
    def pace(self) -> CurrentRate:
        """The rate at which the run sends at this moment."""
        return self._governor.guard.current_rate(self._pool.sent)

    # -- the work --------------------------------------------------------------------------------

    async def _work(self, run_id: RunId, before: Counts) -> None:
        """Run loader and workers to their ends, with the deadline in force and progress reported."""
        self._pool.sent.start()
        keeping = asyncio.create_task(self._keep_sharing(), name="sharing")
        reporter = ProgressReporter(
            self._ledger,
            run_id,
            lambda: self.pace,
            self._settings.rate_per_s,
            before.ended,
            self._on_event,
        )
        deadline = asyncio.create_task(self._end_in_time(), name="deadline")
        try:
            async with reporter.reporting(), asyncio.TaskGroup() as group:
                self._loading = group.create_task(self._load(), name="loader")
                self._workers = [
                    group.create_task(self._guarded(self._worker(run_id).work()), name=f"worker-{n}")
                    for n in range(self._settings.concurrency)
                ]
        finally:
            deadline.cancel()
            keeping.cancel()

    async def _recover(self, run_id: RunId) -> None:
        """Settle what ended runs have left; join the others, where a ledger may have some."""
        if self._sharing is None:
            await recover(self._ledger, run_id, self._settings.in_doubt, self._jitter)
            return
        if self._settings.in_doubt is InDoubtPolicy.HOLD:
            await self._ledger.hold_doubtful(run_id)
        await self._sharing.join(run_id)

    async def _keep_sharing(self) -> None:
        """Report to the ledger while the workers send; without reports nothing may be sent."""
        if self._sharing is None:
            return
        try:
            await self._sharing.keep()
        except LedgerError as exc:
            self._stop(ExitCode.LEDGER, str(exc))

    def _queue_of(self, ledger: RunLedger) -> SubmissionQueue | SharedQueue:
        limit = self._settings.limit
        if ledger.sharing is not None:
            return SharedQueue(ledger.sharing, limit=limit, begun_within=self._pacer.begun_within)
        return SubmissionQueue(ledger, limit=limit, longest_delay_s=LARGEST_BACKOFF_S, clock=self._clock)

    def _sharing_of(self, ledger: RunLedger, timeout_s: float) -> Sharing | None:
        if ledger.sharing is None:
            return None
        return Sharing(
            ledger.sharing,
            self._pacer,
            self._settings.rate_per_s,
            timeout_s,
            judge=lambda claim: lost_settlement(claim, self._settings.in_doubt, self._jitter),
            on_event=self._on_event,
            halt=lambda reason: self._stop(ExitCode.HALTED, reason),
        )

    def _worker(self, run_id: RunId) -> Worker:
        return Worker(
            self._ledger if self._sharing is None else BegunAttempts(self._ledger),
            self._client,
            self._pacer if self._sharing is None else LeasedTurns(self._pacer, self._sharing),
            self._queue,
            self._pool,
            self._observe,
            run_id=run_id,
            policy=self._settings.in_doubt,
            jitter=self._jitter,
            refused_alone=self._governor.guard.refused_alone,
        )

    async def _load(self) -> None:
        try:
            if self._life.phase is Phase.SENDING:  # a stop may have come before
                await self._loader.load(self._prepared)
                self._loaded = True
        except ManifestError as exc:
            sent = self._pool.sent.count
            self._stop(ExitCode.USAGE, f"{exc}. {sent:,} requests were sent before")
        except LedgerError as exc:
            self._stop(ExitCode.LEDGER, str(exc))
        except Exception as exc:
            self._stop_for_defect(exc)
        finally:
            self._queue.loading_ended()

    async def _guarded(self, work: Coroutine[object, object, None]) -> None:
        """Turn the fault of one worker into an orderly stop, which cancels no request of the others."""
        try:
            await work
        except LedgerError as exc:
            self._stop(ExitCode.LEDGER, str(exc))
            self._stop_loading()
        except Exception as exc:
            self._stop_for_defect(exc)

    async def _all_recorded(self, run_id: RunId) -> None:
        """Wait for settlements of workers that were cut off after they had handed them to the ledger."""
        if isinstance(self._queue, SharedQueue):
            unused = [unused_settlement(claim, self._settings.in_doubt) for claim in self._queue.unused]
            self._pool.outstanding.update(self._ledger.settle(each, run_id) for each in unused)
        await asyncio.gather(*map(shielded, self._pool.outstanding), return_exceptions=True)
        if isinstance(self._pool.fault, LedgerError):
            self._stop(ExitCode.LEDGER, str(self._pool.fault))

    async def _end_in_time(self) -> None:
        settings = self._settings
        window = self._window or Deadline(settings.lasts_s, settings.until, self._clock)
        await window.over()
        self._end_early(TIME_OVER)

    # -- stopping --------------------------------------------------------------------------------

    def _end_early(self, why: str, *, asked: bool = False) -> None:
        """Leave work undone on purpose."""
        self._life.take(Stop(ExitCode.WORK_LEFT, why, Phase.DRAINING, asked=asked))

    def _stop(self, code: ExitCode, reason: str) -> None:
        """Send nothing more, since it would be wrong; requests in flight finish and are recorded."""
        if code in (ExitCode.HALTED, ExitCode.DEFECT) and code not in self._life.reasons:
            self._on_event(Halted(reason))
        self._life.take(Stop(code, reason))

    def _stop_for_defect(self, exc: Exception) -> None:
        self._on_event(DefectMet(type(exc).__name__, line_of(exc), "".join(traceback.format_exception(exc))))
        self._stop(ExitCode.DEFECT, defect(exc))

    def _entered(self, phase: Phase) -> None:
        """Carry out what a phase means."""
        match phase:
            case Phase.STOPPED:
                self._stop_sending()
            case Phase.DRAINING:
                self._ledger.end_soon()
                self._stop_sending()
                self._stop_loading()
                loop = asyncio.get_running_loop()
                self._grace = loop.call_later(self._settings.grace_s, self._life.move, Phase.CUT_OFF)
            case Phase.CUT_OFF:
                self._end_grace()
                for worker in self._workers:
                    worker.cancel()
            case Phase.ENDED:
                self._end_grace()

    def _stop_sending(self) -> None:
        self._queue.close()
        self._pacer.stop()

    def _stop_loading(self) -> None:
        if self._loading is not None:
            self._loading.cancel()

    def _end_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()

    # -- the end ---------------------------------------------------------------------------------

    async def _end(self, run_id: RunId) -> Ending:
        """Decide how the run ended, and record it."""
        found = await self._ledger_at_end()
        stops = self._life.reasons
        concluded = ending_of(
            stops,
            found,
            limit=self._settings.limit if self._queue.limit_reached else None,
            outage=self._governor.guard.outage,
            cut_off=self._cut_off,
            elsewhere=self._queue.elsewhere if isinstance(self._queue, SharedQueue) else 0,
        )
        ending = Ending(
            concluded.exit,
            concluded.reason,
            run_id,
            self._pool.sent.count,
            self._pool.sent.seconds,
            tuple(self._pool.unrecorded),
            concluded.outage,
            self._cut_off.sources if self._cut_off else (),
            ExitCode.USAGE in stops,
            self._forgotten(),
        )
        self._life.move(Phase.ENDED)
        if self._sharing is not None and ExitCode.LEDGER not in stops:
            if ending.exit is ExitCode.HALTED:
                await self._sharing.halted(ending.reason)
            await self._sharing.leave()
        with contextlib.suppress(LedgerError) if ExitCode.LEDGER in stops else contextlib.nullcontext():
            await self._ledger.end_run(
                run_id,
                int(ending.exit),
                ending.reason,
                pace_per_s=self._pacer.learned_per_s(self._settings.rate_per_s),
                why_slow=None if self._pacer.standing_by else self._governor.guard.why_slow,
            )
        return ending

    def _forgotten(self) -> tuple[Claim, ...]:
        """Return the attempts that the ledger's server may have forgotten."""
        sharing, queue = self._ledger.sharing, self._queue
        if sharing is None or not sharing.membership.is_forgotten or not isinstance(queue, SharedQueue):
            return ()
        return queue.begun_lately()

    async def _ledger_at_end(self) -> LedgerAtEnd | None:
        """Read what the ledger holds; None when it has failed, which is then a reason to stop."""
        if ExitCode.LEDGER in self._life.reasons:
            return None
        ledger = self._ledger
        try:
            reported = await ledger.last_reported_run()
            unfinished = await ledger.unfinished_sources()
            if not self._loaded:  # perhaps not even begun, and so not on record as unfinished
                unfinished += [one.manifest.source for one in self._prepared]
            return LedgerAtEnd(
                await ledger.tallies(),
                [source_name(source) for source in unfinished],
                reported.id if reported else 0,
                await ledger.count_invalid_rows(
                    after_id=(reported.invalid_rows_seen or 0) if reported else 0
                ),
            )
        except LedgerError as exc:
            self._stop(ExitCode.LEDGER, str(exc))
            return None


def _observed(settled: Callable[[Settlement], None] | None, governor: Governor) -> OnSettled:
    """Have metrics count each settlement before the governor reacts to it."""
    if settled is None:
        return governor.observe

    async def observe(settlement: Settlement) -> None:
        settled(settlement)
        await governor.observe(settlement)

    return observe
