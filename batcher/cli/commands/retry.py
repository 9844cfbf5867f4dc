"""``batcher retry``: put rejected and failed submissions back in the queue."""

from __future__ import annotations

from typing import Annotated

import typer

from batcher.cli import options as o
from batcher.cli.command import Invocation, command


@command("retry", options=o.LOCKED)
async def retry(
    call: Invocation,
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help="failed, rejected or in_doubt; repeat for more."),
    ] = None,
    code: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Only those with this last code; repeat for more.")
    ] = None,
) -> int:
    """Put failed and rejected submissions back in the queue, with a fresh budget of tries.

    Sends nothing: the next `batcher run` does. Those in doubt are put back only when named, with
    --state in_doubt: some may have been accepted, and would be paid for twice.

    Exit codes: 0; 2 settings; 5 a run holds the ledger; 6 the ledger cannot be used.

    Example:  batcher retry --code 1000
    """
    from batcher.cli.commands.run import put_back

    call.announce()
    return await put_back(call, state or [], code or [])
