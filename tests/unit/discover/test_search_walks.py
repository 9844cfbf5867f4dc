"""How the walks cope with what the documentation leaves open; the service does as each test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import chain, repeat

import pytest
from support.virtual_time import BEGINNING_S, run_virtually

from batcher.discover.id_check import IdChecker, IdFinding, RoundingCandidates
from batcher.discover.paged_search import CAP, PagedSearch
from batcher.discover.retrying_query import RetryingQuery
from batcher.discover.search_walks import MarkerWalk, RecordingBatch, TimeWalk
from batcher.errors import Refused
from batcher.flowcontrol.pacer import Pacer
from batcher.manifest.rounded_ids import as_rounded
from batcher.model.events import Event
from batcher.model.outcome import Answer, HttpRefusal, NotReported, NotSent, ReplyLost
from batcher.model.submission import Archive, FileId, Recording, ReplyShape
from batcher.zego.client import Wire
from batcher.zego.search_media import Search, SearchPage

Say = Callable[[Search], SearchPage | NotReported]


class Service:
    """Answers searches as it is told to, and counts them."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.asked: list[Search] = []

    async def search(self, wanted: Search, on_wire: Wire | None = None) -> SearchPage | NotReported:
        """Answer one search."""
        del on_wire
        self.asked.append(wanted)
        return self.say(wanted)


def made(n: int, at_s: int = 100, archive: Archive = Archive.TENCENT) -> Recording:
    """Recording number n, of some second."""
    return Recording(FileId(str(n)), archive, created_at=datetime.fromtimestamp(at_s, UTC))


def inquiry(told: list[Event] | None = None) -> RetryingQuery:
    """Asks at once, on the loop's own time."""
    clock = asyncio.get_running_loop().time
    on_event = told.append if told is not None else (lambda _: None)
    return RetryingQuery(Pacer(1000, clock), on_event, jitter=lambda most: most, clock=clock)


def walked(service: Service, since_s: int = 0, until_s: int = 1000) -> list[RecordingBatch]:
    """All that a walk through a time lists."""

    async def walk() -> list[RecordingBatch]:
        search = PagedSearch(service, inquiry())
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

    assert sorted(names(walked(Service(say)))) == sorted(one.file_id for one in held)


def test_a_service_that_cuts_pages_to_its_own_size_is_followed() -> None:
    """Pages of 100 where 500 were asked for: the numbers of the pages go by what came."""
    held = [made(n, n % 7) for n in range(730)]
    service = Service(lambda wanted: page_of(held, wanted, min(wanted.page_size, 100)))
    assert sorted(names(walked(service))) == sorted(one.file_id for one in held)


def test_a_recording_that_is_deleted_while_pages_are_read_hides_no_other() -> None:
    """What moves from the second page to the first in between is found by going through again."""
    held = [made(n) for n in range(900)]

    def say(wanted: Search) -> SearchPage:
        page = page_of(held, wanted)
        if wanted.page == 0 and len(held) == 900:
            del held[3]
        return page

    listed = names(walked(Service(say)))
    assert sorted(listed) == sorted(str(n) for n in range(900))


def test_what_never_keeps_still_is_said() -> None:
    """A time whose recordings change for ever is listed as far as can be, and what it lacks is bounded."""
    numbers = iter(range(10**6))

    def say(wanted: Search) -> SearchPage:
        del wanted
        return SearchPage(tuple(made(next(numbers)) for _ in range(5)), 4_000)

    shortfalls = [some.shortfall for some in walked(Service(say)) if some.shortfall]
    assert len(shortfalls) == 1
    assert "of 4,000 recordings are listed: they kept changing" in shortfalls[0]


def test_an_item_without_an_id_is_said() -> None:
    """What cannot be listed is counted."""
    service = Service(lambda _: SearchPage((made(1),), 2, unreadable=1))
    assert [some.shortfall for some in walked(service) if some.shortfall] == [
        "1970-01-01 00:00:00 UTC: 1 without an id that can be read, and not listed"
    ]


def test_a_search_that_is_refused_for_good_ends_the_walk() -> None:
    """When no size and no numbering help, it is the search that the service refuses."""
    with pytest.raises(Refused, match=r"the search was refused: code 2: a parameter is wrong .*NamePrefix"):
        walked(Service(lambda _: Answer(2, "NamePrefix")))


