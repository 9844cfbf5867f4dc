"""``batcher status``: progress, codes, loads and the time left."""

from __future__ import annotations

from batcher.cli import options as o
from batcher.cli.command import Invocation, command

LAST_LOADS = 10
"""The number of loads that the text lists; the JSON has all."""


@command("status")
async def status(
    call: Invocation,
    json: o.Json = False,
) -> int:
    """Show progress, codes, loads and the time left.

    Counts the submissions by state and by the codes of the answers. Works while a run writes the ledger.

    Exit codes: 0; 2 settings; 6 there is no ledger, or it cannot be read.

    Example:  batcher status --json
    """
    from batcher.api.status import ledger_status
    from batcher.report.status_summary import status_json, status_lines

    settings = call.settings
    found = await ledger_status(settings.ledger, loads=None if json else LAST_LOADS)
    if json:
        call.console.data(status_json(found, settings.rate))
    else:
        call.console.show(*"\n".join(status_lines(found, settings.rate, call.console.width)).split("\n"))
    return 0
