"""Workers: each carries one submission after the other from its claim to a recorded disposition.

The order is the point: stand in line, claim, begin (committed), turn, send, judge, settle. A crash while
standing in line leaves nothing behind; from the begin on, it leaves an attempt in doubt. Workers know the
ledger, the client and the pacer by what they use of them, and decide nothing: that is `decide`'s.
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
from batcher.flowcontrol.pacer import Turn
from batcher.flowcontrol.retry_policy import Jitter, decide
from batcher.ledger import shielded
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
from batcher.submit.queue import SubmissionQueue
from batcher.zego.client import Wire


class AttemptLedger(Protocol):
    """What workers need of the ledger."""

    def begin(self, claim: Claim, run_id: RunId) -> asyncio.Future[bool]:
        """Record that an attempt begins; False when the submission is no longer open."""

    def settle(self, settlement: Settlement, run_id: RunId) -> asyncio.Future[None]:
        """Record what came back and what was decided."""


class SubmitClient(Protocol):
    """What workers need of the client."""

    async def submit(self, file_id: FileId, asked: Parameters, on_wire: Wire | None = None) -> Outcome:
        """Ask for one task: one request."""


class Turns(Protocol):
    """What workers need of the pacer."""

    def line(self) -> AbstractAsyncContextManager[None]:
        """Be among the next to get a turn."""

    def begun_within(self, seconds: float) -> None:
        """An attempt has begun in the line, and that took so long."""

    async def turn(self) -> Turn | None:
        """Wait for the instant to send; None when nothing may be sent after all."""

    async def leave(self, turn: Turn) -> bool:
        """The request of a turn is about to leave; False when it must not any more."""


OnSettled = Callable[[Settlement], Awaitable[None]]
"""Told of every settlement, so that the run as a whole can react; of what is no success, once on record."""


@dataclass(slots=True)
class RunState:
    """What workers share while a run goes on."""

    proven: bool = False
    """The credentials have had a success in this run."""
    sent: int = 0
    """Requests that may have left in this run."""
    outstanding: set[asyncio.Future[None]] = field(default_factory=set)
    """Settlements handed to the ledger and not on record yet."""
    unrecorded: list[Settlement] = field(default_factory=list)
    """Attempts whose end could not be recorded: in doubt, unless a person keeps what is here."""
    fault: BaseException | None = None
    """Why the first of them could not."""


class Worker:
    """One of the pool. All of them share everything they are given.

    Args:
        run_id: the run they belong to.
        policy: what becomes of a submission whose answer is missing.
        jitter: draws backoffs.
        refused_alone: whether others were answered since a submission was last refused.
    """

    def __init__(
        self,
        ledger: AttemptLedger,
        client: SubmitClient,
        pacer: Turns,
        claims: SubmissionQueue,
        state: RunState,
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
        self._claims = claims
        self._state = state
        self._on_settled = on_settled
        self._run_id = run_id
        self._policy = policy
        self._jitter = jitter
        self._refused_alone = refused_alone

    async def work(self) -> None:
        """Carry submissions until none is left to claim.

        While the success of one is being recorded the next is begun already, so that both go into one
        transaction.

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

        A worker that is cancelled meanwhile settles what it has begun: nothing of it left.
        """
        while (claim := await self._claims.next()) is not None:
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
            self._claims.done(claim)
        return None

    async def _turn(self, claim: Claim) -> Turn | None:
        """Wait for the instant to send; a worker that is cancelled meanwhile settles its attempt."""
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
        """Judge an outcome, have it recorded, and hand the submission on; heeded unless the run is cut off.

        A success asks nothing of the run as a whole, so that nobody waits for it here.

        Returns:
            Done when it is on record.
        """
        disposition = decide(
            outcome,
            claim,
            policy=self._policy,
            proven=self._state.proven,
            jitter=self._jitter,
            refused_alone=self._refused_alone(claim.id),
        )
        settlement = Settlement(
            claim,
            outcome,
            disposition,
            sent_at=None if on_wire.sent_at is None else datetime.fromtimestamp(on_wire.sent_at, UTC),
            answered_at=_now() if isinstance(outcome, Answer | HttpRefusal) else None,
        )
        if not isinstance(outcome, NotSent):
            self._state.sent += 1
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
            self._claims.put_back(again, disposition.delay_s or 0.0, behind=behind)
        elif disposition.state is not State.SUBMITTED:
            self._claims.done(claim)
        if reported:
            await self._on_settled(settlement)
        return recorded

    def _recorded(self, settlement: Settlement, recorded: asyncio.Future[None]) -> None:
        """A settlement is on record, or cannot be: then nobody may go on waiting for more to do."""
        self._state.outstanding.discard(recorded)
        if (fault := recorded.exception()) is not None:
            self._state.fault = self._state.fault or fault
            self._state.unrecorded.append(settlement)
            self._claims.close()
        elif settlement.disposition.state is State.SUBMITTED:
            self._state.proven = True
            self._claims.done(settlement.claim)


def _next(claim: Claim, disposition: Disposition, run_id: RunId) -> Claim:
    """The claim as the ledger would hand it out after this attempt."""
    return claim._replace(
        number=claim.number + 1,
        tries=disposition.tries,
        doubted=disposition.doubted,
        code=disposition.code,
        run_id=run_id,
    )


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)
