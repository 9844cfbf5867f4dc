"""The commands: their options, and their help, which is documentation.

Nothing heavy is imported here: what a command needs comes in when it runs.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from batcher import __version__
from batcher.cli import options as o
from batcher.cli.appearance import Command, Group
from batcher.cli.console import Console
from batcher.cli.ledgers import Program, ledger_commands
from batcher.cli.logs import attach, attached, say_defect, take_over
from batcher.cli.sandboxing import sandbox_command
from batcher.errors import BatcherError, Interrupted, SettingsError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from batcher.cli.announcing import Announcer
    from batcher.settings import Settings

DEFECT = 70
"""The exit code of what nobody expected; none of those that are promised."""

_MAIN, _RESULTS, _REHEARSE = "The main job", "Results", "Rehearsing"
_UPKEEP = "Upkeep"

app = typer.Typer(
    name="batcher",
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="\n\n".join(
        (
            "Asks the ZEGO cloud for thumbnails of whole archives of recordings.",
            "Reads a manifest of recordings, submits one task for each at the pace the service allows, and "
            "keeps every request and its answer in a ledger: an interrupted run goes on where it ended.",
            "Exit codes: 0 all done; 1 done, with new problems; 2 usage, settings, manifest; 3 halted: "
            "the service refuses us; 4 stopped with work left; 5 another run holds the ledger; 6 the ledger "
            "cannot be used; 130 and 143 stopped by a signal.",
            "Example, without an account:  batcher demo",
        )
    ),
)


def main() -> None:
    """The ``batcher`` command."""
    gc.set_threshold(
        50_000, 20, 20
    )  # what is imported stays: to look through it again and again takes longer
    console = Console(log_format=_log_format(sys.argv[1:]))
    take_over(console)
    try:
        code = typer.main.get_command(app)(standalone_mode=False)
    except Exception as exc:  # a line that cannot be understood; whose class is the library's own affair
        if not isinstance(code := getattr(exc, "exit_code", None), int):
            raise
        if text := exc.format_message() if hasattr(exc, "format_message") else str(exc):
            at = getattr(getattr(exc, "ctx", None), "command_path", "batcher")
            console.problem(f"batcher: {text.rstrip('.')}; see {at} --help", exit_code=code)
    sys.exit(code)


def _log_format(words: Sequence[str]) -> str | None:
    """What ``--log-format`` says on a command line that may be wrong otherwise."""
    given = None
    for word, following in zip(words, [*words[1:], None], strict=False):  # there may be no words
        if word == "--":
            break
        if word == "--log-format":
            given = following
        elif word.startswith("--log-format="):
            given = word.partition("=")[2]
    return given


_Function = TypeVar("_Function", bound=Callable[..., None])


def _command(panel: str) -> Callable[[_Function], _Function]:
    """Make a function a command whose help is its docstring, wrapped to the terminal's width."""

    def register(function: _Function) -> _Function:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.splitlines()) for paragraph in paragraphs)
        return app.command(cls=Command, help=text, rich_help_panel=panel)(function)

    return register


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"batcher {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    del version


def _end(console: Console, work: Callable[[], int], announcer: Announcer | None = None) -> None:
    """Do a command's work and end with its exit code; what is wrong is said in one message."""
    code, said = 0, ""
    attach(console)
    try:
        code = work()
    except BrokenPipeError:
        pass  # the reader of stdout has what it wanted
    except KeyboardInterrupt:
        code = 130
    except Interrupted as exc:
        console.say(f"batcher: {exc}")
        code, said = exc.exit_code, str(exc)
    except BatcherError as exc:
        code, said = exc.exit_code, str(exc)
        text = "\n".join(f"batcher: {line}" for line in said.splitlines())
        console.problem(text, error=type(exc).__name__, exit_code=code)
    except Exception as exc:
        say_defect(console, exc)
        code, said = DEFECT, f"a defect in batcher, {type(exc).__name__}: report it"
    if announcer is not None:
        with contextlib.suppress(KeyboardInterrupt):  # whoever presses Ctrl-C now does not want to wait
            announcer.end(code, said)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # keep the interpreter from complaining at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(code)


def _end_async(
    console: Console,
    work: Callable[[], Coroutine[Any, Any, int]],
    loop: Callable[[], AbstractEventLoop] | None = None,
    announcer: Announcer | None = None,
) -> None:
    import asyncio

    def run() -> int:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(work())

    _end(console, run, announcer)


