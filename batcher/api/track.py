"""Tracking: polls the tasks of a ledger until they have ended.

Called by ``batcher track``, by a run that tracks its own tasks, and by programs. Tracking holds a lock of its
own and not the run's, so tasks are tracked next to a run; two trackers of one ledger would only poll twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from batcher.api.locks import PROGRAM, ledger_lock
from batcher.callbacks.confirmer import doubts_confirmed
from batcher.config.defaults import ENDPOINT as DEFAULT_ENDPOINT
from batcher.config.ledger_names import ledger_named
from batcher.errors import LedgerError
from batcher.exit_codes import REPORTED, ExitCode
from batcher.flowcontrol.cancellation import in_background
from batcher.flowcontrol.deadline import Deadline
from batcher.flowcontrol.findings import CHECK_ENDPOINT, outage_text
from batcher.flowcontrol.machine_limit import Action, window_for
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.service_access import ServiceAccess
from batcher.ledger.binding import check_binding
from batcher.ledger.callbacks import CallbackLedger
from batcher.ledger.database import database_of
from batcher.ledger.holding import Purpose
from batcher.ledger.reader import LedgerReader
from batcher.ledger.server_wait import ServerWait
from batcher.ledger.tasks import TaskLedger
from batcher.model.account import Account
from batcher.model.events import Message, OnEvent, TrackingProgress, ignore_event
from batcher.model.ledger_name import LedgerName
from batcher.model.outcome import NotReported
from batcher.model.submission import State
from batcher.model.task import TaskReport
from batcher.report.counts import TaskFigures, figures, task_figures
from batcher.report.formatting import count
from batcher.report.tracking_summary import FIRST_TROUBLES, TrackingSummary, tasks_in_words
from batcher.track.settings import Tracked, TrackSettings
from batcher.track.tracker import Tracker

PROGRESS_S = 1.0
"""Seconds between two reports of progress."""


class Tracking:
    """The tracking of one ledger; made by :func:`opened_tracking`.

    Args:
        ledger: of the tasks; stays open.
        tracker: polls them.
        on_event: called with progress.
        sending: a run of this process submits more tasks.
    """

    def __init__(self, ledger: TaskLedger, tracker: Tracker, on_event: OnEvent, *, sending: bool) -> None:
        self._ledger = ledger
        self._tracker = tracker
        self._on_event = on_event
        self._sending = sending

    def stop(self, code: ExitCode, reason: str | None = None) -> None:
        """Poll nothing more; polls in flight have a moment to finish. The second call cuts them off."""
        self._tracker.stop(code, reason or f"stopped by {code.name}")

    def sending_ended(self) -> None:
        """Note that no more tasks will be submitted: the tracking ends when all have ended."""
        self._sending = False
        self._tracker.sending_ended()

    async def track(self) -> TrackingSummary:
        """Poll every task until it has ended, or until the tracking is stopped.

        Returns:
            How it ended. What went wrong counts as new until :meth:`mark_reported`.

        Raises:
            LedgerError: the ledger cannot be read any more.
        """
        async with in_background(self._report(), "tracking-progress"):
            tracked = await self._tracker.run()
        return await self._summary(tracked)

    async def mark_reported(self, exit_code: int) -> None:
        """Record that failed and unknown tasks were reported, if this exit code says so: they are not new."""
        if exit_code in REPORTED:
            await self._ledger.mark_reported()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            with contextlib.suppress(LedgerError):
                tasks, pace = await tasks_now(self._ledger), self._tracker.pace
                self._on_event(
                    TrackingProgress(
                        tasks.total,
                        tasks.by_state,
                        tasks.ended,
                        pace.sent,
                        pace.now_per_s,
                        pace.pace_per_s,
                        pace.cap_per_s,
                        pace.why_slow,
                        self._sending,
                    )
                )

    async def _summary(self, tracked: Tracked) -> TrackingSummary:
        try:
            tasks = await tasks_now(self._ledger)
            troubles = tuple(await self._ledger.unreported_troubles(FIRST_TROUBLES))
        except LedgerError:
            if tracked.exit is not ExitCode.LEDGER:
                raise
            tasks, troubles = task_figures([], 0), ()
        summary = TrackingSummary(
            int(tracked.exit), tracked.reason, tasks, tracked.polls, tracked.seconds, troubles, tracked.outage
        )
        return concluded(summary)


def concluded(summary: TrackingSummary) -> TrackingSummary:
    """Give a tracking that nothing stopped the exit code and reason that its tasks call for."""
    ended = ExitCode(summary.exit_code)
    if ended not in (ExitCode.DONE, ExitCode.WORK_LEFT):
        return summary
    if summary.tasks.open:
        return replace(summary, exit_code=int(ExitCode.WORK_LEFT), reason=_why_left(summary))
    if summary.new:
        why = f"all tasks have ended, but there is something to look at: {tasks_in_words(summary)}"
        return replace(summary, exit_code=int(ExitCode.TROUBLE), reason=why)
    return replace(summary, exit_code=int(ExitCode.DONE), reason="all tasks have ended")


def _why_left(summary: TrackingSummary) -> str:
    left, ended = summary.tasks.open, summary.exit_code == ExitCode.DONE
    why = "all tasks that were followed have ended" if ended else summary.reason
    why += f", {count(left, 'task')} {'has' if left == 1 else 'have'} not ended"
    if summary.outage is None:
        return why
    return f"{why}; {outage_text(summary.outage, 'polls')}; {CHECK_ENDPOINT}"


async def tasks_now(ledger: LedgerReader) -> TaskFigures:
    """Return how many tasks are in each state."""
    submitted = figures(await ledger.tallies()).by_state[State.SUBMITTED]
    return task_figures(await ledger.tallies_of_tasks(), submitted)


@asynccontextmanager
async def tracking_of(
    place: LedgerName,
    service: ServiceAccess,
    settings: TrackSettings,
    *,
    deadline: Deadline | None = None,
    sending: bool = False,
    again: bool = False,
    server: ServerWait | None = None,
    on_event: OnEvent = ignore_event,
    polled: Callable[[TaskReport | NotReported], None] | None = None,
) -> AsyncIterator[Tracking]:
    """Open a ledger whose tracking lock is held; see :func:`opened_tracking`.

    Args:
        place: the ledger's file.
        service: the service and the account.
        settings: how tasks are tracked.
        deadline: when the tracking ends at the latest.
        sending: a run of this process submits more tasks until :meth:`Tracking.sending_ended`.
        again: poll tasks that were given up as unknown once more.
        server: how a ledger's server that cannot be reached is waited for.
        on_event: called with events.
        polled: called with the result of every poll.
    """
    account = service.account
    limit = window_for(service.limit(Action.POLL), settings.rate_per_s)
    async with (
        await CallbackLedger.open(place, on_event, server=server) as ledger,
        service.client(settings.concurrency) as client,
        doubts_confirmed(ledger, client, on_event, limit),
    ):
        if not sending:
            check_binding(place, await ledger.bound_to(), account.app_id, service.endpoint_kind)
        if again:
            on_event(Message(f"{count(await ledger.tasks.ask_again(), 'unknown task')} asked about again."))
        pacer = Pacer(settings.rate_per_s, time.monotonic, window=limit)
        tracker = Tracker(
            ledger.tasks,
            client,
            settings,
            pacer=pacer,
            sending=sending,
            window=deadline,
            on_event=on_event,
            polled=polled,
        )
        yield Tracking(ledger.tasks, tracker, on_event, sending=sending)


@asynccontextmanager
async def opened_tracking(
    path: str | os.PathLike[str],
    service: ServiceAccess,
    settings: TrackSettings,
    *,
    deadline: Deadline | None = None,
    again: bool = False,
    wait_s: float | None = None,
    sender: str = PROGRAM,
    on_event: OnEvent = ignore_event,
) -> AsyncIterator[Tracking]:
    """Open a ledger for tracking: its lock is held, nothing is polled yet.

    Args:
        path: the ledger's file.
        service: the service and the account.
        settings: how tasks are tracked.
        deadline: when the tracking ends at the latest.
        again: poll tasks that were given up as unknown once more.
        wait_s: how long to wait for another tracker of the ledger; None to raise immediately.
        sender: how other processes name this one.
        on_event: called with events; must not block.

    Raises:
        BindingError: the ledger belongs to another AppId or kind of endpoint.
        LedgerBusy: another process tracks the ledger.
        LedgerError: the ledger cannot be used.
    """
    place = ledger_named(path)
    database_of(place).check_there()
    with await ledger_lock(place, sender, wait_s, on_event, Purpose.TRACKING):
        async with tracking_of(
            place, service, settings, deadline=deadline, again=again, on_event=on_event
        ) as tracking:
            yield tracking


async def track(
    path: str | os.PathLike[str],
    account: Account,
    settings: TrackSettings | None = None,
    *,
    endpoint: str = DEFAULT_ENDPOINT,
    timeout_s: float = 30.0,
    on_event: OnEvent = ignore_event,
) -> TrackingSummary:
    """Poll the tasks of a ledger until all have ended.

    A task that awaits this may be cancelled: what was polled is recorded.

    Args:
        path: the ledger's file.
        account: whose tasks they are.
        settings: how they are tracked; 20 polls a second by default.
        endpoint: the service's URL; plain ``http`` for this machine's own addresses only.
        timeout_s: how long one poll may take.
        on_event: called with events; must not block.

    Raises:
        SettingsError: endpoint or timeout cannot be used.
        BindingError: the ledger belongs to another AppId or kind of endpoint.
        LedgerBusy: another process tracks the ledger.
        LedgerError: the ledger cannot be used.
    """
    service = ServiceAccess(account, endpoint, timeout_s)
    async with opened_tracking(path, service, settings or TrackSettings(), on_event=on_event) as tracking:
        summary = await tracking.track()
        await tracking.mark_reported(summary.exit_code)
        return summary
