"""The run's reaction to outcomes, without a network and without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from support.virtual_time import run_virtually

from batcher.flowcontrol.pacer import Pacer
from batcher.model.events import Event, NotSubmitted
from batcher.model.outcome import (
    Answer,
    Decision,
    Disposition,
    HttpRefusal,
    NotSent,
    Outcome,
    ReplyLost,
    Settlement,
)
from batcher.model.submission import (
    Claim,
    FileId,
    Parameters,
    SnapshotType,
    State,
    SubmissionId,
    Tries,
    Vendor,
)
from batcher.submit.governor import Governor
from batcher.submit.settings import MaxFailures

CLAIM = Claim(
    SubmissionId(1), FileId("1"), Parameters(Vendor.TENCENT, SnapshotType.SAMPLE, definition="10"), 1
)
LOST = ReplyLost("no answer came")


class Probed:
    """A service that answers probes from a list, then always with the last answer."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.probes = 0

    async def probe(self, may_leave: Callable[[], Awaitable[bool]] | None = None) -> Outcome:
        """The next outcome."""
        assert may_leave is None or await may_leave()
        self.probes += 1
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


class Run:
    """A governor and the events it has emitted."""

    def __init__(self, *probed: Outcome, max_failures: str = "off") -> None:

        clock = asyncio.get_running_loop().time
        self.client = Probed(*(probed or (Answer(2),)))
        self.pacer = Pacer(20, clock)
        self.halted: list[str] = []
        self.words: list[str] = []
        self.governor = Governor(
            self.pacer,
            self.client,
            MaxFailures.parse(max_failures),
            halt=self.halted.append,
            on_event=self._hear,
            clock=clock,
        )

    def _hear(self, notice: Event) -> None:
        if not isinstance(notice, NotSubmitted):
            self.words.append(notice.words)

    async def observe(self, outcome: Outcome, decision: Decision, state: State = State.PENDING) -> None:
        """Let the governor hear of one settlement."""
        await self.governor.observe(Settlement(CLAIM, outcome, Disposition(decision, state, Tries())))


SILENT: Sequence[Outcome] = (NotSent("Connection refused"), LOST)


@pytest.mark.parametrize("outcome", SILENT)
def test_five_unanswered_calls_in_a_row_begin_an_outage(outcome: Outcome) -> None:
    """Four have no effect; after the fifth the run waits and probes until a probe is answered."""

    async def scenario() -> None:
        run = Run(NotSent("refused"), NotSent("refused"), Answer(2))
        for _ in range(4):
            await run.observe(outcome, Decision.AGAIN)
        assert run.client.probes == 0
        await run.observe(outcome, Decision.AGAIN)
        assert run.client.probes == 3
        assert not run.pacer.held
        await run.observe(Answer(0), Decision.SUBMITTED, State.SUBMITTED)
        assert len(run.words) == 2

    run_virtually(scenario())


def test_unanswered_calls_with_an_answer_between_them_begin_no_outage() -> None:
    """Calls without an answer count only in a row."""

    async def scenario() -> None:
        run = Run()
        for _ in range(3):
            for _ in range(4):
                await run.observe(LOST, Decision.IN_DOUBT)
            await run.observe(Answer(0), Decision.SUBMITTED, State.SUBMITTED)
        assert run.client.probes == 0

    run_virtually(scenario())


