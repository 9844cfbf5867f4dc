"""``fetch``: downloads the pictures of finished tasks into a folder and reports the result.

The fetch itself is ``api/fetch``; here are the options, the display and the closing lines.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from batcher.cli import options as o
from batcher.cli.command import Invocation, command

if TYPE_CHECKING:
    from batcher.cli.terminal.console import Console
    from batcher.report.fetch_summary import FetchSummary

OPTIONS: Final = {
    "concurrency": o.setting(int, "Downloads in flight at most. (default: 8)", "N"),
    "timeout": o.setting(str, "How long one picture may take. (default: 30s)", "DURATION"),
    "limit": o.setting(int, "Stop after this many pictures.", "N"),
    "max_bytes": o.setting(str, "Refuse a larger picture: 500K, 20M. (default: 20M)", "SIZE"),
    "progress": o.Progress,
    **o.COMMON,
}

Folder = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The folder for the pictures.")]
Recordings = Annotated[
    list[str] | None,
    typer.Option("--recording", metavar="FILE_ID", help="Fetch this recording only; repeat for more."),
]
Again = Annotated[bool, typer.Option("--again", help="Try pictures again that were given up before.")]
CheckAll = Annotated[
    bool,
    typer.Option("--check-all", help="Check every file fetched before, not a share of them each day."),
]


@command("fetch", options=OPTIONS)
async def fetch(
    call: Invocation,
    folder: Folder,
    recording: Recordings = None,
    again: Again = False,
    check_all: CheckAll = False,
    json: o.Json = False,
) -> int:
    """Fetch the pictures of finished tasks into a folder.

    Downloads what `batcher track` has found, into one folder for each recording, from public http and https
    addresses only; needs no credentials. Each picture is decoded completely before it is kept, so every file
    is a complete image; blank and black pictures are marked. Pictures already on disk with the recorded size
    are skipped, lost files are fetched again. Works during a run; stop it with Ctrl-C and run it again at any
    time. DIR/pictures.csv lists the file of each picture, or the reason why there is none. Needs the extra
    `pictures`.

    Exit codes: 0 all pictures are there; 1 some are missing, broken or refused, which is reported once;
    2 settings; 4 work is left: the limit, or a server that does not answer; 5 another fetch is running;
    6 the ledger or DIR cannot be written; 130, 143 stopped by a signal.

    Example:  batcher fetch -o pictures
    """
    return await _fetch(call, folder, recording, again=again, check_all=check_all, json=json)


async def _fetch(
    call: Invocation,
    folder: Path,
    recordings: list[str] | None,
    *,
    again: bool,
    check_all: bool,
    json: bool,
) -> int:
    """Fetch pictures, show the progress and close with a summary, after a signal too."""
    from batcher.api.fetch import CONCURRENCY, PictureFetch
    from batcher.cli.library_call import named_options
    from batcher.cli.signals import Signals
    from batcher.cli.terminal.progress import Display
    from batcher.cli.terminal.views import reporting

    settings, console = call.settings, call.console
    with Signals() as signals, Display(console, settings.progress) as display, named_options(_OPTION_OF):
        fetch = PictureFetch(
            settings.ledger,
            folder,
            endpoint=settings.endpoint,
            recordings=recordings or (),
            again=again,
            check_all=check_all,
            limit=settings.limit,
            concurrency=settings.concurrency if "concurrency" in settings.model_fields_set else CONCURRENCY,
            timeout_s=settings.timeout,
            max_bytes=settings.max_bytes,
            on_event=reporting(console, display),
            caller="batcher fetch",
        )
        await fetch.run()
    if fetch.summary is None:
        return signals.code or 0
    return _close(fetch.summary, signals.code, console, as_json=json)


_OPTION_OF = {"folder": "--output", "max_bytes": "--max-bytes", "timeout_s": "--timeout"}
"""By parameter of the library."""


def _close(summary: FetchSummary, signal_code: int | None, console: Console, *, as_json: bool) -> int:
    """Print the summary; return the exit code."""
    from batcher.fetch.picture_paths import INDEX
    from batcher.report.command_lines import next_lines
    from batcher.report.fetch_summary import fetch_json, fetch_lines, fetch_steps

    exit_code = signal_code or summary.exit_code
    lines = fetch_lines(summary, summary.folder / INDEX, console.width)
    lines += ["", *next_lines(fetch_steps(summary), console.width)]
    if not exit_code:
        console.say(*lines)
    elif console.for_programs:
        console.warn(*lines)
    else:
        console.problem(*lines)
    if as_json:
        console.data(fetch_json(summary, exit_code))
    return exit_code
