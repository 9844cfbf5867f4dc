"""Walks through the recordings that exist: all of them, each once, a batch at a time.

Called by discovery and by the check of ids. A search shows at most 5,000 of Tencent's recordings, so
:class:`TimeWalk` halves a time until each part is shown completely. :class:`MarkerWalk` follows the markers
of Huawei's and Ws's archives. Recordings are handed on immediately and forgotten, so an archive may have
any size. Nothing may be left out silently: each batch says in words what it lacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from batcher.discover.paged_search import CAP, PagedSearch, SearchClient, search_refused
from batcher.discover.retrying_query import RetryingQuery
from batcher.model.outcome import Answer
from batcher.model.submission import Archive, FileId, Recording
from batcher.zego.search_media import Search, SearchPage, fitting_prefix

WALKS = 5
"""The number of times that a period is read while its recordings keep changing."""

SETTLING_S = 0.5
"""The wait before a time is read again grows by this; recordings change in the present second only."""


@dataclass(frozen=True, slots=True)
class ListPosition:
    """The end of what was listed: a later walk continues here."""

    at_s: int | None = None
    """Tencent: all recordings created before this Unix second are listed."""
    marker: str = ""
    """The other archives: all recordings before this marker are listed."""
    recent: frozenset[FileId] = frozenset()
    """Recordings that are listed already and may appear again after this position."""


class RecordingBatch(NamedTuple):
    """More recordings of a list."""

    recordings: tuple[Recording, ...]
    reached: ListPosition | None
    """None within a part, which a later walk must begin anew."""
    shortfall: str = ""
    """The recordings that are missing from the part that ends here, in words; empty when it is complete."""


Sleep = Callable[[float], Awaitable[object]]


class TimeWalk:
    """Lists Tencent's recordings of a time, halving it until each part is shown completely.

    Parts overlap by a second, since it is not documented whether the end of a time is within it.

    Args:
        search: reads the pages.
        prefix: the beginning of names.
        since_s: Unix seconds of the oldest recording.
        until_s: Unix seconds of the newest recording.
        recent: recordings listed by the walk that this one continues.
        sleep: waits while recordings keep changing.
    """

    def __init__(
        self,
        search: PagedSearch,
        prefix: str,
        since_s: int,
        until_s: int,
        recent: frozenset[FileId] = frozenset(),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._pages = search
        self._prefix = prefix
        self._open = [(since_s, until_s + 1)]
        self._recent = set(recent)
        self._sleep = sleep
        self._end_included: bool | None = None
        self._crowded: int | None = None

    async def listed(self) -> AsyncIterator[RecordingBatch]:
        """List all parts, the oldest first.

        Raises:
            Refused: the service does not answer the search.
        """
        while self._open:
            begin, end = self._open.pop()
            first = await self._pages.first_page(self._search(begin, end))
            if first.total > self._pages.capacity and await self._halve(begin, end):
                continue
            async for batch in self._part(begin, end, first):
                yield batch

    async def _halve(self, begin: int, end: int) -> bool:
        """Replace a time by its halves, the older one on top; False when it is a single second."""
        if end - begin > 1:
            middle = (begin + end) // 2
            self._open += [(middle, end), (begin, middle)]
            return True
        if end == begin or not await self._includes_end(begin, end):
            return False
        self._open += [(end, end)] if begin == self._crowded else [(end, end), (begin, begin)]
        return True

    async def _includes_end(self, begin: int, end: int) -> bool:
        """Whether the end of a time is within it: then a time that ends where it begins shows recordings."""
        if self._end_included is None:
            seconds = [await self._pages.first_page(self._search(at, at)) for at in (begin, end)]
            self._end_included = any(page.total for page in seconds)
        return self._end_included

    async def _part(self, begin: int, end: int, first: SearchPage) -> AsyncIterator[RecordingBatch]:
        seen, met_again = set[FileId](), set[FileId]()
        most, unreadable = 0, 0
        for walk in range(WALKS):
            unreadable = 0
            async for page in self._pages.pages(self._search(begin, end), None if walk else first):
                fresh = {found.file_id: found for found in page.recordings if found.file_id not in seen}
                seen |= fresh.keys()
                met_again |= {file_id for file_id, found in fresh.items() if not _is_before(found, end)}
                new = tuple(found for file_id, found in fresh.items() if file_id not in self._recent)
                yield RecordingBatch(new, None)
                most, unreadable = max(most, page.total), unreadable + page.unreadable
            if len(seen) + unreadable >= most or most > self._pages.capacity:
                break
            if walk + 1 < WALKS:
                await self._sleep(walk * SETTLING_S)  # recordings have changed while pages were read
        self._recent = met_again
        crowded = most > self._pages.capacity
        if crowded:
            self._crowded = begin
        shortfall = _part_shortfall(begin, end, len(seen), unreadable, most, crowded=crowded)
        yield RecordingBatch((), ListPosition(at_s=end, recent=frozenset(met_again)), shortfall)

    def _search(self, begin: int, end: int) -> Search:
        prefix = fitting_prefix(self._prefix)
        return Search(Archive.TENCENT, prefix, since_s=begin, until_s=end)


class MarkerWalk:
    """Lists the recordings of an archive whose pages follow a marker.

    Args:
        client: makes the calls.
        query: repeats a call until it is answered.
        archive: Huawei or Ws.
        prefix: the beginning of names.
        marker: where to begin; empty for the beginning.
        recent: recordings listed by the walk that this one continues.
    """

    def __init__(
        self,
        client: SearchClient,
        query: RetryingQuery,
        archive: Archive,
        prefix: str,
        marker: str = "",
        recent: frozenset[FileId] = frozenset(),
    ) -> None:
        self._client = client
        self._query = query
        self._search = Search(archive, fitting_prefix(prefix), marker=marker)
        self._recent = recent

    async def listed(self) -> AsyncIterator[RecordingBatch]:
        """List all pages.

        Raises:
            Refused: the service does not answer the search.
        """
        walked = {self._search.marker}
        while True:
            page = await self._query.ask(partial(self._client.search, self._search))
            if isinstance(page, Answer):
                raise search_refused(page)
            fresh = {found.file_id: found for found in page.recordings if found.file_id not in self._recent}
            self._recent = frozenset(found.file_id for found in page.recordings)
            following = page.next_marker
            reached = ListPosition(marker=following or self._search.marker, recent=self._recent)
            circle = following != "" and following in walked - {self._search.marker}
            yield RecordingBatch(tuple(fresh.values()), reached, _page_shortfall(page, circle=circle))
            if not self._recent and not page.unreadable:
                return
            if not following or following in walked:
                return
            walked.add(following)
            self._search = replace(self._search, marker=following)


def _is_before(recording: Recording, at_s: int) -> bool:
    return recording.created_at is not None and recording.created_at.timestamp() < at_s


def _part_shortfall(begin: int, end: int, found: int, unreadable: int, counted: int, *, crowded: bool) -> str:
    """Return the recordings that are missing from a part of a time, in words, and their largest number.

    Args:
        begin: of the part, in Unix seconds.
        end: of the part.
        found: recordings that are listed.
        unreadable: recordings whose id cannot be read.
        counted: recordings that the service has counted.
        crowded: the part holds more than can be read page by page, and cannot be halved.
    """
    time = _second(begin)
    if counted >= CAP:
        return (
            f"{time}: this one second holds {CAP:,} recordings or more, and the service shows no more; "
            f"{found:,} are listed, all further ones of this second are not. Try --prefix"
        )
    if found + unreadable >= counted:
        return _unreadable_text(unreadable, time)
    if crowded:
        return (
            f"{time}: this one second holds {counted:,} recordings, and the service shows no more "
            f"than {found:,} of them page by page; the others are not listed. Try --prefix"
        )
    return (
        f"{time} to {_second(end)}: {found:,} of {counted:,} recordings are listed: they "
        "kept changing while they were read. Run it again later"
    )


def _page_shortfall(page: SearchPage, *, circle: bool) -> str:
    if circle:
        return "the service's markers repeat; the list may end too early"
    return _unreadable_text(page.unreadable, "a page")


def _unreadable_text(n: int, where: str) -> str:
    return f"{where}: {n:,} without an id that can be read, and not listed" if n else ""


def _second(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
