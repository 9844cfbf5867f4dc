"""Loading: manifests into the ledger, before and while the workers send.

A manifest is judged by its first rows before anything of it is kept: ids that a spreadsheet has rounded,
and an archive that is in the ledger already under other parameters, are refused as a whole. Reading goes
on in a thread of its own and yields to sending batch by batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from batcher.errors import ManifestError
from batcher.ledger import Added, RunLedger
from batcher.manifest.threads import in_thread
from batcher.model.events import OnEvent, PassedOver, ignore_event
from batcher.model.submission import InvalidRow, LoadId, Row
from batcher.submit.manifest_checks import Prepared

ROWS_AT_ONCE = 5_000
"""Rows of a manifest read at once when nothing is being sent."""

BATCHES_AT_ONCE = 12
"""So many of these may be on their way to the disk: those that gather while the disk is busy go together."""


async def load_alone(
    ledger: RunLedger, prepared: Sequence[Prepared], on_event: OnEvent = ignore_event
) -> None:
    """Load manifests while nothing is sent: as fast as the disk takes them.

    Raises:
        ManifestError: one turned out unusable on the way; what was read so far is kept.
    """
    await Loader(
        ledger,
        batch_rows=ROWS_AT_ONCE,
        batches_at_once=BATCHES_AT_ONCE,
        added=lambda: None,
        on_event=on_event,
    ).load(prepared)


class Loader:
    """Brings prepared manifests into the ledger, one after the other.

    Args:
        ledger: where the rows go.
        batch_rows: how many rows make one batch: few while sending goes on.
        batches_at_once: how many may be on their way to the disk, where those that wait go together;
            with more than one, reading goes on meanwhile.
        added: told after every batch.
        on_event: told what a manifest held that is no row.
    """

    def __init__(
        self,
        ledger: RunLedger,
        *,
        batch_rows: int,
        batches_at_once: int = 1,
        added: Callable[[], None],
        on_event: OnEvent = ignore_event,
    ) -> None:
        self._ledger = ledger
        self._batch_rows = batch_rows
        self._batches_at_once = batches_at_once
        self._added = added
        self._on_event = on_event

    async def load(self, manifests: Sequence[Prepared]) -> None:
        """Read manifests to their ends. All are on record as unfinished before the first is read.

        Raises:
            ManifestError: one turned out unusable on the way; what was read so far is kept.
        """
        announced = [
            (prepared, await self._ledger.start_load(one.source, prepared.path, one.columns, one.counted_by))
            for prepared in manifests
            for one in [prepared.manifest]
        ]
        for prepared, load_id in announced:
            try:
                await self._load(prepared, load_id)
            except ManifestError as exc:
                await self._ledger.end_load(load_id, str(exc))
                raise

    async def load_cut_off(self, manifests: Sequence[Prepared]) -> None:
        """Keep the first rows of streams, of which no more is waited for. Their loads stay unfinished."""
        for prepared in manifests:
            if rows := prepared.in_hand:
                one = prepared.manifest
                load_id = await self._ledger.start_load(
                    one.source, prepared.path, one.columns, one.counted_by
                )
                await self._keep(load_id, one.source, iter(rows))

    async def _load(self, prepared: Prepared, load_id: LoadId) -> None:
        """Bring one manifest in. One that holds what it held at its last load is not read again."""
        before = await self._ledger.digest_before(prepared.path)
        if before is not None and before == await in_thread(prepared.digest):
            with prepared:
                await self._ledger.repeat_load(load_id)
            return
        await self._read(prepared, load_id)
        await self._ledger.end_load(load_id, digest=await in_thread(prepared.digest))

    async def _read(self, prepared: Prepared, load_id: LoadId) -> None:
        rows = await in_thread(prepared.rows)
        with prepared:
            await self._keep(load_id, prepared.manifest.source, rows)
            if passed_over := prepared.manifest.passed_over:
                met = ", ".join(f"{n:,} × {name}" for name, n in passed_over.items())
                self._on_event(PassedOver(prepared.manifest.source, met))

    async def _keep(self, load_id: LoadId, source: str, rows: Iterator[Row | InvalidRow]) -> None:
        """Hand batch after batch to the ledger. Whatever ends it, what was handed over is kept first."""
        keeping = deque[asyncio.Future[Added]]()
        try:
            while batch := await in_thread(_next_rows, rows, self._batch_rows):
                bad = [row for row in batch if isinstance(row, InvalidRow)]
                good = [row for row in batch if isinstance(row, Row)]
                keeping.append(asyncio.ensure_future(self._ledger.add(load_id, source, good, bad)))
                del batch, good, bad  # not held while the next are read
                while len(keeping) >= self._batches_at_once:
                    await self._kept(keeping)
            while keeping:
                await self._kept(keeping)
        finally:
            await asyncio.gather(*keeping, return_exceptions=True)

    async def _kept(self, keeping: deque[asyncio.Future[Added]]) -> None:
        await keeping.popleft()
        self._added()


def _next_rows(rows: Iterator[Row | InvalidRow], n: int) -> list[Row | InvalidRow]:
    return list(islice(rows, n))
