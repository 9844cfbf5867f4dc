"""Outages, throttling and account faults: one classification of outcomes and one guard for every flow.

:func:`classify` says what an outcome tells about the *service*; what becomes of the row or question is
decided elsewhere (:mod:`batcher.flowcontrol.retry_policy` for submissions). :class:`Guard` takes every
outcome of one flow and decides about the flow as a whole: hold still and probe, slow down, or halt. It
sends only probes, and the caller says how to make one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from datetime import UTC, datetime
from enum import Enum, auto
from functools import partial
from typing import Protocol

from batcher.flowcontrol.pacer import Turn
from batcher.flowcontrol.rate_policy import TOO_OFTEN
from batcher.flowcontrol.retry_policy import CodeKind, kind_of
from batcher.model.events import OnEvent, OutageBegan, OutageOver, SendingPaused, ignore_event
from batcher.model.outcome import HELD_BACK, NO_ANSWERS, Answer, HttpRefusal, NotSent, Outage, ReplyLost
from batcher.model.submission import ReplyShape
from batcher.zego.codes import meaning

LONG_WAIT_S = 1.0
"""A request that waited so long for nothing begins an outage alone, if nobody was answered meanwhile."""

UNREADABLE_ANSWERS = 3
"""This many accepted but unreadable answers in a row, before any success, halt."""

FORBIDDEN_SUBJECTS = 3
"""This many subjects in a row that get HTTP 401, 403 or 407 are a reason to probe."""

DENIED_SUBJECTS = 2
"""This many subjects that get code 3 or 5 after a success halt."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
PAUSE_GROWTH = 1.5
"""An outage is noticed to be over when it has lasted half as long again at most."""

CREDENTIALS_PAUSE_S = 1.25
"""The pause before the probe that says whether code 7 meant the credentials or the rate. A rate limit that
counts the last second has emptied by then."""
CREDENTIALS_TRUSTED_S = 30.0
"""After such a probe was answered, single codes 7 are not asked about again for this long."""
CREDENTIALS_IN_A_ROW = 3
"""This many codes 7 in a row are always asked about."""

RECENT_CALLS = 100
FEWEST_CALLS = 20
HEARD_SHARE = 0.05
"""The pacer is told of a refusal only if at least this share of the recent calls was refused."""


class Finding(Enum):
    """What one outcome tells about the service."""

    OURS = "nothing: the request was held back by ourselves"
    SUCCEEDED = "it did what was asked"
    ANSWERED = "it answered about this row or question"
    NO_ANSWER = "no usable answer to anyone: no connection, no answer, a server error, a redirect, a page"
    UNREADABLE = "it accepted, or says so, in an answer that cannot be read"
    THROTTLED = "calls come too often"
    CREDENTIALS = "code 7: the credentials are wrong, or calls come too often"
    PERMISSION = "codes 3 and 5: a fault of the account, or of this row"
    ACCOUNT = "a fault of the account: every call fails alike"
    FORBIDDEN = "HTTP 401, 403 or 407 without a code"


USABLE = frozenset(Finding) - {Finding.OURS, Finding.NO_ANSWER, Finding.UNREADABLE}
"""Findings that show the service to be there."""

_OF_KIND = {
    CodeKind.SUBMITTED: Finding.SUCCEEDED,
    CodeKind.SLOW_DOWN: Finding.THROTTLED,
    CodeKind.CREDENTIALS: Finding.CREDENTIALS,
    CodeKind.PERMISSION: Finding.PERMISSION,
    CodeKind.HALT: Finding.ACCOUNT,
}


def classify(outcome: object) -> Finding:
    """Classify an outcome; anything that is not one of the four kinds of outcome is what was asked for."""
    match outcome:
        case NotSent():
            return Finding.OURS if outcome is HELD_BACK else Finding.NO_ANSWER
        case ReplyLost():
            return _OF_SHAPE[outcome.shape]
        case HttpRefusal():
            return _classify_status(outcome)
        case Answer(code=0, task_id=None):
            return Finding.UNREADABLE
        case Answer(code=code) if kind_of(code) is CodeKind.CLOCK:
            return Finding.ANSWERED if outcome.clock_corrected else Finding.ACCOUNT
        case Answer():
            return _OF_KIND.get(kind_of(outcome.code), Finding.ANSWERED)
    return Finding.SUCCEEDED


