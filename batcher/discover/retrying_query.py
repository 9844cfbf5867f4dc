"""Questions to the service that cost nothing: asked at a pace of their own until they are answered.

Between whoever wants to know (a search, a look at a task) and the client. A question may be asked again as
often as it takes, which is what tells it from a submission: a lost answer leaves no doubt. Busy answers are
asked again after a while, an endpoint that does not answer is waited for, and what the service would refuse
every time ends the asking. Nothing is recorded here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from batcher.errors import Refused
from batcher.flowcontrol.outage import (
    FIRST_PROBE_S,
    LONGEST_PROBE_S,
    PROBE_GROWTH,
    SILENT_CALLS,
    SUSPECT_PAUSE_S,
    halt_reason,
)
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
from batcher.model.events import OnEvent, OutageBegan, OutageOver, ignore_event
from batcher.model.outcome import HELD_BACK, Answer, HttpRefusal, NotReported, NotSent, ReplyLost
from batcher.submit.governor import said_by
from batcher.zego.client import Wire

_T = TypeVar("_T")

Question = Callable[[Wire], Awaitable[_T | NotReported]]
"""Makes one request."""


def _up_to(most: float) -> float:
    return random.uniform(0, most)


class RetryingQuery:
    """Asks questions, several at once if need be.

    Args:
        pacer: of this Action alone: the service counts each by itself.
        tell: told of outages.
        sleep: waits between two times of asking.
        jitter: draws how long.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        pacer: Pacer,
        tell: OnEvent = ignore_event,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Jitter = _up_to,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pacer = pacer
        self._tell = tell
        self._sleep = sleep
        self._jitter = jitter
        self._clock = clock
        self._proven = False
        self._silent = 0
        self._silent_since: float | None = None

    async def ask(self, question: Question[_T]) -> _T | Answer:
        """Ask until there is an answer.

        Returns:
            What was asked for; or the service's definite no to this question, as its answer.

        Raises:
            Refused: the service refuses us, or has no answer to this however often it is asked.
        """
        asking = _Asking()
        while True:
            outcome = await self._once(question)
            if not isinstance(outcome, Answer | HttpRefusal | ReplyLost | NotSent):
                self._proven = True
                self._heard()
                return outcome
            if isinstance(outcome, Answer) and kind_of(outcome.code) is CodeKind.REJECT:
                self._heard()
                return outcome
            if wait_s := self._wait_s(outcome, asking):
                await self._sleep(wait_s)

    async def _once(self, question: Question[_T]) -> _T | NotReported:
        async with self._pacer.line():
            turn = await self._pacer.turn()
        return HELD_BACK if turn is None else await question(Wire(partial(self._pacer.leave, turn)))

    def _wait_s(self, outcome: NotReported, asking: _Asking) -> float:
        """How long to wait before asking again.

        Raises:
            Refused: it would be for nothing.
        """
        if outcome is HELD_BACK:
            return 0.0
        if _is_silence(outcome):
            return self._unheard(outcome, asking)
        self._heard()
        match outcome:
            case Answer():
                return self._after_answer(outcome, asking)
            case HttpRefusal(http_status=429 | 503):
                self._pacer.slow_down(outcome.retry_after_s, said_by(outcome))
                return self._jitter(FIRST_BACKOFF_S)
            case HttpRefusal() | ReplyLost() | NotSent():
                return self._counted(asking, BUSY_TRIES, outcome.detail)

    def _after_answer(self, answer: Answer, asking: _Asking) -> float:
        match kind_of(answer.code):
            case CodeKind.SLOW_DOWN:
                self._pacer.slow_down(answer.retry_after_s)
                return self._jitter(FIRST_BACKOFF_S)
            case CodeKind.CREDENTIALS if self._proven and not asking.suspected:
                # After answers with the same credentials it may mean the rate: asked once more, it is known.
                asking.suspected = True
                self._pacer.slow_down(answer.retry_after_s)
                return SUSPECT_PAUSE_S
            case CodeKind.CLOCK if answer.clock_corrected:
                return 0.0
            case CodeKind.BUSY:
                return self._counted(asking, BUSY_TRIES, halt_reason(answer))
            case CodeKind.UNKNOWN:
                return self._counted(asking, UNKNOWN_TRIES, halt_reason(answer))
        raise Refused(halt_reason(answer))

    def _counted(self, asking: _Asking, most: int, said: str) -> float:
        asking.tries += 1
        if asking.tries >= most:
            raise Refused(f"asked {most} times and not answered: {said}")
        return self._jitter(min(FIRST_BACKOFF_S * 2**asking.tries, LARGEST_BACKOFF_S))

    def _unheard(self, outcome: HttpRefusal | ReplyLost | NotSent | Answer, asking: _Asking) -> float:
        self._silent += 1
        if self._silent == SILENT_CALLS:
            self._silent_since = self._clock()
            detail = getattr(outcome, "detail", "")
            self._tell(OutageBegan(f"the endpoint does not answer ({detail}); waiting for it"))
        asking.silent += 1
        return min(FIRST_PROBE_S * PROBE_GROWTH**asking.silent, LONGEST_PROBE_S)

    def _heard(self) -> None:
        """Somebody answers."""
        self._silent = 0
        if self._silent_since is not None:
            self._tell(OutageOver(self._clock() - self._silent_since))
            self._silent_since = None


class _Asking:
    """How often one question was asked, by what came of it."""

    def __init__(self) -> None:
        self.tries = 0
        self.silent = 0
        self.suspected = False


def _is_silence(outcome: NotReported) -> bool:
    """Whether nobody answered who could know; a gateway in front of them that says so is nobody."""
    if isinstance(outcome, ReplyLost):
        return outcome.http_status is None or outcome.http_status >= 500
    return isinstance(outcome, NotSent)
