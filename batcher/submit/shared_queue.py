"""The queue of a ledger that several runs share: a claim is an attempt that has begun.

Used by the runner in place of :class:`batcher.submit.queue.SubmissionQueue`, with the same methods. It holds
nothing in memory: what waits, waits in the ledger, where every run finds it. The order is the same: due ones,
fresh ones, those that would hold up others, and doubtful ones when nothing else is left.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from batcher.ledger.run_ledger import RunLedger
from batcher.ledger.run_sharing import RunSharing
from batcher.ledger.shared_attempts import LeftToShare
from batcher.ledger.writer import shielded
from batcher.model.submission import Claim, RunId, SubmissionId

REMEMBERED_S = 600.0
"""How long an attempt that has begun is kept in memory, in case that the server forgets it."""

REMEMBERED = 100_000
"""The most of them."""

LOOK_AGAIN_S = 1.0
"""Seconds after which a run that has nothing to send looks for what others have added or put off."""


class SharedQueue:
    """Hands out submissions whose attempt has begun, each to one worker of one run.

    Args:
        ledger: the ledger's part for several runs.
        limit: how many submissions may be started; None for no limit.
        begun_within: called with the seconds that each begin took, its commit included.

    Attributes:
        unused: attempts that have begun for a worker that was cancelled; nothing was sent for them.
        elsewhere: submissions that other living runs were sending when this queue ended.
    """

    def __init__(
        self,
        ledger: RunSharing,
        *,
        limit: int | None,
        begun_within: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.unused: list[Claim] = []
        self.elsewhere = 0
        self._ledger = ledger
        self._begun_within = begun_within
        self._left = limit
        self._started: set[SubmissionId] = set()
        self._again: set[SubmissionId] = set()
        """Of a run with a limit: submissions that it has started and that wait to be sent again."""
        self._run_id = RunId(0)
        self._fresh_after = 0
        self._begun: deque[tuple[float, Claim]] = deque(maxlen=REMEMBERED)
        self._out = 0
        self._loading = False
        self._closed = False
        self._doubtful_begun = False
        self._changed = asyncio.Event()
        self._changes = 0
        """How often this run has changed what waits; a read that was under way meanwhile proves nothing."""
        self._looking = asyncio.Lock()

    async def open(self, run_id: RunId, *, loading: bool) -> None:
        """Begin to hand out submissions.

        Args:
            run_id: the run.
            loading: submissions may be added until :meth:`loading_ended` is called.
        """
        self._run_id = run_id
        self._loading = loading

    async def next(self) -> Claim | None:
        """Begin the next submission, once one is due; None when nothing is left, or after a close."""
        while not self._closed:
            self._changed.clear()
            if (claim := await self._begin(doubtful=self._doubtful_begun)) is not None:
                return claim
            if self.limit_reached and self._again:
                await self._forget_sent_elsewhere()
            if self._limit_ends():
                return None
            async with self._looking:  # one worker looks for all
                if self._changed.is_set():
                    continue
                seen = self._changes
                left = await self._ledger.left(self._run_id)
                if self._changes != seen:
                    continue  # what was read may be from before the change
                self._doubtful_begun = self._only_doubtful(left)
                if self._doubtful_begun and (claim := await self._begin(doubtful=True)) is not None:
                    return claim
                if self._goes_on(left):
                    await self._wait(left)
                    self._changed.set()  # the workers behind this one try again, too
        return None

    def put_back(self, claim: Claim, delay_s: float, *, behind: bool = False) -> None:
        """Note that a submission waits in the ledger, where every run finds it."""
        del delay_s, behind
        self._out -= 1
        if self._left is not None:
            self._again.add(claim.id)
        self._note_change()

    def done(self, claim: Claim) -> None:
        """Note that a submission is no longer open."""
        del claim
        self._out -= 1
        self._note_change()

    def added(self) -> None:
        """Note that the ledger has new submissions."""
        self._note_change()

    def loading_ended(self) -> None:
        """Note that this run adds no more submissions."""
        self._loading = False
        self._note_change()

    def begun_lately(self) -> tuple[Claim, ...]:
        """Return the attempts that have begun in the last ten minutes, oldest first."""
        self._forget_old()
        return tuple(claim for _, claim in self._begun)

    def _forget_old(self) -> None:
        while self._begun and self._begun[0][0] < time.monotonic() - REMEMBERED_S:
            self._begun.popleft()

    def close(self) -> None:
        """Hand out no more submissions."""
        self._closed = True
        self._changed.set()

    @property
    def limit_reached(self) -> bool:
        """Whether as many submissions were started as the limit allows."""
        return self._left is not None and self._left <= 0

    async def _begin(self, *, doubtful: bool) -> Claim | None:
        """Begin an attempt; one that has begun for a worker that was cancelled is kept as unused."""
        among = frozenset(self._again) if self.limit_reached else None
        if among is not None and not among:
            return None
        if self._left is not None and among is None:
            self._left -= 1  # before it is known whether there is one, or workers would begin too many
        asked_at = time.monotonic()
        begun = self._ledger.begin_next(self._run_id, self._fresh_after, doubtful=doubtful, among=among)
        claim = None
        try:
            claim = await shielded(begun)
        except asyncio.CancelledError:
            if begun.done() and not begun.cancelled() and begun.exception() is None:
                self.unused += filter(None, [begun.result()])
            raise
        finally:
            counts = claim is not None and claim.id not in self._started
            if self._left is not None and among is None and not counts:
                self._left += 1
        if claim is not None:
            self._begun_within(time.monotonic() - asked_at)
            self._note_started(claim)
        return claim

    def _note_started(self, claim: Claim) -> None:
        self._out += 1
        self._forget_old()
        self._begun.append((time.monotonic(), claim))
        if claim.number == 1:
            self._fresh_after = max(self._fresh_after, claim.id)
        if self._left is not None:
            self._started.add(claim.id)
            self._again.discard(claim.id)

    def _note_change(self) -> None:
        self._changes += 1
        self._changed.set()

    async def _forget_sent_elsewhere(self) -> None:
        """Forget submissions to be sent again that another run has sent."""
        seen, asked = self._changes, frozenset(self._again)
        still_open = await self._ledger.still_open(asked)
        if self._changes == seen:
            self._again -= asked - still_open

    def _limit_ends(self) -> bool:
        """Whether the limit is reached and nothing that was started waits to be sent again."""
        return self.limit_reached and not (self._again or self._out)

    def _only_doubtful(self, left: LeftToShare) -> bool:
        """Whether submissions in doubt may be sent: no other waits, is being sent or still to be read."""
        others = left.fresh or left.next_due_ms is not None or left.loading or self._loading
        first_out = self._out and not self._doubtful_begun
        return left.doubtful and not (others or first_out or left.elsewhere_first)

    def _goes_on(self, left: LeftToShare) -> bool:
        """Whether this run has to wait for something; if not, the queue is closed."""
        if left.fresh and self._fresh_after:
            self._fresh_after = 0  # put back, or added by a slower transaction of another run
            return False
        waits = left.fresh or left.doubtful or left.next_due_ms is not None or left.loading or left.orphaned
        if not (waits or self._out or self._loading):
            self.elsewhere = left.elsewhere
            self.close()
        return not self._closed

    async def _wait(self, left: LeftToShare) -> None:
        """Wait until something changes, the next submission is due, or it is time to look again."""
        due = [at_ms for at_ms in (left.next_due_ms, left.doubtful_due_ms) if at_ms is not None]
        wait_s = min([LOOK_AGAIN_S, *(max((at_ms - left.now_ms) / 1000, 0.01) for at_ms in due)])
        try:
            async with asyncio.timeout(wait_s):
                await self._changed.wait()
        except TimeoutError:
            pass


class BegunAttempts:
    """The ledger, as workers use it behind this queue: their claims have begun already.

    Args:
        ledger: records how attempts end.
    """

    def __init__(self, ledger: RunLedger) -> None:
        self.settle = ledger.settle

    def begin(self, _claim: Claim, _run_id: RunId) -> asyncio.Future[bool]:
        """Begin nothing: the attempt has begun."""
        begun: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        begun.set_result(True)
        return begun
