"""``track``: what has become of the tasks; and the same within ``run --track``.

Between the command line and :mod:`batcher.track.tracker`. It holds a lock of its own and not the run's, so
that tasks are followed beside whoever sends; two that follow one ledger would only ask everything twice.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from batcher.callbacks.confirmer import doubts_confirmed
from batcher.cli import options as o
from batcher.cli.announcer import Closing
from batcher.cli.command import Invocation, command
from batcher.cli.commands.load import tune_process
from batcher.cli.ledger_lock import lock_for
from batcher.cli.signals import Signals
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.progress import View, shown
from batcher.cli.terminal.views import tasks_view
from batcher.cli.until_option import until
from batcher.config.account import account_of
from batcher.config.settings import Settings
from batcher.errors import LedgerError
from batcher.exit_codes import ExitCode, heaviest
from batcher.flowcontrol.deadline import Deadline
from batcher.flowcontrol.machine_limit import Action, LimitKey, window_for
from batcher.flowcontrol.pacer import Pacer
from batcher.ledger import LedgerReader, Purpose, check_binding, check_file, ledger_path
from batcher.ledger.callbacks import CallbackLedger
from batcher.ledger.tasks import TaskLedger
from batcher.model.outcome import NotReported
from batcher.model.submission import State
from batcher.model.task import TaskReport, TaskState
from batcher.report.command_lines import ledger_option
from batcher.report.counts import TaskFigures, figures, task_figures
from batcher.report.formatting import count, one_line, sentence, wrapped
from batcher.report.summary import Summary
from batcher.report.tracking_summary import (
    FIRST_TROUBLES,
    TrackingSummary,
    tasks_in_words,
    tracking_json,
    tracking_lines,
)
from batcher.submit.runner import Ending
from batcher.track.tracker import Tracked, Tracker, TrackSettings
from batcher.zego.client import Account, ZegoClient

OPTIONS: Final = {
    "follow": Annotated[
        bool | None,
        typer.Option("--follow", help="Go on when all tasks have ended: others may submit more."),
    ],
    "rate": Annotated[
        float | None, typer.Option(help="Polls per second at most. (default: 20)", metavar="N")
    ],
    "concurrency": Annotated[
        int | None, typer.Option(help="Polls under way at once at most. (default: 64)", metavar="N")
    ],
    "timeout": Annotated[
        str | None, typer.Option(help="How long one poll may take. (default: 30s)", metavar="DURATION")
    ],
    "give_up": o.GiveUp,
    "max_duration": Annotated[
        str | None,
        typer.Option("--max-duration", help="End after so long: 90m, 4h.", metavar="DURATION"),
    ],
    "until": Annotated[
        str | None,
        typer.Option(help="End at this time of day, local time, the next one: 05:30.", metavar="HH:MM"),
    ],
    "progress": o.Progress,
    **o.LOCKED,
}


@command("track", options=OPTIONS, throughput=True)
async def track(
    call: Invocation,
    again: Annotated[
        bool, typer.Option("--again", help="Ask once more about tasks that were given up as unknown.")
    ] = False,
    json: o.Json = False,
) -> int:
    """Ask what has become of the tasks, until all have ended.

    Each is asked about 2 s after it was submitted and then ever less often, each wait half as long again as
    the one before, up to 10 minutes; 20 a second in all. A task ends as finished, with the addresses of its
    pictures, as failed, or as unknown: the service does not know it, said three times and not sooner than a
    minute after it was submitted, or it had not ended after --give-up. Works beside a run. Stop it with
    Ctrl-C and start it again at any time.

    Exit codes: 0 all tasks have ended; 1 some have failed or are unknown, which is told once; 2 settings;
    3 halted: the service refuses us; 4 time is over and tasks have not ended; 5 somebody follows the tasks
    already; 6 the ledger cannot be used; 130, 143 stopped by a signal.

    Example:  batcher track --max-duration 30m
    """
    call.announce()
    return await track_tasks(call, again=again, as_json=json)


async def track_tasks(call: Invocation, *, again: bool, as_json: bool) -> int:
    """Follow all tasks until they have ended, and close with a summary.

    Raises:
        BindingError: the ledger belongs to another AppId or kind of endpoint.
        LedgerBusy: somebody follows its tasks already.
        LedgerError: the ledger cannot be used.
    """
    settings, console = call.settings, call.console
    app_id, secret = account_of(settings)
    console.redaction.learn(secret)
    path = ledger_path(settings.ledger)
    check_file(path)
    window = Deadline(settings.max_duration, until(settings, datetime.now()))  # noqa: DTZ005 - what the wall shows
    account = Account(app_id, secret, settings.is_test)
    with await lock_for("track", path, settings, console, Purpose.TRACKING):
        async with _opened(settings, account, path, console) as (ledger, client, pacer):
            check_binding(ledger.path, await ledger.bound_to(), app_id, settings.place)
            if again:
                asked_again = await ledger.ask_again()
                console.say(f"{count(asked_again, 'unknown task')} asked about again.")
            chosen = replace(_track_settings(settings), lasts_s=None, follow=settings.follow)
            tracker = Tracker(ledger, client, chosen, pacer=pacer, window=window, on_event=console.on_event)
            tune_process()
            with Signals(_stopping(tracker, console)):
                async with shown(console, settings.progress, _looking(tracker, ledger)):
                    tracked = await tracker.run()
            summary = await summed_up(ledger, tracked)
            if summary.exit_code in (ExitCode.DONE, ExitCode.TROUBLE):
                await ledger.mark_reported()
    _say(summary, settings, console, app_id, as_json=as_json)
    call.closed(closing_of_tasks(summary))
    return summary.exit_code


# -- within a run --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Following:
    """Tasks that are followed while a run sends."""

    tracker: Tracker
    _ledger: TaskLedger
    _task: asyncio.Task[Tracked]
    _console: Console
    _how: str

    async def ended(self, ending: Ending) -> TrackingSummary:
        """Go on until all tasks have ended, or no longer if the run was told to stop."""
        if ending.exit in (ExitCode.DEFECT, ExitCode.LEDGER, ExitCode.SIGINT, ExitCode.SIGTERM):
            self.tracker.stop(ending.exit, ending.reason)
        self.tracker.sending_ended()
        async with shown(self._console, self._how, _looking(self.tracker, self._ledger)):
            tracked = await self._task
        return await summed_up(self._ledger, tracked)

    async def mark_reported(self) -> None:
        """All that went wrong with tasks has been told of."""
        await self._ledger.mark_reported()


@asynccontextmanager
async def lock_of_tracking(path: Path, settings: Settings, console: Console) -> AsyncIterator[None]:
    """Hold the lock on following tasks while a run sends.

    Raises:
        LedgerBusy: somebody follows them already.
    """
    with await lock_for("run --track", path, settings, console, Purpose.TRACKING):
        yield


@asynccontextmanager
async def followed(
    settings: Settings,
    account: Account,
    path: Path,
    console: Console,
    window: Deadline,
    polled: Callable[[TaskReport | NotReported], None] | None,
) -> AsyncIterator[Following]:
    """Follow tasks while the block goes on; whoever leaves it early stops that, too."""
    async with _opened(settings, account, path, console) as (ledger, client, pacer):
        tracker = Tracker(
            ledger,
            client,
            _track_settings(settings),
            pacer=pacer,
            sending=True,
            window=window,
            on_event=console.on_event,
            polled=polled,
        )
        task = asyncio.create_task(tracker.run(), name="tracker")
        try:
            yield Following(tracker, ledger, task, console, settings.progress)
        finally:
            if not task.done():
                task.cancel()
            await asyncio.wait([task])


def with_tasks(summary: Summary, tasks: TrackingSummary) -> Summary:
    """The summary of a run that has followed tasks, too."""
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


# -- what both need ------------------------------------------------------------------------------------


@asynccontextmanager
async def _opened(
    settings: Settings, account: Account, path: Path, console: Console
) -> AsyncIterator[tuple[TaskLedger, ZegoClient, Pacer]]:
    limit = window_for(LimitKey.of(account.app_id, Action.POLL, settings.endpoint), settings.rate)
    async with (
        await CallbackLedger.open(path, console.on_event) as ledger,
        ZegoClient(
            settings.endpoint, account, timeout_s=settings.timeout, connections=settings.concurrency
        ) as client,
        doubts_confirmed(ledger, client, console.on_event, limit),
    ):
        yield ledger.tasks, client, Pacer(settings.rate, time.monotonic, window=limit)


def _track_settings(settings: Settings) -> TrackSettings:
    return TrackSettings(
        rate_per_s=settings.rate,
        concurrency=settings.concurrency,
        give_up_s=settings.give_up,
        lasts_s=settings.track_timeout,
    )


async def summed_up(ledger: TaskLedger, tracked: Tracked) -> TrackingSummary:
    """How following tasks has ended, with what the ledger says of them."""
    try:
        tasks = await tasks_now(ledger)
        troubles = tuple(await ledger.untold_troubles(FIRST_TROUBLES))
    except LedgerError:
        if tracked.exit is not ExitCode.LEDGER:
            raise
        return TrackingSummary(
            int(ExitCode.LEDGER), tracked.reason, task_figures([], 0), tracked.polls, tracked.seconds
        )
    summary = TrackingSummary(
        int(tracked.exit), tracked.reason, tasks, tracked.polls, tracked.seconds, troubles, tracked.outage
    )
    if tracked.exit in (ExitCode.DONE, ExitCode.WORK_LEFT) and tasks.open:
        return replace(summary, exit_code=int(ExitCode.WORK_LEFT), reason=_why_left(tracked, tasks.open))
    if tracked.exit not in (ExitCode.DONE, ExitCode.WORK_LEFT):
        return summary
    if summary.new:
        why = f"all tasks have ended, but there is something to look at: {tasks_in_words(summary)}"
        return replace(summary, exit_code=int(ExitCode.TROUBLE), reason=why)
    return replace(summary, exit_code=int(ExitCode.DONE), reason="all tasks have ended")


async def tasks_now(ledger: LedgerReader) -> TaskFigures:
    """How many tasks stand in each state."""
    submitted = figures(await ledger.tallies()).by_state[State.SUBMITTED]
    return task_figures(await ledger.tallies_of_tasks(), submitted)


def _looking(tracker: Tracker, ledger: LedgerReader) -> Callable[[], Awaitable[View]]:
    """Make the view of the tasks at one moment."""

    async def look() -> View:
        return tasks_view(await tasks_now(ledger), tracker.pace)

    return look


def _why_left(tracked: Tracked, left: int) -> str:
    why = "all tasks that were followed have ended" if tracked.exit is ExitCode.DONE else tracked.reason
    why += f", {count(left, 'task')} {'has' if left == 1 else 'have'} not ended"
    if tracked.outage is None:
        return why
    since = f"{tracked.outage.since:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"{why}; the endpoint did not answer polls (since {since}, last: {tracked.outage.met}); check the "
        "network and BATCHER_ENDPOINT"
    )


def closing_of_tasks(summary: TrackingSummary) -> Closing:
    """How ``track`` ended."""
    tasks = summary.tasks
    counted = [f"{tasks.by_state[one]:,} {one.value}" for one in TaskState if tasks.by_state[one]]
    figures = f"Tasks: {', '.join(counted) or 'none'}."
    blocked_by_outage = summary.outage is not None
    return Closing(summary.reason, figures, blocked_by_outage, on_purpose=not blocked_by_outage)


def _say(
    summary: TrackingSummary, settings: Settings, console: Console, app_id: int, *, as_json: bool
) -> None:
    value = {
        "exit_code": summary.exit_code,
        "reason": summary.reason,
        "ledger": str(ledger_path(settings.ledger)),
        "app_id": app_id,
        **tracking_json(summary),
    }
    console.finished(_text(summary, settings, console), value, summary.exit_code)
    if as_json:
        console.data(json.dumps(value, ensure_ascii=False))


def _text(summary: TrackingSummary, settings: Settings, console: Console) -> str:
    width, option = console.width, ledger_option(settings.ledger)
    if console.volume == 0:
        if summary.exit_code == ExitCode.DONE or (
            summary.exit_code == ExitCode.WORK_LEFT and not summary.outage
        ):
            return ""
        return f"batcher: {one_line(summary.reason)}. Which: batcher export{option} -o results.csv"
    lines = ["", wrapped(sentence(summary.reason), width), "", *tracking_lines(summary, width)]
    steps = [f"  for results   batcher export{option} -o results.csv"]
    if summary.tasks.open:
        steps.insert(0, f"  to go on      batcher track{option}")
    ledger = one_line(str(ledger_path(settings.ledger)))
    return "\n".join([*lines, "", f"Ledger: {ledger}", "Next", *map(one_line, steps)])


def _stopping(tracker: Tracker, console: Console) -> Callable[[int], None]:
    """What a signal does: the first ends the polls, the second does so immediately."""

    def stop(code: int) -> None:
        console.say("Stopping: what is under way is asked again the next time.")
        tracker.stop(ExitCode(code), "stopped by " + ExitCode(code).name)

    return stop
