"""The rules of the guard, by table."""

from __future__ import annotations

import pytest

from batcher.flowcontrol.findings import OBSTACLE_REMEDIES, fault_of
from batcher.flowcontrol.outage_policy import (
    FEWEST_CALLS,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    MOVES,
    OBSTACLE_PATIENCE_S,
    RECENT_CALLS,
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
from batcher.model.outcome import HELD_BACK, NO_ANSWERS, Answer, HttpRefusal, NotSent, Obstacle, ReplyLost
from batcher.model.submission import ReplyShape, TaskId

UNREADABLE = ReplyLost("no Code", 200, ReplyShape.OTHER_JSON)


@pytest.mark.parametrize(
    ("no_answers", "silent_s", "waited_s", "expected"),
    [
        (1, 0.0, 0.0, False),
        (NO_ANSWERS - 1, 100.0, 0.5, False),
        (NO_ANSWERS, 0.0, 0.0, True),
        (1, 30.0, 30.0, True),
        (1, 29.0, 30.0, False),
        (1, 1.0, 1.0, True),
        (1, 1.0, 0.9, False),
    ],
)
def test_outage_begins_by_number_or_by_one_long_wait(
    no_answers: int, silent_s: float, waited_s: float, expected: bool
) -> None:
    """Five missing answers begin an outage, or one long wait during which no other request was answered."""
    assert begins_outage(no_answers, silent_s, waited_s) is expected


@pytest.mark.parametrize(
    ("refused", "calls", "expected"),
    [(0, 0, False), (1, 1, True), (1, FEWEST_CALLS, True), (4, RECENT_CALLS, False), (5, RECENT_CALLS, True)],
)
def test_pace_slows_by_the_share_of_refused_calls(refused: int, calls: int, expected: bool) -> None:
    """One refusal of few calls, or one in twenty, slows the pace."""
    assert slows_pace([True] * refused + [False] * (calls - refused)) is expected


@pytest.mark.parametrize(
    ("in_a_row", "explained", "expected"),
    [(1, False, True), (1, True, False), (2, True, False), (3, True, True)],
)
def test_code_7_needs_a_probe_unless_explained(in_a_row: int, explained: bool, expected: bool) -> None:
    """An explained code 7 causes a probe only as the third in a row."""
    assert needs_credentials_probe(in_a_row, explained=explained) is expected


@pytest.mark.parametrize(
    ("denied", "proven", "expected"), [(1, False, True), (1, True, False), (2, True, True)]
)
def test_denial_halts_before_a_success_or_for_two_subjects(denied: int, proven: bool, expected: bool) -> None:
    """After a success, one denied subject halts nothing."""
    assert denial_halts(denied, proven=proven) is expected


@pytest.mark.parametrize(
    ("in_a_row", "proven", "expected"), [(2, False, False), (3, False, True), (9, True, False)]
)
def test_unreadable_answers_halt_before_a_success(in_a_row: int, proven: bool, expected: bool) -> None:
    """After a success, unreadable answers halt nothing."""
    assert unreadable_halts(in_a_row, proven=proven) is expected


@pytest.mark.parametrize(
    ("subjects", "first", "alone", "expected"),
    [(1, True, False, False), (2, True, True, False), (3, True, True, True), (1, False, False, True)],
)
def test_forbidden_requests_need_a_probe_by_number_or_when_repeated(
    subjects: int, first: bool, alone: bool, expected: bool
) -> None:
    """Several subjects, or the same one twice with no other answer in between, cause a probe."""
    assert forbidden_needs_probe(subjects, first=first, alone=alone) is expected


@pytest.mark.parametrize("obstacle", Obstacle)
@pytest.mark.parametrize("cause", HoldCause)
@pytest.mark.parametrize(
    ("lasted_s", "result"),
    [
        (0.0, ProbeResult.NO_ANSWER),
        (OBSTACLE_PATIENCE_S - 1, ProbeResult.NO_ANSWER),
        (OBSTACLE_PATIENCE_S, ProbeResult.HALT),
    ],
)
def test_obstacle_that_lasts_halts(
    obstacle: Obstacle, cause: HoldCause, lasted_s: float, result: ProbeResult
) -> None:
    """An obstacle that a person has to remove halts after a while; any other silence is waited for."""
    met, refused = NotSent("x", obstacle), NotSent("Connection refused")
    assert judge_probe(met, cause, proven=True, obstacle_s=lasted_s) is result
    assert judge_probe(refused, cause, proven=True, obstacle_s=lasted_s) is ProbeResult.NO_ANSWER


@pytest.mark.parametrize("obstacle", Obstacle)
def test_obstacle_is_named_with_its_remedy(obstacle: Obstacle) -> None:
    """The beginning of the outage and the halt name the obstacle, the last outcome and the remedy."""
    met = NotSent("HTTP 407", obstacle)
    text = f"no connection to the service: {obstacle.value} (HTTP 407); {OBSTACLE_REMEDIES[obstacle]}"
    assert halt_reason(met) == text
    assert outage_began_text("silence", met) == f"{text}; sending stops if this lasts 3 min"
    assert outage_began_text("silence", NotSent("x")) == "silence (x); waiting for it"


def test_pauses_grow_by_half_up_to_a_minute() -> None:
    """The pauses between probes grow by half and have a longest."""
    pauses = [FIRST_PAUSE_S]
    while pauses[-1] < LONGEST_PAUSE_S:
        pauses.append(next_pause_s(pauses[-1]))
    assert pauses[:4] == [0.5, 0.75, 1.125, 1.6875]
    assert next_pause_s(LONGEST_PAUSE_S) == LONGEST_PAUSE_S
    assert len(pauses) == 13


ANY = tuple(HoldCause)
SILENT, DOUBTED, REFUSED, FORBIDDEN = ANY

PROBES: list[tuple[object, tuple[HoldCause, ...], bool, ProbeResult]] = [
    (NotSent("refused"), ANY, True, ProbeResult.NO_ANSWER),
    (HELD_BACK, ANY, True, ProbeResult.NO_ANSWER),
    (HttpRefusal(502), ANY, False, ProbeResult.NO_ANSWER),
    (UNREADABLE, ANY, True, ProbeResult.UNDECIDED),
    (UNREADABLE, ANY, False, ProbeResult.HALT),
    (Answer(0), ANY, False, ProbeResult.ANSWERED),
    (Answer(3), ANY, True, ProbeResult.HALT),
    (Answer(100000005), ANY, True, ProbeResult.HALT),
    (Answer(7), ANY, False, ProbeResult.HALT),
    (Answer(7), (SILENT, REFUSED, FORBIDDEN), True, ProbeResult.UNDECIDED),
    (Answer(7), (DOUBTED,), True, ProbeResult.HALT),
    (HttpRefusal(403), (FORBIDDEN,), True, ProbeResult.HALT),
    (HttpRefusal(403), (SILENT, DOUBTED, REFUSED), True, ProbeResult.ANSWERED),
    (Answer(6), ANY, True, ProbeResult.THROTTLED),
    (HttpRefusal(429), ANY, True, ProbeResult.THROTTLED),
    (Answer(2), ANY, True, ProbeResult.ANSWERED),
    (Answer(0, task_id=TaskId("t")), ANY, True, ProbeResult.ANSWERED),
]


@pytest.mark.parametrize(("outcome", "causes", "proven", "result"), PROBES)
def test_probe_is_judged_by_outcome_and_cause(
    outcome: object, causes: tuple[HoldCause, ...], proven: bool, result: ProbeResult
) -> None:
    """Each outcome of a probe has one result for each cause."""
    assert [judge_probe(outcome, cause, proven=proven) for cause in causes] == [result] * len(causes)


@pytest.mark.parametrize("cause", ANY)
@pytest.mark.parametrize("result", ProbeResult)
def test_probe_settles_by_result_and_cause(result: ProbeResult, cause: HoldCause) -> None:
    """An answer and a halt settle every cause; throttling settles every other cause."""
    settling = {ProbeResult.ANSWERED, ProbeResult.HALT, ProbeResult.THROTTLED}
    unsettled_throttle = result is ProbeResult.THROTTLED and cause is HoldCause.THROTTLED
    assert is_settled(result, cause) is (result in settling and not unsettled_throttle)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Answer(7), fault_of(Answer(7))),
        (HttpRefusal(403), "the endpoint forbids the requests: "),
        (
            UNREADABLE,
            "the service's answers cannot be read, 3 in a row and no success yet; the last: no Code",
        ),
        (Answer(0), "the service's answers cannot be read, 3 in a row and no success yet; the last: code 0"),
    ],
)
def test_halt_names_its_reason(outcome: object, reason: str) -> None:
    """The reason names the code, the endpoint or the unreadable answer."""
    assert halt_reason(outcome).startswith(reason)


def test_every_state_has_its_moves() -> None:
    """A flow is held back from every state but PROBING, and released from every state but OPEN."""
    assert set(MOVES) == set(GuardState)
    assert [state for state in GuardState if GuardState.PROBING not in MOVES[state]] == [GuardState.PROBING]
    assert [state for state in GuardState if GuardState.OPEN not in MOVES[state]] == [GuardState.OPEN]