def _fast_loop() -> Callable[[], AbstractEventLoop] | None:
    """What makes the faster event loop, when it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _announcer(command: str, given: dict[str, Any], console: Console) -> Announcer:
    """Who tells of a command; it has told already that the command begins."""
    from batcher.cli.announcing import ANNOUNCED, Announcer

    announcer = Announcer(ANNOUNCED[command], _flags(given), given["config"], console)
    announcer.begin()
    return announcer


def _settings(given: dict[str, Any]) -> Settings:
    """The settings for a command, out of the arguments it was called with."""
    from batcher.settings import examine_settings, load_settings

    try:
        settings = load_settings(_flags(given), given["config"])
    except SettingsError:
        attached().heed(examine_settings(_flags(given), given["config"]).settings)
        raise
    attached().heed(settings)
    return settings


def _flags(given: dict[str, Any]) -> dict[str, Any]:
    """Those of a command's arguments that are settings."""
    from batcher.settings import Settings

    flags = {name.rstrip("_"): value for name, value in given.items()}
    return {name: flags[name] for name in flags if name in Settings.model_fields}


@_command(_MAIN)
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
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        settings = _settings(given)
        if dry_run:
            from batcher.cli.forecasting import forecast

            return await forecast(settings, manifests or [], console, as_json=json)
        from batcher.cli.running import run_manifests

        heed = announcer.heed if announcer else None
        return await run_manifests(settings, manifests or [], console, as_json=json, heed=heed)

    announcer = None if dry_run else _announcer("run", given, console)
    _end_async(console, work, _fast_loop(), announcer)


@_command(_MAIN)
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

        return await track_tasks(_settings(given), console, again=again, as_json=json, heed=announcer.heed)

    announcer = _announcer("track", given, console)
    _end_async(console, work, _fast_loop(), announcer)


@_command(_MAIN)
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
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.loading import load_manifests

        settings = _settings(given)
        return await load_manifests(settings, manifests, console, heed=announcer.heed)

    announcer = _announcer("load", given, console)
    _end_async(console, work, announcer=announcer)


@_command(_MAIN)
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

        return await check_all(_flags(given), config, console, as_json=json)

    _end_async(console, work)


@_command(_RESULTS)
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

        return await say_status(_settings(given), console, as_json=json)

    _end_async(console, work)


@_command(_RESULTS)
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

        settings = _settings(given)
        return await export_results(settings, manifest, output, console, format_=format_, excel=excel)

    _end_async(console, work)


@_command(_RESULTS)
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
        from batcher.model import FileId

        wanted = Wanted(output, tuple(map(FileId, recording or ())), again)
        return await fetch_pictures(_settings(given), wanted, console, as_json=json)

    _end_async(console, work)


@_command(_RESULTS)
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
    cut, and say so. Works while a run is going on. Needs `pip install 'batcher[report]'`.

    Exit codes: 0; 2 settings; 6 there is no ledger, or it cannot be read.

    Example:  batcher report -o report.html --pictures pictures
    """
    given = dict(locals())
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.reporting import write_report

        return await write_report(
            _settings(given), output, console, language=lang, pictures=pictures, recordings=recordings
        )

    _end_async(console, work)


@_command(_RESULTS)
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

        return await show_recording(_settings(given), file_id, console)

    _end_async(console, work)


@_command(_MAIN)
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

        return await put_back(_settings(given), state or [], code or [], console, heed=announcer.heed)

    announcer = _announcer("retry", given, console)
    _end_async(console, work, announcer=announcer)


@_command(_RESULTS)
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

    _end(Console(), work)


@_command(_MAIN)
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
        from batcher.cli.asking import seconds_of
        from batcher.cli.discovering import Asked, discover_recordings

        least_s = None if min_duration is None else seconds_of(min_duration, "--min-duration")
        asked = Asked(since, newest, prefix, tuple(category or ()), least_s, not_in_ledger, format_)
        return await discover_recordings(_settings(given), asked, output, console)

    _end_async(console, work)


@_command(_MAIN)
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
        return await verify_ids(_settings(given), manifest, sought, output, console)

    _end_async(console, work)


sandbox_command(_command(_REHEARSE), _end_async)


@_command(_MAIN)
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
        typer.Option("--max-body", metavar="SIZE", help="Refuse a longer callback. (default: 64KiB)"),
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

        return await listen_to_callbacks(_settings(given), console)

    _end_async(console, work)


@_command(_RESULTS)
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

        return await audit_ledger(_settings(given), output, console, as_json=json, cases=cases)

    _end_async(console, work)


@_command(_REHEARSE)
def demo(
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where the demo leaves its files.")
    ] = Path("demo"),
) -> None:
    """Go the whole way once, on this machine alone: from recordings to pictures and a report.

    Submits a sample archive to a sandbox, makes a few videos, discovers and submits them, follows all tasks,
    fetches the pictures, and draws the report. Needs no account and no network. Leaves one folder, and
    nothing else; what needs a package that is not installed is left out, and named.

    Exit codes: 0.

    Example:  batcher demo
    """
    console = Console()

    async def work() -> int:
        from batcher.cli.demonstrating import run_demo

        return await run_demo(folder, console)

    _end_async(console, work)


app.add_typer(ledger_commands(Program(_settings, _end, _end_async)), name="ledger", rich_help_panel=_UPKEEP)
