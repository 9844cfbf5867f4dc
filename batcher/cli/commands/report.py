"""``batcher report``: the ledger as one HTML page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.errors import SettingsError
from batcher.report.formatting import size


@command("report")
async def report(
    call: Invocation,
    output: o.Output = None,
    lang: Annotated[str, typer.Option(metavar="LANG", help="en or zh.")] = "en",
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Show the pictures that `batcher fetch -o DIR` has put here."),
    ] = None,
    recordings: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="Recordings whose pictures are shown.")
    ] = 48,
) -> int:
    """Draw everything on one page for the browser.

    One file that needs no network: figures, the run over time, response times, the codes with their
    remedies, failures, submissions that may have been accepted twice, and the fetched pictures. Long tables
    are cut, and say so. Works while a run writes the ledger. Needs the packages Jinja2 and Pillow, and names
    the command that installs them.

    Exit codes: 0; 2 settings; 6 there is no ledger, or it cannot be read.

    Example:  batcher report -o report.html --pictures pictures
    """
    from batcher.api.report import ReportSettings, gather_report, write_page
    from batcher.cli.library_call import named_options
    from batcher.cli.output_file import opened
    from batcher.cli.signals import Signals

    settings = call.settings
    with Signals() as signals, named_options({"language": "--lang", "pictures": "--pictures"}):
        chosen = ReportSettings(lang.lower(), pictures, recordings, settings.rate)
        if output is None and sys.stdout is not None and sys.stdout.isatty():
            raise SettingsError("report: a terminal cannot show a page; add -o report.html")
        contents = await gather_report(settings.ledger, chosen, output=output)
        with opened(output) as file, signals.immediate():
            written = write_page(contents, chosen, file)
    if signals.cancelled is not None:
        return signals.cancelled
    if output is not None:
        call.console.say(f"{output}: {size(written)}, to be opened in a browser")
    return 0
