"""The commands that rehearse on this machine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batcher.cli.command import REHEARSING, command, end_async
from batcher.cli.sandboxing import sandbox_command
from batcher.cli.terminal.console import Console

sandbox_command(command(REHEARSING), end_async)


@command(REHEARSING)
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

    end_async(console, work)
