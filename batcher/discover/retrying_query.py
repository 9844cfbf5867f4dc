"""Questions to the service that cost nothing, repeated until they are answered.

Called by searches and the check of ids, with a pacer of their own Action. A question may be repeated at
will: a lost answer leaves no doubt, unlike that of a submission. An outage is waited for; a question that
alone gets no answer, or only refusals, ends by a budget of tries. Nothing is recorded here. The budgets are
promises to users: they decide when a command has exit code 3.
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
from batcher.zego.codes import OF_SEARCHES

THROTTLED_TRIES = 8
"""A question that was refused as too frequent this often, probes included, ends."""

LONGEST_WAIT_S = 8.0
"""The longest wait after a refusal as too frequent; where every call is refused the guard waits longer."""

_T = TypeVar("_T")

Question = Callable[[Wire], Awaitable[_T | NotReported]]
"""Makes one request."""

_DRAW = partial(random.uniform, 0.0)


class RetryingQuery:
    """Asks questions, several of them concurrently if needed.

    Args:
        pacer: of this Action alone, since the service counts each Action separately.
        on_event: called for outages.
        sleep: waits between two tries.
        jitter: draws how long.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        pacer: Pacer,
        on_event: OnEvent = ignore_event,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Jitter = _DRAW,
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
        """The current outage; None outside an outage."""
        return self._guard.outage

    async def ask(self, question: Question[_T]) -> _T | Answer:
        """Ask until there is an answer.

        Returns:
            The result; or the service's definite refusal of this question, as its answer.

        Raises:
            Refused: the service refuses the account, or this question in all of its tries.
        """
        tries = _QuestionTries(question)
        while True:
            sent_at = self._clock()
            outcome = await self._once(question)
            await self._guard.observe(
                outcome,
                partial(self._probe, tries),
                about=tries,
                waited_s=self._clock() - sent_at,
                of_row=tries.doubts > 0,
            )
            if self._halted is not None:
                raise Refused(self._halted)
            if tries.probed is not None:
                self._guard.succeeded(tries)
                outcome = cast("_T | Answer", tries.probed)
            if is_answer(outcome):
                self._answerable = question
                return cast("_T | Answer", outcome)
            if wait_s := self._wait_s(cast("NotReported", outcome), tries):
                await self._sleep(wait_s)

    async def _once(self, question: Question[_T]) -> _T | NotReported:
        async with self._pacer.line():
            turn = await self._pacer.turn()
        return HELD_BACK if turn is None else await question(Wire(partial(self._pacer.leave, turn)))

    async def _probe(self, tries: _QuestionTries, may_leave: MayLeave) -> object:
        """Ask the last answerable question, or this one again; keep an answer to this one.

        Raises:
            Refused: this question was refused too often.
        """
        question = self._answerable or tries.question
        outcome = await question(Wire(may_leave))
        if question is tries.question and is_answer(outcome):
            tries.probed = outcome
        if classify(outcome) is Finding.THROTTLED:
            tries.add_throttled(outcome)
        return outcome

    def _halt(self, reason: str) -> None:
        self._halted = self._halted or reason

    def _wait_s(self, outcome: NotReported, tries: _QuestionTries) -> float:
        """Return how long to wait before the question is asked again.

        Raises:
            Refused: its tries are used up.
        """
        match classify(outcome), outcome:
            case Finding.OURS, _:
                return 0.0
            case Finding.THROTTLED, _:
                tries.add_throttled(outcome)
                return self._jitter(min(FIRST_BACKOFF_S * 2 ** (tries.throttled - 1), LONGEST_WAIT_S))
            case ((Finding.NO_ANSWER | Finding.UNREADABLE), _):
                if self._guard.answers > tries.answers_before:  # others, or a probe, were answered since
                    tries.answers_before = self._guard.answers
                    tries.add(BUSY_TRIES, outcome)
                return FIRST_PAUSE_S  # the guard makes longer pauses
            case Finding.CREDENTIALS, Answer():
                tries.doubts += 1
                tries.add(UNKNOWN_TRIES, outcome)
            case Finding.PERMISSION, Answer():  # no other subject can show that it concerns this one alone
                raise Refused(fault_of(outcome))
            case _, Answer(code=code) if code in OF_SEARCHES:
                raise Refused(fault_of(outcome, OF_SEARCHES[code]))
            case _, Answer() if outcome.clock_corrected:
                return 0.0
            case _, Answer():
                is_busy = kind_of(outcome.code) is CodeKind.BUSY
                tries.add(BUSY_TRIES if is_busy else UNKNOWN_TRIES, outcome)
            case _:
                tries.add(BUSY_TRIES, outcome)
        return self._jitter(min(FIRST_BACKOFF_S * 2**tries.used, LARGEST_BACKOFF_S))


class _QuestionTries:
    """One question, and the tries it has used."""

    def __init__(self, question: Question[Any]) -> None:
        self.question = question
        self.used = 0
        self.throttled = 0
        self.doubts = 0
        """Codes 7."""
        self.answers_before = 0
        """The guard's answers when the last missing answer was counted."""
        self.probed: object = None
        """The answer, when a probe with the same question got it."""

    def add(self, most: int, outcome: object) -> None:
        """Count a try.

        Raises:
            Refused: it was the last one.
        """
        self.used += 1
        _check_tries(self.used, most, outcome)

    def add_throttled(self, outcome: object) -> None:
        """Count a refusal as too frequent.

        Raises:
            Refused: it was the last try.
        """
        self.throttled += 1
        _check_tries(self.throttled, THROTTLED_TRIES, outcome)


def is_answer(outcome: object) -> bool:
    """Whether an outcome is the result of a question, or a definite refusal of it."""
    if isinstance(outcome, Answer):
        return kind_of(outcome.code) is CodeKind.REJECT
    return not isinstance(outcome, HttpRefusal | ReplyLost | NotSent)


def _check_tries(tries: int, most: int, outcome: object) -> None:
    if tries >= most:
        said = fault_of(outcome) if isinstance(outcome, Answer) else outcome_text(outcome)
        raise Refused(f"no answer after {tries} tries: {said}")
