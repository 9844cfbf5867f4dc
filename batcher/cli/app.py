"""The commands: their options, and their help, which is documentation.

Nothing heavy is imported here: what a command needs comes in when it runs.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from batcher import __version__
from batcher.cli import options as o
from batcher.cli.console import Console
from batcher.cli.ledgers import Program, ledger_commands
from batcher.cli.logs import attach, attached, say_defect, take_over
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
    console = Console(log_format=_log_format(sys.argv[1:]))
    take_over(console)
    command = typer.main.get_command(app)
    if not console.for_programs:
        command()
    try:
        code = command(standalone_mode=False)
    except Exception as exc:  # a line that cannot be understood; whose class is the library's own affair
        if not isinstance(code := getattr(exc, "exit_code", None), int):
            raise
        text = exc.format_message() if hasattr(exc, "format_message") else str(exc)
        console.problem(text, exit_code=code)
    sys.exit(code)


def _log_format(words: Sequence[str]) -> str | None:
    """What ``--log-format`` says on a command line that may be wrong otherwise."""
    given = None
    for word, following in zip(words, [*words[1:], None], strict=True):
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
        return app.command(help=text, rich_help_panel=panel)(function)

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


def _announcer(given: dict[str, Any], console: Console) -> Announcer:
    """Who tells of a run; it has told already that the run begins."""
    from batcher.cli.announcing import Announcer

    announcer = Announcer(_flags(given), given["config"], console)
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

    Exit codes: 0 all done; 1 done, with new problems; 2 settings or manifest; 3 halted: the service
    refuses us; 4 stopped with work left; 5 another run holds the ledger; 6 the ledger cannot be used;
    130, 143 stopped by a signal. With --dry-run: 0; 1 there are invalid rows; 2; 6.

    Example:  batcher run archive.csv --vendor Tencent --definition 10 --offset 1 --offset 2
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

    announcer = None if dry_run else _announcer(given, console)
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
        return await load_manifests(settings, manifests, console)

    _end_async(console, work)


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

    Example:  batcher export archive.csv --vendor Tencent --definition 10 --offset 1 -o results.csv
    """
    given = dict(locals())
    console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

    async def work() -> int:
        from batcher.cli.exporting import export_results

        settings = _settings(given)
        return await export_results(settings, manifest, output, console, format_=format_, excel=excel)

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

        return await show_recording(_settings(given), file_id)

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

        return await put_back(_settings(given), state or [], code or [], console)

    _end_async(console, work)


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


@_command(_REHEARSE)
def sandbox(
    port: Annotated[int, typer.Option(help="0 takes a free one.", metavar="N")] = 8420,
    rate: Annotated[float, typer.Option(help="Calls per second; 0 for no limit.", metavar="N")] = 20.0,
    counting: Annotated[
        str, typer.Option(help="How a second is counted: sliding, aligned or bucket.", metavar="HOW")
    ] = "sliding",
    count_refused: Annotated[
        bool, typer.Option("--count-refused", help="Refused calls count towards the limit too.")
    ] = False,
    jitter: Annotated[
        float, typer.Option(help="Mean delay of arrivals, in milliseconds.", metavar="MS")
    ] = 0.0,
    latency: Annotated[float, typer.Option(help="Delay of answers, in milliseconds.", metavar="MS")] = 0.0,
    shape: Annotated[
        str, typer.Option(help="The vendor's part of an answer: object or list.", metavar="SHAPE")
    ] = "object",
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=SHARE",
            help="Spoil this share of requests; repeat for more. KIND: drop-before, drop-after, hang, "
            "hang-before, http:NNN, http-after:NNN, html, cut, cut-json, empty, no-code, no-task-id, "
            "code:N, slow:MS.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Makes faults and task ids repeatable.", metavar="N")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="Keep every request here, one JSON object a line.", metavar="FILE"),
    ] = None,
) -> None:
    """Serve the documented API on this machine, to rehearse without an account.

    It checks signatures, parameters and the rate as the documentation says, and answers with task ids of
    both vendors' kinds. Some file ids mean something: Tencent ids that begin with 404404404 do not exist
    (41003), 100010001 are wrong (1000), 400400400 are at the other vendor (4), 503503503 are busy twice,
    504504504 lose their first answer, 408408408 are slow; for Huawei, folders named missing, wrong-id,
    wrong-vendor, busy, lost-answer and slow do the same. It prints the variables to set and
    runs until stopped; GET /_sandbox/summary and /_sandbox/log say what it has seen.

    Exit codes: 0; 2 usage.

    Example:  batcher sandbox --fault drop-after=0.03 --fault code:1000=0.02
    """
    console = Console()

    async def work() -> int:
        from batcher.cli.rehearsing import serve_sandbox

        return await serve_sandbox(
            console,
            port=port,
            seed=seed,
            faults=fault or [],
            settings={
                "rate_per_s": rate,
                "counting": counting,
                "count_refused": count_refused,
                "jitter_ms": jitter,
                "latency_ms": latency,
                "answer_shape": shape,
                "log_path": log,
            },
        )

    _end_async(console, work)


@_command(_REHEARSE)
def demo(
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where the demo leaves its files.")
    ] = Path("demo"),
) -> None:
    """Do the main job once, on this machine alone: sandbox, sample manifest, run, results.

    Needs no account and no network. Leaves the manifest, the ledger and the results in one folder, and
    nothing else.

    Exit codes: 0.

    Example:  batcher demo
    """
    console = Console()

    async def work() -> int:
        from batcher.cli.rehearsing import run_demo

        return await run_demo(folder, console)

    _end_async(console, work)


app.add_typer(ledger_commands(Program(_settings, _end, _end_async)), name="ledger", rich_help_panel=_UPKEEP)
