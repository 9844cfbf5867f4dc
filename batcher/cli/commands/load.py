"""``load``: manifests into the ledger, and what ``run`` does with manifests before it sends.

Nothing of the service is brought in here: loading is for machines and moments without it.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from batcher.cli import options as o
from batcher.cli.announcer import Closing
from batcher.cli.command import Invocation, command
from batcher.cli.ledger_lock import lock_for
from batcher.cli.read_options import how_to_read
from batcher.cli.signals import Signals
from batcher.cli.terminal.console import Console
from batcher.flowcontrol.deadline import Deadline
from batcher.ledger import RunLedger, ledger_path, open_for_writing
from batcher.manifest.read_options import ReadOptions
from batcher.manifest.threads import in_thread
from batcher.model.records import LoadRecord
from batcher.report.asked import FIRST_GROUPS, asked_text
from batcher.report.command_lines import ledger_option
from batcher.report.counts import figures
from batcher.report.formatting import count
from batcher.report.manifest_changes import changes_lines
from batcher.report.summary import FIRST_INVALID_ROWS, invalid_line
from batcher.submit.loader import load_alone
from batcher.submit.manifest_checks import CutOff, Preparation, Prepared, refuse_resubmissions


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


HANDOVER_S = 0.0002
"""After so long a thread lets another one that waits run."""


async def load_manifests(call: Invocation, manifests: Sequence[str]) -> int:
    """Load only, and report what was loaded."""
    settings, console = call.settings, call.console
    how, path = how_to_read(settings), ledger_path(settings.ledger)
    prepared, _ = await prepare_manifests(manifests, how, console)
    lock = await lock_for("load", path, settings, console)
    async with await open_for_writing(path, lock, created=console.note) as ledger:
        await refuse_resubmissions(ledger, prepared, how)
        newest, last = await ledger.newest_invalid_row(), await ledger.newest_submission()
        newest_load = await ledger.newest_load()
        tune_process(handing_over=True)
        await _load_unless_stopped(ledger, prepared, console)
        loaded = await ledger.loads(after_id=newest_load)
        for load in loaded:
            console.say(
                f"{load.source}: {count(load.new, 'new submission')}, {load.duplicates:,} known already, "
                f"{load.invalid:,} invalid"
            )
        asked = await ledger.asked_for_since(last, FIRST_GROUPS)
        console.say(*asked_text("Newly asked for", asked).split("\n"))
        for line in changes_lines(loaded):
            console.say(line)
        new = await ledger.count_invalid_rows(after_id=newest)
        for row in await ledger.invalid_rows(after_id=newest, limit=FIRST_INVALID_ROWS):
            console.problem(*invalid_line(row, console.width).split("\n"))
        left = figures(await ledger.tallies()).open
        call.closed(_closing(loaded, new, left))
        console.say(
            f"{count(left, 'submission')} to send: batcher run{ledger_option(settings.ledger)}"
            if left
            else "Nothing is left to send."
        )
    return 1 if new else 0


async def _load_unless_stopped(ledger: RunLedger, prepared: Sequence[Prepared], console: Console) -> None:
    """Load to the end.

    Raises:
        Interrupted: a signal came; what was read by then is kept, and the loads are unfinished.
    """
    stopped = f"{ledger.path}: stopped while loading; what was read is kept, and the same load goes on"
    with Signals() as signals, signals.interrupting(stopped):
        await load_alone(ledger, prepared, console.on_event)


def _closing(loaded: Sequence[LoadRecord], new_invalid: int, left: int) -> Closing:
    """How a load ended."""
    reason = "all was loaded" if not new_invalid else "all was loaded, but there are rows that cannot be sent"
    brought = [count(sum(load.new for load in loaded), "new submission")]
    brought += [count(new_invalid, "new invalid row")] if new_invalid else []
    return Closing(reason, f"This load: {', '.join(brought)}; {left:,} left to send.")


async def prepare_manifests(
    manifests: Sequence[str], how: ReadOptions, console: Console, window: Deadline | None = None
) -> tuple[list[Prepared], CutOff | None]:
    """Open and judge manifests; what is odd about them is said.

    Args:
        manifests: names and patterns.
        how: they are read.
        console: told.
        window: they are waited for until it is over.

    Returns:
        Those that have come, and what has not when the window was over.

    Raises:
        ManifestError: one cannot be used.
        Interrupted: a signal came while waiting for them.
    """
    preparation, cut_off = Preparation(manifests, how), None
    coming = asyncio.ensure_future(in_thread(preparation.all))
    over = asyncio.ensure_future((window or Deadline()).over())
    stopped = "stopped while the manifests were read; nothing has begun"
    with Signals() as signals, signals.interrupting(stopped):
        try:
            await asyncio.wait((coming, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
    if coming.done():
        prepared = coming.result()
    else:
        coming.cancel()
        prepared, cut_off = preparation.so_far()
    for warning in (text for one in prepared for text in one.warnings):
        console.warn(warning)
    return prepared, cut_off


def tune_process(*, handing_over: bool = False) -> None:
    """Set the interpreter up for a process that does nothing else.

    The garbage collector leaves alone what lives as long as the process, and looks less often: at thousands
    of requests a second a sixth of all processor time was spent looking through modules.

    Args:
        handing_over: threads let one another run sooner than after 5 ms: while a manifest is only loaded, the
            ledger's writer asks for its turn between any two statements.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    if handing_over:
        sys.setswitchinterval(HANDOVER_S)
