"""A run of a ledger, from its manifests and locks to its summary.

Called by ``batcher run``, by :class:`batcher.api.ledger.Ledger` and by programs. The order is a promise:
manifests are checked before a ledger is locked, a ledger is created once both the lock and a place in the
AppId's limit are held, and nothing is sent before every check has passed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from batcher.api.locks import PROGRAM, ledger_lock, opened_ledger
from batcher.api.manifests import PreparedManifests, prepared_manifests
from batcher.api.track import Tracking, tracking_of
from batcher.config.defaults import LEDGER_PATIENCE_S
from batcher.config.ledger_names import ledger_named
from batcher.errors import LedgerError, LedgerMissing
from batcher.exit_codes import ExitCode, heaviest
from batcher.flowcontrol.cancellation import in_background
from batcher.flowcontrol.deadline import Deadline
from batcher.flowcontrol.machine_limit import Action, LimitKey, Sender, admitted
from batcher.flowcontrol.rate_meter import CurrentRate
from batcher.flowcontrol.service_access import ServiceAccess
from batcher.ledger.database import database_of
from batcher.ledger.holding import Purpose
from batcher.ledger.reader import LedgerReader
from batcher.ledger.run_ledger import RunLedger
from batcher.ledger.server_wait import ServerWait
from batcher.ledger.writer import shielded
from batcher.manifest.read_options import ReadOptions
from batcher.model.events import Event, Message, OnEvent, Severity, ignore_event
from batcher.model.ledger_name import LedgerName
from batcher.model.outcome import NotReported, Settlement
from batcher.model.task import TaskReport
from batcher.report.command_lines import FIRST_RUN
from batcher.report.summary import RunSummary
from batcher.report.tracking_summary import TrackingSummary
from batcher.submit.ending import Ending
from batcher.submit.run_setup import ReadyRun, ready_run, unrecorded
from batcher.submit.settings import RunSettings
from batcher.track.settings import TrackSettings

_STOPS_TRACKING = (ExitCode.DEFECT, ExitCode.LEDGER, ExitCode.SIGINT, ExitCode.SIGTERM)


def _ignore(_: object) -> None:
    """Do nothing."""


async def _nothing() -> None:
    """Refuse nothing."""


@dataclass(slots=True)
class Observers:
    """Functions that count every attempt and poll; set before the run begins."""

    settled: Callable[[Settlement], None] = _ignore
    """Called with each settlement once it is judged."""
    polled: Callable[[TaskReport | NotReported], None] = _ignore
    """Called with the result of each poll."""


class EventRelay:
    """Passes events on. When the program's function raises, the run is drained and the error kept."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self.run: Run | None = None
        self.error: Exception | None = None

    def on_event(self, event: Event) -> None:
        """Pass one event on."""
        if self.error is not None:
            return
        try:
            self._on_event(event)
        except Exception as exc:
            self.error = exc
            if self.run is not None:
                self.run.end_early("the function that gets its events has failed")


