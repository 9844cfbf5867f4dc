"""Workers: each carries one submission after the other from its claim to a recorded disposition.

Started by the runner. The order of steps must not be changed: wait in the pacer's line, claim, begin
(committed), turn, send, judge, settle. A crash while a worker waits in the line leaves nothing behind; from
the begin on, it leaves an attempt in doubt. Workers decide nothing: that is
:func:`batcher.flowcontrol.retry_policy.decide`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from batcher.errors import LedgerError
from batcher.flowcontrol.rate_meter import RateMeter
from batcher.flowcontrol.retry_policy import Jitter, decide
from batcher.flowcontrol.sliding_window import Turn
from batcher.ledger.writer import shielded
from batcher.model.outcome import (
    HELD_BACK,
    Answer,
    Decision,
    Disposition,
    HttpRefusal,
    NotSent,
    Outcome,
    ReplyLost,
    Settlement,
)
from batcher.model.submission import Claim, FileId, InDoubtPolicy, Parameters, RunId, State, SubmissionId
from batcher.zego.client import Wire


class AttemptLedger(Protocol):
    """The ledger, as far as workers use it."""

    def begin(self, claim: Claim, run_id: RunId) -> asyncio.Future[bool]:
        """Record that an attempt begins; False when the submission is no longer open."""

    def settle(self, settlement: Settlement, run_id: RunId) -> asyncio.Future[None]:
        """Record the outcome of an attempt, and the disposition."""


class SubmitClient(Protocol):
    """The client, as far as workers use it."""

    async def submit(self, file_id: FileId, asked: Parameters, on_wire: Wire | None = None) -> Outcome:
        """Ask for one task: one request."""


class Claims(Protocol):
    """The queue, as far as workers use it."""

    async def next(self) -> Claim | None:
        """Claim the next submission, once one is due; None when nothing is left, or after a close."""

    def put_back(self, claim: Claim, delay_s: float, *, behind: bool = False) -> None:
        """Take back a claimed submission, due after a delay."""

    def done(self, claim: Claim) -> None:
        """Note that a claimed submission is no longer open."""

    def close(self) -> None:
        """Hand out no more submissions."""


class Turns(Protocol):
    """The pacer, as far as workers use it."""

    def line(self) -> AbstractAsyncContextManager[None]:
        """Wait to be among the next to get a turn."""

    def begun_within(self, seconds: float) -> None:
        """Note how long it took to begin an attempt in the line."""

    async def turn(self) -> Turn | None:
        """Wait for the moment to send; None when nothing may be sent after all."""

    async def leave(self, turn: Turn) -> bool:
        """Note that the request of a turn is about to leave; False when it must not any more."""


OnSettled = Callable[[Settlement], Awaitable[None]]
"""Called with each settlement, so that the run as a whole can react: with a success while it is being
recorded, with anything else once it is on record."""


@dataclass(slots=True)
class PoolState:
    """The state that the workers of a run share."""

    sent: RateMeter = field(default_factory=RateMeter)
    """Requests of this run that may have left."""
    proven: bool = False
    """The credentials have had a success in this run."""
    outstanding: set[asyncio.Future[None]] = field(default_factory=set)
    """Settlements handed to the ledger and not on record yet."""
    unrecorded: list[Settlement] = field(default_factory=list)
    """Attempts whose outcome could not be recorded: in doubt in the ledger, so that the user must be given
    them."""
    fault: BaseException | None = None
    """Why the first of them could not be recorded."""


class Worker:
    """One worker of the pool. All workers of a run share the objects they are given.

    Args:
        ledger: records attempts.
        client: sends requests.
        pacer: gives turns.
        queue: hands out submissions.
        state: shared counts and faults.
        on_settled: called with each settlement, except when the run is cut off.
        run_id: the run they belong to.
        policy: whether a submission whose answer is missing is sent again.
        jitter: draws backoffs.
        refused_alone: whether other submissions were answered since this one was last refused.
    """

    def __init__(
        self,
        ledger: AttemptLedger,
        client: SubmitClient,
        pacer: Turns,
        queue: Claims,
        state: PoolState,
        on_settled: OnSettled,
        *,
        run_id: RunId,
        policy: InDoubtPolicy,
        jitter: Jitter,
        refused_alone: Callable[[SubmissionId], bool] = lambda _: False,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._pacer = pacer
        self._queue = queue
        self._state = state
        self._on_settled = on_settled
        self._run_id = run_id
        self._policy = policy
        self._jitter = jitter
        self._refused_alone = refused_alone

    async def work(self) -> None:
        """Carry submissions until none is left to claim.

        While the success of one submission is being recorded, the worker begins the next, so that both
        records can share a transaction. Without this overlap a run takes a tenth more processor time.

        Raises:
            LedgerError: something could not be recorded.
        """
        recorded: asyncio.Future[None] | None = None
        while True:
            async with self._pacer.line():  # wait first: a crash while waiting leaves no doubt
                claim = await self._begin_next()  # committed: from here on a crash means in doubt
                turn = await self._turn(claim) if claim is not None else None
            before = recorded
            if claim is not None and turn is not None:
                recorded = await self._send(claim, turn)
            elif claim is not None:
                recorded = await self._settle(claim, HELD_BACK, Wire())
            if before is not None:
                await shielded(before)
            if claim is None:
                return

    async def _begin_next(self) -> Claim | None:
        """Begin an attempt for the next submission; None when nothing is left.

        A worker that is cancelled meanwhile settles the attempt it has begun as not sent.
        """
        while (claim := await self._queue.next()) is not None:
            asked_at, begun = time.monotonic(), self._ledger.begin(claim, self._run_id)
            try:
                open_still = await shielded(begun)
            except asyncio.CancelledError:
                with contextlib.suppress(LedgerError):  # not begun: the run ends for that
                    if await begun:  # the ledger records it all the same
                        await self._settle(claim, HELD_BACK, Wire(), reported=False)
                raise
            if open_still:
                self._pacer.begun_within(time.monotonic() - asked_at)
                return claim
            self._queue.done(claim)
        return None

    async def _turn(self, claim: Claim) -> Turn | None:
        """Wait for the moment to send; a worker that is cancelled meanwhile settles its attempt."""
        try:
            return await self._pacer.turn()
        except asyncio.CancelledError:
            await self._settle(claim, HELD_BACK, Wire(), reported=False)
            raise

    async def _send(self, claim: Claim, turn: Turn) -> asyncio.Future[None]:
        on_wire = Wire(partial(self._pacer.leave, turn))
        try:
            outcome = await self._client.submit(claim.file_id, claim.parameters, on_wire)
        except asyncio.CancelledError:
            lost = ReplyLost if on_wire.sent_at else NotSent
            outcome = lost("the run was stopped before an answer came")
            await self._settle(claim, outcome, on_wire, reported=False)
            raise
        return await self._settle(claim, outcome, on_wire)

    async def _settle(
        self, claim: Claim, outcome: Outcome, on_wire: Wire, *, reported: bool = True
    ) -> asyncio.Future[None]:
        """Judge an outcome, have it recorded, and hand the submission back to the queue.

        Args:
            claim: the submission.
            outcome: the outcome of its request.
            on_wire: when the request may have left.
            reported: let the run as a whole react; not when it is being cut off.

        Returns:
            Done when the settlement is on record. Only for a success it may not be done yet.

        Raises:
            LedgerError: it could not be recorded.
        """
        settlement = self._judge(claim, outcome, on_wire)
        disposition = settlement.disposition
        if not isinstance(outcome, NotSent):
            self._state.sent.add()
        try:
            recorded = self._ledger.settle(settlement, self._run_id)
        except LedgerError:
            self._state.unrecorded.append(settlement)
            raise
        self._state.outstanding.add(recorded)
        recorded.add_done_callback(partial(self._recorded, settlement))
        if disposition.state is State.SUBMITTED and reported:
            await self._on_settled(settlement)
            return recorded
        await shielded(recorded)
        if disposition.state is State.PENDING:
            again = _next(claim, disposition, self._run_id)
            behind = disposition.decision is Decision.SLOW_DOWN
            self._queue.put_back(again, disposition.delay_s or 0.0, behind=behind)
        elif disposition.state is not State.SUBMITTED:
            self._queue.done(claim)
        if reported:
            await self._on_settled(settlement)
        return recorded

    def _judge(self, claim: Claim, outcome: Outcome, on_wire: Wire) -> Settlement:
        disposition = decide(
            outcome,
            claim,
            policy=self._policy,
            proven=self._state.proven,
            jitter=self._jitter,
            refused_alone=self._refused_alone(claim.id),
        )
        return Settlement(
            claim,
            outcome,
            disposition,
            sent_at=None if on_wire.sent_at is None else datetime.fromtimestamp(on_wire.sent_at, UTC),
            answered_at=_now() if isinstance(outcome, Answer | HttpRefusal) else None,
        )

    def _recorded(self, settlement: Settlement, recorded: asyncio.Future[None]) -> None:
        """Note that a settlement is on record; if it cannot be recorded, close the queue for all workers."""
        self._state.outstanding.discard(recorded)
        if (fault := recorded.exception()) is not None:
            self._state.fault = self._state.fault or fault
            self._state.unrecorded.append(settlement)
            self._queue.close()
        elif settlement.disposition.state is State.SUBMITTED:
            self._state.proven = True
            self._queue.done(settlement.claim)


def _next(claim: Claim, disposition: Disposition, run_id: RunId) -> Claim:
    """Return the claim as the ledger would hand it out after this attempt."""
    return claim._replace(
        number=claim.number + 1,
        tries=disposition.tries,
        doubted=disposition.doubted,
        code=disposition.code,
        run_id=run_id,
    )


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)
