"""``batcher show``: the history of one recording."""

from __future__ import annotations

from typing import Annotated

import typer

from batcher.cli.command import Invocation, command
from batcher.cli.terminal.text import fitted
from batcher.report.formatting import one_line


@command("show")
async def show(
    call: Invocation,
    file_id: Annotated[str, typer.Argument(metavar="FILE_ID", help="A recording.")],
) -> int:
    """Show one recording: attempts, codes and RequestIds.

    Lists each submission of the recording with its state, every attempt and its answer, and its task.

    Exit codes: 0; 2 settings, or no such recording; 6 there is no ledger, or it cannot be read.

    Example:  batcher show 1397757897438985123
    """
    from batcher.api.status import meanings_of, submissions_of
    from batcher.report.submission_history import history_lines

    records = await submissions_of(call.settings.ledger, file_id)
    meanings, width = meanings_of(records), call.console.width
    histories = [
        "\n".join(fitted(one_line(line), width) for line in history_lines(record, meanings))
        for record in records
    ]
    call.console.show(*"\n\n".join(histories).split("\n"))
    return 0
