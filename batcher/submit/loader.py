"""The loader: reads prepared manifests into the ledger, before or while the workers send.

Called by the runner, by ``load`` and by the library. Manifests have passed the checks of
:mod:`batcher.submit.manifest_checks`. Rows are read in a thread; between two batches, workers can write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from batcher.errors import ManifestError
from batcher.ledger.loads import Added
from batcher.ledger.run_ledger import RunLedger
from batcher.manifest.batches import BATCH_CHARACTERS, next_rows
from batcher.manifest.threads import in_thread
from batcher.model.events import Message, OnEvent, PassedOver, Severity, ignore_event
from batcher.model.submission import InvalidRow, LoadId, Row
from batcher.submit.prepared import Prepared

ROWS_AT_ONCE = 5_000
"""Rows of a manifest in one batch when nothing is being sent."""

BATCHES_AT_ONCE = 12
"""The number of these batches that may wait for the disk; batches that wait together share a transaction."""

CHARACTERS_AT_ONCE = 2 * BATCH_CHARACTERS
"""The limit of characters in the batches that wait for the disk."""


async def load_alone(
    ledger: RunLedger, prepared: Sequence[Prepared], on_event: OnEvent = ignore_event
) -> None:
    """Load manifests while nothing is sent, as fast as the disk allows.

    Raises:
        ManifestError: a manifest turned out unusable; rows read before are kept.
    """
    await Loader(
        ledger,
        batch_rows=ROWS_AT_ONCE,
        batches_at_once=BATCHES_AT_ONCE,
        added=lambda: None,
        on_event=on_event,
    ).load(prepared)


class Loader:
    """Reads prepared manifests into the ledger, one after the other.

    Args:
        ledger: where the rows go.
        batch_rows: how many rows make one batch: few while workers send.
        batches_at_once: how many batches may be on their way to the disk; with more than one, reading
            continues meanwhile.
        added: called after each batch.
        on_event: called with what a manifest holds that is not a row.
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
            ManifestError: a manifest turned out unusable; rows read before are kept.
        """
        started = [(prepared, await self._start(prepared)) for prepared in manifests]
        for prepared, load_id in started:
            try:
                await self._load(prepared, load_id)
            except ManifestError as exc:
                await self._ledger.end_load(load_id, str(exc))
                raise

    async def load_cut_off(self, manifests: Sequence[Prepared]) -> None:
        """Keep the rows of streams that arrived before the time limit. Their loads stay unfinished."""
        for prepared in manifests:
            if rows := prepared.streamed_rows:
                await self._keep(await self._start(prepared), prepared.manifest.source, iter(rows))

    async def _start(self, prepared: Prepared) -> LoadId:
        """Record that a manifest is being read."""
        manifest = prepared.manifest
        return await self._ledger.start_load(
            manifest.source, prepared.path, manifest.columns, manifest.counted_by, prepared.how.kept()
        )

    async def _load(self, prepared: Prepared, load_id: LoadId) -> None:
        """Load one manifest. A file that is unchanged since its last load is not read again."""
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
            for warning in prepared.manifest.late_warnings:
                prepared.warnings.append(warning)
                self._on_event(Message(warning, Severity.WARNING))
            if passed_over := prepared.manifest.passed_over:
                kinds = ", ".join(f"{n:,} × {name}" for name, n in passed_over.items())
                self._on_event(PassedOver(prepared.manifest.source, kinds))

    async def _keep(self, load_id: LoadId, source: str, rows: Iterator[Row | InvalidRow]) -> None:
        """Hand batch after batch to the ledger, and wait until all are recorded, also when reading fails."""
        keeping = deque[tuple[asyncio.Future[Added], int]]()
        characters = 0
        try:
            while (batch := await in_thread(next_rows, rows, self._batch_rows)).rows:
                bad = [row for row in batch.rows if isinstance(row, InvalidRow)]
                good = [row for row in batch.rows if isinstance(row, Row)]
                size = batch.characters
                keeping.append((asyncio.ensure_future(self._ledger.add(load_id, source, good, bad)), size))
                characters += size
                del batch, good, bad  # not held while the next are read
                while len(keeping) >= self._batches_at_once or characters > CHARACTERS_AT_ONCE:
                    characters -= await self._kept(keeping)
            while keeping:
                await self._kept(keeping)
        finally:
            await asyncio.gather(*(adding for adding, _ in keeping), return_exceptions=True)

    async def _kept(self, keeping: deque[tuple[asyncio.Future[Added], int]]) -> int:
        """Wait for the oldest batch; return its characters."""
        adding, size = keeping.popleft()
        await adding
        self._added()
        return size
