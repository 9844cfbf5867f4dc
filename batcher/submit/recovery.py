"""Recovery: what a killed run has left is settled before the next run begins. Called by the runner."""

from __future__ import annotations

import asyncio

from batcher.flowcontrol.retry_policy import Jitter, decide
from batcher.ledger.run_ledger import RunLedger
from batcher.ledger.writer import shielded
from batcher.model.outcome import HELD_BACK, ReplyLost, Settlement
from batcher.model.submission import Claim, InDoubtPolicy, RunId


async def recover(ledger: RunLedger, run_id: RunId, policy: InDoubtPolicy, jitter: Jitter) -> None:
    """Settle attempts that began and were never settled: they are in doubt.

    Under ``hold``, submissions that wait to be sent again for an earlier doubt leave the queue, too.

    Args:
        ledger: opened for writing, and held by no other run.
        run_id: the run that begins.
        policy: whether submissions in doubt are sent again.
        jitter: draws backoffs.
    """
    if policy is InDoubtPolicy.HOLD:
        await ledger.hold_doubtful(run_id)
    settlements = [lost_settlement(claim, policy, jitter) for claim in await ledger.sending()]
    await asyncio.gather(*(shielded(ledger.settle(each, run_id)) for each in settlements))


def lost_settlement(claim: Claim, policy: InDoubtPolicy, jitter: Jitter) -> Settlement:
    """Return how an attempt is settled whose run ended before its answer was on record."""
    lost = ReplyLost("its run ended before an answer was recorded")
    return Settlement(claim, lost, decide(lost, claim, policy=policy, proven=False, jitter=jitter))


def unused_settlement(claim: Claim, policy: InDoubtPolicy) -> Settlement:
    """Return how an attempt is settled that began for a worker that was cancelled before it sent."""
    disposition = decide(HELD_BACK, claim, policy=policy, proven=False, jitter=lambda longest: longest)
    return Settlement(claim, HELD_BACK, disposition)
