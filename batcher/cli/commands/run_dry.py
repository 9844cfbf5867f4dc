"""``batcher run --dry-run``: what a run would do, for people and programs."""

from __future__ import annotations

from datetime import datetime

from batcher.api.dry_run import Forecast, forecast
from batcher.cli.command import Invocation, tune_process
from batcher.cli.read_options import how_to_read
from batcher.cli.signals import Signals
from batcher.cli.terminal.console import Console
from batcher.cli.until_option import window_s
from batcher.config.settings import Settings
from batcher.exit_codes import ExitCode
from batcher.report.asked import asked_json, asked_text
from batcher.report.estimate import rest
from batcher.report.formatting import count
from batcher.report.summary import invalid_line


async def dry_run(call: Invocation, manifests: list[str], *, as_json: bool) -> int:
    """Report what a run would do."""
    settings, console = call.settings, call.console
    tune_process(handing_over=True)
    with Signals() as signals, signals.interrupting():
        found = await forecast(settings.ledger, manifests, how_to_read(settings), on_event=console.on_event)
    if as_json:
        console.data(_json(found, settings))
    lines = [
        text
        for label, one in (("Left to send", found.asked_before), ("New", found.new))
        if (text := asked_text(label, one))
    ]
    created = [] if found.ledger_exists else ["", f"There is no ledger yet: a run creates {found.ledger}."]
    said = [line for text in lines for line in text.split("\n")]
    console.say(*_counts(found, settings), *[""][: len(said)], *said, *created, *_problems(found, console))
    return ExitCode.TROUBLE if found.invalid else ExitCode.DONE


def _json(found: Forecast, settings: Settings) -> dict[str, object]:
    return {
        "rows": found.rows,
        "distinct": found.distinct,
        "new": found.new.n,
        "invalid": found.invalid,
        "would_send": found.would_send(settings.limit),
        "open_before": found.open_before,
        "asked": {"open": asked_json(found.asked_before), "new": asked_json(found.new)},
    }


def _problems(found: Forecast, console: Console) -> list[str]:
    """The first invalid rows under a heading; nothing when there are none."""
    rows = found.first_invalid_rows
    lines = [line for row in rows for line in invalid_line(row, console.width).split("\n")]
    first = f", the first {len(rows)}" if len(rows) < found.invalid else ""
    return ["", count(found.invalid, "invalid row") + first, *lines] if lines else []


def _counts(found: Forecast, settings: Settings) -> list[str]:
    lines = ["A dry run: nothing was sent, nothing written.", ""]
    would_send = found.would_send(settings.limit)
    counted = {"open before": found.open_before, "would be sent": would_send}
    if found.read:
        read = {"rows": found.rows, "invalid rows": found.invalid, "duplicates": found.repeated}
        read["submissions"] = found.distinct
        counted = read | {"known already": found.distinct - found.new.n, "new": found.new.n} | counted
    widest = max(len(f"{n:,}") for n in counted.values())
    lines += [
        f"  {label:<16}{n:>{widest},}" + ("   never sent" if label == "invalid rows" else "")
        for label, n in counted.items()
        if n or label not in ("invalid rows", "duplicates")
    ]
    if would_send:
        text = rest(would_send, settings.rate, window_s(settings, datetime.now()))  # noqa: DTZ005 - local
        lines += ["", text[:1].upper() + text[1:] + "."]
    return lines
