"""``batcher load``: manifests into the ledger; nothing is sent and no credentials are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from batcher.cli import options as o
from batcher.cli.command import Closing, Invocation, command, tune_process
from batcher.exit_codes import ExitCode
from batcher.report.formatting import count

if TYPE_CHECKING:
    from batcher.api.load import LoadResult


@command("load", options={**o.READING, **o.LOCKED}, throughput=True)
async def load(
    call: Invocation,
    manifests: Annotated[
        list[str], typer.Argument(metavar="MANIFEST", help="Files, URLs, quoted patterns, or - for stdin.")
    ],
) -> int:
    """Load manifests into the ledger; send nothing.

    Reads and checks every row and keeps what is new. Needs no credentials. `batcher run` sends it later.

    Exit codes: 0 all rows can be sent; 1 some are invalid and new; 2 a manifest cannot be used;
    5 another run holds the ledger; 6 the ledger cannot be used.

    Example:  batcher load archive.csv --vendor Tencent --definition 10 --offset 1
    """
    call.announce()
    return await load_manifests(call, manifests)


async def load_manifests(call: Invocation, manifests: list[str]) -> int:
    """Load, and report what was loaded."""
    from batcher.api.load import load
    from batcher.cli.read_options import how_to_read
    from batcher.cli.signals import Signals
    from batcher.model.submission import source_name
    from batcher.report.asked import asked_text
    from batcher.report.command_lines import ledger_option
    from batcher.report.manifest_changes import changes_lines
    from batcher.report.summary import invalid_heading, invalid_line

    settings, console = call.settings, call.console
    tune_process(handing_over=True)
    with Signals() as signals, signals.interrupting():
        loaded = await load(
            settings.ledger,
            manifests,
            how_to_read(settings),
            wait_s=settings.wait_lock,
            sender="batcher load",
            on_event=console.on_event,
        )
    for one in loaded.loads:
        repeated = f"{count(one.repeated, 'duplicate')}, " if one.repeated else ""
        console.say(
            f"{source_name(one.source)}: {count(one.new, 'new submission')}, {one.known:,} known already, "
            f"{repeated}{one.invalid:,} invalid"
        )
    console.say(*asked_text("Newly asked for", loaded.asked).split("\n"))
    for line in changes_lines(loaded.loads):
        console.say(line)
    if loaded.first_invalid_rows:
        console.problem(invalid_heading(loaded.new_invalid_rows, len(loaded.first_invalid_rows)))
    for row in loaded.first_invalid_rows:
        console.problem(*invalid_line(row, console.width).split("\n"))
    call.closed(_closing(loaded))
    console.say(
        f"{count(loaded.to_send, 'submission')} to send: batcher run{ledger_option(settings.ledger)}"
        if loaded.to_send
        else "Nothing is left to send."
    )
    return ExitCode.TROUBLE if loaded.new_invalid_rows else ExitCode.DONE


def _closing(loaded: LoadResult) -> Closing:
    """Return the end of a load, for the notification."""

    invalid = loaded.new_invalid_rows
    reason = "all was loaded" if not invalid else "all was loaded, but there are rows that cannot be sent"
    brought = [count(sum(one.new for one in loaded.loads), "new submission")]
    brought += [count(invalid, "new invalid row")] if invalid else []
    return Closing(reason, f"This load: {', '.join(brought)}; {loaded.to_send:,} left to send.")
