"""The queue: which open submission is claimed next, and when nothing is left."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.specimens import claims_of
from support.virtual_time import now_s, passed_s, run_virtually

from batcher.model.submission import Claim, RunId, Tries
from batcher.submit.queue import MOST_BEHIND, PAGE, SubmissionQueue

DOUBTED = Tries(doubt=1)


class OpenInMemory:
    """A ledger in memory; counts its queries."""

    def __init__(self, *claims: Claim, delayed: list[tuple[datetime, Claim]] | None = None) -> None:
        self.open = {claim.id: claim for claim in claims}
        self.earlier = delayed or []
        self.asked = 0

    async def fresh(self, *, after_id: int, limit: int) -> list[Claim]:
        """Return submissions that are not in doubt, a page at a time."""
        self.asked += 1
        await asyncio.sleep(0)
        chosen = [one for one in self._sorted() if one.id > after_id and not one.tries.doubt]
        return chosen[:limit]

    async def doubtful(self, *, after: tuple[int, int], limit: int) -> list[tuple[datetime | None, Claim]]:
        """Return submissions in doubt, a page at a time; none has a delay."""
        self.asked += 1
        await asyncio.sleep(0)
        chosen = [one for one in self._sorted() if one.tries.doubt and (one.tries.doubt, one.id) > after]
        chosen.sort(key=lambda one: (one.tries.doubt, one.id))
        return [(None, one) for one in chosen[:limit]]

    async def delayed(self) -> list[tuple[datetime, Claim]]:
        """Return what an earlier run delayed."""
        return self.earlier

    def _sorted(self) -> list[Claim]:
        return [self.open[n] for n in sorted(self.open)]


def due_in(seconds: float, claim: Claim) -> tuple[datetime, Claim]:
    """A claim that an earlier run delayed until this many seconds from now."""
    return datetime.now(UTC) + timedelta(seconds=seconds), claim


async def opened(
    ledger: OpenInMemory, *, limit: int | None = None, loading: bool = False, longest_delay_s: float = 60.0
) -> SubmissionQueue:
    """An opened queue on virtual time."""
    claims = SubmissionQueue(ledger, limit=limit, longest_delay_s=longest_delay_s, clock=now_s)
    await claims.open(RunId(1), loading=loading)
    return claims


async def taken(claims: SubmissionQueue) -> Claim:
    """Return the next claim; fail without one."""
    claim = await claims.next()
    assert claim is not None
    return claim


async def taken_ids(claims: SubmissionQueue) -> list[int]:
    """All claims that can be taken, each done immediately."""
    ids = []
    while (claim := await claims.next()) is not None:
        ids.append(claim.id)
        claims.done(claim)
    return [int(n) for n in ids]


Scenario = Callable[[], Coroutine[None, None, None]]


def virtually(scenario: Scenario) -> Callable[[], None]:
    """Run a test on virtual time."""

    def test() -> None:
        run_virtually(scenario())

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


@virtually
async def test_fresh_submissions_are_claimed_in_order_page_by_page() -> None:
    """Submissions that were never tried are handed out in the order of the manifests, each once."""
    ids = range(1, 2 * PAGE + 11)
    ledger = OpenInMemory(*claims_of(*ids))
    assert list(ids) == await taken_ids(await opened(ledger))
    assert ledger.asked <= 7


@virtually
async def test_queue_without_open_submissions_hands_out_nothing() -> None:
    """Every call to ``next`` returns None."""
    claims = await opened(OpenInMemory())
    assert (await claims.next(), await claims.next()) == (None, None)


@virtually
async def test_delayed_submission_that_is_due_comes_first() -> None:
    """Submissions that an earlier run delayed come by due time; until they are due, fresh ones come."""
    first, second, later, *fresh = claims_of(10, 11, 12, 1, 2)
    put_off = [due_in(5, later), due_in(-1, first), due_in(-9, second)]
    claims = await opened(OpenInMemory(*fresh, delayed=put_off))
    assert {10, 11} == {(await taken(claims)).id, (await taken(claims)).id}
    assert [(await taken(claims)).id, (await taken(claims)).id] == [1, 2]
    assert passed_s() == 0.0
    assert (await taken(claims)).id == 12
    assert passed_s() == pytest.approx(5, abs=0.5)


@virtually
async def test_submission_put_back_waits_for_its_delay() -> None:
    """It is handed out again when it is due, not before, and before fresh submissions."""
    claims = await opened(OpenInMemory(*claims_of(1, 2)))
    one = await taken(claims)
    claims.put_back(one._replace(number=2), 3.0)
    assert (await taken(claims)).id == 2
    again = await taken(claims)
    assert (again.id, again.number, passed_s()) == (1, 2, 3.0)


@virtually
async def test_submissions_put_back_are_claimed_by_due_time() -> None:
    """The one that is due first is handed out first."""
    claims = await opened(OpenInMemory(*claims_of(1, 2, 3)))
    for delay_s in (9.0, 1.0, 5.0):
        claims.put_back(await taken(claims), delay_s)
    order = []
    for _ in range(3):
        order.append(((await taken(claims)).id, passed_s()))
    assert order == [(2, 1.0), (3, 5.0), (1, 9.0)]


@virtually
async def test_doubtful_submissions_are_claimed_after_all_others() -> None:
    """While any other is claimed, delayed or being loaded, no doubtful one is handed out."""
    ledger = OpenInMemory(*claims_of(1, tries=DOUBTED), *claims_of(2, 3))
    claims = await opened(ledger, loading=True)
    two, three = await taken(claims), await taken(claims)
    assert [two.id, three.id] == [2, 3]
    waiting = asyncio.create_task(claims.next())
    await asyncio.sleep(1)
    assert not waiting.done()
    claims.put_back(two, 30.0)
    claims.done(three)
    again = await asyncio.wait_for(waiting, 60)
    assert again == two
    waiting = asyncio.create_task(claims.next())
    claims.done(two)
    await asyncio.sleep(1)
    assert not waiting.done()
    claims.loading_ended()
    last = await waiting
    assert last is not None
    assert (last.id, last.tries) == (1, DOUBTED)


@virtually
async def test_submission_that_became_doubtful_comes_last() -> None:
    """When its answer was lost in this run it comes after all others, without a delay."""
    ledger = OpenInMemory(*claims_of(1, 2, 3))
    claims = await opened(ledger)
    one = await taken(claims)
    ledger.open[one.id] = doubted = one._replace(number=2, tries=DOUBTED, doubted=True)
    claims.put_back(doubted, 60.0)
    assert await taken_ids(claims) == [2, 3, 1]
    assert passed_s() == 0.0


@virtually
async def test_doubtful_submission_put_back_waits_for_its_delay() -> None:
    """In doubt once more, it waits for its delay, and comes once."""
    ledger = OpenInMemory(*claims_of(1, 2, tries=DOUBTED))
    claims = await opened(ledger)
    one = await taken(claims)
    ledger.open[one.id] = doubted = one._replace(number=2, tries=Tries(doubt=2))
    claims.put_back(doubted, 4.0)
    assert await taken_ids(claims) == [2, 1]
    assert passed_s() == 4.0


@virtually
async def test_doubtful_submissions_are_claimed_by_number_of_doubts() -> None:
    """The one with the fewest doubts comes first."""
    ledger = OpenInMemory(*claims_of(1, tries=Tries(doubt=2)), *claims_of(2, 3, tries=DOUBTED))
    assert await taken_ids(await opened(ledger)) == [2, 3, 1]


@virtually
async def test_limit_counts_submissions_started() -> None:
    """No more than the limit are started, including those that an earlier run delayed."""
    put_off = [due_in(-1, claim) for claim in claims_of(10, 11)]
    claims = await opened(OpenInMemory(*claims_of(1, 2, 3), delayed=put_off), limit=3)
    assert not claims.limit_reached
    assert await taken_ids(claims) == [10, 11, 1]
    assert claims.limit_reached


@virtually
async def test_limit_that_is_reached_leaves_delayed_submissions_of_an_earlier_run() -> None:
    """A run does not wait for them once its limit is reached."""
    claims = await opened(OpenInMemory(*claims_of(1), delayed=[due_in(50, claims_of(10)[0])]), limit=1)
    assert await taken_ids(claims) == [1]
    assert passed_s() == 0.0


@virtually
async def test_limit_counts_each_submission_once() -> None:
    """A submission tried again counts once towards the limit, and is tried again beyond it."""
    claims = await opened(OpenInMemory(*claims_of(1, 2, 3)), limit=2)
    one = await taken(claims)
    claims.put_back(one, 0.0)
    assert (await taken(claims)).id == 1
    two = await taken(claims)
    assert (two.id, claims.limit_reached) == (2, True)
    claims.put_back(one, 1.0)
    claims.put_back(two, 0.5)
    assert await taken_ids(claims) == [2, 1]


@virtually
async def test_limit_counts_doubtful_submission_once() -> None:
    """A submission that is sent again because its answer was lost is still one submission."""
    ledger = OpenInMemory(*claims_of(1), *claims_of(7, 8, tries=DOUBTED))
    claims = await opened(ledger, limit=2)
    one = await taken(claims)
    del ledger.open[one.id]  # with a limit it waits in memory
    claims.put_back(one._replace(number=2, tries=DOUBTED), 0.0)
    assert await taken_ids(claims) == [1, 7]


@virtually
async def test_close_ends_all_waiting() -> None:
    """After a close nothing is handed out, and workers that wait get None."""
    claims = await opened(OpenInMemory(*claims_of(1, 2)))
    one = await taken(claims)
    claims.put_back(one, 1000.0)
    await taken(claims)
    waiting = [asyncio.create_task(claims.next()) for _ in range(5)]
    await asyncio.sleep(1)
    claims.close()
    assert await asyncio.gather(*waiting) == [None] * 5
    assert await claims.next() is None
    assert passed_s() == 1.0


@virtually
async def test_workers_wait_until_the_last_claim_is_done() -> None:
    """A claimed submission may be put back, so that workers wait until it is done."""
    claims = await opened(OpenInMemory(*claims_of(1)))
    one = await taken(claims)
    waiting = [asyncio.create_task(claims.next()) for _ in range(5)]
    await asyncio.sleep(1)
    assert not any(one.done() for one in waiting)
    claims.done(one)
    assert await asyncio.gather(*waiting) == [None] * 5


@virtually
async def test_submission_added_while_workers_wait_is_handed_out() -> None:
    """While a manifest is being loaded, waiting workers get its submissions in order, and end when loading
    ends."""
    ledger = OpenInMemory()
    claims = await opened(ledger, loading=True)
    waiting = [asyncio.create_task(claims.next()) for _ in range(3)]
    await asyncio.sleep(1)
    assert not any(one.done() for one in waiting)
    for batch in (claims_of(1), claims_of(2)):
        ledger.open |= {claim.id: claim for claim in batch}
        claims.added()
        await asyncio.sleep(1)
    got = [one.result() for one in waiting if one.done()]
    assert {1, 2} == {claim.id for claim in got if claim}
    claims.loading_ended()
    for claim in got:
        assert claim is not None
        claims.done(claim)
    assert [claim for claim in await asyncio.gather(*waiting) if claim is None] == [None]


@virtually
async def test_submission_added_by_another_program_is_handed_out() -> None:
    """Before the queue ends it queries the ledger once more."""
    ledger = OpenInMemory(*claims_of(1))
    claims = await opened(ledger)
    one = await taken(claims)
    waiting = [asyncio.create_task(claims.next()) for _ in range(5)]
    await asyncio.sleep(1)
    [two] = claims_of(2)
    ledger.open = {two.id: two}
    claims.done(one)
    await asyncio.sleep(1)
    assert [task.result() for task in waiting if task.done()] == [two]
    claims.done(two)
    assert [claim for claim in await asyncio.gather(*waiting) if claim is None] == [None] * 4


class SlowLedger(OpenInMemory):
    """A ledger that gets a submission while it answers that it has no more."""

    claims: SubmissionQueue

    async def fresh(self, *, after_id: int, limit: int) -> list[Claim]:
        """An answer that is out of date when it arrives."""
        found = await super().fresh(after_id=after_id, limit=limit)
        if self.asked == 1:
            self.open |= {claim.id: claim for claim in claims_of(1)}
            self.claims.loading_ended()
        return found


@virtually
async def test_submission_added_during_a_query_is_handed_out() -> None:
    """It is handed out although the result of that query lacks it."""
    ledger = SlowLedger()
    ledger.claims = await opened(ledger, loading=True)
    assert await taken_ids(ledger.claims) == [1]


@virtually
async def test_delay_of_an_earlier_run_is_capped() -> None:
    """A wall clock that was wrong makes no submission wait longer than the largest backoff."""
    far, past = claims_of(1, 2)
    put_off = [due_in(365 * 86400, far), due_in(-365 * 86400, past)]
    claims = await opened(OpenInMemory(delayed=put_off), longest_delay_s=60.0)
    assert ((await taken(claims)).id, passed_s()) == (2, 0.0)
    assert ((await taken(claims)).id, passed_s()) == (1, 60.0)


@virtually
async def test_many_workers_never_hold_the_same_submission() -> None:
    """Fifty workers that claim, put back and finish at random claim every submission, and none twice."""
    rng = random.Random(4)
    ledger = OpenInMemory(*claims_of(*range(1, 501)))
    claims = await opened(ledger)
    out: set[int] = set()
    finished: list[int] = []

    async def work() -> None:
        while (claim := await claims.next()) is not None:
            assert claim.id not in out
            out.add(claim.id)
            await asyncio.sleep(rng.choice([0, 0.01, 0.1]))
            out.remove(claim.id)
            match rng.choice(["done", "back", "doubt"]):
                case "back":
                    claims.put_back(claim._replace(number=claim.number + 1), rng.uniform(0, 5))
                case "doubt":
                    doubted = claim._replace(
                        number=claim.number + 1, tries=Tries(doubt=claim.tries.doubt + 1)
                    )
                    ledger.open[claim.id] = doubted
                    claims.put_back(doubted, rng.uniform(0, 5))
                case _:
                    finished.append(claim.id)
                    del ledger.open[claim.id]
                    claims.done(claim)

    await asyncio.gather(*(work() for _ in range(50)))
    assert list(range(1, 501)) == sorted(finished)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["next", "next", "next", "back", "doubt", "done", "done", "add", "wait"]),
        st.integers(0, 9),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(
    fresh=st.integers(0, 12),
    doubtful=st.integers(0, 5),
    limit=st.none() | st.integers(1, 25),
    steps=STEPS,
)
def test_any_sequence_of_moves_hands_out_each_submission_once(
    fresh: int, doubtful: int, limit: int | None, steps: list[tuple[str, int]]
) -> None:
    """As in a simple model: nothing claimed or not yet due is handed out, doubtful ones come last, none is
    lost."""

    async def drive() -> None:
        ledger = OpenInMemory(
            *claims_of(*range(1, fresh + 1)),
            *claims_of(*range(fresh + 1, fresh + doubtful + 1), tries=DOUBTED),
        )
        highest = fresh + doubtful
        claims = await opened(ledger, limit=limit, loading=True)
        out: dict[int, Claim] = {}
        not_before: dict[int, float] = {}
        seen: set[int] = set()
        for step, n in steps:
            chosen = list(out.values())[n % len(out)] if out else None
            if step == "next":
                try:
                    async with asyncio.timeout(0.001):
                        claim = await claims.next()
                except TimeoutError:
                    continue
                if claim is None:  # more is being loaded, so that only the limit can be the end
                    assert claims.limit_reached
                    break
                assert claim.id not in out
                assert claim == ledger.open[claim.id]
                assert now_s() >= not_before.get(claim.id, 0.0) - 1e-6
                assert not claim.tries.doubt, "more is being loaded"
                out[claim.id] = claim
                seen.add(claim.id)
                assert limit is None or len(seen) <= limit
            elif step == "add":
                highest += 1
                (new,) = claims_of(highest)
                ledger.open[new.id] = new
                claims.added()
            elif step == "wait":
                await asyncio.sleep(n)
            elif chosen is not None:
                del out[chosen.id]
                if step == "done":
                    del ledger.open[chosen.id]
                    claims.done(chosen)
                    continue
                doubt = chosen.tries.doubt + (step == "doubt")
                back = chosen._replace(number=chosen.number + 1, tries=Tries(doubt=doubt))
                ledger.open[back.id] = back
                not_before[back.id] = 0.0 if doubt else now_s() + n
                claims.put_back(back, float(n))
        claims.loading_ended()
        for claim in out.values():
            del ledger.open[claim.id]
            claims.done(claim)
        out.clear()
        last: list[Claim] = []
        while (claim := await claims.next()) is not None:
            assert claim == ledger.open.pop(claim.id)
            last.append(claim)
            claims.done(claim)
        doubtful_from = next((i for i, claim in enumerate(last) if claim.tries.doubt), len(last))
        assert all(claim.tries.doubt for claim in last[doubtful_from:])
        if limit is None:
            assert ledger.open == {}
        assert await claims.next() is None

    run_virtually(drive())


@virtually
async def test_refused_submission_waits_behind_fresh_ones() -> None:
    """It comes again only when no fresh one is left, though it has long been due."""
    claims = await opened(OpenInMemory(*claims_of(*range(1, 6))))
    refused = [await taken(claims) for _ in range(2)]
    for claim in refused:
        claims.put_back(claim._replace(number=2), 1.0, behind=True)
    await asyncio.sleep(10)
    assert await taken_ids(claims) == [3, 4, 5, 1, 2]


@virtually
async def test_cause_of_a_halt_waits_behind_all_others_in_the_next_run() -> None:
    """It has been due since the last run, and comes after submissions that are still being loaded."""
    ledger = OpenInMemory(*claims_of(1, 2))
    (halted,) = claims_of(9)
    ledger.earlier = [due_in(-60, halted._replace(code=3))]
    claims = await opened(ledger, loading=True)
    taking = asyncio.create_task(taken_ids(claims))
    await asyncio.sleep(1)
    (new,) = claims_of(10)
    ledger.open[new.id] = new
    claims.added()
    await asyncio.sleep(1)
    claims.loading_ended()
    assert await taking == [1, 2, 10, 9]


@virtually
async def test_refused_submissions_beyond_the_bound_are_claimed_first() -> None:
    """Beyond the bound, those that are due are claimed before fresh ones."""
    claims = await opened(OpenInMemory(*claims_of(*range(1, MOST_BEHIND + 5))))
    for claim in [await taken(claims) for _ in range(MOST_BEHIND + 1)]:
        claims.put_back(claim._replace(number=2), 0.0, behind=True)
    assert (await taken(claims)).id == 1
    assert (await taken(claims)).id == MOST_BEHIND + 2


class SlowAnswers(OpenInMemory):
    """A ledger whose later answers are held back."""

    def __init__(self, *claims: Claim) -> None:
        super().__init__(*claims)
        self.released = asyncio.Event()
        self.later = asyncio.Event()

    async def fresh(self, *, after_id: int, limit: int) -> list[Claim]:
        """Return the first page immediately, the others once they are released."""
        page = await super().fresh(after_id=after_id, limit=limit)
        if after_id:
            self.later.set()
            await self.released.wait()
        return page


@virtually
async def test_limit_reached_during_a_query_is_kept() -> None:
    """A page that arrives after the limit was reached is not handed out, and no worker spins on it."""
    ledger = SlowAnswers(*claims_of(*range(1, PAGE + 6)))
    claims = await opened(ledger, limit=PAGE + 1)
    first = [await taken(claims) for _ in range(PAGE)]
    waiting = [asyncio.create_task(claims.next()) for _ in range(3)]
    await ledger.later.wait()
    claims.put_back(first[0]._replace(number=2), 0.0)  # counted already: it may come again
    ledger.released.set()
    for claim in first[1:]:
        claims.done(claim)
    got = []
    async with asyncio.timeout(100):
        while waiting:
            done, still = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            waiting = list(still)
            for task in done:
                if (late := task.result()) is not None:
                    got.append(late.id)
                    claims.done(late)
    assert len({*got} - {first[0].id}) == 1
    assert claims.limit_reached
