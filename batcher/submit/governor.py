"""The governor: what a run as a whole does about what comes back.

Workers judge and record one submission each; here their dispositions add up. A service that says "too
frequent" slows the pace; one that does not answer at all is waited for; a fault of the account, or too many
failures, halts the run. It sends nothing but the harmless probe.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from batcher.flowcontrol.outage import (
    FIRST_PROBE_S,
    LONGEST_PROBE_S,
    PROBE_GROWTH,
    SILENT_CALLS,
    SUSPECT_PAUSE_S,
    Prober,
    halt_reason,
)
from batcher.flowcontrol.pacer import TOO_OFTEN, Pacer
from batcher.flowcontrol.retry_policy import CodeKind, kind_of
from batcher.model.events import NotSubmitted, OnEvent, OutageBegan, OutageOver, Rejected, SendingPaused
from batcher.model.outcome import (
    HELD_BACK,
    Answer,
    Decision,
    Disposition,
    HttpRefusal,
    NotSent,
    Outage,
    Outcome,
    ReplyLost,
    Settlement,
)
from batcher.model.submission import State

JUDGED = 200
"""A share of failures is that among the last so many submissions that ended."""


@dataclass(frozen=True, slots=True)
class MaxFailures:
    """How many failures halt a run: a number of this run's, or a share of the last 200 that ended."""

    number: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> MaxFailures:
        """Read ``N``, ``P%`` or ``off``, as the settings have checked it."""
        if text == "off":
            return cls()
        if text.endswith("%"):
            return cls(share=int(text[:-1]) / 100)
        return cls(number=int(text))