_OF_SHAPE = {
    ReplyShape.NOTHING: Finding.NO_ANSWER,
    ReplyShape.OTHER_JSON: Finding.UNREADABLE,
    ReplyShape.DATA: Finding.ANSWERED,
}


def _classify_status(refusal: HttpRefusal) -> Finding:
    match refusal.http_status:
        case 429:
            return Finding.THROTTLED
        case 503 if refusal.retry_after_s is not None:
            return Finding.THROTTLED
        case 401 | 403 | 407:
            return Finding.FORBIDDEN
        case status if 400 <= status < 500:
            return Finding.ANSWERED
    return Finding.NO_ANSWER


def fault_of(answer: Answer) -> str:
    """Say why an answer halts the flow, and what to do."""
    what = meaning(answer.code)
    said = f" (the service says: {answer.message})" if answer.message else ""
    return f"code {answer.code}: {what.text}{said}; {what.remedy}"


def said_by(refusal: Answer | HttpRefusal) -> str:
    """What a refusal for the pace says, for the pacer."""
    is_busy = isinstance(refusal, HttpRefusal) and refusal.http_status == 503
    return "HTTP 503" if is_busy else TOO_OFTEN


def shown(outcome: object) -> str:
    """Say in words what came back."""
    if isinstance(outcome, Answer):
        said = f" {outcome.message}" if outcome.message else ""
        return f"code {outcome.code}{said}" + (f" in {outcome.excerpt}" if outcome.excerpt else "")
    return str(getattr(outcome, "detail", ""))


class GuardedPacer(Protocol):
    """What the guard needs of the pacer."""

    def pause(self) -> None:
        """Give no turns until :meth:`resume` or :meth:`single`."""

    def resume(self) -> None:
        """Give turns again."""

    def single(self) -> None:
        """Give one turn, then pause again."""

    def slow_down(self, retry_after_s: float | None = None, said: str = TOO_OFTEN) -> None:
        """Lower the pace, and give no turns for as long as the service asks."""

    def hold(self, seconds: float) -> None:
        """Give no turns for this long."""

    async def probe_turn(self) -> Turn | None:
        """Wait for a turn to probe; None when stopped."""

    async def leave(self, turn: Turn) -> bool:
        """Count a request at the moment it leaves; False when it must not."""

    async def stopped_within(self, seconds: float) -> bool:
        """Wait this long; True when stopped."""

    @property
    def stopped(self) -> bool:
        """Whether there will be no more turns."""


MayLeave = Callable[[], Awaitable[bool]]
"""Asked just before the first byte; False when the request must not leave."""

Probe = Callable[[MayLeave], Awaitable[object]]
"""Makes one harmless call; returns its outcome."""


class _Stage(Enum):
    OPEN = auto()
    HOLDING = auto()
    """Turns are held back, and one caller of :meth:`Guard.heed` probes."""
    ALONE = auto()
    """A probe was answered: one ordinary request is sent alone before turns are given again."""


class _Cause(Enum):
    """Why turns are held back."""

    NO_ANSWER = ""
    CREDENTIALS = "the service doubts our credentials; asking it again"
    THROTTLED = "the service refuses the same requests again and again; asking it again"
    FORBIDDEN = "the endpoint forbids the calls; asking it again"


