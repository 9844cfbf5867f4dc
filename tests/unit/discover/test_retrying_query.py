"""Questions that are repeated until they are answered, or until their tries are used up."""

from __future__ import annotations

import asyncio

import pytest
from support.searches import SearchService, query
from support.virtual_time import BEGINNING_S, run_virtually

from batcher.discover.retrying_query import RetryingQuery
from batcher.errors import Refused
from batcher.flowcontrol.pacer import Pacer
from batcher.model.events import Event
from batcher.model.outcome import Answer, HttpRefusal, NotReported, NotSent, ReplyLost
from batcher.model.submission import Archive, FileId, ReplyShape
from batcher.zego.client import Wire
from batcher.zego.search_media import Search, SearchPage


def answered(*outcomes: SearchPage | NotReported) -> tuple[object, list[Event], float]:
    """Return the result of a question with these outcomes, the events, and how long it took."""
    events: list[Event] = []

    async def ask() -> tuple[object, float]:
        said = iter(outcomes)
        service = SearchService(lambda _: next(said))
        began = asyncio.get_running_loop().time()
        got = await query(events).ask(lambda on_wire: service.search(Search(Archive.TENCENT), on_wire))
        return got, asyncio.get_running_loop().time() - began

    got, seconds = run_virtually(ask())
    return got, events, seconds


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
def test_question_with_a_passing_fault_is_repeated(outcome: NotReported) -> None:
    """A question costs nothing, so every fault that may pass is followed by another try."""
    assert answered(outcome, PAGE)[0] is PAGE


def test_definite_refusal_is_an_answer() -> None:
    """The caller gets the refusal of its question."""
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
def test_query_with_a_permanent_fault_ends(outcomes: list[NotReported]) -> None:
    """Account faults end it immediately, other faults after some tries."""
    with pytest.raises(Refused):
        answered(*outcomes)
    if len(outcomes) > 1:
        assert answered(*outcomes[:-1], PAGE)[0] is PAGE


def test_outage_is_waited_for_and_reported_once() -> None:
    """However long the outage is, the question is repeated, less and less often."""
    got, events, seconds = answered(*[NotSent("Connection refused")] * 40, PAGE)
    assert got is PAGE
    assert [one.event for one in events] == ["outage_began", "outage_over"]
    assert seconds > 20 * 60


def test_code_7_after_an_answer_causes_a_probe() -> None:
    """After a success it may mean the rate; a second time in a row it means the credentials."""

    async def ask(*outcomes: SearchPage | NotReported) -> object:
        said = iter(outcomes)
        service, asking = SearchService(lambda _: next(said)), query()
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
    """A look-up that is refused every time ends by its budget; the others keep the pace."""

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
