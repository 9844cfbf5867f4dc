"""The commands that tell and hand out what has come of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batcher.cli import options as o
from batcher.cli.command import RESULTS, command, end, end_async, settings_of
from batcher.cli.terminal.console import Console


@command(RESULTS)
def status(
    json: o.Json = False,
    ledger: o.Ledger = None,
    config: o.Config = None,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
    log_format: o.LogFormat = None,
) -> None:
    """Say how many submissions stand where, what came back, and how long the rest will take.

    Works while a run is going on.

    Exit codes: 0; 2 settings; 6 there is no ledger, or it cannot be read.

    Example:  batcher status --json
    """
    given = dict(locals())
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.reading import say_status

        return await say_status(settings_of(given), console, as_json=json)

    end_async(console, work)


@command(RESULTS)
def export(
    manifest: Annotated[
        str | None, typer.Argument(metavar="MANIFEST", help="Export this file's rows, in its order.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write here, whole or not at all. (default: stdout)"
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="csv, jsonl, parquet or xlsx. (default: as FILE is named, else csv)",
        ),
    ] = None,
    excel: Annotated[
        bool,
        typer.Option("--excel", help="CSV that a spreadsheet opens without damage to ids and text."),
    ] = False,
    vendor: o.Vendor = None,
    type_: o.Type = None,
    definition: o.Definition = None,
    interval: o.Interval = None,
    offset: o.Offset = None,
    encoding: o.Encoding = None,
    manifest_format: o.ManifestFormat = None,
    sheet: o.Sheet = None,
    trust_ids: o.TrustIds = None,
    allow_resubmit: o.AllowResubmit = None,
    ledger: o.Ledger = None,
    config: o.Config = None,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
    log_format: o.LogFormat = None,
) -> None:
    """Write the results, one row for each submission, or for each row of a manifest.

    With a manifest, give the same --vendor, --definition and so on as when it was loaded: they are part
    of what was asked for. Rows that cannot be sent and rows not loaded yet are there too, and say so.

    Exit codes: 0; 2 settings or manifest; 6 there is no ledger, or it cannot be read.

    Example:  batcher export archive.csv --vendor Huawei --interval 5 -o out.csv
    """
    given = dict(locals())
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.exporting import export_results

        settings = settings_of(given)
        return await export_results(settings, manifest, output, console, format_=format_, excel=excel)

    end_async(console, work)


@command(RESULTS)
def show(
    file_id: Annotated[str, typer.Argument(metavar="FILE_ID", help="A recording.")],
    ledger: o.Ledger = None,
    config: o.Config = None,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
    log_format: o.LogFormat = None,
) -> None:
    """Say everything known of one recording: what was asked, every attempt, codes and RequestIds.

    Exit codes: 0; 2 settings, or no such recording; 6 there is no ledger, or it cannot be read.

    Example:  batcher show 1397757897438985123
    """
    given = dict(locals())
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.reading import show_recording

        return await show_recording(settings_of(given), file_id, console)

    end_async(console, work)


@command(RESULTS)
def fetch(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder for the pictures.")
    ],
    recording: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE_ID", help="Of this recording alone; repeat for more."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Ask once more for those that were given up before.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="Take up this many pictures, then end.", metavar="N")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Pictures under way at once at most. (default: 8)", metavar="N")
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(help="How long one picture may take. (default: 30s)", metavar="DURATION"),
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option(
            "--max-bytes",
            help="A picture larger than this is refused: 500K, 20M. (default: 20M)",
            metavar="SIZE",
        ),
    ] = None,
    progress: o.Progress = None,
    json: o.Json = False,
    ledger: o.Ledger = None,
    config: o.Config = None,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
    log_format: o.LogFormat = None,
) -> None:
    """Fetch the pictures of finished tasks into a folder, one folder in it for each recording.

    Takes what `batcher track` has found, from public http and https addresses alone, and needs no
    credentials. Each picture is decoded to its end and then put in its place, so a file there is a whole
    image; blank and black ones are told apart. What is there is not fetched again, what is lost is. Works
    while a run is going on; stop it with Ctrl-C and run it again at any time. DIR/pictures.csv says which
    file is which picture, and why there is none. Needs the extra `pictures`.

    Exit codes: 0 all pictures are there; 1 some are missing, broken or refused, which is told once;
    2 settings; 4 work is left: the limit, or a server that does not answer; 5 another fetch is going on;
    6 the ledger or DIR cannot be written; 130, 143 stopped by a signal.

    Example:  batcher fetch -o pictures
    """
    given = dict(locals())
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.fetching import Wanted, fetch_pictures
        from batcher.model.submission import FileId

        wanted = Wanted(output, tuple(map(FileId, recording or ())), again)
        return await fetch_pictures(settings_of(given), wanted, console, as_json=json)

    end_async(console, work)


@command(RESULTS)
def report(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write here, whole or not at all. (default: stdout)"
        ),
    ] = None,
    lang: Annotated[str, typer.Option(metavar="LANG", help="en or zh.")] = "en",
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Show the pictures that `batcher fetch -o DIR` has put here."),
    ] = None,
    recordings: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="Recordings whose pictures are shown.")
    ] = 48,
    ledger: o.Ledger = None,
    config: o.Config = None,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
    log_format: o.LogFormat = None,
) -> None:
    """Draw everything that the ledger knows on one page, to be looked at in a browser.

    One file that needs no network: figures, the run over time, how long answers took, the codes with
    their remedies, what failed, what may be there twice, and the pictures that were fetched. Long tables are
    cut, and say so. Works while a run is going on. Needs `pip install 'batcher\\[report]'`.

    Exit codes: 0; 2 settings; 6 there is no ledger, or it cannot be read.

    Example:  batcher report -o report.html --pictures pictures
    """
    given = dict(locals())
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.reporting import write_report

        return await write_report(
            settings_of(given), output, console, language=lang, pictures=pictures, recordings=recordings
        )

    end_async(console, work)


@command(RESULTS)
def audit(
    json: o.Json = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write here, whole or not at all. (default: stdout)"
        ),
    ] = None,
    cases: Annotated[
        int,
        typer.Option(
            min=0, max=10_000, metavar="N", help="Name so many cases of each kind, with their RequestIds."
        ),
    ] = 10,
    ledger: o.Ledger = None,
    config: o.Config = None,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
    log_format: o.LogFormat = None,
) -> None:
    """Add everything up on one page: what was submitted once, perhaps twice, or is not known.

    Counts the rows of the ledger and holds them against the figures kept beside them: submissions by what
    became of them, tasks by where they stand, callbacks by what came of them. Names the first cases that
    the vendor's support can say more of, with their RequestIds. Works while a run is going on.

    Exit codes: 0 it balances; 1 it does not, and the page says what; 2 settings; 6 there is no ledger, or
    it cannot be read.

    Example:  batcher audit --cases 50 -o audit.txt
    """
    given = dict(locals())
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.auditing import audit_ledger

        return await audit_ledger(settings_of(given), output, console, as_json=json, cases=cases)

    end_async(console, work)


@command(RESULTS)
def codes(
    number: Annotated[int | None, typer.Argument(metavar="N", help="One code; all when left out.")] = None,
) -> None:
    """Say what a return code means and what batcher does about it, in English and in Chinese.

    Exit codes: 0.

    Example:  batcher codes 1000
    """

    def work() -> int:
        from batcher.cli.codes import explain

        return explain(number)

    end(Console(), work)