class Run:
    """A run that has passed every check; made by :func:`opened_run`, nothing is sent yet.

    Args:
        ready: the checked run.
        ledger: for readers.
        relay: gets the events.
        observers: to be set by the caller.
        tracking: of its tasks, when they are tracked, too.
    """

    def __init__(
        self,
        ready: ReadyRun,
        ledger: LedgerReader,
        relay: EventRelay,
        observers: Observers,
        tracking: Tracking | None,
    ) -> None:
        self.ledger = ledger
        self.observers = observers
        self._ready = ready
        self._relay = relay
        self._tracking = tracking
        relay.run = self

    @property
    def pace(self) -> CurrentRate:
        """The rate at which the run sends at this moment."""
        return self._ready.runner.pace

    def stop(self, code: ExitCode) -> None:
        """Drain the run for a signal. The second call cuts off: what is in flight then is in doubt."""
        self._ready.runner.stop(code)
        if self._tracking is not None:
            self._tracking.stop(code)

    def end_early(self, why: str) -> None:
        """Drain the run because its program asks. The second call cuts off."""
        self._ready.runner.end_early(why)
        if self._tracking is not None:
            self._tracking.stop(ExitCode.WORK_LEFT, why)

    def drain(self, why: str) -> None:
        """Drain the run because its program asks, unless it drains already."""
        self._ready.runner.drain(why)

    async def carry_out(self) -> RunSummary:
        """Send, and track if tracking is set, until nothing is left or the run is stopped.

        A cancellation drains the run and is raised afterwards; a second one cuts off.

        Returns:
            How it ended, read from the ledger.

        Raises:
            LedgerError: the beginning could not be recorded, or the ledger cannot be read any more.
            Exception: what the function that gets the events raised.
        """
        work = asyncio.create_task(self._work(), name="batcher-run")
        try:
            ending, tasks = await shielded(work, lambda _: self.end_early("cancelled"))
        except asyncio.CancelledError as exc:
            if not work.cancelled() and work.exception() is None:
                _note_unrecorded(exc, work.result()[0])
            raise
        if self._relay.error is not None:
            _note_unrecorded(self._relay.error, ending)
            raise self._relay.error
        for lost in unrecorded(ending):  # before the ledger is read, which may fail
            self._relay.on_event(Message(f"batcher: not recorded: {lost}", Severity.PROBLEM))
        for begun in ending.forgotten:
            self._relay.on_event(
                Message(
                    f"batcher: perhaps forgotten: {begun.file_id}, attempt {begun.number}", Severity.PROBLEM
                )
            )
        try:
            summary = await self._ready.summary(ending)
        except LedgerError as exc:
            _note_unrecorded(exc, ending)
            raise
        if tasks is None or self._tracking is None:
            return summary
        summary = with_tasks(summary, tasks)
        await self._tracking.mark_reported(summary.exit_code)
        return summary

    async def _work(self) -> tuple[Ending, TrackingSummary | None]:
        if self._tracking is None:
            return await self._ready.runner.run(), None
        async with in_background(self._tracking.track(), "tracking") as tracking:
            ending = await self._ready.runner.run()
            if ending.exit in _STOPS_TRACKING:
                self._tracking.stop(ending.exit, ending.reason)
            self._tracking.sending_ended()
            return ending, await tracking


def _note_unrecorded(exc: BaseException, ending: Ending) -> None:
    """Add what the ledger could not record to an exception, since no summary will report it."""
    for lost in unrecorded(ending):
        exc.add_note(f"not recorded: {lost}")


def with_tasks(summary: RunSummary, tasks: TrackingSummary) -> RunSummary:
    """Combine the summaries of sending and of tracking; the heavier exit code wins."""
    ran = ExitCode(summary.exit_code)
    code = heaviest([ran, ExitCode(tasks.exit_code)])
    if ran is not ExitCode.DONE and tasks.exit_code != ExitCode.DONE and summary.reason != tasks.reason:
        reason = f"{summary.reason}; tasks: {tasks.reason}"
    elif ran is not ExitCode.DONE:
        reason = summary.reason
    elif tasks.exit_code == ExitCode.DONE:
        reason = "nothing is left to send, and all tasks have ended"
    elif tasks.exit_code == ExitCode.HALTED:
        reason = f"nothing is left to send, but tasks cannot be followed: {tasks.reason}"
    else:
        reason = tasks.reason
    return replace(summary, exit_code=int(code), reason=reason, tracking=tasks)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The parts of a run, apart from its ledger."""

    service: ServiceAccess
    settings: RunSettings = field(default_factory=RunSettings)
    manifests: Sequence[str | os.PathLike[str]] = ()
    """Loaded while requests are being sent."""
    how: ReadOptions = field(default_factory=ReadOptions)
    """How they are read."""
    track: TrackSettings | None = None
    """The settings by which its tasks are tracked meanwhile; None when they are not tracked."""
    wait_s: float | None = None
    """Seconds to wait for another run and for the limit of the AppId; None to raise immediately."""
    sender: str = PROGRAM
    """The name of this run, as other processes show it."""
    on_event: OnEvent = ignore_event
    """Called with each event, in the event loop; must not block."""
    alone: bool = False
    """Refuse to join another run, where several runs may send on one ledger."""
    patience_s: float = LEDGER_PATIENCE_S
    """How long a ledger's server that cannot be reached is waited for."""
    admitted: Callable[[], Awaitable[None]] = _nothing
    """Called once lock and limit are held, before a ledger is created; what it raises refuses the run."""

    def deadline(self) -> Deadline:
        """Return the end of the time that the settings allow, which begins now."""
        return Deadline(self.settings.lasts_s, self.settings.until)

    def place_in_limit(self, ledger: LedgerName) -> tuple[LimitKey, Sender]:
        """Return the limit that the run uses, and its entry among those who use it."""
        return self.service.limit(Action.SUBMIT), Sender.of(ledger, self.sender, self.settings.rate_per_s)