def test_gateway_that_answers_every_call_unreadably_is_an_outage() -> None:
    """Unusable answers to all recordings are an outage, in any form."""

    async def scenario() -> None:
        run = Run()
        for _ in range(5):
            await run.observe(ReplyLost("the answer was cut off", http_status=502), Decision.IN_DOUBT)
        assert run.client.probes == 1

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("doubts", "counted"),
    [([1], 0), ([1, 2], 1), ([1, 2, 3, 4, 5], 1), ([2, 5], 1)],
)
def test_doubts_count_as_failures_once_at_the_second_send(doubts: list[int], counted: int) -> None:
    """A submission in doubt counts at its second send, or when it ends in doubt, and only once."""

    async def scenario() -> None:
        run = Run(max_failures=str(counted + 1))
        for n in doubts:
            state = State.IN_DOUBT if n == 5 else State.PENDING
            made = Disposition(Decision.IN_DOUBT, state, Tries(doubt=n))
            await run.governor.observe(Settlement(CLAIM, LOST, made))
            await run.observe(Answer(2), Decision.AGAIN)
        assert run.halted == []
        made = Disposition(Decision.FAILED, State.FAILED, Tries())
        await run.governor.observe(Settlement(CLAIM._replace(id=SubmissionId(2)), Answer(1), made))
        assert len(run.halted) == 1

    run_virtually(scenario())


def test_pauses_between_probes_grow_up_to_a_minute() -> None:
    """A long outage is probed at least once a minute."""

    async def scenario() -> None:

        run = Run(*[NotSent("refused")] * 30, Answer(2))
        began = asyncio.get_running_loop().time()
        for _ in range(5):
            await run.observe(LOST, Decision.IN_DOUBT)
        lasted = asyncio.get_running_loop().time() - began
        assert run.client.probes == 31
        assert 60 * 15 < lasted < 60 * 31

    run_virtually(scenario())


def test_account_fault_found_by_a_probe_halts() -> None:
    """When the endpoint is back and refuses the account, the run halts."""

    async def scenario() -> None:
        run = Run(Answer(3))
        for _ in range(5):
            await run.observe(LOST, Decision.IN_DOUBT)
        assert len(run.halted) == 1
        assert "code 3" in run.halted[0]

    run_virtually(scenario())


@pytest.mark.parametrize(("probed", "halts"), [(Answer(7), True), (Answer(2), False), (Answer(6), False)])
def test_code_7_after_successes_is_probed_once(probed: Answer, halts: bool) -> None:
    """A second 7 halts; any other answer means that it was the rate, and the pace falls."""

    async def scenario() -> None:
        run = Run(probed)
        await run.observe(Answer(7), Decision.PROBE)
        assert (len(run.halted), run.client.probes) == (int(halts), 1)
        assert halts or run.pacer.pace_per_s < run.pacer.pace.cap_per_s

    run_virtually(scenario())


def test_refusal_as_too_frequent_slows_the_pace_and_obeys_retry_after() -> None:
    """A refusal takes a little off the pace; the service's own time is waited for."""

    async def scenario() -> None:
        run = Run()
        await run.observe(Answer(6), Decision.SLOW_DOWN)
        assert 0.95 < run.pacer.pace_per_s / run.pacer.pace.cap_per_s < 0.99
        assert not run.pacer.held
        assert run.governor.guard.why_slow is not None
        await run.observe(HttpRefusal(503, retry_after_s=7.0), Decision.SLOW_DOWN)
        assert run.pacer.held

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("limit", "ends", "halts"),
    [
        ("3", [True] * 2, False),
        ("3", [True, False, True, False, True], True),
        ("50%", [True] * 199, False),
        ("50%", [True, False] * 100 + [True], True),
        ("50%", [True, False, False] * 100, False),
        ("off", [True] * 500, False),
    ],
)
def test_failures_halt_at_their_limit(limit: str, ends: list[bool], halts: bool) -> None:
    """A number counts this run's failures; a share is of the last 200 that ended and needs 200."""

    async def scenario() -> None:
        run = Run(max_failures=limit)
        for failed in ends:
            state = State.REJECTED if failed else State.SUBMITTED
            await run.observe(Answer(41003 if failed else 0), Decision(state.value), state)
        assert bool(run.halted) is halts

    run_virtually(scenario())


def test_stopped_run_makes_no_probes() -> None:
    """After a stop, unanswered calls begin no outage."""

    async def scenario() -> None:
        run = Run()
        run.pacer.stop()
        for _ in range(20):
            await run.observe(LOST, Decision.IN_DOUBT)
        assert (run.client.probes, run.words) == (0, [])

    run_virtually(scenario())
