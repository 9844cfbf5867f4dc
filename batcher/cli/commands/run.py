"""``batcher run``: load manifests and submit everything that is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batcher.cli import options as o
from batcher.cli.command import Invocation, command, tune_process
from batcher.submit.settings import MaxFailures, RunSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from batcher.api.run import Run, RunRequest
    from batcher.config.settings import Settings
    from batcher.flowcontrol.service_access import ServiceAccess
    from batcher.model.events import OnEvent
    from batcher.track.settings import TrackSettings


@command("run", options={**o.READING, **o.SENDING, **o.LOCKED}, throughput=True)
async def run(
    call: Invocation,
    manifests: o.Manifests = None,
    json: o.Json = False,
) -> int:
    """Load manifests and submit everything that is open.

    Adds the rows of the manifests that are new to the ledger, and sends one request for each open
    submission, at 20 a second. Without a manifest it resumes the open submissions. Stop it with Ctrl-C and
    run it again at any time: accepted submissions are not sent again.

    Needs BATCHER_APP_ID and BATCHER_SERVER_SECRET (or BATCHER_SERVER_SECRET_FILE) in the environment or
    in a .env file. Every option can be set there too: BATCHER_RATE=10, BATCHER_OFFSET='1;2' and so on.

    A missing ledger is created, and a message says so. Without a terminal (cron, CI) you must name it
    (--ledger, BATCHER_LEDGER, batcher.toml) or give --new-ledger: the same command in another folder would
    send, and pay for, everything again.

    With --track it also polls the tasks, as `batcher track` does, each kind of call at its own --rate, and
    ends when all tasks have ended. Exit code 1 then also means that tasks newly failed or are unknown, 4
    that tasks have not ended in time, and 5 that another process polls them already.

    Exit codes: 0 all done; 1 done, with new problems; 2 settings or manifest; 3 halted: the service
    refuses us; 4 stopped with work left; 5 another run holds the ledger; 6 the ledger cannot be used;
    70 a defect of batcher; 130, 143 stopped by a signal. With --dry-run: 0; 1 invalid rows; 2; 6.

    Example:  batcher run archive.csv --vendor Tencent --definition 10 --offset 1
    """
    if call.given["dry_run"]:
        from batcher.cli.commands.run_dry import dry_run

        return await dry_run(call, manifests or [], as_json=json)
    call.announce()
    return await run_manifests(call, manifests or [], as_json=json)


async def run_manifests(call: Invocation, manifests: list[str], *, as_json: bool) -> int:
    """Load and submit, show the progress, and print the summary at the end."""
    from contextlib import AsyncExitStack
    from dataclasses import replace

    from batcher.api.run import opened_run
    from batcher.cli.announcer import closing_of
    from batcher.cli.ledger_lock import check_creation
    from batcher.cli.metrics_server import measured, recorded_if_not_begun
    from batcher.cli.signals import Signals
    from batcher.cli.terminal.progress import Display
    from batcher.cli.terminal.views import reporting
    from batcher.cli.until_option import announce_until
    from batcher.flowcontrol.service_access import ServiceAccess
    from batcher.report.summary import summary_json, summary_text

    settings, console = call.settings, call.console
    async with AsyncExitStack() as stack:
        async with recorded_if_not_begun(settings):
            account = call.account_for(manifests)
            if manifests:
                check_creation(settings)
            how_to_run = run_settings(settings)
            announce_until(console, settings, how_to_run.until)
            display = stack.enter_context(Display(console, settings.progress))
            with Signals() as signals, signals.interrupting():
                service = ServiceAccess(account, settings.endpoint, settings.timeout)
                request = _request(settings, service, how_to_run, manifests, reporting(console, display))
                run = await stack.enter_async_context(opened_run(settings.ledger, request))
        ended = await stack.enter_async_context(measured(settings, run, console))
        tune_process()
        with Signals(_stopping(run, console.say)):
            summary = replace(await run.carry_out(), row_options=_row_options(settings))
            ended(summary.exit_code)
            display.close()
            text = summary_text(summary, width=console.width, problems_only=console.volume == 0)
            call.closed(closing_of(summary))
            console.finished(text, summary_json(summary), summary.exit_code)
            if as_json:
                console.data(summary_json(summary))
    return summary.exit_code


def _request(
    settings: Settings,
    service: ServiceAccess,
    how_to_run: RunSettings,
    manifests: list[str],
    on_event: OnEvent,
) -> RunRequest:
    """Return the parts of the run that the settings ask for."""
    from functools import partial

    from batcher.api.run import RunRequest
    from batcher.cli.metrics_server import check_port
    from batcher.cli.read_options import how_to_read

    return RunRequest(
        service,
        how_to_run,
        manifests,
        how_to_read(settings),
        track_settings(settings) if settings.track else None,
        settings.wait_lock,
        "batcher run",
        on_event,
        admitted=partial(check_port, settings),
        alone=settings.alone,
        patience_s=settings.ledger_patience,
    )


def _stopping(run: Run, say: Callable[[str], None]) -> Callable[[int], None]:
    """Return the handler of signals: the first drains the run, the second ends it immediately."""
    from batcher.exit_codes import ExitCode

    signals = 0

    def stop(code: int) -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            say("Stopping: waiting for requests in flight. Press Ctrl-C again to stop immediately.")
        elif signals == 2:
            say("Stopping immediately: requests in flight may have been accepted; their answers are lost.")
        run.stop(ExitCode(code))

    return stop


def run_settings(settings: Settings) -> RunSettings:
    """Return the settings by which a run sends and ends."""
    from datetime import datetime

    from batcher.cli.until_option import until

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


def track_settings(settings: Settings) -> TrackSettings:
    """Return the settings by which a run tracks its tasks."""
    from batcher.track.settings import TrackSettings

    return TrackSettings(
        rate_per_s=settings.rate,
        concurrency=settings.concurrency,
        give_up_s=settings.give_up,
        lasts_s=settings.track_timeout,
    )


def _row_options(settings: Settings) -> str:
    """Return the options by which rows were read, as text of a command line."""
    import shlex

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
