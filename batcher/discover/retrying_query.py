"""Questions to the service that cost nothing: asked at a pace of their own until they are answered.

Between a search or a look-up and the client. A question may be asked again as often as it takes, which is
what tells it from a submission: a lost answer leaves no doubt. An endpoint that gives no usable answer to any
question is waited for; a question that alone gets none, or only refusals, ends by a budget. Nothing is
recorded here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar, cast

from batcher.errors import Refused
from batcher.flowcontrol.findings import Finding, classify, fault_of, outcome_text
from batcher.flowcontrol.outage import Guard, MayLeave
from batcher.flowcontrol.outage_policy import FIRST_PAUSE_S
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.retry_policy import (
    BUSY_TRIES,
    FIRST_BACKOFF_S,
    LARGEST_BACKOFF_S,
    UNKNOWN_TRIES,
    CodeKind,
    Jitter,
    kind_of,
)
from batcher.model.events import OnEvent, ignore_event
from batcher.model.outcome import HELD_BACK, Answer, HttpRefusal, NotReported, NotSent, Outage, ReplyLost
from batcher.zego.client import Wire

THROTTLED_TRIES = 8
"""A question refused as too frequent this often in a row, probes included, is not answered."""

LONGEST_WAIT_S = 8.0
"""The longest wait after a refusal as too frequent; where every call is refused the guard waits longer."""

_T = TypeVar("_T")

Question = Callable[[Wire], Awaitable[_T | NotReported]]
"""Makes one request."""


def _up_to(most: float) -> float:
    return random.uniform(0, most)


class RetryingQuery:
    """Asks questions, several at once if need be.

    Args:
        pacer: of this Action alone: the service counts each by itself.
        on_event: told of outages.
        sleep: waits between two times of asking.
        jitter: draws how long.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        pacer: Pacer,
        on_event: OnEvent = ignore_event,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Jitter = _up_to,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pacer = pacer
        self._sleep = sleep
        self._jitter = jitter
        self._clock = clock
        self._guard = Guard(pacer, halt=self._halt, on_event=on_event, clock=clock)
        self._halted: str | None = None
        self._answerable: Question[Any] | None = None
        """The last question that was answered: a probe that does not concern a refused one."""

    @property
    def outage(self) -> Outage | None:
        """The outage that is not over."""
        return self._guard.outage

    async def ask(self, question: Question[_T]) -> _T | Answer:
        """Ask until there is an answer.

        Returns:
            What was asked for; or the service's definite no to this question, as its answer.

        Raises:
            Refused: the service refuses us, or has no answer to this however often it is asked.
        """
        asking = _Asking(question)
        while True:
            asked_at = self._clock()
            outcome = await self._once(question)
            await self._guard.observe(
                outcome,
                partial(self._probe, asking),
                about=asking,
                waited_s=self._clock() - asked_at,
                of_row=asking.sevens > 0,
            )
            if self._halted is not None:
                raise Refused(self._halted)
            if asking.probed is not None:
                self._guard.succeeded(asking)
                outcome = cast("_T | Answer", asking.probed)
            if _is_answer(outcome):
                self._answerable = question
                return cast("_T | Answer", outcome)
            if wait_s := self._wait_s(cast("NotReported", outcome), asking):
                await self._sleep(wait_s)

    async def _once(self, question: Question[_T]) -> _T | NotReported:
        async with self._pacer.line():
            turn = await self._pacer.turn()
        return HELD_BACK if turn is None else await question(Wire(partial(self._pacer.leave, turn)))

    async def _probe(self, asking: _Asking, may_leave: MayLeave) -> object:
        """Ask the last answerable question, or this one again; keep an answer to this one.

        Raises:
            Refused: this question was refused too often.
        """
        question = self._answerable or asking.question
        outcome = await question(Wire(may_leave))
        if question is asking.question and _is_answer(outcome):
            asking.probed = outcome
        if classify(outcome) is Finding.THROTTLED:
            self._count_throttled(asking, outcome)
        return outcome

    def _halt(self, reason: str) -> None:
        self._halted = self._halted or reason

    def _wait_s(self, outcome: NotReported, asking: _Asking) -> float:
        """How long to wait before asking again.

        Raises:
            Refused: it would be for nothing.
        """
        finding = classify(outcome)
        match finding, outcome:
            case Finding.OURS, _:
                return 0.0
            case Finding.THROTTLED, _:
                self._count_throttled(asking, outcome)
                return self._jitter(min(FIRST_BACKOFF_S * 2 ** (asking.throttled - 1), LONGEST_WAIT_S))
            case ((Finding.NO_ANSWER | Finding.UNREADABLE), _):
                return self._unanswered(outcome, asking)
            case Finding.CREDENTIALS, Answer():
                asking.sevens += 1
                return self._counted(asking, UNKNOWN_TRIES, fault_of(outcome))
            case Finding.PERMISSION, Answer():  # a list has no other rows to prove that it is this one's
                raise Refused(fault_of(outcome))
            case _, Answer() if outcome.clock_corrected:
                return 0.0
            case _, Answer():
                most = BUSY_TRIES if kind_of(outcome.code) is CodeKind.BUSY else UNKNOWN_TRIES
                return self._counted(asking, most, fault_of(outcome))
        return self._counted(asking, BUSY_TRIES, outcome_text(outcome))

    def _counted(self, asking: _Asking, most: int, said: str) -> float:
        asking.tries += 1
        if asking.tries >= most:
            raise Refused(f"asked {most} times and not answered: {said}")
        return self._jitter(min(FIRST_BACKOFF_S * 2**asking.tries, LARGEST_BACKOFF_S))

    def _count_throttled(self, asking: _Asking, outcome: object) -> None:
        asking.throttled += 1
        if asking.throttled >= THROTTLED_TRIES:
            said = fault_of(outcome) if isinstance(outcome, Answer) else outcome_text(outcome)
            raise Refused(f"asked {asking.throttled} times and not answered: {said}")

    def _unanswered(self, outcome: NotReported, asking: _Asking) -> float:
        """Count a missing answer when others, or a probe, were answered since the last time."""
        if self._guard.answers > asking.answers_before:
            asking.answers_before = self._guard.answers
            self._counted(asking, BUSY_TRIES, outcome_text(outcome))
        return FIRST_PAUSE_S  # the guard makes longer pauses


class _Asking:
    """One question, and how often it was asked, by what came of it."""

    def __init__(self, question: Question[Any]) -> None:
        self.question = question
        self.tries = 0
        self.throttled = 0
        self.answers_before = 0
        self.sevens = 0
        self.probed: object = None
        """The answer, where a probe that asked the same has brought it."""


def _is_answer(outcome: object) -> bool:
    """Whether it is what was asked for, or a definite no."""
    if isinstance(outcome, Answer):
        return kind_of(outcome.code) is CodeKind.REJECT
    return not isinstance(outcome, HttpRefusal | ReplyLost | NotSent)
