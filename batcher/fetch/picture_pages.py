"""The pictures that a fetch requests, page by page: new ones, missing ones, and given-up ones on request.

Called by :mod:`batcher.fetch.fetcher`. Pictures of earlier fetches whose files are missing are requested
again. One listing of the folder finds recordings whose folder is gone. Files are also checked one by one:
all of them while there are few, otherwise a share each day, so that a few new pictures do not cost a scan
of the archive.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from batcher.fetch.fetch_policy import share_of_day
from batcher.fetch.picture_paths import folders_in, is_kept
from batcher.fetch.settings import FetchFigures, FetchSettings
from batcher.ledger.pictures import GIVEN_UP, KEPT, PageEnd, PictureLedger
from batcher.model.records import PictureRecord
from batcher.model.submission import SubmissionId
from batcher.model.task import PictureState

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
        async for page in _paged(self._unfetched):
            yield page
        async for page in self._missing():
            self._figures.in_place -= len(page)
            yield page
        if self._settings.again:
            async for page in _paged(self._given_up):
                yield page

    async def _missing(self) -> AsyncIterator[list[PictureRecord]]:
        """Yield the pictures of earlier fetches whose files are missing."""
        gone, last = await self._folders_gone()
        for first in range(0, len(gone), PAGE):
            yield await self._ledger.of_submissions(gone[first : first + PAGE], self._began_ms)
        begin, end = self._submissions_to_check(last)
        in_gone_folders = set(gone)
        async for page in _paged(self._kept, (begin + 1, 0)):
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

    async def _unfetched(self, after: PageEnd) -> list[PictureRecord]:
        return await self._ledger.unfetched(self._settings.recordings, after=after, limit=PAGE)

    async def _given_up(self, after: PageEnd) -> list[PictureRecord]:
        return await self._settled(GIVEN_UP, after)

    async def _kept(self, after: PageEnd) -> list[PictureRecord]:
        return await self._settled(KEPT, after)

    async def _settled(self, states: Sequence[PictureState], after: PageEnd) -> list[PictureRecord]:
        recordings = self._settings.recordings
        return await self._ledger.settled_before(states, self._began_ms, recordings, after=after, limit=PAGE)


def _without_file(folder: Path, page: list[PictureRecord]) -> list[PictureRecord]:
    return [picture for picture in page if not is_kept(folder, picture.file, picture.n_bytes)]


async def _paged(
    page_after: Callable[[PageEnd], Awaitable[list[PictureRecord]]], after: PageEnd = (0, 0)
) -> AsyncIterator[list[PictureRecord]]:
    """Yield all pages after a place, one by one."""
    while page := await page_after(after):
        after = page[-1].place
        yield page
