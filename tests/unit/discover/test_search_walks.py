"""The walks through recordings, where the documentation leaves the service's behaviour open."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat

import pytest
from support.searches import SearchService, made, query
from support.virtual_time import run_virtually

from batcher.discover.paged_search import CAP, PagedSearch
from batcher.discover.search_walks import MarkerWalk, RecordingBatch, TimeWalk
from batcher.errors import Refused
from batcher.model.outcome import Answer, NotReported
from batcher.model.submission import Archive, Recording
from batcher.zego.search_media import Search, SearchPage


def walked(service: SearchService, since_s: int = 0, until_s: int = 1000) -> list[RecordingBatch]:
    """All that a walk through a time lists."""

    async def walk() -> list[RecordingBatch]:
        search = PagedSearch(service, query())
        return [some async for some in TimeWalk(search, "", since_s, until_s).listed()]

    return run_virtually(walk())


def names(listed: Sequence[RecordingBatch]) -> list[str]:
    """The ids of a list, in its order."""
    return [one.file_id for some in listed for one in some.recordings]


def page_of(recordings: Sequence[Recording], wanted: Search, size: int | None = None) -> SearchPage:
    """A page counted from 0."""
    within = [
        one for one in recordings if _second(one) in range(wanted.since_s or 0, (wanted.until_s or 0) + 1)
    ]
    size = size or wanted.page_size
    begin = wanted.page * size
    return SearchPage(tuple(within[begin : begin + size]), min(len(within), CAP))


def _second(one: Recording) -> int:
    assert one.created_at is not None
    return int(one.created_at.timestamp())


@pytest.mark.parametrize("most", [10, 99, 499])
def test_a_service_that_takes_no_long_pages_is_asked_for_shorter_ones(most: int) -> None:
    """A size of page that is refused as a wrong parameter is not the end: a smaller one is tried."""
    held = [made(n, n % 7) for n in range(320)]

    def say(wanted: Search) -> SearchPage | NotReported:
        return Answer(2, "PageSize") if wanted.page_size > most else page_of(held, wanted)

    assert sorted(names(walked(SearchService(say)))) == sorted(one.file_id for one in held)


def test_a_service_that_cuts_pages_to_its_own_size_is_followed() -> None:
    """Pages of 100 where 500 were asked for: the numbers of the pages go by what came."""
    held = [made(n, n % 7) for n in range(730)]
    service = SearchService(lambda wanted: page_of(held, wanted, min(wanted.page_size, 100)))
    assert sorted(names(walked(service))) == sorted(one.file_id for one in held)


def test_a_recording_that_is_deleted_while_pages_are_read_hides_no_other() -> None:
    """What moves from the second page to the first in between is found by going through again."""
    held = [made(n) for n in range(900)]

    def say(wanted: Search) -> SearchPage:
        page = page_of(held, wanted)
        if wanted.page == 0 and len(held) == 900:
            del held[3]
        return page

    listed = names(walked(SearchService(say)))
    assert sorted(listed) == sorted(str(n) for n in range(900))


def test_what_never_keeps_still_is_said() -> None:
    """A time whose recordings change for ever is listed as far as can be, and what it lacks is bounded."""
    numbers = iter(range(10**6))

    def say(wanted: Search) -> SearchPage:
        del wanted
        return SearchPage(tuple(made(next(numbers)) for _ in range(5)), 4_000)

    shortfalls = [some.shortfall for some in walked(SearchService(say)) if some.shortfall]
    assert len(shortfalls) == 1
    assert "of 4,000 recordings are listed: they kept changing" in shortfalls[0]


def test_an_item_without_an_id_is_said() -> None:
    """What cannot be listed is counted."""
    service = SearchService(lambda _: SearchPage((made(1),), 2, unreadable=1))
    assert [some.shortfall for some in walked(service) if some.shortfall] == [
        "1970-01-01 00:00:00 UTC: 1 without an id that can be read, and not listed"
    ]


def test_a_search_that_is_refused_for_good_ends_the_walk() -> None:
    """When no size and no numbering help, it is the search that the service refuses."""
    with pytest.raises(Refused, match=r"the search was refused: code 2: a parameter is wrong .*NamePrefix"):
        walked(SearchService(lambda _: Answer(2, "NamePrefix")))


@pytest.mark.parametrize("markers", [["a", "b", "a"], ["a", "a"], ["a", ""], ["a", "b", "c", ""]])
def test_no_marker_leads_round_in_a_circle(markers: list[str]) -> None:
    """A walk ends at an empty marker or one it knows; where one leads back, it is said."""
    following = chain(markers, repeat(""))
    numbers = iter(range(1000))
    service = SearchService(
        lambda _: SearchPage((made(next(numbers), archive=Archive.HUAWEI),), next_marker=next(following))
    )

    async def walk() -> list[RecordingBatch]:
        return [some async for some in MarkerWalk(service, query(), Archive.HUAWEI, "").listed()]

    listed = run_virtually(walk())
    assert len(names(listed)) == len(markers)
    assert any(some.shortfall for some in listed) == (markers == ["a", "b", "a"])


def test_pages_that_begin_with_the_marker_itself_list_it_once() -> None:
    """Whether a marker is the last one seen or the first one to come, no recording is listed twice."""
    keys = [made(n, archive=Archive.HUAWEI) for n in range(25)]

    def say(wanted: Search) -> SearchPage:
        begin = int(wanted.marker or 0)
        page = keys[begin : begin + 10]
        return SearchPage(tuple(page), next_marker=page[-1].file_id if len(page) > 1 else "")

    async def walk() -> list[RecordingBatch]:
        return [some async for some in MarkerWalk(SearchService(say), query(), Archive.HUAWEI, "").listed()]

    assert names(run_virtually(walk())) == [one.file_id for one in keys]
