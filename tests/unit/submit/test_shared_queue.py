"""The queue of a ledger that several runs share: when it may conclude that nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import cast

from support.specimens import claims_of
from support.virtual_time import run_virtually

from batcher.ledger.run_sharing import RunSharing
from batcher.ledger.shared_attempts import LeftToShare
from batcher.model.submission import Claim, RunId, SubmissionId
from batcher.submit.shared_queue import SharedQueue

NOTHING = LeftToShare(
    fresh=False,
    next_due_ms=None,
    doubtful=False,
    doubtful_due_ms=None,
    elsewhere=0,
    elsewhere_first=0,
    orphaned=0,
    loading=False,
    now_ms=0,
)


class OneSubmission:
    """A ledger with one submission, and reads that can be held up after they have looked."""

    def __init__(self) -> None:
        self.waiting: list[Claim] = claims_of(1)
        self.looked = asyncio.Event()
        self.may_answer = asyncio.Event()

    def begin_next(
        self, _run_id: RunId, _after_id: int, *, doubtful: bool, among: frozenset[int] | None = None
    ) -> asyncio.Future[Claim | None]:
        """Begin the submission, if it waits."""
        del doubtful, among
        begun: asyncio.Future[Claim | None] = asyncio.get_running_loop().create_future()
        begun.set_result(self.waiting.pop() if self.waiting else None)
        return begun

    async def left(self, _run_id: RunId) -> LeftToShare:
        """What is left; submissions that the run itself is sending do not count."""
        found = NOTHING._replace(fresh=bool(self.waiting))
        await self._answer()
        return found

    async def still_open(self, ids: Collection[SubmissionId]) -> set[SubmissionId]:
        """Those that wait."""
        found = {claim.id for claim in self.waiting if claim.id in ids}
        await self._answer()
        return found

    async def _answer(self) -> None:
        self.looked.set()
        await self.may_answer.wait()


def test_submission_put_back_while_another_worker_looks_is_sent_again() -> None:
    """A read from before the answer was recorded says that nothing is left; the queue looks again."""

    async def scenario() -> tuple[Claim | None, Claim | None]:
        ledger = OneSubmission()
        queue = SharedQueue(cast(RunSharing, ledger), limit=None)
        await queue.open(RunId(1), loading=False)
        first = await queue.next()
        assert first is not None
        other = asyncio.create_task(queue.next())
        await ledger.looked.wait()
        ledger.waiting.append(first)
        queue.put_back(first, 0.0)
        ledger.may_answer.set()
        return first, await other

    first, again = run_virtually(scenario())
    assert again == first


def test_rows_added_while_a_worker_looks_are_sent() -> None:
    """The load of this run ends after the read has looked, and before its reply."""

    async def scenario() -> Claim | None:
        ledger = OneSubmission()
        added, ledger.waiting = ledger.waiting, []
        queue = SharedQueue(cast(RunSharing, ledger), limit=None)
        await queue.open(RunId(1), loading=True)
        other = asyncio.create_task(queue.next())
        await ledger.looked.wait()
        ledger.waiting = added
        queue.loading_ended()
        ledger.may_answer.set()
        return await other

    assert run_virtually(scenario()) == claims_of(1)[0]
