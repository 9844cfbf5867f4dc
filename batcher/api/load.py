"""Loading manifests into a ledger; nothing is sent. Called by ``batcher load`` and the class ``Ledger``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from batcher.api.locks import PROGRAM, locked_ledger
from batcher.api.manifests import prepared_manifests, warnings_of
from batcher.config.ledger_names import ledger_named
from batcher.flowcontrol.cancellation import noting_cancellation
from batcher.ledger.run_ledger import RunLedger
from batcher.manifest.read_options import ReadOptions
from batcher.model.events import OnEvent, ignore_event
from batcher.model.records import AskedFor, InvalidRowRecord, LoadRecord
from batcher.report.asked import FIRST_GROUPS
from batcher.report.counts import figures
from batcher.report.summary import FIRST_INVALID_ROWS
from batcher.submit.loader import load_alone
from batcher.submit.manifest_checks import refuse_resubmissions
from batcher.submit.prepared import Prepared


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of a load."""

    loads: tuple[LoadRecord, ...]
    """One for each manifest."""
    warnings: tuple[str, ...]
    """Possible mistakes in the manifests."""
    asked: AskedFor = field(default_factory=AskedFor)
    """The pictures that the new submissions ask for."""
    new_invalid_rows: int = 0
    """Rows that cannot be sent and were not on record before."""
    first_invalid_rows: tuple[InvalidRowRecord, ...] = ()
    """The first of them."""
    to_send: int = 0
    """Submissions of the ledger that are to be sent."""


async def load(
    path: str | os.PathLike[str],
    manifests: Sequence[str | os.PathLike[str]],
    how: ReadOptions | None = None,
    *,
    wait_s: float | None = None,
    sender: str = PROGRAM,
    on_event: OnEvent = ignore_event,
) -> LoadResult:
    """Load manifests into a ledger, which is created if it is missing; send nothing.

    Args:
        path: the ledger's file.
        manifests: files, URLs, or patterns of files; ``-`` is standard input.
        how: what rows leave out, and what names do not say.
        wait_s: how long to wait for a run that holds the ledger; None to raise immediately.
        sender: how other processes name this one.
        on_event: called with events; must not block.

    Raises:
        ManifestError: one cannot be used; what was read of it before is kept.
        LedgerBusy: a run holds the ledger.
        LedgerError: the ledger cannot be created or written.
    """
    how, place = how or ReadOptions(), ledger_named(path)
    async with (
        prepared_manifests(manifests, how, place, on_event=on_event) as prepared,
        locked_ledger(place, sender, wait_s, on_event) as ledger,
    ):
        return await load_into(ledger, prepared.manifests, how, on_event)


async def load_into(
    ledger: RunLedger, prepared: Sequence[Prepared], how: ReadOptions, on_event: OnEvent
) -> LoadResult:
    """Load checked manifests into an open ledger; see :func:`load`."""
    known = warnings_of(await refuse_resubmissions(ledger, prepared, how), on_event)
    newest_row, newest = await ledger.newest_invalid_row(), await ledger.newest_submission()
    newest_load = await ledger.newest_load()
    with noting_cancellation(
        f"{ledger.name}: stopped while loading; what was read is kept; run the same load again to resume"
    ):
        await load_alone(ledger, prepared, on_event)
    return LoadResult(
        tuple(await ledger.own_loads(after_id=newest_load)),
        (*(text for one in prepared for text in one.warnings), *known),
        await ledger.asked_for_by(ledger.own_load_ids, newest, FIRST_GROUPS),
        await ledger.count_invalid_rows(after_id=newest_row),
        tuple(await ledger.invalid_rows(after_id=newest_row, limit=FIRST_INVALID_ROWS)),
        figures(await ledger.tallies()).open,
    )
