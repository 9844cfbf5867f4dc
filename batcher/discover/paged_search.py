"""Searches of Tencent's recordings, page by page.

Called by the walks of :mod:`batcher.discover.search_walks` and by the check of ids. The documentation
leaves open whether pages count from 0 or from 1, and how long they may be: the first search finds out both.
That holds for all later searches, so one command must use one :class:`PagedSearch`.

Source: ZEGO server API, "Search media information" (SearchMedia).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from batcher.discover.retrying_query import RetryingQuery
from batcher.errors import Refused
from batcher.model.outcome import Answer, NotReported
from batcher.model.submission import Archive, FileId
from batcher.zego.client import Wire
from batcher.zego.codes import meaning
from batcher.zego.search_media import IDS_PER_SEARCH, Search, SearchPage

CAP = 5_000
"""A search shows at most this many of Tencent's recordings, and counts no further."""

PAGE_SIZES = (500, 100, 10)
"""Page sizes, tried in turn: the longest page is not documented."""

USUAL_SIZES = frozenset({10, 20, 50, 100, 200, 250})
"""A first page of one of these sizes, where there are more recordings, was cut to the service's own size."""


class SearchClient(Protocol):
    """The client, as far as discovery uses it."""

    async def search(self, wanted: Search, on_wire: Wire | None = None) -> SearchPage | NotReported:
        """Request one page."""


class PagedSearch:
    """Reads the pages of searches.

    Args:
        client: makes the calls.
        query: repeats a call until it is answered.
    """

    def __init__(self, client: SearchClient, query: RetryingQuery) -> None:
        self._client = client
        self._query = query
        self._first_number: int | None = None
        self.size = PAGE_SIZES[0]

    @property
    def capacity(self) -> int:
        """The number of recordings that can be read page by page, whether pages count from 0 or from 1."""
        return CAP - self.size

    async def pages(self, search: Search, first: SearchPage | None = None) -> AsyncIterator[SearchPage]:
        """Read pages until every recording was seen or the cap is reached.

        Args:
            search: without its page.
            first: its first page, when that was read already.
        """
        page = first or await self.first_page(search)
        seen = {recording.file_id for recording in page.recordings}
        before, number = seen, self._first_number or 0
        unreadable = page.unreadable
        yield page
        while len(seen) + unreadable < page.total and (number + 2) * self.size <= CAP:
            number += 1
            page = await self._page(search, number)
            now = {recording.file_id for recording in page.recordings}
            if number == 1 and now and now == before:
                self._first_number = 1  # page 0 and page 1 are the same page
            unreadable += page.unreadable if now != before else 0
            yield page
            if not now and not page.unreadable:
                return
            seen |= now
            before = now

    async def first_page(self, search: Search) -> SearchPage:
        """Read the first page; the very first call finds out how pages count and how long they are.

        Raises:
            Refused: the service accepts no such search.
        """
        if self._first_number is not None:
            return await self._counted_from_one(search, await self._page(search, self._first_number))
        refusal: Answer | None = None
        for size in PAGE_SIZES:
            for number in (0, 1):
                answer = await self._ask(search, number, size)
                if isinstance(answer, SearchPage):
                    self._first_number, self.size = number, size
                    return await self._counted_from_one(search, answer)
                refusal = refusal or answer
        raise search_refused(refusal)

    async def look_up(self, ids: tuple[FileId, ...]) -> SearchPage | Answer:
        """Read at most ten recordings by their ids; return the service's refusal if it rejects one."""
        if self._first_number is None:
            now = int(datetime.now(UTC).timestamp())
            await self.first_page(Search(Archive.TENCENT, since_s=now - 1, until_s=now))
        search = Search(Archive.TENCENT, file_ids=ids)
        answer = await self._ask(search, self._first_number or 0, IDS_PER_SEARCH)
        return answer if isinstance(answer, Answer) else await self._counted_from_one(search, answer)

    async def _counted_from_one(self, search: Search, page: SearchPage) -> SearchPage:
        """Read page 1 if page 0 is empty although there are recordings; adopt the service's own page size."""
        if self._first_number == 0 and page.total and not page.recordings and not page.unreadable:
            next_page = await self._ask(search, 1, self.size)
            if isinstance(next_page, SearchPage) and next_page.recordings:
                self._first_number, page = 1, next_page
        length = len(page.recordings) + page.unreadable
        if length < min(self.size, page.total) and length in USUAL_SIZES:
            self.size = length
        return page

    async def _page(self, search: Search, number: int) -> SearchPage:
        answer = await self._ask(search, number, self.size)
        if isinstance(answer, Answer):
            raise search_refused(answer)
        return answer

    async def _ask(self, search: Search, number: int, size: int) -> SearchPage | Answer:
        paged = replace(search, page=number, page_size=size)
        return await self._query.ask(partial(self._client.search, paged))


def search_refused(answer: Answer | None) -> Refused:
    """Return the error for a search that the service refuses."""
    code = answer.code if answer else 2
    said = f" (the service says: {answer.message})" if answer and answer.message else ""
    return Refused(f"the search was refused: code {code}: {meaning(code).text}{said}")