class Guard:
    """Decides about one flow of requests as a whole; sends nothing but probes.

    Call :meth:`observe` with every outcome, once it is recorded. A call that begins an outage returns when a
    probe was answered; the others return at once, and their next turn waits.

    Args:
        pacer: gives the turns of this flow; held back, slowed down and released here.
        halt: called with the reason why the flow must stop; may be called more than once.
        on_event: told of outages and of credentials in doubt.
        silence: the words for an endpoint without usable answers.
        clock: monotonic seconds.
        now: the wall's clock, in UTC.
    """

    def __init__(
        self,
        pacer: GuardedPacer,
        *,
        halt: Callable[[str], None],
        on_event: OnEvent = ignore_event,
        silence: str = "the endpoint does not answer",
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pacer = pacer
        self._halt = halt
        self._on_event = on_event
        self._silence = silence
        self._clock = clock
        self._now = now
        self.outage: Outage | None = None
        """The outage that is not over."""
        self.waiting_for: str | None = None
        """Why nothing is sent at this moment."""
        self.proven = False
        """A request of this flow has succeeded: the credentials are good."""
        self.answers = 0
        """Requests that were answered about themselves, and answered probes."""
        self._stage = _Stage.OPEN
        self._pause_s = FIRST_PAUSE_S
        self._outage_began = 0.0
        self._no_answers = 0
        self._answered_at = clock()
        self._unreadable = 0
        self._forbidden: set[Hashable] = set()
        self._denied: dict[tuple[int, Hashable], str] = {}
        """Subjects that got code 3 or 5, by the code, with their names."""
        self._sevens = 0
        self._trusted_until = 0.0
        self._recent: deque[bool] = deque(maxlen=RECENT_CALLS)
        self._refused_at: dict[Hashable, int] = {}
        """Subjects that were refused last, with the number of answers at that time."""
        self._heard = 0
        """Usable answers, those of probes not among them."""
        self._unheard_at: dict[Hashable, int] = {}
        """Subjects without a usable answer last, with the number of those heard at that time."""
        self._suspects: set[Hashable] = set()
        """Subjects that got no usable answer twice, while others did between: no evidence of an outage."""

    def refused_alone(self, about: Hashable) -> bool:
        """Whether others were answered since a subject was last refused, or before it ever was.

        Then a refusal concerns this subject, not the pace or the endpoint. Ask before :meth:`observe`.
        """
        return self.answers > self._refused_at.get(about, 0)

    def succeeded(self, about: Hashable = None) -> None:
        """Note a success; the same as :meth:`observe` with one, for callers that must not wait."""
        self.proven = True
        self._pass(Finding.SUCCEEDED, about)

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
        """React to one outcome; return what it says when the flow may continue.

        Args:
            outcome: what came back.
            probe: makes the harmless call, if one is needed.
            about: the submission, task or question it was for.
            name: how messages name it.
            waited_s: how long the request waited for its answer.
            of_row: a code 7 was judged to concern this subject alone, after an answered probe.
        """
        finding = classify(outcome)
        match finding:
            case Finding.OURS:
                pass
            case Finding.SUCCEEDED:
                self.succeeded(about)
            case Finding.NO_ANSWER | Finding.UNREADABLE:
                await self._unanswered(finding, outcome, probe, about, waited_s)
            case _:
                self._pass(finding, about)
                if finding is Finding.PERMISSION and isinstance(outcome, Answer):
                    self._denied[outcome.code, about] = name
                await self._answered(finding, outcome, probe, about, of_row)
        return finding

    # -- the service is there --------------------------------------------------------------------

    def _pass(self, finding: Finding, about: Hashable) -> None:
        """Note a usable answer: it ends an outage, and runs of other findings."""
        self._no_answers = self._unreadable = 0
        self._answered_at = self._clock()
        if finding is not Finding.FORBIDDEN:
            self._forbidden.clear()
        if finding is not Finding.CREDENTIALS:
            self._sevens = 0
        self._heard += 1
        self._unheard_at.pop(about, None)
        self._suspects.discard(about)
        if finding in (Finding.SUCCEEDED, Finding.ANSWERED):
            self.answers += 1
            self._refused_at.pop(about, None)
        if finding is not Finding.THROTTLED:
            self._recent.append(False)
        if self.outage is not None:
            self._on_event(OutageOver(self._clock() - self._outage_began))
            self.outage = self.waiting_for = None
            self._stage = _Stage.OPEN
            self._pacer.resume()
        self._pause_s = FIRST_PAUSE_S

    async def _answered(
        self,
        finding: Finding,
        outcome: object,
        probe: Probe,
        about: Hashable,
        of_row: bool,
    ) -> None:
        match finding, outcome:
            case Finding.THROTTLED, Answer() | HttpRefusal():
                await self._throttled(outcome, probe, about)
            case Finding.FORBIDDEN, _:
                self._forbidden.add(about)
                if len(self._forbidden) >= FORBIDDEN_SUBJECTS:
                    await self._hold(_Cause.FORBIDDEN, outcome, probe)
            case Finding.PERMISSION, Answer():
                denied = [name for (code, _), name in self._denied.items() if code == outcome.code]
                if not self.proven or len(denied) >= DENIED_SUBJECTS:
                    names = ", ".join(filter(None, denied))
                    self._halt(fault_of(outcome) + (f"; met by {names}" if names else ""))
            case Finding.ACCOUNT, Answer():
                self._halt(fault_of(outcome))
            case Finding.CREDENTIALS, Answer():
                await self._credentials(outcome, probe, of_row)

    async def _credentials(self, answer: Answer, probe: Probe, of_row: bool) -> None:
        """Code 7: a fault before the first success; later, ask by a probe unless it was asked just now."""
        self._sevens += 1
        if not self.proven:
            self._halt(fault_of(answer))
            return
        known = of_row or self._clock() < self._trusted_until
        if not known or self._sevens >= CREDENTIALS_IN_A_ROW:
            await self._hold(_Cause.CREDENTIALS, answer, probe)

    async def _throttled(self, outcome: Answer | HttpRefusal, probe: Probe, about: Hashable) -> None:
        """Pass a refusal on to the pacer, unless it concerns this subject alone.

        A subject that is refused again while nobody was answered is a reason to hold still and probe.
        """
        first, alone = about not in self._refused_at, self.refused_alone(about)
        self._refused_at[about] = self.answers
        if first or not alone:
            self._recent.append(True)
            if sum(self._recent) >= HEARD_SHARE * max(len(self._recent), FEWEST_CALLS):
                self._pacer.slow_down(outcome.retry_after_s, said_by(outcome))
            elif outcome.retry_after_s:
                self._pacer.hold(outcome.retry_after_s)
        if not first and not alone:
            await self._hold(_Cause.THROTTLED, outcome, probe)

    # -- no usable answer ------------------------------------------------------------------------

    async def _unanswered(
        self, finding: Finding, outcome: object, probe: Probe, about: Hashable, waited_s: float
    ) -> None:
        if finding is Finding.UNREADABLE:
            self._unreadable += 1
            if not self.proven and self._unreadable >= UNREADABLE_ANSWERS:
                self._halt_unreadable(outcome)
                return
        suspect = not isinstance(outcome, NotSent) and self._suspect(about)
        if isinstance(outcome, HttpRefusal):
            alone, self._refused_at[about] = self.refused_alone(about), self.answers
            if suspect and not alone:
                await self._hold(_Cause.THROTTLED, outcome, probe)
                return
        if self._stage is _Stage.ALONE and suspect:
            self._pacer.single()
        elif self._stage is _Stage.ALONE:
            await self._hold(_Cause.NO_ANSWER, outcome, probe)
        elif not suspect:
            self._no_answers += 1
            silent_s = self._clock() - self._answered_at
            if self._no_answers >= NO_ANSWERS or silent_s >= waited_s >= LONG_WAIT_S:
                await self._hold(_Cause.NO_ANSWER, outcome, probe)

    def _suspect(self, about: Hashable) -> bool:
        """Note that a subject got no usable answer; whether the cause is the subject, not the service."""
        before, self._unheard_at[about] = self._unheard_at.get(about), self._heard
        if before is not None and self._heard > before:
            self._suspects.add(about)
        return about in self._suspects

    def _halt_unreadable(self, outcome: object) -> None:
        self._halt(
            f"the service's answers cannot be read, {UNREADABLE_ANSWERS} in a row and no success yet; the "
            f"last: {shown(outcome)}; check BATCHER_ENDPOINT, and what it accepted before sending again"
        )

    # -- holding still ---------------------------------------------------------------------------

    async def _hold(self, cause: _Cause, met: object, probe: Probe) -> None:
        """Hold all turns and probe, at growing intervals, until a probe settles the cause."""
        if self._stage is _Stage.HOLDING or self._pacer.stopped:
            return
        self._stage = _Stage.HOLDING
        self._pacer.pause()
        self._say_why(cause, met)
        pause_s = CREDENTIALS_PAUSE_S if cause is _Cause.CREDENTIALS else self._pause_s
        try:
            while not await self._pacer.stopped_within(pause_s) and (turn := await self._pacer.probe_turn()):
                outcome = await probe(partial(self._pacer.leave, turn))
                if self._stage is not _Stage.HOLDING:  # a request that was under way has succeeded
                    return
                settled = self._settles(cause, outcome)
                pause_s = min(pause_s * PAUSE_GROWTH, LONGEST_PAUSE_S)
                if cause is not _Cause.CREDENTIALS:
                    self._pause_s = pause_s
                if settled:
                    self._let_go(cause)
                    return
                if classify(outcome) is Finding.CREDENTIALS:
                    cause, pause_s = _Cause.CREDENTIALS, max(pause_s, CREDENTIALS_PAUSE_S)
        finally:
            if self._stage is _Stage.HOLDING:
                self._stage, self.waiting_for = _Stage.OPEN, None
                self._pacer.resume()

    def _say_why(self, cause: _Cause, met: object) -> None:
        if cause is not _Cause.NO_ANSWER:
            self.waiting_for = cause.value
            asked_lately = cause is _Cause.CREDENTIALS and self._clock() < self._trusted_until
            if cause is not _Cause.THROTTLED and not asked_lately:
                self._on_event(SendingPaused(cause.value))
            return
        self.waiting_for = f"{self._silence} ({shown(met)}); waiting for it"
        if self.outage is None:
            self._outage_began = self._clock()
            self.outage = Outage(self._now(), shown(met))
            self._on_event(OutageBegan(self.waiting_for))
        self.outage = Outage(self.outage.since, shown(met))

    def _settles(self, cause: _Cause, outcome: object) -> bool:
        """Judge a probe; whether turns may be given again."""
        finding = classify(outcome)
        match finding, outcome:
            case ((Finding.NO_ANSWER | Finding.OURS), _):
                if self.outage is not None:
                    self.outage = Outage(self.outage.since, shown(outcome))
                return False
            case Finding.UNREADABLE, _ if not isinstance(outcome, Answer):
                if self.proven:
                    return False
                self._halt_unreadable(outcome)
            case ((Finding.PERMISSION | Finding.ACCOUNT), Answer()):
                self._halt(fault_of(outcome))
            case Finding.CREDENTIALS, Answer():
                if self.proven and cause is not _Cause.CREDENTIALS:
                    return False
                self._halt(fault_of(outcome))
            case Finding.FORBIDDEN, _ if cause is _Cause.FORBIDDEN:
                self._halt(f"the endpoint forbids the calls: {shown(outcome)}; check BATCHER_ENDPOINT")
            case Finding.THROTTLED, Answer() | HttpRefusal():
                self._pacer.slow_down(outcome.retry_after_s, said_by(outcome))
                return cause is not _Cause.THROTTLED
            case _:
                self.answers += 1
                self._forbidden.clear()
                self._unreadable = 0
        return True

    def _let_go(self, cause: _Cause) -> None:
        """Give turns again; after an outage one alone at first."""
        self._no_answers = self._sevens = 0
        if cause is _Cause.CREDENTIALS:  # it was the rate, then
            self._trusted_until = self._clock() + CREDENTIALS_TRUSTED_S
            self._pacer.slow_down()
        if self.outage is not None:
            self._stage = _Stage.ALONE
            self._pacer.single()
            return
        self._pause_s = FIRST_PAUSE_S
        self._stage, self.waiting_for = _Stage.OPEN, None
        self._pacer.resume()
