"""The guard of a flow: holds requests back in an outage, slows them down when throttled, halts on a fault.

Each flow that sends requests (submit, track, discover, callbacks) passes every outcome to its guard. The
guard sends only probes; the flow provides the call. :mod:`~batcher.flowcontrol.findings` classifies outcomes,
:mod:`~batcher.flowcontrol.outage_policy` has the rules. Every flow must use this guard: a second copy would
treat the same outage differently.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable
from datetime import UTC, datetime
from functools import partial

from batcher.flowcontrol.findings import (
    Finding,
    classify,
    fault_of,
    obstacle_of,
    outcome_text,
    throttle_text,
    waiting_text,
)
from batcher.flowcontrol.outage_policy import (
    CREDENTIALS_PAUSE_S,
    CREDENTIALS_TRUSTED_S,
    FIRST_PAUSE_S,
    MOVES,
    GuardState,
    HoldCause,
    ProbeResult,
    begins_outage,
    denial_halts,
    forbidden_needs_probe,
    halt_reason,
    is_settled,
    judge_probe,
    needs_credentials_probe,
    next_pause_s,
    outage_began_text,
    slows_pace,
    unreadable_halts,
)
from batcher.flowcontrol.outcome_history import OutcomeHistory
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.rate_meter import CurrentRate, RateMeter
from batcher.model.events import OnEvent, OutageBegan, OutageOver, SendingPaused, ignore_event
from batcher.model.outcome import Answer, HttpRefusal, NotSent, Outage

MayLeave = Callable[[], Awaitable[bool]]
"""Called just before the first byte; False when the request must not leave."""

Probe = Callable[[MayLeave], Awaitable[object]]
"""Makes one harmless call; returns its outcome."""


class Guard:
    """The guard of one flow.

    Call :meth:`observe` with every outcome but a success given to :meth:`succeeded`. The call that starts to
    probe returns when a probe settled the cause, a request in flight succeeded or the pacer stopped; all
    others return immediately, and their next turn waits.

    Args:
        pacer: gives the turns of this flow; held back, slowed down and released here.
        halt: called with the reason why the flow must stop; may be called more than once.
        on_event: called for outages and for doubted credentials.
        silence: the words for an endpoint without usable answers.
        clock: monotonic seconds.
        now: the wall clock, in UTC.
    """

    def __init__(
        self,
        pacer: Pacer,
        *,
        halt: Callable[[str], None],
        on_event: OnEvent = ignore_event,
        silence: str = "the endpoint does not answer",
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pacer = pacer
        self._halt, self._on_event, self._silence = halt, on_event, silence
        self._clock, self._now = clock, now
        self.outage: Outage | None = None
        """The current outage; None outside an outage."""
        self.waiting_for: str | None = None
        """Why nothing is sent at this moment."""
        self.proven = False
        """A request of this flow has succeeded: the credentials are good."""
        self._state = GuardState.OPEN
        self._history = OutcomeHistory(clock())
        self._pause_s = FIRST_PAUSE_S
        self._outage_began = 0.0
        self._trusted_until = 0.0

    @property
    def why_slow(self) -> str | None:
        """Why the flow sends less than it may, or nothing; None when it does not."""
        return self.waiting_for or self._pacer.why_slow

    def current_rate(self, sent: RateMeter) -> CurrentRate:
        """Return how fast the flow sends at this moment.

        Args:
            sent: counts its requests.
        """
        pacer, waiting = self._pacer, self.waiting_for is not None or self._pacer.standing_by
        return CurrentRate(
            sent.per_s, pacer.pace_per_s, pacer.rate_per_s, self.why_slow, sent.count, sent.seconds, waiting
        )

    @property
    def answers(self) -> int:
        """Requests that were answered about their subject, and answered probes."""
        return self._history.answers

    def refused_alone(self, about: Hashable) -> bool:
        """Whether others were answered since this subject was refused; call it before :meth:`observe`."""
        return self._history.refused_alone(about)

    def succeeded(self, about: Hashable = None) -> None:
        """Note a success, as :meth:`observe` does, for callers that must not wait."""
        self.proven = True
        self._add_usable(Finding.SUCCEEDED, about)

    async def observe(
        self,
        outcome: object,
        probe: Probe,
        *,
        about: Hashable,
        name: str = "",
        waited_s: float = 0.0,
        of_row: bool = False,
    ) -> Finding:
        """React to one outcome; return its finding when the flow may continue.

        Args:
            outcome: of the request.
            probe: makes the harmless call, if one is needed.
            about: the submission, task or question that the request was about.
            name: its name in messages.
            waited_s: how long the request waited for its answer.
            of_row: this subject got a code 7 before, so it does not call for another probe by itself.
        """
        finding, cause = classify(outcome), None
        if finding in (Finding.NO_ANSWER, Finding.UNREADABLE):
            cause = self._judge_missing(finding, outcome, about, waited_s)
        elif finding is Finding.SUCCEEDED:
            self.succeeded(about)
        elif finding is not Finding.OURS:
            self._add_usable(finding, about)
            cause = self._judge_answer(finding, outcome, about, name, of_row)
        if cause is not None:
            await self._hold(cause, outcome, probe)
        return finding

    # -- judging one outcome -----------------------------------------------------------------------

    def _add_usable(self, finding: Finding, about: Hashable) -> None:
        """Note a usable answer: it ends an outage."""
        self._history.add_usable(finding, about, self._clock())
        if self.outage is not None:
            self._on_event(OutageOver(self._clock() - self._outage_began))
            self.outage = self.waiting_for = None
            if not self._is(GuardState.OPEN):
                self._move(GuardState.OPEN)
        self._pause_s = FIRST_PAUSE_S

    def _judge_answer(
        self, finding: Finding, outcome: object, about: Hashable, name: str, of_row: bool
    ) -> HoldCause | None:
        """Judge a usable answer other than a success; return why turns must be held back, if so."""
        match finding, outcome:
            case Finding.THROTTLED, Answer() | HttpRefusal():
                return self._judge_throttled(outcome, about)
            case Finding.FORBIDDEN, _:
                first, alone = self._history.add_refusal(about)
                subjects = self._history.add_forbidden(about)
                if forbidden_needs_probe(subjects, first=first, alone=alone):
                    return HoldCause.FORBIDDEN
            case Finding.PERMISSION, Answer():
                denied = self._history.add_denied(outcome.code, about, name)
                if denial_halts(len(denied), proven=self.proven):
                    names = ", ".join(filter(None, denied))
                    self._halt(fault_of(outcome) + (f"; affected: {names}" if names else ""))
            case Finding.ACCOUNT, Answer():
                self._halt(fault_of(outcome))
            case Finding.CREDENTIALS, Answer():
                self._history.doubts += 1
                explained = of_row or self._clock() < self._trusted_until
                if not self.proven:
                    self._halt(fault_of(outcome))
                elif needs_credentials_probe(self._history.doubts, explained=explained):
                    return HoldCause.CREDENTIALS
        return None

    def _judge_throttled(self, outcome: Answer | HttpRefusal, about: Hashable) -> HoldCause | None:
        """Slow the pacer down, unless the refusal concerns this subject alone; probe at a second one."""
        first, alone = self._history.add_refusal(about)
        if first or not alone:
            self._history.refusals.append(True)
            if slows_pace(self._history.refusals):
                self._pacer.slow_down(outcome.retry_after_s, throttle_text(outcome))
            elif outcome.retry_after_s:
                self._pacer.hold(outcome.retry_after_s)
        return None if first or alone else HoldCause.THROTTLED

    def _judge_missing(
        self, finding: Finding, outcome: object, about: Hashable, waited_s: float
    ) -> HoldCause | None:
        """Judge an outcome without a usable answer; return why turns must be held back, if so."""
        if finding is Finding.UNREADABLE:
            self._history.unreadable += 1
            if unreadable_halts(self._history.unreadable, proven=self.proven):
                self._halt(halt_reason(outcome))
                return None
        suspect = not isinstance(outcome, NotSent) and self._history.add_missing(about)
        if isinstance(outcome, HttpRefusal):
            _, alone = self._history.add_refusal(about)
            if suspect and not alone:
                return HoldCause.THROTTLED
        if self._is(GuardState.SINGLE):
            if not suspect:
                return HoldCause.NO_ANSWER
            self._move(GuardState.SINGLE)
        elif not suspect:
            self._history.no_answers += 1
            silent_s = self._clock() - self._history.answered_at
            if begins_outage(self._history.no_answers, silent_s, waited_s):
                return HoldCause.NO_ANSWER
        return None

    # -- holding turns back ------------------------------------------------------------------------

    def _is(self, state: GuardState) -> bool:
        return self._state is state  # a method, since another task may change the state

    def _move(self, to: GuardState) -> None:
        """Enter another state, and have the pacer give turns accordingly."""
        if to not in MOVES[self._state]:
            raise RuntimeError(f"the guard cannot move from {self._state.name} to {to.name}")
        self._state = to
        match to:
            case GuardState.OPEN:
                self._pacer.resume()
            case GuardState.PROBING:
                self._pacer.pause()
            case GuardState.SINGLE:
                self._pacer.single()

    async def _hold(self, cause: HoldCause, outcome: object, probe: Probe) -> None:
        """Hold all turns back and probe, at growing intervals, until a probe settles the cause."""
        if self._is(GuardState.PROBING) or self._pacer.stopped:
            return
        self._move(GuardState.PROBING)
        self._announce(cause, outcome)
        pause_s = CREDENTIALS_PAUSE_S if cause is HoldCause.CREDENTIALS else self._pause_s
        try:
            while not await self._pacer.stopped_within(pause_s) and (turn := await self._pacer.probe_turn()):
                answer = await probe(partial(self._pacer.leave, turn))
                if not self._is(GuardState.PROBING):  # a request in flight has succeeded meanwhile
                    return
                settled = self._settle(cause, answer)
                pause_s = next_pause_s(pause_s)
                if cause is not HoldCause.CREDENTIALS:
                    self._pause_s = pause_s
                if settled:
                    self._release(cause)
                    return
                if classify(answer) is Finding.CREDENTIALS:
                    cause, pause_s = HoldCause.CREDENTIALS, max(pause_s, CREDENTIALS_PAUSE_S)
        finally:
            if self._is(GuardState.PROBING):
                self.waiting_for = None
                self._move(GuardState.OPEN)

    def _announce(self, cause: HoldCause, outcome: object) -> None:
        """Report why turns are held back."""
        if cause is not HoldCause.NO_ANSWER:
            self.waiting_for = cause.value
            asked_lately = cause is HoldCause.CREDENTIALS and self._clock() < self._trusted_until
            if cause is not HoldCause.THROTTLED and not asked_lately:
                self._on_event(SendingPaused(cause.value))
            return
        if self.outage is None:
            self._outage_began = self._clock()
            self.outage = Outage(self._now(), outcome_text(outcome))
            self._history.met(obstacle_of(outcome), self._clock())
            self._on_event(OutageBegan(outage_began_text(self._silence, outcome)))
        self._note_outage(outcome)

    def _note_outage(self, outcome: object) -> float:
        """Keep the last outcome of an outage; return how long every outcome has shown the same obstacle."""
        if self.outage is None or classify(outcome) is not Finding.NO_ANSWER:
            return 0.0
        self.outage = Outage(self.outage.since, outcome_text(outcome))
        self.waiting_for = waiting_text(self.outage)
        is_new, lasted_s = self._history.met(obstacle := obstacle_of(outcome), self._clock())
        if is_new and obstacle:
            self._on_event(SendingPaused(outage_began_text(self._silence, outcome)))
        return lasted_s

    def _settle(self, cause: HoldCause, outcome: object) -> bool:
        """Apply the result of a probe; return whether turns may be given again."""
        obstacle_s = self._note_outage(outcome)
        result = judge_probe(outcome, cause, proven=self.proven, obstacle_s=obstacle_s)
        match result:
            case ProbeResult.HALT:
                self._halt(halt_reason(outcome))
            case ProbeResult.THROTTLED if isinstance(outcome, Answer | HttpRefusal):
                self._pacer.slow_down(outcome.retry_after_s, throttle_text(outcome))
            case ProbeResult.ANSWERED:
                self._history.add_probe_answer()
        return is_settled(result, cause)

    def _release(self, cause: HoldCause) -> None:
        """Give turns again; after an outage a single one first."""
        self._history.no_answers = self._history.doubts = 0
        if cause is HoldCause.CREDENTIALS:  # the probe was answered, so the rate was meant
            self._trusted_until = self._clock() + CREDENTIALS_TRUSTED_S
            self._pacer.slow_down()
        if self.outage is not None:
            self._move(GuardState.SINGLE)
        else:
            self._pause_s = FIRST_PAUSE_S
            self.waiting_for = None
            self._move(GuardState.OPEN)
