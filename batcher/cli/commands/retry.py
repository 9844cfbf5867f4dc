"""``batcher retry``: put rejected and failed submissions back in the queue."""

from __future__ import annotations

from typing import Annotated

import typer

from batcher.cli import options as o
from batcher.cli.command import announcer_of, command, end_async, settings_of
from batcher.cli.terminal.console import Console


@command("retry")
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
        from batcher.cli.commands.run import put_back

        return await put_back(
            settings_of(given), state or [], code or [], console, on_closing=announcer.record
        )

    announcer = announcer_of("retry", given, console)
    end_async(console, work, announcer=announcer)
