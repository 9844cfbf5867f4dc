"""``audit``: one page that adds up, on stdout or in a file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.cli.output_file import opened
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.text import legible
from batcher.config.settings import Settings
from batcher.ledger import ledger_path, open_for_reading
from batcher.ledger.audit_queries import audited
from batcher.report.audit_page import audit_json, audit_text, balance


@command("audit")
async def audit(
    call: Invocation,
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
) -> int:
    """Add everything up on one page: what was submitted once, perhaps twice, or is not known.

    Counts the rows of the ledger and holds them against the figures kept beside them: submissions by what
    became of them, tasks by where they stand, callbacks by what came of them. Names the first cases that
    the vendor's support can say more of, with their RequestIds. Works while a run is going on.

    Exit codes: 0 it balances; 1 it does not, and the page says what; 2 settings; 6 there is no ledger, or
    it cannot be read.

    Example:  batcher audit --cases 50 -o audit.txt
    """
    return await audit_ledger(call.settings, output, call.console, as_json=json, cases=cases)


UNBALANCED = 1


async def audit_ledger(
    settings: Settings, output: Path | None, console: Console, *, as_json: bool, cases: int
) -> int:
    """Write the audit; returns whether it balances, as an exit code."""
    path = ledger_path(settings.ledger)
    async with await open_for_reading(path):
        pass  # an older schema is upgraded first
    counted = await asyncio.to_thread(audited, path, cases)
    if as_json:
        text = json.dumps(audit_json(counted, str(path)), ensure_ascii=False)
    else:
        text = legible(audit_text(counted, str(path), console.width))
    with opened(output) as file:
        file.write(text.encode("utf-8", "replace") + b"\n")
    problems = balance(counted)
    if output is not None:
        console.say(f"{output}: " + ("it does not balance" if problems else "it balances"))
    return UNBALANCED if problems else 0
