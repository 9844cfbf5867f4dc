"""An archive of which some recordings are always refused: a whole run, on virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TypeVar

import pytest
from support.specimens import claims_of
from support.virtual_time import now_s, run_virtually

from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.retry_policy import DOUBT_SENDS, LARGEST_BACKOFF_S
from batcher.model.events import ignore_event
from batcher.model.outcome import Answer, HttpRefusal, Outcome, ReplyLost, Settlement
from batcher.model.submission import Claim, FileId, InDoubtPolicy, Parameters, RunId, State, TaskId
from batcher.submit.governor import Governor
from batcher.submit.queue import SubmissionQueue
from batcher.submit.settings import MaxFailures
from batcher.submit.worker import PoolState, Worker
from batcher.zego.client import Wire

T = TypeVar("T")

ACCEPTED = Answer(0, task_id=TaskId("t"))


class Book:
    """A ledger in memory, as far as a run needs one."""

    def __init__(self, rows: int) -> None:
        self.open = {claim.id: claim for claim in claims_of(*range(1, rows + 1))}
        self.ended: dict[int, tuple[float, State]] = {}

    def begin(self, claim: Claim, run_id: RunId) -> asyncio.Future[bool]:
        """Record immediately."""
        del run_id
        return _done(claim.id in self.open)

    def settle(self, settlement: Settlement, run_id: RunId) -> asyncio.Future[None]:
        """Record immediately."""
        claim, made = settlement.claim, settlement.disposition
        if made.state is State.PENDING:
            kept = made.tries._replace(refused=0)
            self.open[claim.id] = claim._replace(
                number=claim.number + 1, tries=kept, doubted=made.doubted, code=made.code, run_id=run_id
            )
        else:
            del self.open[claim.id]
            self.ended[claim.id] = now_s(), made.state
        return _done(None)

    async def fresh(self, *, after_id: int, limit: int) -> list[Claim]:
        """In the order of the ids."""
        found = [claim for claim in self.open.values() if claim.id > after_id and claim.number == 1]
        return found[:limit]

    async def doubtful(self, *, after: tuple[int, int], limit: int) -> list[tuple[datetime | None, Claim]]:
        """By number of doubts, then in the order of the ids."""
        found = {(claim.tries.doubt, claim.id): claim for claim in self.open.values() if claim.tries.doubt}
        page: list[tuple[datetime | None, Claim]] = []
        page += [(None, found[place]) for place in sorted(found) if place > after]
        return page[:limit]

    async def delayed(self) -> list[tuple[datetime, Claim]]:
        """None from an earlier run."""
        return []


class Service:
    """A service that answers after 50 ms: some recordings always the same, all others by ``answer``.

    The harmless call is always answered well.
    """

    def __init__(self, always: Mapping[str, Outcome], answer: Callable[[int], Outcome]) -> None:
        self._always = always
        self._answer = answer
        self.calls: Counter[str] = Counter()
        self.probes = 0

    async def submit(self, file_id: FileId, asked: Parameters, on_wire: Wire | None = None) -> Outcome:
        """Answer."""
        del asked
        assert on_wire is not None
        await on_wire.leaves()
        await asyncio.sleep(0.05)
        self.calls[file_id] += 1
        return self._always.get(file_id) or self._answer(self.calls.total())

    async def probe(self, may_leave: Callable[[], Awaitable[bool]] | None = None) -> Outcome:
        """Answer well."""
        del may_leave
        self.probes += 1
        await asyncio.sleep(0.05)
        return Answer(2)


class Run:
    """A run at 20 requests a second, wired as the runner does it."""

    def __init__(self, rows: int, service: Service, max_failures: str = "off") -> None:
        self.book, self.service = Book(rows), service
        self.halted: list[str] = []
        rng = random.Random(1)
        pacer = Pacer(20, now_s)
        self._claims = SubmissionQueue(self.book, limit=None, longest_delay_s=LARGEST_BACKOFF_S, clock=now_s)
        governor = Governor(
            pacer,
            service,
            MaxFailures.parse(max_failures),
            halt=lambda reason: self._halt(pacer, reason),
            on_event=ignore_event,
            clock=now_s,
        )
        pool = PoolState()
        self._workers = [
            Worker(
                self.book,
                service,
                pacer,
                self._claims,
                pool,
                governor.observe,
                run_id=RunId(1),
                policy=InDoubtPolicy.RETRY,
                jitter=lambda most: rng.uniform(0.0, most),
                refused_alone=governor.guard.refused_alone,
            )
            for _ in range(16)
        ]

    def _halt(self, pacer: Pacer, reason: str) -> None:
        self.halted.append(reason)
        self._claims.close()
        pacer.stop()

    async def ends(self, within_s: float) -> bool:
        """Run; whether it ended by itself in time."""
        await self._claims.open(RunId(1), loading=False)
        try:
            async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
                for worker in self._workers:
                    group.create_task(worker.work())
        except TimeoutError:
            return False
        return True


SIX, SEVEN, MANY, AWAY, ODD = Answer(6), Answer(7), HttpRefusal(429), HttpRefusal(503), Answer(1000)
REFUSED: list[tuple[list[Outcome], set[State]]] = [
    ([SIX] * 5, {State.FAILED}),
    ([SEVEN] * 5, {State.REJECTED}),
    ([MANY] * 5, {State.FAILED}),
    ([HttpRefusal(429, 5.0)] * 5, {State.FAILED}),
    ([AWAY] * 5, {State.FAILED}),
    ([HttpRefusal(302)] * 5, {State.FAILED}),
    ([ODD] * 5, {State.REJECTED}),
    ([Answer(3)], {State.REJECTED}),
    ([SIX, SEVEN, MANY, AWAY, ODD], {State.FAILED, State.REJECTED}),
    ([ReplyLost("no answer came")] * 5, {State.IN_DOUBT}),
]
MANY_REFUSED: list[tuple[list[Outcome], set[State]]] = [
    ([ReplyLost("HTTP 502 with a page", 502)] * 50, {State.IN_DOUBT}),
    ([AWAY] * 50, {State.FAILED}),
    ([SIX] * 50, {State.FAILED}),
]


MOST_LOST_S = 33.0
"""By this the pace of 6,000 rows, five minutes, falls from 20 to 18 a second."""


@pytest.mark.parametrize(
    ("refusals", "states", "step"),
    [
        *((*case, 1) for case in REFUSED),
        *((*case, 550) for case in REFUSED),
        *((*case, 55) for case in MANY_REFUSED),
    ],
)
def test_recordings_that_are_always_refused_do_not_slow_the_others(
    refusals: list[Outcome], states: set[State], step: int
) -> None:
    """The others are submitted nearly as soon as without those rows; the run ends soon after."""

    async def scenario() -> None:
        always = {str(2 + step * n): outcome for n, outcome in enumerate(refusals)}
        run = Run(3_000, Service(always, lambda _: ACCEPTED))
        began = now_s()
        assert await run.ends(3_600)
        others = [ended for id_, ended in run.book.ended.items() if str(id_) not in always]
        assert {state for _, state in others} == {State.SUBMITTED}
        assert max(at for at, _ in others) - began <= len(others) / 20 + MOST_LOST_S
        assert max(at for at, _ in run.book.ended.values()) - max(at for at, _ in others) <= 200
        assert {state for id_, (_, state) in run.book.ended.items() if str(id_) in always} == states
        assert run.halted == []
        assert max(run.service.calls[one] for one in always) <= 25

    run_virtually(scenario())


UNREADABLE: list[Outcome] = [
    ReplyLost("HTTP 200 with an empty body", 200),
    ReplyLost("HTTP 502 with a page", 502),
    ReplyLost("no answer came"),
    Answer(0),
]


@pytest.mark.parametrize("outcome", UNREADABLE)
def test_requests_are_few_while_no_answer_can_be_read(outcome: Outcome) -> None:
    """In an hour in which only probes are answered, at most a hundred requests leave."""

    async def scenario() -> None:
        service = Service({}, lambda n: ACCEPTED if n <= 20 else outcome)
        run = Run(500, service)
        assert not await run.ends(3_600)
        assert 20 + 5 < service.calls.total() <= 100
        assert max(service.calls.values()) < DOUBT_SENDS

    run_virtually(scenario())


def _done(value: T) -> asyncio.Future[T]:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future
