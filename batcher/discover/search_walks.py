"""Discovery: which recordings exist, all of them, each once, a part at a time.

Between the service's search and whoever wants a list. Two ways to walk: Tencent's recordings by time, since
a search shows 5,000 at most, so that a fuller time is halved until it shows all; Huawei's and Ws's along a
marker. What has been listed is handed on at once and forgotten, so that an archive may be of any size.
Nothing is kept here, and nothing is left out without a word: a :class:`Listed` says what it lacks.

Source: ZEGO server API, "Search media information" (SearchMedia).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple, Protocol

from batcher.discover.retrying_query import RetryingQuery
from batcher.errors import Refused
from batcher.model.outcome import Answer, NotReported
from batcher.model.submission import Archive, FileId, Recording
from batcher.zego.client import Wire
from batcher.zego.codes import meaning
from batcher.zego.search_media import LOOKED_UP, Search, SearchPage, fitting_prefix

CAP = 5_000
"""A search shows no more than so many of Tencent's recordings, and counts no further."""

PAGE_SIZES = (500, 100, 10)
"""Tried in turn: how long a page of Tencent's may be is not documented."""

USUAL_SIZES = frozenset({10, 20, 50, 100, 200, 250})
"""A page of just so many, where there are more, was cut to the service's own size."""

WALKS = 5
"""So often a time is walked through while its recordings keep changing."""

SETTLING_S = 0.5
"""They change in the second that has just begun, and in no other for long: each walk waits longer for it."""


class Searching(Protocol):
    """What discovery needs of the client."""

    async def search(self, wanted: Search, on_wire: Wire | None = None) -> SearchPage | NotReported:
        """Ask for one page."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Up to where recordings are listed: what a later walk goes on from."""

    at_s: int | None = None
    """Tencent: all that were created before this Unix second."""
    marker: str = ""
    """The others: all before this marker."""
    recent: frozenset[FileId] = frozenset()
    """Listed already, and perhaps met again from there on."""


class Listed(NamedTuple):
    """Some more of the list."""

    recordings: tuple[Recording, ...]
    reached: Reached | None
    """None in the middle of a part, which is gone on from its beginning."""
    shortfall: str = ""
    """What this part lacks, in words; empty when it is whole."""


Sleep = Callable[[float], Awaitable[object]]


class Pages:
    """Tencent's pages, whether the service counts them from 0 or from 1, and however long they may be.

    Args:
        client: makes the calls.
        inquiry: asks until there is an answer.
    """

    def __init__(self, client: Searching, inquiry: RetryingQuery) -> None:
        self._client = client
        self._inquiry = inquiry
        self._first: int | None = None
        self.size = PAGE_SIZES[0]

    @property
    def fitting(self) -> int:
        """So many recordings can be read page by page, from whichever number pages count."""
        return CAP - self.size

    async def each(self, wanted: Search, first: SearchPage | None = None) -> AsyncIterator[SearchPage]:
        """All pages of a search that can be had, until every recording was seen or the cap is met.

        Args:
            wanted: what is looked for.
            first: its first page, when it is here already.
        """
        page = first or await self.first(wanted)
        seen = {one.file_id for one in page.recordings}
        before, number = seen, self._first or 0
        unreadable = page.unreadable
        yield page
        while len(seen) + unreadable < page.total and (number + 2) * self.size <= CAP:
            number += 1
            page = await self._page(wanted, number, self.size)
            now = {one.file_id for one in page.recordings}
            if number == 1 and now and now == before:
                self._first = 1  # page 0 was page 1 under another name
            unreadable += page.unreadable if now != before else 0
            yield page
            if not now and not page.unreadable:
                return
            seen |= now
            before = now

    async def first(self, wanted: Search) -> SearchPage:
        """The first page; by the first of all it is found out how the service counts, and how long pages are.

        Raises:
            Refused: the service takes no such search.
        """
        if self._first is not None:
            page = await self._page(wanted, self._first, self.size)
            return await self._from_one(wanted, page)
        refusal: Answer | None = None
        for size in PAGE_SIZES:
            for number in (0, 1):
                answer = await self._ask(wanted, number, size)
                if isinstance(answer, SearchPage):
                    self._first, self.size = number, size
                    return await self._from_one(wanted, answer)
                refusal = refusal or answer
        raise _refused(refusal)

    async def looked_up(self, ids: tuple[FileId, ...]) -> SearchPage | Answer:
        """Ten recordings at most by their ids; or the service's no to one of these."""
        if self._first is None:
            now = int(datetime.now(UTC).timestamp())
            await self.first(Search(Archive.TENCENT, since_s=now - 1, until_s=now))
        wanted = Search(Archive.TENCENT, file_ids=ids)
        answer = await self._ask(wanted, self._first or 0, LOOKED_UP)
        return answer if isinstance(answer, Answer) else await self._from_one(wanted, answer)

    async def _from_one(self, wanted: Search, page: SearchPage) -> SearchPage:
        """The page, unless it is an empty page 0 of what is not empty; and what its length says."""
        if self._first == 0 and page.total and not page.recordings and not page.unreadable:
            one = await self._ask(wanted, 1, self.size)
            if isinstance(one, SearchPage) and one.recordings:
                self._first, page = 1, one
        held = len(page.recordings) + page.unreadable
        if held < min(self.size, page.total) and held in USUAL_SIZES:
            self.size = held
        return page

    async def _page(self, wanted: Search, number: int, size: int) -> SearchPage:
        answer = await self._ask(wanted, number, size)
        if isinstance(answer, Answer):
            raise _refused(answer)
        return answer

    async def _ask(self, wanted: Search, number: int, size: int) -> SearchPage | Answer:
        search = replace(wanted, page=number, page_size=size)
        return await self._inquiry.ask(partial(self._client.search, search))


