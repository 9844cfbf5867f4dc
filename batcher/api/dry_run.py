"""A dry run: what a run would send. It reads manifests and the ledger, and changes neither.

Called by ``batcher run --dry-run`` and programs. Manifests are loaded, by the same rules as for a run, into a
ledger in the temporary folder. The submissions of it that the real ledger lacks would be sent.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from batcher.api.manifests import prepared_manifests, warnings_of
from batcher.config.ledger_names import ledger_named
from batcher.errors import LedgerMissing
from batcher.ledger.database import database_of
from batcher.ledger.preflight import Bystander, asked_lacking, asked_open, readiness
from batcher.ledger.run_ledger import open_for_writing
from batcher.manifest.read_options import ReadOptions
from batcher.model.events import OnEvent, ignore_event
from batcher.model.ledger_name import LedgerName
from batcher.model.records import AskedFor, InvalidRowRecord
from batcher.report.asked import FIRST_GROUPS
from batcher.report.command_lines import FIRST_RUN
from batcher.report.counts import figures
from batcher.report.summary import FIRST_INVALID_ROWS
from batcher.submit.loader import load_alone
from batcher.submit.manifest_checks import refuse_resubmissions
from batcher.submit.prepared import Prepared


@dataclass(frozen=True, slots=True)
class Forecast:
    """The work that a run would do: its submissions, and the results of reading its manifests."""

    ledger: LedgerName
    ledger_exists: bool
    open_before: int
    """Submissions that the ledger has to send already."""
    asked_before: AskedFor
    """The pictures that the open submissions ask for."""
    new: AskedFor
    """The submissions that the manifests add."""
    read: bool
    """Manifests were given."""
    rows: int = 0
    """Rows of the manifests."""
    distinct: int = 0
    """Submissions among them."""
    invalid: int = 0
    """Rows that cannot be sent."""
    first_invalid_rows: tuple[InvalidRowRecord, ...] = ()

    @property
    def repeated(self) -> int:
        """Rows that ask for the same as an earlier row."""
        return self.rows - self.invalid - self.distinct

    def would_send(self, limit: int | None = None) -> int:
        """Return how many submissions a run would send at most."""
        to_send = self.open_before + self.new.n
        return to_send if limit is None else min(to_send, limit)


async def forecast(
    path: str | os.PathLike[str],
    manifests: Sequence[str | os.PathLike[str]] = (),
    how: ReadOptions | None = None,
    *,
    on_event: OnEvent = ignore_event,
) -> Forecast:
    """Return what a run would do.

    Args:
        path: the ledger's file; there may be none when manifests are given.
        manifests: as for a run.
        how: they are read.
        on_event: called with warnings.

    Raises:
        ManifestError: a manifest cannot be used.
        LedgerError: the ledger is missing or cannot be read.
    """
    how, place = how or ReadOptions(), ledger_named(path)
    async with prepared_manifests(manifests, how, place, on_event=on_event) as prepared:
        exists = not database_of(place).is_missing()
        if not manifests and not exists:
            raise LedgerMissing(f"{place}: there is no ledger to resume; name a manifest: {FIRST_RUN}")
        left = readiness(place).open if exists else 0
        asked = asked_open(place, FIRST_GROUPS) if left else AskedFor()
        if exists:
            warnings_of(await refuse_resubmissions(Bystander(place), prepared.manifests, how), on_event)
        with TemporaryDirectory(prefix="batcher-") as folder:
            scratch = Path(folder) / "dry-run.db"
            rows, distinct, invalid, first = await _read(prepared.manifests, scratch, on_event)
            new = asked_lacking(place if exists else None, scratch, FIRST_GROUPS)
        return Forecast(
            place, exists, left, asked, new, bool(prepared.manifests), rows, distinct, invalid, first
        )


async def _read(
    prepared: Sequence[Prepared], scratch: Path, on_event: OnEvent
) -> tuple[int, int, int, tuple[InvalidRowRecord, ...]]:
    """Load manifests into a ledger that is thrown away.

    Returns:
        How many rows, submissions and invalid rows they hold, and the first invalid rows.
    """
    async with await open_for_writing(scratch) as ledger:
        await load_alone(ledger, prepared, on_event)
        return (
            sum(load.rows for load in await ledger.loads()),
            figures(await ledger.tallies()).total,
            sum(load.invalid for load in await ledger.loads()),
            tuple(await ledger.invalid_rows(limit=FIRST_INVALID_ROWS)),
        )
