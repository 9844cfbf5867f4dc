"""The commands that follow what was submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batcher.cli import options as o
from batcher.cli.command import MAIN, announcer_of, command, end_async, fast_loop, settings_of
from batcher.cli.terminal.console import Console


@command(MAIN)
def track(
    again: Annotated[
        bool, typer.Option("--again", help="Ask once more about tasks that were given up as unknown.")
    ] = False,
    follow: Annotated[
        bool | None,
        typer.Option("--follow", help="Go on when all tasks have ended: others may submit more."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Polls per second at most. (default: 20)", metavar="N")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Polls under way at once at most. (default: 64)", metavar="N")
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(help="How long one poll may take. (default: 30s)", metavar="DURATION")
    ] = None,
    give_up: o.GiveUp = None,
    max_duration: Annotated[
        str | None,
        typer.Option("--max-duration", help="End after so long: 90m, 4h.", metavar="DURATION"),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="End at this time of day, local time, the next one: 05:30.", metavar="HH:MM"),
    ] = None,
    progress: o.Progress = None,
    json: o.Json = False,
    wait_lock: o.WaitLock = None,
    ledger: o.Ledger = None,
    config: o.Config = None,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
    log_format: o.LogFormat = None,
) -> None:
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
    given = dict(locals())
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.tracking import track_tasks

        return await track_tasks(settings_of(given), console, again=again, as_json=json, heed=announcer.heed)

    announcer = announcer_of("track", given, console)
    end_async(console, work, fast_loop(), announcer)


@command(MAIN)
def listen(
    listen_port: Annotated[
        int | None, typer.Option("--port", metavar="N", help="0 takes a free one. (default: 8080)")
    ] = None,
    listen_host: Annotated[
        str | None,
        typer.Option(
            "--host", metavar="ADDRESS", help="Which of this machine's addresses. (default: 127.0.0.1)"
        ),
    ] = None,
    listen_path: Annotated[
        str | None,
        typer.Option("--path", metavar="PATH", help="Take callbacks at this path alone. (default: any)"),
    ] = None,
    listen_cert: Annotated[
        Path | None,
        typer.Option("--cert", metavar="FILE", help="Speak TLS with this certificate and its chain, as PEM."),
    ] = None,
    listen_key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="The certificate's key. (default: in the same file)"),
    ] = None,
    listen_max_body: Annotated[
        str | None,
        typer.Option("--max-body", metavar="SIZE", help="Refuse a longer callback. (default: 512KiB)"),
    ] = None,
    listen_max_age: Annotated[
        str | None,
        typer.Option(
            "--max-age",
            metavar="DURATION",
            help="Refuse a callback whose time is further from ours. (default: 10m)",
        ),
    ] = None,
    submit_new: Annotated[
        bool | None,
        typer.Option(
            "--submit-new",
            help="Make each recording that a callback tells of a new submission, for the next run.",
        ),
    ] = None,
    type_: o.Type = None,
    definition: o.Definition = None,
    interval: o.Interval = None,
    offset: o.Offset = None,
    ledger: o.Ledger = None,
    config: o.Config = None,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
    log_format: o.LogFormat = None,
) -> None:
    """Receive the service's callbacks, and confirm what they say.

    A `snapshot` callback makes its task due for a poll at once; one that names the recording of a
    submission in doubt settles that, once a poll has confirmed the task. With --submit-new, `record` and
    `compose` callbacks become new submissions, which the next `batcher run` sends: --definition and
    --offset are for recordings at Tencent, --interval for those at Huawei. Works beside a run. Answers
    once a callback is on disk; GET /healthz says whether the ledger can be read.

    Needs BATCHER_CALLBACK_SECRET (or BATCHER_CALLBACK_SECRET_FILE, or BATCHER_CALLBACK_SECRET_COMMAND),
    which is not the ServerSecret; to confirm, the account as for `batcher run`, else `batcher track` does
    it. A certificate is read again on SIGHUP.

    Exit codes: 2 settings, or nobody can listen there; 6 the ledger cannot be used; 130, 143 stopped by a
    signal, which is how it ends.

    Example:  batcher listen --submit-new --definition 10 --offset 1
    """
    given = dict(locals())
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.listening import listen as listen_to_callbacks

        return await listen_to_callbacks(settings_of(given), console)

    end_async(console, work)
