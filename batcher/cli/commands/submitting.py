"""The commands of the main job: load, look, submit, and try again."""

from __future__ import annotations

from typing import Annotated

import typer

from batcher.cli import options as o
from batcher.cli.command import (
    MAIN,
    announcer_of,
    begin_quickly,
    command,
    end_async,
    fast_loop,
    flags_of,
    settings_of,
)
from batcher.cli.terminal.console import Console


@command(MAIN)
def run(
    manifests: o.Manifests = None,
    vendor: o.Vendor = None,
    type_: o.Type = None,
    definition: o.Definition = None,
    interval: o.Interval = None,
    offset: o.Offset = None,
    encoding: o.Encoding = None,
    manifest_format: o.Format = None,
    sheet: o.Sheet = None,
    trust_ids: o.TrustIds = None,
    allow_resubmit: o.AllowResubmit = None,
    rate: o.Rate = None,
    concurrency: o.Concurrency = None,
    timeout: o.Timeout = None,
    in_doubt: o.InDoubt = None,
    limit: o.Limit = None,
    max_duration: o.MaxDuration = None,
    until: o.Until = None,
    max_failures: o.MaxFailures = None,
    dry_run: o.DryRun = False,
    track: o.Track = None,
    track_timeout: o.TrackTimeout = None,
    give_up: o.GiveUp = None,
    progress: o.Progress = None,
    metrics_port: o.MetricsPort = None,
    metrics_host: o.MetricsHost = None,
    metrics_file: o.MetricsFile = None,
    json: o.Json = False,
    wait_lock: o.WaitLock = None,
    ledger: o.Ledger = None,
    config: o.Config = None,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
    log_format: o.LogFormat = None,
) -> None:
    """Load manifests and submit everything that is open.

    Takes from the manifests what the ledger does not have yet, and sends one request for each submission
    that is still open, at 20 a second. Without a manifest it goes on with what is open. Stop it with
    Ctrl-C and run it again at any time: what is on record is not sent again.

    Needs BATCHER_APP_ID and BATCHER_SERVER_SECRET (or BATCHER_SERVER_SECRET_FILE) in the environment or
    in a .env file. Every option can be set there too: BATCHER_RATE, BATCHER_OFFSET=1;2 and so on.

    With --track it follows the tasks too, as `batcher track` does, each kind of call at its own --rate, and
    ends when all have ended. Exit code 1 then also stands for tasks that newly failed or are unknown, 4 for
    tasks that have not ended in time, and 5 for somebody who follows them already.

    Exit codes: 0 all done; 1 done, with new problems; 2 settings or manifest; 3 halted: the service
    refuses us; 4 stopped with work left; 5 another run holds the ledger; 6 the ledger cannot be used;
    130, 143 stopped by a signal. With --dry-run: 0; 1 there are invalid rows; 2; 6.

    Example:  batcher run archive.csv --vendor Tencent --definition 10 --offset 1
    """
    given = dict(locals())
    begin_quickly()
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        settings = settings_of(given)
        if dry_run:
            from batcher.cli.forecasting import forecast

            return await forecast(settings, manifests or [], console, as_json=json)
        from batcher.cli.running import run_manifests

        heed = announcer.heed if announcer else None
        return await run_manifests(settings, manifests or [], console, as_json=json, heed=heed)

    announcer = None if dry_run else announcer_of("run", given, console)
    end_async(console, work, fast_loop(), announcer)


@command(MAIN)
def load(
    manifests: Annotated[
        list[str], typer.Argument(metavar="MANIFEST", help="Files, URLs, quoted patterns, or - for stdin.")
    ],
    vendor: o.Vendor = None,
    type_: o.Type = None,
    definition: o.Definition = None,
    interval: o.Interval = None,
    offset: o.Offset = None,
    encoding: o.Encoding = None,
    manifest_format: o.Format = None,
    sheet: o.Sheet = None,
    trust_ids: o.TrustIds = None,
    allow_resubmit: o.AllowResubmit = None,
    wait_lock: o.WaitLock = None,
    ledger: o.Ledger = None,
    config: o.Config = None,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
    log_format: o.LogFormat = None,
) -> None:
    """Load manifests into the ledger; send nothing.

    Reads and checks every row and keeps what is new. Needs no credentials. `batcher run` sends it later.

    Exit codes: 0 all rows can be sent; 1 some are invalid and new; 2 a manifest cannot be used;
    5 another run holds the ledger; 6 the ledger cannot be used.

    Example:  batcher load archive.csv --vendor Tencent --definition 10 --offset 1
    """
    given = dict(locals())
    begin_quickly()
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.loading import load_manifests

        settings = settings_of(given)
        return await load_manifests(settings, manifests, console, heed=announcer.heed)

    announcer = announcer_of("load", given, console)
    end_async(console, work, announcer=announcer)


@command(MAIN)
def check(
    json: o.Json = False,
    ledger: o.Ledger = None,
    config: o.Config = None,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
    log_format: o.LogFormat = None,
) -> None:
    """Say what would go wrong before a run does.

    Looks at the settings and where each comes from, the credentials, this machine's clock against the
    service's, the endpoint's name and certificate, the ledger, who holds it, and the disk. Makes one
    signed call that starts no task, writes nothing, and works while a run is going on. With -v all
    settings are listed, with -q only what fails or may.

    Exit codes: 0 a run could begin, warnings or not; 2 something fails, and each such thing is named.

    Example:  batcher check --json
    """
    given = dict(locals())
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.checking import check_all

        return await check_all(flags_of(given), config, console, as_json=json)

    end_async(console, work)


@command(MAIN)
def retry(
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help="failed, rejected or in_doubt; repeat for more."),
    ] = None,
    code: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Only those with this last code; repeat for more.")
    ] = None,
    wait_lock: o.WaitLock = None,
    ledger: o.Ledger = None,
    config: o.Config = None,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
    log_format: o.LogFormat = None,
) -> None:
    """Put failed and rejected submissions back in the queue, with a fresh budget of tries.

    Sends nothing: the next `batcher run` does. Those in doubt are put back only when named, with
    --state in_doubt: some may have been accepted, and would be paid for twice.

    Exit codes: 0; 2 settings; 5 a run holds the ledger; 6 the ledger cannot be used.

    Example:  batcher retry --code 1000
    """
    given = dict(locals())
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.running import put_back

        return await put_back(settings_of(given), state or [], code or [], console, heed=announcer.heed)

    announcer = announcer_of("retry", given, console)
    end_async(console, work, announcer=announcer)