class TimeWalk:
    """Tencent's recordings of a time, by halving it until each part shows all.

    Parts overlap by a second, since it is not documented whether the end of a time is within it.

    Args:
        pages: how pages are had.
        prefix: what names begin with.
        since_s: Unix seconds of the oldest.
        until_s: of the newest.
        recent: listed by the walk that this one goes on from.
        sleep: waits while recordings keep changing.
    """

    def __init__(
        self,
        pages: Pages,
        prefix: str,
        since_s: int,
        until_s: int,
        recent: frozenset[FileId] = frozenset(),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._pages = pages
        self._prefix = prefix
        self._open = [(since_s, until_s + 1)]
        self._recent = set(recent)
        self._sleep = sleep
        self._end_included: bool | None = None
        self._crowded: int | None = None

    async def listed(self) -> AsyncIterator[Listed]:
        """All parts, the oldest first.

        Raises:
            Refused: the service does not answer the search.
        """
        while self._open:
            begin, end = self._open.pop()
            first = await self._pages.first(self._search(begin, end))
            if first.total > self._pages.fitting and await self._halved(begin, end):
                continue
            async for some in self._part(begin, end, first):
                yield some

    async def _halved(self, begin: int, end: int) -> bool:
        """Put two halves in place of a time, the older on top; False when it is a single second."""
        if end - begin > 1:
            middle = (begin + end) // 2
            self._open += [(middle, end), (begin, middle)]
            return True
        if end == begin or not await self._includes_end(begin, end):
            return False
        self._open += [(end, end)] if begin == self._crowded else [(end, end), (begin, begin)]
        return True

    async def _includes_end(self, begin: int, end: int) -> bool:
        """Whether the end of a time is within it: then one that ends where it begins shows something."""
        if self._end_included is None:
            alone = [await self._pages.first(self._search(at, at)) for at in (begin, end)]
            self._end_included = any(one.total for one in alone)
        return self._end_included

    async def _part(self, begin: int, end: int, first: SearchPage) -> AsyncIterator[Listed]:
        seen, met_again = set[FileId](), set[FileId]()
        most, unreadable = 0, 0
        for walk in range(WALKS):
            unreadable = 0
            async for page in self._pages.each(self._search(begin, end), None if walk else first):
                fresh = {one.file_id: one for one in page.recordings if one.file_id not in seen}
                seen |= fresh.keys()
                met_again |= {name for name, one in fresh.items() if not _is_before(one, end)}
                yield Listed(tuple(one for name, one in fresh.items() if name not in self._recent), None)
                most, unreadable = max(most, page.total), unreadable + page.unreadable
            if len(seen) + unreadable >= most or most > self._pages.fitting:
                break
            if walk + 1 < WALKS:
                await self._sleep(walk * SETTLING_S)  # it has changed while it was read
        self._recent = met_again
        if most > self._pages.fitting:
            self._crowded = begin
        part = _TimeRange(begin, end, len(seen), unreadable, most, crowded=most > self._pages.fitting)
        yield Listed((), Reached(at_s=end, recent=frozenset(met_again)), part.shortfall)

    def _search(self, begin: int, end: int) -> Search:
        prefix = fitting_prefix(self._prefix)
        return Search(Archive.TENCENT, prefix, since_s=begin, until_s=end)


class MarkerWalk:
    """The recordings of an archive whose pages follow a marker.

    Args:
        client: makes the calls.
        inquiry: asks until there is an answer.
        archive: Huawei or Ws.
        prefix: what names begin with.
        marker: where to begin; empty for the beginning.
        recent: listed by the walk that this one goes on from.
    """

    def __init__(
        self,
        client: Searching,
        inquiry: RetryingQuery,
        archive: Archive,
        prefix: str,
        marker: str = "",
        recent: frozenset[FileId] = frozenset(),
    ) -> None:
        self._client = client
        self._inquiry = inquiry
        self._search = Search(archive, fitting_prefix(prefix), marker=marker)
        self._recent = recent

    async def listed(self) -> AsyncIterator[Listed]:
        """All pages.

        Raises:
            Refused: the service does not answer the search.
        """
        walked = {self._search.marker}
        while True:
            page = await self._inquiry.ask(partial(self._client.search, self._search))
            if isinstance(page, Answer):
                raise _refused(page)
            fresh = {one.file_id: one for one in page.recordings if one.file_id not in self._recent}
            self._recent = frozenset(one.file_id for one in page.recordings)
            following = page.next_marker
            reached = Reached(marker=following or self._search.marker, recent=self._recent)
            circle = following != "" and following in walked - {self._search.marker}
            yield Listed(tuple(fresh.values()), reached, _odd(page, circle=circle))
            if not self._recent and not page.unreadable:
                return
            if not following or following in walked:
                return
            walked.add(following)
            self._search = replace(self._search, marker=following)


def _is_before(one: Recording, at_s: int) -> bool:
    return one.created_at is not None and one.created_at.timestamp() < at_s


class _TimeRange(NamedTuple):
    """What came of one part of a time."""

    begin: int
    end: int
    found: int
    unreadable: int
    counted: int
    crowded: bool
    """More are in it than can be read page by page, and it cannot be halved."""

    @property
    def shortfall(self) -> str:
        """What it lacks, and how much that can be."""
        time = _second(self.begin)
        if self.counted >= CAP:
            return (
                f"{time}: this one second holds {CAP:,} recordings or more, and the service shows no more; "
                f"{self.found:,} are listed, all further ones of this second are not. Try --prefix"
            )
        if self.found + self.unreadable >= self.counted:
            return _said_of_unreadable(self.unreadable, time)
        if self.crowded:
            return (
                f"{time}: this one second holds {self.counted:,} recordings, and the service shows no more "
                f"than {self.found:,} of them page by page; the others are not listed. Try --prefix"
            )
        return (
            f"{time} to {_second(self.end)}: {self.found:,} of {self.counted:,} recordings are listed: they "
            "kept changing while they were read. Run it again later"
        )


def _odd(page: SearchPage, *, circle: bool) -> str:
    if circle:
        return "the service's markers lead back to where they came from; the list may end too early"
    return _said_of_unreadable(page.unreadable, "a page")


def _said_of_unreadable(n: int, where: str) -> str:
    return f"{where}: {n:,} without an id that can be read, and not listed" if n else ""


def _second(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _refused(answer: Answer | None) -> Refused:
    code = answer.code if answer else 2
    said = f" (the service says: {answer.message})" if answer and answer.message else ""
    return Refused(f"the search was refused: code {code}: {meaning(code).text}{said}")