class Governor:
    """Heeds every disposition of a run.

    Args:
        pacer: slowed down, held back and released here.
        client: makes the probes.
        max_failures: when failures halt the run.
        halt: called once with the reason why the run must stop sending.
        tell: told of outages, and of every attempt that brought no task id.
        clock: monotonic seconds.
        now: the wall's clock, in UTC.
    """

    def __init__(
        self,
        pacer: Pacer,
        client: Prober,
        max_failures: MaxFailures,
        *,
        halt: Callable[[str], None],
        tell: OnEvent,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pacer = pacer
        self._client = client
        self._max_failures = max_failures
        self._halt = halt
        self._tell = tell
        self._clock = clock
        self._now = now
        self._silent = 0
        self._probing = False
        self._failures = 0
        self._ended: deque[bool] = deque(maxlen=JUDGED)
        self.waiting_for: str | None = None
        """Why nothing is sent at this moment."""
        self.outage: Outage | None = None
        """The outage that is not over."""

    async def heed(self, settlement: Settlement) -> None:
        """React to one recorded settlement; returns when the run may go on."""
        outcome, disposition = settlement.outcome, settlement.disposition
        if disposition.decision is Decision.SUBMITTED:
            self._silent, self.outage = 0, None
            self._ended.append(False)
            return
        self._tell(_not_submitted(settlement))
        self._count_failures(disposition)
        if _is_silence(outcome):
            self._silent += 1
        elif outcome is not HELD_BACK:
            self._silent = 0
        match disposition.decision, outcome:
            case Decision.HALT, Answer():
                self._halt(halt_reason(outcome))
            case Decision.SLOW_DOWN, Answer() | HttpRefusal():
                self._pacer.slow_down(outcome.retry_after_s, said_by(outcome))
            case Decision.PROBE, _:
                await self._suspect_credentials()
            case _, NotSent() | ReplyLost() if self._silent >= SILENT_CALLS and _is_silence(outcome):
                await self._sit_out(outcome.detail)

    @property
    def why_slow(self) -> str | None:
        """Why the pace is below the cap; None when it is not."""
        if self.waiting_for:
            return self.waiting_for
        return self._pacer.why_slow

    def _count_failures(self, disposition: Disposition) -> None:
        if disposition.state in (State.PENDING, State.SENDING):
            return
        failed = disposition.state in (State.REJECTED, State.FAILED)
        self._failures += failed
        self._ended.append(failed)
        number, share = self._max_failures.number, self._max_failures.share
        if not failed:
            return
        if number is not None and self._failures >= number:
            self._halt(f"too many failures: {self._failures} in this run; see the codes, then run again")
        elif share is not None and len(self._ended) == JUDGED and sum(self._ended) >= share * JUDGED:
            self._halt(
                f"too many failures: {sum(self._ended)} of the last {JUDGED} that ended; see the codes, "
                "then run again, with --max-failures off if this is as it should be"
            )

    async def _suspect_credentials(self) -> None:
        """Code 7 after successes: find out by the harmless call what it meant."""

        def judge(outcome: Outcome) -> bool:
            match outcome:
                case Answer() if kind_of(outcome.code) in (CodeKind.CREDENTIALS, CodeKind.HALT):
                    self._halt(halt_reason(outcome))
                    return True
                case Answer() | HttpRefusal():
                    self._pacer.slow_down(outcome.retry_after_s)
                    return isinstance(outcome, Answer)
            return False

        doubt = SendingPaused("the service doubts our credentials; asking it again")
        await self._probe(judge, SUSPECT_PAUSE_S, doubt)

    async def _sit_out(self, detail: str) -> None:
        """Nobody answers: hold still and probe, at growing intervals, until somebody does.

        Args:
            detail: what the last call met.
        """
        began, since = self._clock(), self.outage.since if self.outage else self._now()

        def judge(outcome: Outcome) -> bool:
            match outcome:
                case Answer() if kind_of(outcome.code) is CodeKind.HALT:
                    self._halt(halt_reason(outcome))
                case HttpRefusal(http_status=429 | 503):
                    self._pacer.slow_down(outcome.retry_after_s, said_by(outcome))
                case Answer() if kind_of(outcome.code) is CodeKind.SLOW_DOWN:
                    self._pacer.slow_down(outcome.retry_after_s)
                case NotSent() | ReplyLost() if _is_silence(outcome):
                    self.outage = Outage(since, outcome.detail)
                    return False
            self._silent, self.outage = 0, None
            return True

        self.outage = Outage(since, detail)
        outage = OutageBegan(f"the endpoint does not answer ({detail}); waiting for it")
        if await self._probe(judge, FIRST_PROBE_S, outage):
            self._tell(OutageOver(self._clock() - began))

    async def _probe(self, judge: Callable[[Outcome], bool], pause_s: float, waiting: SendingPaused) -> bool:
        """Hold all turns and probe until an outcome decides; False when another probe is under way or the
        run is stopped.
        """
        if self._probing or self._pacer.stopped:
            return False
        self._probing, self.waiting_for = True, waiting.why
        self._pacer.pause()
        self._tell(waiting)
        try:
            while not await self._pacer.stopped_within(pause_s) and (turn := await self._pacer.probe_turn()):
                if judge(await self._client.probe(partial(self._pacer.leave, turn))):
                    return True
                pause_s = min(pause_s * PROBE_GROWTH, LONGEST_PROBE_S)
            return False
        finally:
            self._probing, self.waiting_for = False, None
            self._pacer.resume()


def _is_silence(outcome: Outcome) -> bool:
    """Whether nobody answered, and not because we took it back ourselves."""
    if isinstance(outcome, ReplyLost):
        return outcome.http_status is None
    return isinstance(outcome, NotSent) and outcome is not HELD_BACK


def _not_submitted(settlement: Settlement) -> NotSubmitted:
    outcome, decision = settlement.outcome, settlement.disposition.decision
    kind = Rejected if decision is Decision.REJECTED else NotSubmitted
    if not isinstance(outcome, Answer):
        return kind(settlement.claim.file_id, decision, outcome.detail)
    said = f"code {outcome.code} {outcome.message}"
    request_id = outcome.vendor_request_id or outcome.request_id
    return kind(settlement.claim.file_id, decision, said, outcome.code, request_id)


def said_by(refusal: Answer | HttpRefusal) -> str:
    """What a refusal for the pace says, for the pacer."""
    is_busy = isinstance(refusal, HttpRefusal) and refusal.http_status == 503
    return "HTTP 503" if is_busy else TOO_OFTEN
