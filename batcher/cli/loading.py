"""``load``: manifests into the ledger, and what ``run`` does with manifests before it sends.

Nothing of the service is brought in here: loading is for machines and moments without it.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from batcher.cli.console import Console
from batcher.cli.locking import lock_for
from batcher.cli.rows import how_to_read
from batcher.ledger import ledger_path, open_for_writing
from batcher.loader import HowToRead, Prepared, in_thread, load_alone, prepare_all, refuse_resubmissions
from batcher.report.changes import changes_lines
from batcher.report.figures import figures
from batcher.report.summary import FIRST_INVALID_ROWS, invalid_line, ledger_option
from batcher.report.words import count
from batcher.settings import Settings

HANDOVER_S = 0.0002
"""After so long a thread lets another one that waits run."""


async def load_manifests(settings: Settings, manifests: Sequence[str], console: Console) -> int:
    """Load only, and say what came in."""
    how, path = how_to_read(settings), ledger_path(settings.ledger)
    prepared = await prepare_manifests(manifests, how, console)
    lock = await lock_for("load", path, settings, console)
    async with await open_for_writing(path, lock) as ledger:
        await refuse_resubmissions(ledger, prepared, how)
        newest = await ledger.newest_invalid_row()
        before = {load.id for load in await ledger.loads()}
        tune_process(handing_over=True)
        await load_alone(ledger, prepared, console.tell)
        loaded = [load for load in await ledger.loads() if load.id not in before]
        for load in loaded:
            console.say(
                f"{load.source}: {count(load.new, 'new submission')}, {load.duplicates:,} known already, "
                f"{load.invalid:,} invalid"
            )
        for line in changes_lines(loaded):
            console.say(line)
        new = await ledger.count_invalid_rows(after_id=newest)
        for row in await ledger.invalid_rows(after_id=newest, limit=FIRST_INVALID_ROWS):
            console.problem(invalid_line(row, console.width))
        left = figures(await ledger.tallies()).open
        console.say(
            f"{count(left, 'submission')} to send: batcher run{ledger_option(settings.ledger)}"
            if left
            else "Nothing is left to send."
        )
    return 1 if new else 0


async def prepare_manifests(manifests: Sequence[str], how: HowToRead, console: Console) -> list[Prepared]:
    """Open and judge manifests; what is odd about them is said."""
    prepared = await in_thread(prepare_all, manifests, how)
    for warning in (text for one in prepared for text in one.warnings):
        console.warn(warning)
    return prepared


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
