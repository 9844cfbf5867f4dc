"""The pictures that a fetch requests, page by page: new ones, missing ones, and given-up ones on request.

Called by :mod:`batcher.fetch.fetcher`. Pictures of earlier fetches whose files are missing are requested
again. One listing of the folder finds recordings whose folder is gone. Files are also checked one by one:
all of them while there are few, otherwise a share each day, so that a few new pictures do not cost a scan
of the archive.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from batcher.fetch.fetch_policy import share_of_day
from batcher.fetch.picture_paths import folders_in, is_kept
from batcher.fetch.settings import FetchFigures, FetchSettings
from batcher.ledger.pictures import (
    GIVEN_UP,
    KEPT,
    PictureLedger,
    settled_before,
    with_files_before,
)
from batcher.model.records import PictureRecord
from batcher.model.submission import SubmissionId

PAGE = 500

FOLDERS = 20_000
"""Submissions whose folders are compared with the listing together."""

_DAY_MS = 86_400_000


async def pages_to_fetch(
    ledger: PictureLedger, settings: FetchSettings, figures: FetchFigures
) -> AsyncIterator[list[PictureRecord]]:
    """Yield the pictures to request, page by page.

    Args:
        ledger: the pictures on record.
        settings: of the fetch, which begins now.
        figures: of the fetch; ``in_place`` is counted here.
    """
    began_ms, recordings = ledger.now_ms(), settings.recordings
    async for page in ledger.unfetched(recordings):
        yield page
    if not settings.checks:
        return
    async for page in _missing(ledger, settings, figures, began_ms):
        figures.in_place -= len(page)
        yield page
    if settings.again:
        async for page in ledger.pages(settled_before(began_ms, GIVEN_UP), recordings):
            yield page


async def _missing(
    ledger: PictureLedger, settings: FetchSettings, figures: FetchFigures, began_ms: int
) -> AsyncIterator[list[PictureRecord]]:
    """Yield the pictures of earlier fetches whose files are missing; count the files of all."""
    there, gone, last = await asyncio.to_thread(folders_in, settings.folder), list[SubmissionId](), 0
    while page := await ledger.folders(began_ms, settings.recordings, after=last, limit=FOLDERS):
        last = page[-1].submission_id
        figures.in_place += sum(record.n for record in page)
        gone += [record.submission_id for record in page if record.file.partition("/")[0] not in there]
    for first in range(0, len(gone), PAGE):
        async for lost in ledger.pages(with_files_before(began_ms, gone[first : first + PAGE])):
            yield lost
    begin, end = 0, last
    if not settings.check_all:
        begin, end = share_of_day(figures.in_place, last, began_ms // _DAY_MS)
    in_gone_folders = set(gone)
    kept = settled_before(began_ms, KEPT)
    async for pictures in ledger.pages(kept, settings.recordings, after=(begin + 1, 0)):
        to_check = [
            picture
            for picture in pictures
            if picture.submission_id <= end and picture.submission_id not in in_gone_folders
        ]
        yield await asyncio.to_thread(_without_file, settings.folder, to_check)
        if pictures[-1].submission_id > end:
            break


def _without_file(folder: Path, page: list[PictureRecord]) -> list[PictureRecord]:
    return [picture for picture in page if not is_kept(folder, picture.file, picture.n_bytes)]
