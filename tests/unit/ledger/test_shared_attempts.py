"""Two runs on one ledger in PostgreSQL: what each begins, what is taken over, and late answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.specimens import ACCEPTED, TASK, rows_of

from batcher.config.ledger_names import ledger_named
from batcher.flowcontrol.retry_policy import decide
from batcher.ledger.run_ledger import RunLedger, open_for_writing
from batcher.ledger.run_sharing import RunSharing
from batcher.model.outcome import HELD_BACK, Answer, Outcome, ReplyLost, Settlement
from batcher.model.submission import Claim, InDoubtPolicy, RunId, State

LOST = ReplyLost("its run ended before an answer was recorded")


class Running:
    """A run on a ledger of its own connection."""

    def __init__(self, ledger: RunLedger, run_id: RunId, policy: InDoubtPolicy) -> None:
        assert ledger.sharing is not None
        self.ledger = ledger
        self.sharing: RunSharing = ledger.sharing
        self.id = run_id
        self.policy = policy

    async def next(self, *, doubtful: bool = False) -> Claim | None:
        """Begin the next submission."""
        return await self.sharing.begin_next(self.id, 0, doubtful=doubtful)

    def judged(self, claim: Claim, outcome: Outcome) -> Settlement:
        """What follows from an outcome, without a delay."""
        disposition = decide(outcome, claim, policy=self.policy, proven=True, jitter=lambda _: 0.0)
        return Settlement(claim, outcome, disposition)

    async def end(self, claim: Claim, outcome: Outcome) -> None:
        """Settle an attempt."""
        await self.ledger.settle(self.judged(claim, outcome), self.id)

    async def take_over(self) -> int:
        """Take over from all others, dead or not."""
        return await self.sharing.take_over(self.id, -3_600.0, lambda claim: self.judged(claim, LOST))

    async def states(self) -> list[tuple[State, bool, int]]:
        """State, doubt and attempts of each submission."""
        return [(one.state, one.doubted, len(one.attempts)) for one in await self.ledger.records(limit=99)]


@pytest.fixture(params=InDoubtPolicy, ids=str)
def policy(request: pytest.FixtureRequest) -> InDoubtPolicy:
    """What becomes of a submission whose answer is lost."""
    return InDoubtPolicy(request.param)


@pytest.fixture
async def pair(schema_url: str, policy: InDoubtPolicy) -> AsyncIterator[tuple[Running, Running]]:
    """Two runs, and three submissions that none has begun."""
    name = ledger_named(schema_url)
    async with await open_for_writing(name) as one, await open_for_writing(name) as other:
        load_id = await one.start_load("a.csv", "/data/a.csv", ["file_id"])
        await one.add(load_id, "a.csv", rows_of(1, 2, 3), [])
        await one.end_load(load_id)
        runs = []
        for ledger in (one, other):
            run = Running(ledger, await ledger.start_run(20.0, "1"), policy)
            await run.sharing.join(run.id, None)
            runs.append(run)
        yield runs[0], runs[1]


async def test_runs_begin_each_submission_once(pair: tuple[Running, Running]) -> None:
    """At the same time, in the order of the submissions, and none is left over."""
    begun = await asyncio.gather(*(run.next() for run in pair * 3))
    claims = [claim for claim in begun if claim is not None]
    assert sorted(claim.id for claim in claims) == [1, 2, 3]
    assert len(begun) == 6
    assert (await pair[0].sharing.left(pair[0].id)).fresh is False


async def test_living_run_keeps_what_it_has_begun(pair: tuple[Running, Running]) -> None:
    """Without a judgement of leases nothing is taken over from a process that lives."""
    assert await pair[0].next()
    assert await pair[1].sharing.take_over(pair[1].id, None, lambda claim: pair[1].judged(claim, LOST)) == 0


async def test_lost_run_leaves_its_attempts_in_doubt(pair: tuple[Running, Running]) -> None:
    """They are settled once, as the policy of the run that takes over says."""
    assert await pair[0].next()
    assert [await pair[1].take_over(), await pair[1].take_over()] == [1, 0]
    expected = State.IN_DOUBT if pair[1].policy is InDoubtPolicy.HOLD else State.PENDING
    assert (await pair[1].states())[0] == (expected, True, 1)


async def test_late_acceptance_wins(pair: tuple[Running, Running]) -> None:
    """A task id that comes after the takeover is kept, and the submission is not sent again."""
    claim = await pair[0].next()
    assert claim is not None
    await pair[1].take_over()
    await pair[0].end(claim, ACCEPTED)
    assert (await pair[1].states())[0] == (State.SUBMITTED, False, 1)
    [record, *_] = await pair[1].ledger.records(limit=1)
    assert record.task_id == TASK
    assert await pair[1].next(doubtful=True) != claim


async def test_late_acceptance_of_what_was_sent_again_stays_on_record(pair: tuple[Running, Running]) -> None:
    """Both task ids are on record, and the submission counts as possibly twice."""
    one, other = pair
    claim = await one.next()
    assert claim is not None
    await other.take_over()
    if other.policy is InDoubtPolicy.HOLD:
        await other.ledger.retry([State.IN_DOUBT])
    again = None
    while again is None or again.id != claim.id:
        again = await other.next(doubtful=True)
        assert again is not None
    await other.end(again, Answer(0, task_id=TASK))
    await one.end(claim, Answer(0, task_id=TASK))
    [record, *_] = await one.ledger.records(limit=1)
    assert (record.state, record.doubted) == (State.SUBMITTED, True)
    assert [attempt.task_id for attempt in record.attempts] == [TASK, TASK]


@pytest.mark.parametrize("late", [HELD_BACK, Answer(1)], ids=["not sent", "refused"])
async def test_late_no_takes_the_doubt_off(pair: tuple[Running, Running], late: Outcome) -> None:
    """A submission that surely has no task waits as one that was never in doubt."""
    claim = await pair[0].next()
    assert claim is not None
    await pair[1].take_over()
    await pair[0].end(claim, late)
    assert (await pair[1].states())[0] == (State.PENDING, False, 1)
    assert not (await pair[1].sharing.left(pair[1].id)).doubtful


async def test_run_that_was_taken_over_goes_on(pair: tuple[Running, Running]) -> None:
    """Its next transaction revives it, under the same number."""
    assert await pair[0].next()
    await pair[1].take_over()
    assert await pair[0].next()
    alive = {run.id for run in await pair[1].sharing.live_runs()}
    assert alive == {pair[0].id, pair[1].id}