@asynccontextmanager
async def opened_run(path: str | os.PathLike[str], request: RunRequest) -> AsyncIterator[Run]:
    """Check and open everything that a run needs; the time that its settings allow begins now.

    Args:
        path: the ledger's file; created if it is missing and manifests are given.
        request: what to run.

    Raises:
        ManifestError: a manifest cannot be used; nothing was sent.
        BindingError: the ledger belongs to another AppId or kind of endpoint.
        LedgerBusy: another run holds the ledger or the limit of the AppId, or another process tracks it.
        LedgerError: the ledger cannot be used.
    """
    deadline, wait_s = request.deadline(), request.wait_s
    place, sender, on_event = ledger_named(path), request.sender, request.on_event
    async with AsyncExitStack() as stack:
        prepared = await stack.enter_async_context(
            prepared_manifests(request.manifests, request.how, place, deadline, on_event)
        )
        if not request.manifests and database_of(place).is_missing():
            raise LedgerMissing(f"{place}: there is no ledger to resume; name a manifest: {FIRST_RUN}")
        wait_s = wait_s if prepared.cut_off or wait_s is None else min(wait_s, max(deadline.left_s, 0.0))
        began = time.monotonic()
        if request.track is not None:
            tracking_lock = await ledger_lock(place, f"{sender} --track", wait_s, on_event, Purpose.TRACKING)
            stack.enter_context(tracking_lock)
        hold = await ledger_lock(place, sender, wait_s, on_event, alone=request.alone)
        lock = stack.enter_context(hold)
        if prepared.cut_off is None:
            key, own = request.place_in_limit(place)
            waited_s = time.monotonic() - began
            held = admitted(
                key, own, wait_s=wait_s, waited_s=waited_s, on_wait=lambda text: on_event(Message(text))
            )
            await stack.enter_async_context(held)
        await request.admitted()
        ledger = await stack.enter_async_context(
            opened_ledger(place, lock, on_event, ServerWait(request.patience_s, on_event))
        )
        yield await stack.enter_async_context(run_of(ledger, request, prepared, deadline))


@asynccontextmanager
async def run_of(
    ledger: RunLedger,
    request: RunRequest,
    prepared: PreparedManifests,
    deadline: Deadline,
) -> AsyncIterator[Run]:
    """Check and wire a run of a ledger that is open and whose limit is held."""
    relay, observers = EventRelay(request.on_event), Observers()
    ledger.server.on_event = relay.on_event
    async with AsyncExitStack() as stack:
        ready = await stack.enter_async_context(
            ready_run(
                ledger,
                request.service,
                request.settings,
                prepared.manifests,
                request.how,
                on_event=relay.on_event,
                settled=lambda settlement: observers.settled(settlement),
                window=deadline,
                cut_off=prepared.cut_off,
            )
        )
        for warning in ready.warnings:
            relay.on_event(Message(warning, Severity.WARNING))
        tracking = None
        if request.track is not None:
            following = tracking_of(
                ledger.name,
                request.service,
                request.track,
                deadline=deadline,
                sending=True,
                server=ledger.server,
                on_event=relay.on_event,
                polled=lambda outcome: observers.polled(outcome),
            )
            tracking = await stack.enter_async_context(following)
        yield Run(ready, ledger, relay, observers, tracking)
