"""The guard of a flow, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

import pytest
from support.virtual_time import now_s, run_virtually

from batcher.flowcontrol.findings import fault_of
from batcher.flowcontrol.outage import Guard, MayLeave
from batcher.flowcontrol.outage_policy import (
    DENIED_SUBJECTS,
    FORBIDDEN_SUBJECTS,
    OBSTACLE_PATIENCE_S,
    UNREADABLE_ANSWERS,
    halt_reason,
)
from batcher.flowcontrol.pacer import Pacer
from batcher.model.events import Event
from batcher.model.outcome import NO_ANSWERS, Answer, HttpRefusal, NotSent, Obstacle, ReplyLost
from batcher.model.submission import ReplyShape, TaskId
from batcher.model.task import TaskReport, TaskState

WELL = Answer(2)
LOST = ReplyLost("no answer came")
REFUSED = HttpRefusal(503)
REPORT = TaskReport(TaskState.WAITING, "WAITING")


class Flow:
    """A guard, its pacer, and a service whose probes are answered as given, the last one for ever."""

    def __init__(self, *probed: object) -> None:
        self.pacer = Pacer(20, now_s)
        self.probed = list(probed or [WELL])
        self.probes: list[float] = []
        self.halted: list[str] = []
        self.events: list[Event] = []
        self.guard = Guard(self.pacer, halt=self.halted.append, on_event=self.events.append, clock=now_s)

    async def probe(self, may_leave: MayLeave) -> object:
        """Answer the next probe."""
        assert await may_leave()
        self.probes.append(now_s())
        return self.probed.pop(0) if len(self.probed) > 1 else self.probed[0]

    async def observe(self, *outcomes: object, about: Hashable = None) -> None:
        """Pass outcomes on, each about another subject unless one is given."""
        for outcome in outcomes:
            await self.guard.observe(outcome, self.probe, about=object() if about is None else about)

    async def turns(self, seconds: float) -> int:
        """Count the turns that are given within some seconds."""
        given = 0
        try:
            async with asyncio.timeout(seconds):
                while True:
                    async with self.pacer.line():
                        given += await self.pacer.turn() is not None
        except TimeoutError:
            return given


@pytest.mark.parametrize(
    "outcome",
    [NotSent("refused"), LOST, ReplyLost("a page", 200), ReplyLost("x", 502), HttpRefusal(302), REFUSED],
)
def test_outage_of_each_form_is_probed_and_ends_after_a_single_request(outcome: object) -> None:
    """Five missing answers hold the flow back; after an answered probe one request leaves, then all."""

    async def scenario() -> None:
        flow = Flow(outcome, outcome, WELL)
        await flow.observe(*[outcome] * (NO_ANSWERS - 1))
        assert flow.probes == []
        await flow.observe(outcome)
        assert len(flow.probes) == 3
        assert await flow.turns(5.0) == 1
        assert flow.guard.outage is not None
        await flow.observe(Answer(0, task_id=TaskId("t")))
        assert flow.guard.outage is None
        assert await flow.turns(1.0) >= 19
        assert [event.event for event in flow.events] == ["outage_began", "outage_over"]

    run_virtually(scenario())


def test_pauses_grow_while_probes_are_answered_and_nothing_succeeds() -> None:
    """A service that answers probes alone is sent one request after each pause, and the pauses grow."""

    async def scenario() -> None:
        flow = Flow(WELL)
        await flow.observe(*[LOST] * NO_ANSWERS)
        for _ in range(20):
            assert await flow.turns(1.0) == 1
            await flow.observe(LOST)
        pauses = [after - before for before, after in zip(flow.probes, flow.probes[1:], strict=False)]
        assert len(flow.probes) == 21
        assert pauses == sorted(pauses)
        assert 60 < pauses[-1] < 63

    run_virtually(scenario())


@pytest.mark.parametrize("between", [Answer(2), Answer(1000), REPORT, HttpRefusal(404)])
def test_answer_in_between_resets_the_count(between: object) -> None:
    """Only outcomes in a row make an outage."""

    async def scenario() -> None:
        flow = Flow()
        for _ in range(5):
            await flow.observe(*[LOST] * (NO_ANSWERS - 1), between)
        assert flow.probes == []

    run_virtually(scenario())


@pytest.mark.parametrize("outcome", [Answer(0), ReplyLost("no Code", 200, ReplyShape.OTHER_JSON)])
def test_unreadable_answers_before_any_success_halt(outcome: object) -> None:
    """A few accepted answers that cannot be read halt a flow that had no success."""

    async def scenario() -> None:
        flow = Flow()
        await flow.observe(*[outcome] * (UNREADABLE_ANSWERS - 1))
        assert flow.halted == []
        await flow.observe(outcome)
        assert len(flow.halted) == 1

    run_virtually(scenario())


@pytest.mark.parametrize("outcome", [Answer(0), ReplyLost("no Code", 200, ReplyShape.OTHER_JSON)])
def test_unreadable_answers_after_a_success_are_an_outage(outcome: object) -> None:
    """After a success unreadable answers hold the flow back, so that few are paid for."""

    async def scenario() -> None:
        flow = Flow()
        flow.guard.succeeded()
        await flow.observe(*[outcome] * NO_ANSWERS)
        assert (flow.halted, len(flow.probes)) == ([], 1)

    run_virtually(scenario())


def test_subject_that_is_always_refused_does_not_slow_the_others() -> None:
    """Refusals of one subject among answers to others neither slow the pace nor pause it."""

    async def scenario() -> None:
        flow = Flow()
        await flow.observe(*[WELL] * 100)
        await flow.observe(Answer(6), about="one")
        await flow.observe(*[WELL] * 5)
        for _ in range(10):
            await flow.observe(Answer(6, retry_after_s=60.0), about="one")
            await flow.observe(*[WELL] * 5)
            await flow.observe(REFUSED, about="two")
            await flow.observe(*[WELL] * 5)
        assert flow.pacer.pace_per_s == flow.pacer.pace.cap_per_s
        assert (flow.probes, flow.pacer.held) == ([], False)

    run_virtually(scenario())


def test_many_subjects_refused_slow_the_pace() -> None:
    """The pacer slows down once a share of the recent calls was refused."""

    async def scenario() -> None:
        flow = Flow()
        await flow.observe(*[WELL] * 100)
        await flow.observe(*[Answer(6)] * 4)
        assert flow.pacer.pace_per_s == flow.pacer.pace.cap_per_s
        await flow.observe(Answer(6))
        assert flow.pacer.pace_per_s < flow.pacer.pace.cap_per_s

    run_virtually(scenario())


def test_subject_refused_twice_without_other_answers_causes_a_probe() -> None:
    """When no other subject is left, a probe shows whether the refusals concern the subject."""

    async def scenario() -> None:
        flow = Flow(Answer(6), WELL)
        await flow.observe(WELL)
        assert flow.guard.refused_alone("one")
        await flow.observe(Answer(6), about="one")
        assert not flow.guard.refused_alone("one")
        await flow.observe(Answer(6), about="one")
        assert len(flow.probes) == 2
        assert flow.guard.refused_alone("one")
        assert not flow.pacer.held

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("met", "halts"), [(["a", "a", "a"], False), (["a", "b"], True), (["a", "a", "b"], True)]
)
def test_permission_after_a_success_halts_by_several_recordings(met: list[str], halts: bool) -> None:
    """One subject that gets code 3 or 5 halts nothing; two do, and both are named."""

    async def scenario() -> None:
        flow = Flow()
        flow.guard.succeeded()
        for name in met:
            await flow.guard.observe(Answer(3), flow.probe, about=name, name=f"recording {name}")
        assert [reason.endswith("; affected: recording a, recording b") for reason in flow.halted] == [
            True
        ] * halts
        assert DENIED_SUBJECTS == 2

    run_virtually(scenario())


@pytest.mark.parametrize("answer", [Answer(3), Answer(5), Answer(7), Answer(100000005)])
def test_account_fault_before_any_success_halts_immediately(answer: Answer) -> None:
    """Before the first success the first one halts."""

    async def scenario() -> None:
        flow = Flow()
        await flow.observe(answer)
        assert flow.halted == [fault_of(answer)]

    run_virtually(scenario())


@pytest.mark.parametrize(("probed", "halts"), [(Answer(7), True), (WELL, False), (Answer(6), False)])
def test_code_7_after_a_success_causes_a_probe(probed: Answer, halts: bool) -> None:
    """The answer to the probe shows whether the credentials were meant."""

    async def scenario() -> None:
        flow = Flow(probed)
        flow.guard.succeeded()
        await flow.observe(Answer(7))
        assert (bool(flow.halted), len(flow.probes)) == (halts, 1)

    run_virtually(scenario())


def test_codes_7_among_successes_cause_few_probes() -> None:
    """After an answered probe single codes 7 cause no probe; several in a row do."""

    async def scenario() -> None:
        flow = Flow(WELL)
        for _ in range(10):
            flow.guard.succeeded()
            await flow.observe(Answer(7))
        assert len(flow.probes) == 1
        await flow.observe(Answer(7), Answer(7))
        assert len(flow.probes) == 2

    run_virtually(scenario())


@pytest.mark.parametrize(("probed", "halts"), [(HttpRefusal(403), True), (WELL, False)])
def test_forbidden_to_several_and_to_the_probe_halts(probed: object, halts: bool) -> None:
    """HTTP 403 for several subjects causes a probe, and halts if the probe gets it too."""

    async def scenario() -> None:
        flow = Flow(probed)
        await flow.observe(*[HttpRefusal(403)] * (FORBIDDEN_SUBJECTS - 1))
        assert flow.probes == []
        await flow.observe(HttpRefusal(403))
        assert (bool(flow.halted), len(flow.probes)) == (halts, 1)

    run_virtually(scenario())


def test_stopped_flow_probes_no_more() -> None:
    """Once the pacer is stopped, nothing begins an outage."""

    async def scenario() -> None:
        flow = Flow()
        flow.pacer.stop()
        await flow.observe(*[LOST] * 20)
        assert (flow.probes, flow.events) == ([], [])

    run_virtually(scenario())


def test_permission_faults_of_different_codes_are_counted_apart() -> None:
    """One recording with code 3 and another with code 5 halt nothing."""

    async def scenario() -> None:
        flow = Flow()
        flow.guard.succeeded()
        await flow.guard.observe(Answer(3), flow.probe, about="a", name="a")
        await flow.guard.observe(Answer(5), flow.probe, about="b", name="b")
        assert flow.halted == []
        await flow.guard.observe(Answer(5), flow.probe, about="c", name="c")
        assert [reason.partition("; affected: ")[2] for reason in flow.halted] == ["b, c"]

    run_virtually(scenario())


EXPIRED = NotSent("TLS failed: certificate has expired", Obstacle.CERTIFICATE)
UNREACHED = NotSent("Connection refused")


def test_obstacle_that_lasts_halts_within_five_minutes_and_is_named_once() -> None:
    """The same obstacle to every probe is reported when it is met, and halts the flow after a while."""

    async def scenario() -> None:
        flow = Flow(EXPIRED)
        began_s = now_s()
        await flow.observe(*[EXPIRED] * NO_ANSWERS)
        assert OBSTACLE_PATIENCE_S <= now_s() - began_s <= 300
        assert flow.halted == [halt_reason(EXPIRED)]
        assert [event.event for event in flow.events] == ["outage_began"]

    run_virtually(scenario())


def test_obstacle_that_is_met_during_an_outage_is_named_then() -> None:
    """An outage that turns into an obstacle reports it, and halts by the time since then."""

    async def scenario() -> None:
        flow = Flow(*[UNREACHED] * 12, EXPIRED)
        await flow.observe(*[UNREACHED] * NO_ANSWERS)
        assert [event.event for event in flow.events] == ["outage_began", "waiting_began"]
        assert flow.events[1].words.startswith("No connection to the service: ")
        assert flow.probes[-1] - flow.probes[12] >= OBSTACLE_PATIENCE_S
        assert flow.halted == [halt_reason(EXPIRED)]

    run_virtually(scenario())


def test_obstacle_with_other_outcomes_in_between_is_waited_for() -> None:
    """A proxy that refuses now and then is an outage like any other."""

    async def scenario() -> None:
        flow = Flow(*[EXPIRED, EXPIRED, UNREACHED] * 20, WELL)
        await flow.observe(*[EXPIRED] * NO_ANSWERS)
        assert flow.halted == []
        assert flow.guard.waiting_for is not None
        assert "waiting for the service since " in flow.guard.waiting_for

    run_virtually(scenario())


def test_same_subject_forbidden_twice_is_probed() -> None:
    """A flow of one subject does not need three of them to find that everything is forbidden."""

    async def scenario() -> None:
        flow = Flow(HttpRefusal(451))
        await flow.observe(HttpRefusal(451), about="one")
        assert flow.probes == []
        await flow.observe(HttpRefusal(451), about="one")
        assert len(flow.halted) == 1
        assert "HTTP 451" in flow.halted[0]

    run_virtually(scenario())
