"""Comparing a manifest with what it was when it was last read to its end.

Called at the end of a load, for its report. It reads the ledger page by page and keeps a byte for each
submission that appeared or is gone. It never writes, and it has no influence on what is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from batcher.ledger.loads import Changes
from batcher.ledger.manifest_fingerprint import (
    NOTHING_BEFORE,
    PAGE_IDS,
    Fingerprint,
    differences,
    unpacked,
    used,
)
from batcher.model.submission import LoadId, SubmissionId

PAGES_AT_ONCE = 64


class Before(Protocol):
    """The part of a ledger that the comparison reads."""

    async def last_seen(self, path: str) -> LoadId | None:
        """The last load of a path whose rows are remembered."""

    async def seen_pages(self, load_id: LoadId, *, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Pages of its fingerprint in their order, after a given one."""

    async def same_recording(self, ids: Sequence[int]) -> list[tuple[SubmissionId, SubmissionId]]:
        """For submissions, the others of the same recording."""


async def compare(ledger: Before, path: str, now: Fingerprint) -> Changes | None:
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


async def distinct_before(ledger: Before, last: LoadId) -> int:
    """Return how many submissions the rows of an earlier load had."""
    found, after = 0, -1
    while pages := await ledger.seen_pages(last, after=after, limit=PAGES_AT_ONCE):
        found += sum(used(unpacked(checks).checks) for _, checks in pages)
        after = pages[-1][0]
    return found


async def _both(ledger: Before, last: LoadId, now: Fingerprint) -> AsyncIterator[tuple[int, bytes | None]]:
    """Every page that was used before or is used now, with what it was before."""
    left, after = set(now.numbers()), -1
    while pages := await ledger.seen_pages(last, after=after, limit=PAGES_AT_ONCE):
        for number, checks in pages:
            left.discard(number)
            yield number, checks
        after = pages[-1][0]
    for number in sorted(left):
        yield number, None


async def _moved(ledger: Before, gone: Fingerprint, appeared: Fingerprint) -> int:
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
