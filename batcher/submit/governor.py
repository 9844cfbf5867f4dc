"""The governor: how a run as a whole reacts to the dispositions of its submissions.

Made by the runner; workers call :meth:`Governor.observe` with each settlement. The guard slows the pace,
waits for a service that does not answer and detects faults of the account
(:mod:`batcher.flowcontrol.outage`). Too many failures or doubts halt the run: that rule is promised.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

from batcher.flowcontrol.findings import fault_of
from batcher.flowcontrol.outage import Guard
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.retry_policy import CodeKind, kind_of
from batcher.model.events import NotSubmitted, OnEvent, Rejected, Submitted
from batcher.model.outcome import Answer, Decision, Outcome, Settlement
from batcher.model.submission import State, SubmissionId
from batcher.submit.settings import MaxFailures

JUDGED = 200
"""A share of failures is taken over this many submissions, the last that ended."""

COUNTED_DOUBT = 2
"""A submission counts as ended badly at this send in doubt, though it may be sent again."""


class Prober(Protocol):
    """The client, as far as the governor uses it."""

    async def probe(self, may_leave: Callable[[], Awaitable[bool]] | None = None) -> Outcome:
        """Make the harmless call; ``may_leave`` is called just before its first byte."""


class Governor:
    """Reacts to every disposition of a run.

    Args:
        pacer: slowed down, held back and released here.
        client: makes the probes.
        max_failures: when failures halt the run.
        halt: called with the reason why the run must stop sending.
        on_event: called with outages and with the result of each attempt.
        clock: monotonic seconds.
        now: wall time, in UTC.

    Attributes:
        guard: of the run.
    """

    def __init__(
        self,
        pacer: Pacer,
        client: Prober,
        max_failures: MaxFailures,
        *,
        halt: Callable[[str], None],
        on_event: OnEvent,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._max_failures = max_failures
        self._halt = halt
        self._on_event = on_event
        self._clock = clock
        self._now = now
        self._failures = 0
        self._ended: deque[bool] = deque(maxlen=JUDGED)
        self._counted: set[SubmissionId] = set()
        """Submissions that count as failures for their doubts, and have not ended yet."""
        self.guard = Guard(pacer, halt=halt, on_event=on_event, clock=clock, now=now)

    async def observe(self, settlement: Settlement) -> None:
        """React to one settlement; returns when the worker may continue."""
        claim, outcome, disposition = settlement.claim, settlement.outcome, settlement.disposition
        if disposition.decision is Decision.SUBMITTED:
            self.guard.succeeded(claim.id)
            self._counted.discard(claim.id)
            self._ended.append(False)
            if isinstance(outcome, Answer) and outcome.task_id is not None:
                self._on_event(Submitted(claim.id, claim.file_id, outcome.task_id))
            return
        self._on_event(_not_submitted(settlement))
        self._count_failures(settlement)
        if disposition.decision is Decision.HALT and isinstance(outcome, Answer):
            of_row = kind_of(outcome.code) is CodeKind.PERMISSION  # the others concern the account alone
            self._halt(fault_of(outcome) + (f"; affected: {claim.file_id}" if of_row else ""))
            return
        if disposition.decision is Decision.PROBE:
            self.guard.proven = True  # the disposition was decided so
        await self.guard.observe(
            outcome,
            self._client.probe,
            about=claim.id,
            name=claim.file_id,
            waited_s=self._waited_s(settlement),
            of_row=disposition.decision is not Decision.PROBE,
        )

    def _waited_s(self, settlement: Settlement) -> float:
        """Return how long a request has waited for its answer."""
        return 0.0 if settlement.sent_at is None else (self._now() - settlement.sent_at).total_seconds()

    def _count_failures(self, settlement: Settlement) -> None:
        """Count a submission that failed, or that is in doubt for the second time, once."""
        id_, disposition = settlement.claim.id, settlement.disposition
        ended = disposition.state not in (State.PENDING, State.SENDING)
        doubted = disposition.decision is Decision.IN_DOUBT and disposition.tries.doubt >= COUNTED_DOUBT
        if not ended and not doubted:
            return
        counted = id_ in self._counted
        if ended:
            self._counted.discard(id_)
        else:
            self._counted.add(id_)
        if counted:
            return
        self._failures += 1
        self._ended.append(True)
        number, share = self._max_failures.number, self._max_failures.share
        if number is not None and self._failures >= number:
            self._halt(f"too many failures: {self._failures} in this run; check the codes, then run again")
        elif share is not None and len(self._ended) == JUDGED and sum(self._ended) >= share * JUDGED:
            self._halt(
                f"too many failures: {sum(self._ended)} of the last {JUDGED} that ended; check the codes, "
                "then run again, with --max-failures off if these failures are expected"
            )


def _not_submitted(settlement: Settlement) -> NotSubmitted:
    outcome, decision = settlement.outcome, settlement.disposition.decision
    kind = Rejected if decision is Decision.REJECTED else NotSubmitted
    if not isinstance(outcome, Answer):
        return kind(settlement.claim.file_id, decision, outcome.detail)
    said = f"code {outcome.code} {outcome.message}"
    request_id = outcome.vendor_request_id or outcome.request_id
    return kind(settlement.claim.file_id, decision, said, outcome.code, request_id)