@pytest.mark.parametrize("markers", [["a", "b", "a"], ["a", "a"], ["a", ""], ["a", "b", "c", ""]])
def test_no_marker_leads_round_in_a_circle(markers: list[str]) -> None:
    """A walk ends at an empty marker or one it knows; where one leads back, it is said."""
    following = chain(markers, repeat(""))
    numbers = iter(range(1000))
    service = Service(
        lambda _: SearchPage((made(next(numbers), archive=Archive.HUAWEI),), next_marker=next(following))
    )

    async def walk() -> list[RecordingBatch]:
        return [some async for some in MarkerWalk(service, inquiry(), Archive.HUAWEI, "").listed()]

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
        return [some async for some in MarkerWalk(Service(say), inquiry(), Archive.HUAWEI, "").listed()]

    assert names(run_virtually(walk())) == [one.file_id for one in keys]


# -- asking --------------------------------------------------------------------------------------


def answered(*outcomes: SearchPage | NotReported) -> tuple[object, list[Event], float]:
    """What comes of one question to which these are the answers, what is told, and how long it took."""
    told: list[Event] = []

    async def ask() -> tuple[object, float]:
        said = iter(outcomes)
        service = Service(lambda _: next(said))
        began = asyncio.get_running_loop().time()
        got = await inquiry(told).ask(lambda on_wire: service.search(Search(Archive.TENCENT), on_wire))
        return got, asyncio.get_running_loop().time() - began

    got, seconds = run_virtually(ask())
    return got, told, seconds


PAGE = SearchPage((), 0)


@pytest.mark.parametrize(
    "outcome",
    [
        Answer(6),
        Answer(1),
        Answer(1000),
        Answer(100000004, clock_corrected=True),
        HttpRefusal(429, 3.0),
        HttpRefusal(404),
        ReplyLost("no answer came"),
        ReplyLost("odd", 200),
        ReplyLost("odd", 502),
        NotSent("Connection refused"),
    ],
)
def test_what_may_pass_is_asked_again(outcome: NotReported) -> None:
    """A question costs nothing: whatever may be otherwise next time is asked once more."""
    assert answered(outcome, PAGE)[0] is PAGE


def test_a_definite_no_is_an_answer() -> None:
    """Whoever asks has to know that the question itself is wrong."""
    assert answered(Answer(2, "no"))[0] == Answer(2, "no")


@pytest.mark.parametrize(
    "outcomes",
    [
        [Answer(3)],
        [Answer(7)],
        [Answer(100000004)],
        [Answer(1)] * 5,
        [Answer(1000)] * 3,
        [Answer(424242)] * 3,
        [HttpRefusal(404)] * 5,
        [ReplyLost("odd", 200, ReplyShape.DATA)] * 5,
    ],
)
def test_what_will_not_pass_ends_the_asking(outcomes: list[NotReported]) -> None:
    """Faults of the account end it at once, others after some tries."""
    with pytest.raises(Refused):
        answered(*outcomes)
    if len(outcomes) > 1:
        assert answered(*outcomes[:-1], PAGE)[0] is PAGE


def test_an_outage_is_waited_for_and_told_once() -> None:
    """However long nobody answers, the question is asked again, ever less often."""
    got, told, seconds = answered(*[NotSent("Connection refused")] * 40, PAGE)
    assert got is PAGE
    assert [one.event for one in told] == ["outage_began", "outage_over"]
    assert seconds > 20 * 60


def test_code_7_after_an_answer_is_asked_about_once_more() -> None:
    """After a success it may mean the rate; a second time in a row it means the credentials."""

    async def ask(*outcomes: SearchPage | NotReported) -> object:
        said = iter(outcomes)
        service, asking = Service(lambda _: next(said)), inquiry()
        question = lambda on_wire: service.search(Search(Archive.TENCENT), on_wire)  # noqa: E731
        assert await asking.ask(question) is PAGE
        return await asking.ask(question)

    assert run_virtually(ask(PAGE, Answer(7), PAGE)) is PAGE
    with pytest.raises(Refused, match="code 7: authentication failed"):
        run_virtually(ask(PAGE, Answer(7), Answer(7)))


