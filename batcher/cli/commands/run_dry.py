"""``--dry-run``: what a run would do. It reads manifests and the ledger, and changes neither.

Manifests are loaded into a ledger of their own in the temporary folder, by the same rules as ever, and what
the real one lacks of it is what would be sent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from batcher.cli.commands.load import prepare_manifests, tune_process
from batcher.cli.read_options import how_to_read
from batcher.cli.terminal.console import Console
from batcher.cli.until_option import window_s
from batcher.config.settings import Settings
from batcher.errors import LedgerMissing
from batcher.ledger import is_missing, ledger_path, open_for_writing
from batcher.ledger.sqlite.preflight import Bystander, asked_lacking, asked_open, readiness
from batcher.model.records import AskedFor
from batcher.report.asked import FIRST_GROUPS, asked_json, asked_text
from batcher.report.counts import figures
from batcher.report.estimate import rest
from batcher.report.formatting import count
from batcher.report.summary import FIRST_INVALID_ROWS, invalid_line
from batcher.submit.loader import load_alone
from batcher.submit.manifest_checks import Prepared, refuse_resubmissions


async def forecast(settings: Settings, manifests: Sequence[str], console: Console, *, as_json: bool) -> int:
    """Say what a run would do.

    Returns:
        0, or 1 when there are rows that cannot be sent.
    """
    how, path = how_to_read(settings), ledger_path(settings.ledger)
    prepared, _ = await prepare_manifests(manifests, how, console)
    exists = not is_missing(path)
    if not prepared and not exists:
        raise LedgerMissing(f"{path}: there is no ledger to go on with; name a manifest to begin one")
    left = readiness(path).open if exists else 0
    asked = asked_open(path, FIRST_GROUPS) if left else AskedFor()
    if exists:
        await refuse_resubmissions(Bystander(path), prepared, how)
    with TemporaryDirectory(prefix="batcher-") as folder:
        scratch = Path(folder) / "dry-run.db"
        found, problems = await _read(prepared, scratch, console)
        new = asked_lacking(path if exists else None, scratch, FIRST_GROUPS)
        found["new"] = new.n
    to_send = left + found["new"]
    found["would_send"] = to_send if settings.limit is None else min(to_send, settings.limit)
    found["open_before"] = left
    if as_json:
        console.data(json.dumps({**found, "asked": {"open": asked_json(asked), "new": asked_json(new)}}))
    lines = [
        text for label, one in (("Left to send", asked), ("New", new)) if (text := asked_text(label, one))
    ]
    created = [] if exists else ["", f"There is no ledger yet: a run creates {path}."]
    said = [line for text in lines for line in text.split("\n")]
    console.say(*_lines(found, settings, bool(prepared)), *[""][: len(said)], *said, *created, *problems)
    return 1 if found["invalid"] else 0


async def _read(
    prepared: Sequence[Prepared], scratch: Path, console: Console
) -> tuple[dict[str, int], list[str]]:
    """Load manifests into a ledger that is thrown away; returns what they hold, and the first bad rows."""
    tune_process(handing_over=True)
    async with await open_for_writing(scratch) as ledger:
        await load_alone(ledger, prepared, console.on_event)
        distinct = figures(await ledger.tallies()).total
        invalid = await ledger.count_invalid_rows()
        first_rows = await ledger.invalid_rows(limit=FIRST_INVALID_ROWS)
        problems = [line for row in first_rows for line in invalid_line(row, console.width).split("\n")]
        rows = sum(load.rows for load in await ledger.loads())
    first = f", the first {len(first_rows)}" if len(first_rows) < invalid else ""
    heading = ["", count(invalid, "invalid row") + first] if problems else []
    return {"rows": rows, "distinct": distinct, "new": distinct, "invalid": invalid}, heading + problems


def _lines(found: dict[str, int], settings: Settings, manifests: bool) -> list[str]:
    lines = ["A dry run: nothing was sent, nothing written.", ""]
    counted = {"open before": found["open_before"], "would be sent": found["would_send"]}
    if manifests:
        read = {"rows": found["rows"], "invalid rows": found["invalid"], "submissions": found["distinct"]}
        counted = read | {"known already": found["distinct"] - found["new"], "new": found["new"]} | counted
    widest = max(len(f"{n:,}") for n in counted.values())
    lines += [
        f"  {label:<16}{n:>{widest},}" + ("   never sent" if label == "invalid rows" else "")
        for label, n in counted.items()
        if n or label != "invalid rows"
    ]
    if found["would_send"]:
        text = rest(found["would_send"], settings.rate, window_s(settings, datetime.now()))  # noqa: DTZ005 - local
        lines += ["", text[:1].upper() + text[1:] + "."]
    return lines
