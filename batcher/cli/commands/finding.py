"""The commands that ask which recordings exist, before anything is paid for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batcher.cli import options as o
from batcher.cli.command import MAIN, command, end_async, settings_of
from batcher.cli.terminal.console import Console


@command(MAIN)
def discover(
    vendor: Annotated[
        str | None, typer.Option(help="Where to look: Tencent, Huawei or Ws.", metavar="NAME")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Created since then: so long ago (90m, 24h, 7d) or a date (2026-11-30, 2026-11-30T05:30; "
            "local time, or with a zone: 2026-11-30T05:30Z). Tencent needs it.",
            metavar="WHEN",
        ),
    ] = None,
    newest: Annotated[
        str | None,
        typer.Option("--until", help="Created until then, likewise. (default: now)", metavar="WHEN"),
    ] = None,
    prefix: Annotated[
        str, typer.Option(help="What names, or Huawei's object paths, begin with.", metavar="TEXT")
    ] = "",
    category: Annotated[
        list[str] | None,
        typer.Option(help="Video, Audio or Image (Tencent); repeat for more. (default: all)", metavar="NAME"),
    ] = None,
    min_duration: Annotated[
        str | None,
        typer.Option(
            help="Leave out what is known to be shorter (Tencent): 10, 90s, 5m.", metavar="DURATION"
        ),
    ] = None,
    not_in_ledger: Annotated[
        bool, typer.Option("--not-in-ledger", help="Leave out recordings that the ledger has already.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write here, and go on there later. (default: stdout)"
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="csv or jsonl. (default: as FILE is named, else csv)"),
    ] = None,
    rate: o.Rate = None,
    timeout: o.Timeout = None,
    max_duration: o.MaxDuration = None,
    ledger: o.Ledger = None,
    config: o.Config = None,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
    log_format: o.LogFormat = None,
) -> None:
    """List the recordings that exist, as a manifest.

    Asks the vendor for all recordings of a time (Tencent) or below a path (Huawei), each once, with name,
    creation, duration, size and URL beside its id. On stdout for a run to read, or in FILE: one that was
    interrupted stays as FILE.part, and the same command goes on with it, until now. What the service
    cannot show, more than 5,000 recordings of one second, is said on stderr.

    Needs the same credentials as `batcher run`. Searches are counted apart from submissions, 20 a second.

    Exit codes: 0 all are listed; 1 some could not be, and stderr says which; 2 usage or settings; 3 the
    service refuses us; 4 --max-duration is over; 6 the ledger cannot be read (--not-in-ledger); 130, 143
    stopped by a signal.

    Example:  batcher discover --vendor Tencent --since 24h -o new.csv
    """
    given = dict(locals())
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.discovering import Asked, discover_recordings
        from batcher.cli.service_queries import seconds_of

        least_s = None if min_duration is None else seconds_of(min_duration, "--min-duration")
        asked = Asked(since, newest, prefix, tuple(category or ()), least_s, not_in_ledger, format_)
        return await discover_recordings(settings_of(given), asked, output, console)

    end_async(console, work)


@command(MAIN)
def verify_ids(
    manifest: Annotated[
        str, typer.Argument(metavar="MANIFEST", help="A file, a URL, or - for stdin; as `run` reads it.")
    ],
    known: Annotated[
        list[str] | None,
        typer.Option(
            help="A list of recordings that exist, such as `discover` writes: rounded ids are found again "
            "in it. Repeat for more.",
            metavar="FILE",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Look for the originals of rounded ids among all recordings since then: 30d, 2026-11-30 "
            "(local time).",
            metavar="WHEN",
        ),
    ] = None,
    newest: Annotated[
        str | None, typer.Option("--until", help="And until then. (default: now)", metavar="WHEN")
    ] = None,
    prefix: Annotated[str, typer.Option(help="And whose names begin so.", metavar="TEXT")] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write here, whole or not at all. (default: stdout)"
        ),
    ] = None,
    vendor: o.Vendor = None,
    encoding: o.Encoding = None,
    manifest_format: o.Format = None,
    sheet: o.Sheet = None,
    rate: o.Rate = None,
    timeout: o.Timeout = None,
    config: o.Config = None,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
    log_format: o.LogFormat = None,
) -> None:
    """Ask the vendor about the Tencent ids of a manifest, before money is spent on them.

    Writes one line of CSV for each row with something wrong: missing (no recording has the id), audio_only,
    image, forbidden, archived, refused, or invalid for a row that cannot be sent. Ten ids go into one
    call, 200 ids a second. With --known or --since, an id that a spreadsheet has rounded comes with the
    recording it stood for, when there is exactly one. Needs the same credentials as `batcher run`.

    Exit codes: 0 all ids are well; 1 something is wrong with some; 2 settings or manifest; 3 the service
    refuses us; 130, 143 stopped by a signal.

    Example:  batcher verify-ids archive.csv --since 30d -o wrong.csv
    """
    given = dict(locals())
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.verifying import Known, verify_ids

        sought = Known(tuple(known or ()), since, newest, prefix)
        return await verify_ids(settings_of(given), manifest, sought, output, console)

    end_async(console, work)
