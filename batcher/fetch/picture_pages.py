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
    UNFETCHED,
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


class PicturePages:
    """Pages of the pictures to request, and the number of files that are in place.

    Args:
        ledger: the pictures on record.
        settings: of the fetch.
        figures: of the fetch; ``in_place`` is counted here.
        began_ms: when the fetch began, as the ledger dates its records.
    """

    def __init__(
        self, ledger: PictureLedger, settings: FetchSettings, figures: FetchFigures, began_ms: int
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._figures = figures
        self._began_ms = began_ms

    async def __aiter__(self) -> AsyncIterator[list[PictureRecord]]:
        recordings = self._settings.recordings
        async for page in self._ledger.pages(UNFETCHED, recordings):
            yield page
        async for page in self._missing():
            self._figures.in_place -= len(page)
            yield page
        if self._settings.again:
            given_up = settled_before(self._began_ms, GIVEN_UP)
            async for page in self._ledger.pages(given_up, recordings):
                yield page

    async def _missing(self) -> AsyncIterator[list[PictureRecord]]:
        """Yield the pictures of earlier fetches whose files are missing."""
        gone, last = await self._folders_gone()
        for first in range(0, len(gone), PAGE):
            lost = with_files_before(self._began_ms, gone[first : first + PAGE])
            async for page in self._ledger.pages(lost):
                yield page
        begin, end = self._submissions_to_check(last)
        in_gone_folders = set(gone)
        kept = settled_before(self._began_ms, KEPT)
        async for page in self._ledger.pages(kept, self._settings.recordings, after=(begin + 1, 0)):
            to_check = [
                picture
                for picture in page
                if picture.submission_id <= end and picture.submission_id not in in_gone_folders
            ]
            yield await asyncio.to_thread(_without_file, self._settings.folder, to_check)
            if page[-1].submission_id > end:
                break

    async def _folders_gone(self) -> tuple[list[SubmissionId], int]:
        """Return the submissions whose folder is gone, and the highest number of any; count their files."""
        there = await asyncio.to_thread(folders_in, self._settings.folder)
        gone: list[SubmissionId] = []
        last = 0
        while page := await self._ledger.folders(
            self._began_ms, self._settings.recordings, after=last, limit=FOLDERS
        ):
            last = page[-1].submission_id
            self._figures.in_place += sum(record.n for record in page)
            gone += [record.submission_id for record in page if record.file.partition("/")[0] not in there]
        return gone, last

    def _submissions_to_check(self, last: int) -> tuple[int, int]:
        if self._settings.check_all:
            return 0, last
        return share_of_day(self._figures.in_place, last, self._began_ms // _DAY_MS)


def _without_file(folder: Path, page: list[PictureRecord]) -> list[PictureRecord]:
    return [picture for picture in page if not is_kept(folder, picture.file, picture.n_bytes)]
