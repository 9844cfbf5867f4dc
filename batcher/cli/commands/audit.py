"""``batcher audit``: one page that adds up everything, on stdout or in a file."""

from __future__ import annotations

from typing import Annotated

import typer

from batcher.cli import options as o
from batcher.cli.command import Invocation, command


@command("audit")
async def audit(
    call: Invocation,
    json: o.Json = False,
    output: o.Output = None,
    cases: Annotated[
        int,
        typer.Option(
            min=0, max=10_000, metavar="N", help="Name this many cases of each kind, with their RequestIds."
        ),
    ] = 10,
) -> int:
    """Add up everything: sent once, perhaps twice, unknown.

    Counts the rows of the ledger and compares them with its tallies: submissions by state, tasks by state,
    callbacks by effect. Names the first cases about which the vendor's support can say more, with their
    RequestIds. Works while a run writes the ledger.

    Exit codes: 0 it balances; 1 it does not, and the page says what; 2 settings; 6 there is no ledger, or
    it cannot be read.

    Example:  batcher audit --cases 50 -o audit.txt
    """
    from json import dumps

    from batcher.api.audit import audit_ledger
    from batcher.cli.output_file import opened
    from batcher.cli.terminal.text import legible
    from batcher.report.audit_page import audit_json, audit_text

    done = await audit_ledger(call.settings.ledger, cases=cases)
    if json:
        text = dumps(audit_json(done.counted, str(done.ledger)), ensure_ascii=False)
    else:
        text = legible(audit_text(done.counted, str(done.ledger), call.console.width))
    with opened(output) as file:
        file.write(text.encode("utf-8", "replace") + b"\n")
    if output is not None:
        call.console.say(f"{output}: " + ("it does not balance" if done.problems else "it balances"))
    return done.exit_code