class Patient:
    """A service that answers look-ups after a while, and one of them never."""

    def __init__(self, outcome: NotReported) -> None:
        self.outcome = outcome
        self.answered: list[float] = []
        self.refused = 0

    async def search(self, wanted: Search, on_wire: Wire | None = None) -> SearchPage | NotReported:
        """Answer one search."""
        if on_wire is not None and on_wire.may_leave is not None:
            await on_wire.may_leave()
        await asyncio.sleep(0.02)
        if FileId("7") in wanted.file_ids:
            self.refused += 1
            return self.outcome
        self.answered.append(asyncio.get_running_loop().time())
        return SearchPage((), 0)


@pytest.mark.parametrize(
    "outcome",
    [
        *(Answer(code) for code in (3, 6, 7, 207)),
        HttpRefusal(302),
        HttpRefusal(429, 2.0),
        HttpRefusal(503),
        ReplyLost("a page", 200),
        ReplyLost("HTTP 502", 502),
        ReplyLost("no Code", 200, ReplyShape.OTHER_JSON),
    ],
    ids=str,
)
def test_question_that_alone_is_never_answered_ends_and_slows_no_others(outcome: NotReported) -> None:
    """One of many look-ups is refused for ever: it ends by its budget, the others keep the pace."""

    async def scenario() -> tuple[float, Patient]:
        service = Patient(outcome)
        clock = asyncio.get_running_loop().time
        asking = RetryingQuery(Pacer(20, clock), jitter=lambda most: most, clock=clock)

        async def ask(n: int) -> object:
            wanted = Search(Archive.TENCENT, file_ids=(FileId(str(n)),))
            return await asking.ask(lambda on_wire: service.search(wanted, on_wire))

        others = [asyncio.ensure_future(ask(n)) for n in range(300) if n != 7]
        stuck = asyncio.ensure_future(ask(7))
        await asyncio.gather(*others)
        with pytest.raises(Refused):
            await stuck
        return clock() - BEGINNING_S, service

    seconds, service = run_virtually(scenario())
    assert 299 / (service.answered[298] - service.answered[0]) >= 17
    assert service.refused <= 15
    assert seconds < 300


# -- ids -----------------------------------------------------------------------------------------


def test_one_id_that_is_refused_spoils_no_others() -> None:
    """Where a call for ten is refused, each is asked about alone, and only the wrong one is told."""

    def say(wanted: Search) -> SearchPage | NotReported:
        if "13" in wanted.file_ids:
            return Answer(2, "FileId")
        return SearchPage(tuple(made(int(one)) for one in wanted.file_ids), len(wanted.file_ids))

    async def look() -> list[tuple[str, tuple[IdFinding, ...]]]:
        lookups = IdChecker(PagedSearch(Service(say), inquiry()))
        return [
            (one.file_id, one.findings)
            for one in await lookups.check([FileId(str(n)) for n in range(10, 20)])
        ]

    expected = [(str(n), (IdFinding.REFUSED,) if n == 13 else ()) for n in range(10, 20)]
    assert run_virtually(look()) == expected


@pytest.mark.parametrize(
    "rounded",
    [
        "1397757897438980000",  # 15 digits, cut off
        "1397757897438990000",  # 15 digits, rounded
        "1397757897438985216",  # a 64-bit float in full
        "1397757897438985200",  # its shortest digits
    ],
)
def test_every_way_of_rounding_leads_back(rounded: str) -> None:
    """What spreadsheets and JavaScript make of an id names the one recording that it was."""
    originals = RoundingCandidates([FileId(rounded)])
    originals.add([FileId("1397757897438985123"), FileId("1397757897448995123"), FileId("/a.mp4")])
    assert originals.suggest(FileId(rounded)) == ("1397757897438985123", 1)


@pytest.mark.parametrize("file_id", ["", "12345", "/record/a.mp4", "9007199254740992", "٣" * 19, "9" * 5000])
def test_what_no_program_rounds_stays(file_id: str) -> None:
    """Short numbers and what is no number have nothing that they are rounded to."""
    assert as_rounded(file_id) - {"9007199254740990", "9007199254740000"} == set()
