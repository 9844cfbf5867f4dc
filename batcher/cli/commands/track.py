"""``batcher track``: what became of the tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from batcher.cli import options as o
from batcher.cli.command import Closing, Invocation, command, tune_process
from batcher.config.ledger_names import ledger_named
from batcher.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from batcher.api.track import Tracking
    from batcher.cli.terminal.console import Console
    from batcher.config.settings import Settings
    from batcher.report.tracking_summary import TrackingSummary


OPTIONS: Final = {
    "follow": o.flag("--follow", "Continue when all tasks have ended: others may submit more."),
    "rate": o.setting(float, "Polls per second at most. (default: 20)", "N"),
    "concurrency": o.setting(int, "Polls in flight at most. (default: 64)", "N"),
    "timeout": o.setting(str, "How long one poll may take. (default: 30s)", "DURATION"),
    "give_up": o.GiveUp,
    "max_duration": o.setting(str, "End after this time: 90m, 4h.", "DURATION"),
    "until": o.setting(str, "End at this time of day, local time, the next one: 05:30.", "HH:MM"),
    "progress": o.Progress,
    **o.LOCKED,
}


@command("track", options=OPTIONS, throughput=True)
async def track(
    call: Invocation,
    again: Annotated[
        bool, typer.Option("--again", help="Poll tasks again that were given up as unknown.")
    ] = False,
    json: o.Json = False,
) -> int:
    """Track the tasks until all have ended.

    The first poll of a task is about 2 s after its submission; each further wait is half as long again, up to
    10 minutes; at most 20 polls a second in all. A task ends as finished, with the addresses of its pictures,
    as failed, or as unknown: the service does not know it, reported three times and not sooner than a minute
    after the submission, or it had not ended after --give-up. Works during a run. Stop it with Ctrl-C and
    start it again at any time.

    Exit codes: 0 all tasks have ended; 1 some have failed or are unknown, reported once; 2 settings;
    3 halted: the service refuses the account; 4 time limit reached with open tasks; 5 another process tracks
    the ledger; 6 the ledger cannot be used; 70 a defect of batcher; 130, 143 stopped by a signal.

    Example:  batcher track --max-duration 30m
    """
    call.announce()
    return await track_tasks(call, again=again, as_json=json)


async def track_tasks(call: Invocation, *, again: bool, as_json: bool) -> int:
    """Track all tasks until they have ended, and close with a summary."""
    from contextlib import AsyncExitStack
    from dataclasses import replace
    from datetime import datetime

    from batcher.api.track import opened_tracking
    from batcher.cli.commands.run import track_settings
    from batcher.cli.signals import Signals
    from batcher.cli.terminal.progress import Display
    from batcher.cli.terminal.views import reporting
    from batcher.cli.until_option import announce_until, until
    from batcher.flowcontrol.deadline import Deadline
    from batcher.flowcontrol.service_access import ServiceAccess

    settings, console = call.settings, call.console
    account = call.account
    ends = until(settings, datetime.now())  # noqa: DTZ005 - what the clock on the wall shows
    announce_until(console, settings, ends)
    deadline = Deadline(settings.max_duration, ends)
    async with AsyncExitStack() as stack:
        display = stack.enter_context(Display(console, settings.progress))
        with Signals() as signals, signals.interrupting():
            opening = opened_tracking(
                settings.ledger,
                ServiceAccess(account, settings.endpoint, settings.timeout),
                replace(track_settings(settings), lasts_s=None, follow=settings.follow),
                deadline=deadline,
                again=again,
                wait_s=settings.wait_lock,
                sender="batcher track",
                on_event=reporting(console, display),
            )
            tracking = await stack.enter_async_context(opening)
        tune_process()
        with Signals(_stopping(tracking, console.say)):
            summary = await tracking.track()
            await tracking.mark_reported(summary.exit_code)
    _say(summary, settings, console, account.app_id, as_json=as_json)
    call.closed(closing_of_tasks(summary))
    return summary.exit_code


def _stopping(tracking: Tracking, say: Callable[[str], None]) -> Callable[[int], None]:
    """Return the handler of signals: the first ends the polls, the second does so immediately."""

    def stop(code: int) -> None:
        say("Stopping: polls in flight are repeated the next time.")
        tracking.stop(ExitCode(code))

    return stop


def closing_of_tasks(summary: TrackingSummary) -> Closing:
    """Return the end of tracking, for the notification."""
    from batcher.report.tracking_summary import task_counts

    blocked_by_outage = summary.outage is not None
    figures = task_counts(summary.tasks)
    return Closing(summary.reason, figures, blocked_by_outage, on_purpose=not blocked_by_outage)


def _say(
    summary: TrackingSummary, settings: Settings, console: Console, app_id: int, *, as_json: bool
) -> None:
    from batcher.report.tracking_summary import tracking_json

    value = {
        "exit_code": summary.exit_code,
        "reason": summary.reason,
        "ledger": str(ledger_named(settings.ledger)),
        "app_id": app_id,
        **tracking_json(summary),
    }
    console.finished(_text(summary, settings, console), value, summary.exit_code)
    if as_json:
        console.data(value)


def _text(summary: TrackingSummary, settings: Settings, console: Console) -> str:
    from batcher.model.task import TaskState
    from batcher.report.command_lines import ledger_option, next_lines
    from batcher.report.formatting import one_line, sentence, wrapped
    from batcher.report.tracking_summary import tracking_lines

    width, option = console.width, ledger_option(settings.ledger)
    if console.volume == 0:
        if summary.exit_code == ExitCode.DONE or (
            summary.exit_code == ExitCode.WORK_LEFT and not summary.outage
        ):
            return ""
        return f"batcher: {one_line(summary.reason)}. Which: batcher export{option} -o results.csv"
    lines = ["", wrapped(sentence(summary.reason), width), "", *tracking_lines(summary, width)]
    steps = [(f"batcher track{option}", "to resume")] if summary.tasks.open else []
    if summary.tasks.by_state[TaskState.FINISHED]:
        steps.append((f"batcher fetch{option} -o pictures", "for pictures"))
    steps.append((f"batcher export{option} -o results.csv", "for results"))
    ledger = one_line(str(ledger_named(settings.ledger)))
    return "\n".join([*lines, "", f"Ledger: {ledger}", *next_lines(steps, width)])
