"""Comparing a manifest with what it was when it was last read to its end.

Called at the end of a load, for its report. It reads the ledger page by page and keeps a byte for each
submission that appeared or is gone. It never writes, and it has no influence on what is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from batcher.ledger.loads import Changes
from batcher.ledger.manifest_fingerprint import (
    NOTHING_BEFORE,
    PAGE_IDS,
    Fingerprint,
    differences,
    unpacked,
)
from batcher.ledger.reader import LedgerReader
from batcher.model.submission import LoadId

PAGES_AT_ONCE = 64


async def compare(ledger: LedgerReader, path: str, now: Fingerprint) -> Changes | None:
    """Return how the rows differ from those of the last load; None without an earlier load."""
    last = await ledger.last_seen(path)
    if last is None:
        return None
    appeared, gone = Fingerprint(), Fingerprint()
    found = Changes(0, 0, 0)
    async for number, before in _both(ledger, last, now):
        differs = differences(number, unpacked(before) if before else NOTHING_BEFORE, now.page(number))
        appeared.add(differs.appeared)
        gone.add(differs.gone)
        counts = len(differs.appeared), len(differs.gone), differs.changed
        found = Changes(*map(sum, zip(found, counts, strict=True)))
    moved = await _moved(ledger, gone, appeared) if found.appeared and found.gone else 0
    return Changes(found.appeared - moved, found.gone - moved, found.changed + moved)


async def _both(
    ledger: LedgerReader, last: LoadId, now: Fingerprint
) -> AsyncIterator[tuple[int, bytes | None]]:
    """Every page that was used before or is used now, with what it was before."""
    left, after = set(now.numbers()), -1
    while pages := await ledger.seen_pages(last, after=after, limit=PAGES_AT_ONCE):
        for number, checks in pages:
            left.discard(number)
            yield number, checks
        after = pages[-1][0]
    for number in sorted(left):
        yield number, None


async def _moved(ledger: LedgerReader, gone: Fingerprint, appeared: Fingerprint) -> int:
    """Count recordings that are gone under some parameters and have appeared under others."""
    taken, given = Fingerprint(), Fingerprint()
    moved = 0
    for number in gone.numbers():
        ids = [id_ for id_, check in enumerate(gone.page(number), number * PAGE_IDS) if check]
        for one, other in await ledger.same_recording(ids):
            if one not in given and other in appeared and other not in taken:
                given.add([one])
                taken.add([other])
                moved += 1
    return moved
