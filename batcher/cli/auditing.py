"""``audit``: one page that adds up, on stdout or in a file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from batcher.cli.output_file import opened
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.text import legible
from batcher.config.settings import Settings
from batcher.ledger import ledger_path, open_for_reading
from batcher.ledger.audit_queries import audited
from batcher.report.audit_page import audit_json, audit_text, balance

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
