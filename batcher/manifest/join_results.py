"""A manifest's rows joined with their records in the ledger, page by page, in the order of the file.

Called by ``export MANIFEST`` and by the library for the results of a manifest. Each row is judged as a load
would judge it, and nothing is loaded: a row that the ledger lacks has no record.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

from batcher.errors import ManifestError
from batcher.manifest.batches import next_rows
from batcher.manifest.lacking_option import forgotten, lacking_option
from batcher.manifest.read_options import LastOptions, ReadOptions, no_options
from batcher.manifest.reader import Manifest
from batcher.manifest.sources.patterns import expand, ledger_name
from batcher.manifest.sources.remote import redacted
from batcher.manifest.threads import in_thread
from batcher.model.records import Record
from batcher.model.submission import FileId, InvalidRow, Row

PAGE_ROWS = 1_000


class Matched(NamedTuple):
    """One row of a manifest."""

    row: Row | InvalidRow
    record: Record | None
    """Its submission; None when the row is invalid or the ledger has none."""


@asynccontextmanager
async def opened(
    source: str, how: ReadOptions, last_options: LastOptions = no_options
) -> AsyncIterator[tuple[Manifest, tuple[str, ...]]]:
    """Open the one manifest that a name or a pattern names, check its text, and close it afterwards.

    Args:
        source: the name or pattern.
        how: how it is read, as far as it was given.
        last_options: returns the options of its last load, by its name in the ledger. Blocks.

    Yields:
        The manifest, and the options of its last load that are used, as the command line takes them.

    Raises:
        ManifestError: it cannot be used, or a pattern matches several.
    """
    opening = asyncio.create_task(in_thread(_open_only, source, how, last_options), name="opening")
    try:
        manifest, used = await asyncio.shield(opening)
    except asyncio.CancelledError:  # the thread that opens it cannot be: it is closed when that is done
        opening.add_done_callback(_close_unwanted)
        raise
    with manifest:
        await in_thread(manifest.check)
        yield manifest, used


async def matched(
    manifest: Manifest, records_of: Callable[[Iterable[FileId]], Awaitable[list[Record]]]
) -> AsyncIterator[list[Matched]]:
    """Yield all rows, each with its submission.

    Args:
        manifest: opened.
        records_of: looks up the records of some recordings.

    Raises:
        ManifestError: the rest cannot be used.
        LedgerError: the ledger cannot be read.
    """
    rows = iter(manifest)
    while page := (await in_thread(next_rows, rows, PAGE_ROWS)).rows:
        file_ids = (row.file_id for row in page if isinstance(row, Row))
        found = {(record.file_id, record.parameters): record for record in await records_of(file_ids)}
        yield [
            Matched(row, found.get((row.file_id, row.parameters)) if isinstance(row, Row) else None)
            for row in page
        ]


def _open_only(source: str, how: ReadOptions, last_options: LastOptions) -> tuple[Manifest, tuple[str, ...]]:
    names = expand([source])
    if len(names) > 1:
        raise ManifestError(f"{redacted(source)}: {len(names)} files match this pattern. Name one of them")
    how, used = how.filled_from(last_options(ledger_name(names[0])))
    manifest = how.open(names[0])
    try:
        if manifest.again:
            with how.open(names[0]) as again:
                found = lacking_option(again)
            if found:
                raise forgotten(manifest.source, found, manifest.counted_by, manifest.warnings)
    except BaseException:
        manifest.close()
        raise
    return manifest, used


def _close_unwanted(opening: asyncio.Task[tuple[Manifest, tuple[str, ...]]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].close()
