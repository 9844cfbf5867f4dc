"""``batcher run``: load manifests and submit everything that is open."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from batcher.cli import options as o
from batcher.cli.announcer import Closing, closing_of
from batcher.cli.command import Invocation, command
from batcher.cli.commands.load import prepare_manifests, tune_process
from batcher.cli.ledger_lock import check_creation, lock_for, place_of_run
from batcher.cli.metrics_server import measured, recorded_if_not_begun
from batcher.cli.read_options import how_to_read
from batcher.cli.signals import Signals
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.progress import View, shown
from batcher.cli.terminal.views import run_view
from batcher.cli.until_option import until
from batcher.config.account import account_of
from batcher.config.settings import Settings
from batcher.errors import LedgerMissing, SettingsError
from batcher.exit_codes import ExitCode
from batcher.flowcontrol.deadline import Deadline
from batcher.ledger import LedgerReader, check_file, is_missing, ledger_path, open_for_writing
from batcher.model.outcome import NotReported
from batcher.model.submission import State
from batcher.model.task import TaskReport
from batcher.report.command_lines import ledger_option
from batcher.report.counts import figures
from batcher.report.formatting import count
from batcher.report.summary import summary_json, summary_text
from batcher.submit.governor import MaxFailures
from batcher.submit.run_setup import ServiceAccess, ready_run, unrecorded
from batcher.submit.runner import Runner, RunSettings
from batcher.zego.client import Account

if TYPE_CHECKING:
    from batcher.cli.commands.track import Following
    from batcher.track.tracker import Tracker


@command(
    "run",
    options={
        **o.READING,
        "rate": o.Rate,
        "concurrency": o.Concurrency,
        "timeout": o.Timeout,
        "in_doubt": o.InDoubt,
        "limit": o.Limit,
        "max_duration": o.MaxDuration,
        "until": o.Until,
        "max_failures": o.MaxFailures,
        "dry_run": o.DryRun,
        "track": o.Track,
        "track_timeout": o.TrackTimeout,
        "give_up": o.GiveUp,
        "progress": o.Progress,
        "metrics_port": o.MetricsPort,
        "metrics_host": o.MetricsHost,
        "metrics_file": o.MetricsFile,
        "new_ledger": o.NewLedger,
        **o.LOCKED,
    },
    throughput=True,
)
async def run(
    call: Invocation,
    manifests: o.Manifests = None,
    json: o.Json = False,
) -> int:
    """Load manifests and submit everything that is open.

    Takes from the manifests what the ledger does not have yet, and sends one request for each submission
    that is still open, at 20 a second. Without a manifest it goes on with what is open. Stop it with
    Ctrl-C and run it again at any time: what is on record is not sent again.

    Needs BATCHER_APP_ID and BATCHER_SERVER_SECRET (or BATCHER_SERVER_SECRET_FILE) in the environment or
    in a .env file. Every option can be set there too: BATCHER_RATE=10, BATCHER_OFFSET='1;2' and so on.

    A ledger is created where there is none, and that is said. Without a terminal (cron, CI) it has to be
    named (--ledger, BATCHER_LEDGER, batcher.toml) or asked for with --new-ledger: the same command in
    another folder would buy everything again.

    With --track it follows the tasks too, as `batcher track` does, each kind of call at its own --rate, and
    ends when all have ended. Exit code 1 then also stands for tasks that newly failed or are unknown, 4 for
    tasks that have not ended in time, and 5 for somebody who follows them already.

    Exit codes: 0 all done; 1 done, with new problems; 2 settings or manifest; 3 halted: the service
    refuses us; 4 stopped with work left; 5 another run holds the ledger; 6 the ledger cannot be used;
    70 a defect of batcher; 130, 143 stopped by a signal. With --dry-run: 0; 1 there are invalid rows; 2; 6.

    Example:  batcher run archive.csv --vendor Tencent --definition 10 --offset 1
    """
    if call.given["dry_run"]:
        from batcher.cli.commands.run_dry import forecast

        return await forecast(call.settings, manifests or [], call.console, as_json=json)
    call.announce()
    return await run_manifests(call, manifests or [], as_json=json)


async def run_manifests(call: Invocation, manifests: Sequence[str], *, as_json: bool) -> int:
    """Load and submit, show the progress, and close with a summary."""
    settings, console = call.settings, call.console
    async with recorded_if_not_begun(settings):
        app_id, secret = account_of(settings)
        console.redaction.learn(secret)
        how, path = how_to_read(settings), ledger_path(settings.ledger)
        if manifests:
            check_creation(path, settings)
        run_settings = _run_settings(settings)  # from here on its time counts, whatever is waited for
        window = Deadline(run_settings.lasts_s, run_settings.until)
        prepared, cut_off = await prepare_manifests(manifests, how, console, window)
    if not manifests and is_missing(path):
        raise LedgerMissing(f"{path}: there is no ledger to go on with; name a manifest to begin one")
    service = ServiceAccess(Account(app_id, secret, settings.is_test), settings.endpoint, settings.timeout)
    waiting, began = settings if cut_off else _waiting_within(window, settings), time.monotonic()
    async with (
        _lock_of_tracking(path, waiting, console),
        await open_for_writing(
            path, await lock_for("run", path, waiting, console), created=console.note
        ) as ledger,
        _place_of_run(app_id, path, waiting, console, began, sends=cut_off is None),
        measured(settings, ledger, console) as measures,
        ready_run(
            ledger,
            service,
            run_settings,
            prepared,
            how,
            on_event=console.on_event,
            settled=measures.settled,
            window=window,
            cut_off=cut_off,
        ) as run,
        _followed(settings, service.account, path, console, window, measures.polled) as tasks,
    ):
        with Signals(_stopping(run.runner, console, tasks.tracker if tasks else None)):
            measures.follow(lambda: run.runner.pace)
            for warning in run.warnings:
                console.warn(warning)
            tune_process()
            async with shown(console, settings.progress, _looking(run.runner, ledger)):
                ending = await run.runner.run()
            summing_up = await tasks.ended(ending) if tasks else None
            for lost in unrecorded(ending):  # now: this ledger may not be readable either
                console.problem(f"batcher: not recorded: {lost}")
            summary = replace(await run.summary(ending), row_options=_row_options(settings))
            if tasks and summing_up:
                from batcher.cli.commands.track import with_tasks

                summary = with_tasks(summary, summing_up)
                if summary.exit_code in (ExitCode.DONE, ExitCode.TROUBLE):
                    await tasks.mark_reported()
            measures.ended(summary.exit_code)
            text = summary_text(summary, width=console.width, problems_only=console.volume == 0)
            call.closed(closing_of(summary))
            console.finished(text, summary_json(summary), summary.exit_code)
            if as_json:
                console.data(json.dumps(summary_json(summary), ensure_ascii=False))
    return summary.exit_code


async def put_back(call: Invocation, states: Sequence[str], codes: Sequence[int]) -> int:
    """Put settled submissions back in the queue."""
    settings, console = call.settings, call.console
    allowed = {State.FAILED.value, State.REJECTED.value, State.IN_DOUBT.value}
    if wrong := [state for state in states if state.replace("-", "_") not in allowed]:
        raise SettingsError(f"--state {wrong[0]}: give failed, rejected or in_doubt")
    chosen = [State(state.replace("-", "_")) for state in states] or [State.FAILED, State.REJECTED]
    path = ledger_path(settings.ledger)
    check_file(path)
    lock = await lock_for("retry", path, settings, console)
    async with await open_for_writing(path, lock) as ledger:
        moved = await ledger.retry(chosen, codes)
    call.closed(Closing(f"{count(moved, 'submission')} back in the queue"))
    console.say(
        f"{count(moved, 'submission')} back in the queue"
        + (f": batcher run{ledger_option(settings.ledger)}" if moved else "")
    )
    return int(ExitCode.DONE)


def _looking(runner: Runner, ledger: LedgerReader) -> Callable[[], Awaitable[View]]:
    """Make the view of a run at one moment."""
    ended_before: int | None = None

    async def look() -> View:
        nonlocal ended_before
        now, pace = figures(await ledger.tallies()), runner.pace
        if ended_before is None:
            ended_before = max(now.ended - pace.sent, 0)
        return run_view(now, pace, ended_before)

    return look


def _waiting_within(window: Deadline, settings: Settings) -> Settings:
    """The settings of a run that waits for the ledger no longer than it may last."""
    return settings.model_copy(update={"wait_lock": min(settings.wait_lock, max(window.left_s, 0.0))})


def _place_of_run(
    app_id: int, path: Path, waiting: Settings, console: Console, began: float, *, sends: bool
) -> AbstractAsyncContextManager[None]:
    """The place of a run that sends, waited for as long as is left of the waiting for the ledger."""
    if not sends:
        return nullcontext()
    return place_of_run(app_id, path, waiting, console, time.monotonic() - began)


# What follows tasks comes in where that is wanted: it would make every run begin later.


def _lock_of_tracking(path: Path, settings: Settings, console: Console) -> AbstractAsyncContextManager[None]:
    if not settings.track:
        return nullcontext()
    from batcher.cli.commands.track import lock_of_tracking

    return lock_of_tracking(path, settings, console)


def _followed(
    settings: Settings,
    account: Account,
    path: Path,
    console: Console,
    window: Deadline,
    polled: Callable[[TaskReport | NotReported], None] | None,
) -> AbstractAsyncContextManager[Following | None]:
    if not settings.track:
        return nullcontext()
    from batcher.cli.commands.track import followed

    return followed(settings, account, path, console, window, polled)


def _run_settings(settings: Settings) -> RunSettings:
    return RunSettings(
        rate_per_s=settings.rate,
        concurrency=settings.concurrency,
        in_doubt=settings.in_doubt,
        limit=settings.limit,
        lasts_s=settings.max_duration,
        until=until(settings, datetime.now()),  # noqa: DTZ005 - what the clock on the wall shows
        max_failures=MaxFailures.parse(settings.max_failures),
        grace_s=settings.grace,
    )


def _stopping(runner: Runner, console: Console, tracker: Tracker | None) -> Callable[[int], None]:
    """What a signal does: the first drains the run, the second ends it immediately."""
    signals = 0

    def stop(code: int) -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            console.say("Stopping: waiting for what is on the wire. Once more to end at once.")
        elif signals == 2:
            console.say("Ending at once: what is on the wire stays in doubt.")
        runner.stop(ExitCode(code))
        if tracker is not None:
            tracker.stop(ExitCode(code), "stopped by " + ExitCode(code).name)

    return stop


def _row_options(settings: Settings) -> str:
    """The options by which rows were read, as they stand on a command line."""
    given = [
        ("--vendor", settings.vendor),
        ("--type", settings.type),
        ("--definition", settings.definition),
        ("--interval", settings.interval),
        *(("--offset", offset) for offset in settings.offset),
        ("--encoding", settings.encoding),
        ("--manifest-format", settings.manifest_format),
        ("--sheet", settings.sheet),
    ]
    overrides = [
        *((" --trust-ids",) if settings.trust_ids else ()),
        *((" --allow-resubmit",) if settings.allow_resubmit else ()),
    ]
    return "".join([*(f" {name} {shlex.quote(value)}" for name, value in given if value), *overrides])
