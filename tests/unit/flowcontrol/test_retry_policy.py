"""The disposition of each outcome."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.specimens import ACCEPTED, TASK, Outcomes, claim_of, next_claim

from batcher.flowcontrol.retry_policy import KINDS, LARGEST_BACKOFF_S, CodeKind, decide, kind_of, waits_behind
from batcher.model.outcome import Answer, Decision, Disposition, HttpRefusal, NotSent, Outcome, ReplyLost
from batcher.model.submission import MOVES, Claim, InDoubtPolicy, State, Tries
from batcher.zego.codes import MEANINGS, UNKNOWN, meaning

RETRY, HOLD = InDoubtPolicy.RETRY, InDoubtPolicy.HOLD

REJECTING = (2, 4, 41003)
DENYING = (3, 5)
HALTING = (
    *(100000000, 100000001, 100000006, 100000007, 100000010, 100000011, 100000013),
    *(100000014, 100000016, 100000017),
    *(100000002, 100000003, 100000008, 100000009),
    100000005,
)
TOO_FREQUENT = (6, 206, 207, 1010, 5007, 30002)
BUSY = (1, 100000012, 100000015)
LITTLE = (1000, 999999, -1, 8, 100000018)
"""Tried again a little: 1000 and codes that no table names."""
DOCUMENTED = {0, 7, 1000, 100000004, *REJECTING, *DENYING, *HALTING, *TOO_FREQUENT, *BUSY}


def most(seconds: float) -> float:
    """Jitter that draws the most there is."""
    return seconds


def judged(
    outcome: Outcome, claim: Claim | None = None, policy: InDoubtPolicy = RETRY, *, proven: bool = True
) -> Disposition:
    """Judge an outcome, of a first attempt unless another claim is given."""
    return decide(outcome, claim or claim_of(), policy=policy, proven=proven, jitter=most)


def decisions(
    outcomes: Iterable[Outcome], policy: InDoubtPolicy = RETRY
) -> list[tuple[Decision, State, Tries]]:
    """The decisions about a submission with these outcomes in a row."""
    claim, made = claim_of(), []
    for outcome in outcomes:
        disposition = judged(outcome, claim, policy)
        made.append((disposition.decision, disposition.state, disposition.tries))
        claim = next_claim(claim, disposition)
    return made


Case = tuple[Outcome, Decision, State, Tries, int | None]

FIRST_ATTEMPTS: list[Case] = [
    (ACCEPTED, Decision.SUBMITTED, State.SUBMITTED, Tries(), 0),
    (Answer(0), Decision.IN_DOUBT, State.IN_DOUBT, Tries(), None),
    *((Answer(n), Decision.REJECTED, State.REJECTED, Tries(), n) for n in REJECTING),
    *((Answer(n), Decision.HALT, State.PENDING, Tries(), n) for n in HALTING),
    *((Answer(n), Decision.AGAIN, State.PENDING, Tries(unknown=1), n) for n in DENYING),
    *((Answer(n), Decision.SLOW_DOWN, State.PENDING, Tries(), n) for n in TOO_FREQUENT),
    *((Answer(n), Decision.AGAIN, State.PENDING, Tries(busy=1), n) for n in BUSY),
    *((Answer(n), Decision.AGAIN, State.PENDING, Tries(unknown=1), n) for n in LITTLE),
    (Answer(7), Decision.PROBE, State.PENDING, Tries(), 7),
    (Answer(100000004), Decision.HALT, State.PENDING, Tries(), 100000004),
    (Answer(100000004, clock_corrected=True), Decision.AGAIN, State.PENDING, Tries(), 100000004),
    *((HttpRefusal(n), Decision.SLOW_DOWN, State.PENDING, Tries(), None) for n in (429, 503)),
    *((HttpRefusal(n), Decision.AGAIN, State.PENDING, Tries(unknown=1), None) for n in (400, 404, 499)),
    *((HttpRefusal(n), Decision.AGAIN, State.PENDING, Tries(), None) for n in (301, 302, 307)),
    (NotSent("refused"), Decision.AGAIN, State.PENDING, Tries(), None),
]


@pytest.mark.parametrize("policy", InDoubtPolicy)
@pytest.mark.parametrize(("outcome", "decision", "state", "tries", "code"), FIRST_ATTEMPTS)
def test_outcome_of_a_first_attempt_is_judged_by_the_table(
    policy: InDoubtPolicy, outcome: Outcome, decision: Decision, state: State, tries: Tries, code: int | None
) -> None:
    """Every code, and every answer without one, has its decision, state, budget and last definite code."""
    disposition = judged(outcome, policy=policy)
    assert (decision, state, tries, code) == (
        disposition.decision,
        disposition.state,
        disposition.tries,
        disposition.code,
    )
    assert (disposition.delay_s is not None) == (state is State.PENDING)


@pytest.mark.parametrize("lost", [ReplyLost("no answer came"), ReplyLost("no Code", 500)])
@pytest.mark.parametrize(("policy", "state"), [(RETRY, State.PENDING), (HOLD, State.IN_DOUBT)])
def test_missing_answer_is_a_doubt_under_both_policies(
    lost: ReplyLost, policy: InDoubtPolicy, state: State
) -> None:
    """A missing answer is recorded as a doubt; the policy decides whether it is sent again."""
    disposition = judged(lost, policy=policy)
    expected = (Decision.IN_DOUBT, state, Tries(doubt=1), True)
    actual = (disposition.decision, disposition.state, disposition.tries, disposition.doubted)
    assert expected == actual


@pytest.mark.parametrize("code", BUSY)
def test_busy_service_gets_five_tries(code: int) -> None:
    """After the fifth busy answer the submission has failed."""
    made = decisions([Answer(code)] * 5)
    again = [(Decision.AGAIN, State.PENDING, Tries(busy=n)) for n in (1, 2, 3, 4)]
    assert [*again, (Decision.FAILED, State.FAILED, Tries(busy=5))] == made


@pytest.mark.parametrize("outcome", [*map(Answer, LITTLE), HttpRefusal(404)])
def test_unknown_code_gets_three_tries(outcome: Outcome) -> None:
    """After the third answer with code 1000, an unknown code or an HTTP 4xx the submission is rejected."""
    made = decisions([outcome] * 3)
    again = [(Decision.AGAIN, State.PENDING, Tries(unknown=n)) for n in (1, 2)]
    assert [*again, (Decision.REJECTED, State.REJECTED, Tries(unknown=3))] == made


@pytest.mark.parametrize("status", [401, 403, 407, 451])
@pytest.mark.parametrize("alone", [False, True])
def test_forbidden_submission_uses_a_try_only_while_others_are_answered(status: int, alone: bool) -> None:
    """A firewall that forbids every request rejects no submission."""
    claim = claim_of(tries=Tries(unknown=2))
    made = decide(HttpRefusal(status), claim, policy=RETRY, proven=True, jitter=most, refused_alone=alone)
    expected = (State.REJECTED, 3) if alone else (State.PENDING, 2)
    assert (made.state, made.tries.unknown) == expected


def test_doubt_ends_after_five_sends() -> None:
    """Under retry a submission is sent five times without an answer, then stays in doubt."""
    made = decisions([ReplyLost("lost")] * 5)
    again = [(Decision.IN_DOUBT, State.PENDING, Tries(doubt=n)) for n in (1, 2, 3, 4)]
    assert [*again, (Decision.IN_DOUBT, State.IN_DOUBT, Tries(doubt=5))] == made


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (Answer(1), (Decision.IN_DOUBT, State.IN_DOUBT, Tries(5, 2, 4))),
        (Answer(1000), (Decision.REJECTED, State.REJECTED, Tries(4, 3, 4))),
        (ReplyLost("lost"), (Decision.IN_DOUBT, State.IN_DOUBT, Tries(4, 2, 5))),
    ],
)
def test_each_budget_is_counted_by_itself(last: Outcome, expected: tuple[Decision, State, Tries]) -> None:
    """Four busy answers, two puzzling ones and four doubts leave one try of each kind."""
    rounds: Outcomes = [Answer(1), ReplyLost("lost"), Answer(1000)] * 2
    busy_and_lost: Outcomes = [Answer(100000012), ReplyLost("lost")]
    made = decisions([*rounds, *busy_and_lost, *busy_and_lost, last])
    assert {State.PENDING} == {state for _, state, _ in made[:-1]}
    assert expected == made[-1]


@pytest.mark.parametrize("outcome", [NotSent("x"), *map(Answer, TOO_FREQUENT), HttpRefusal(429)])
def test_unsent_and_throttled_attempts_use_no_try(outcome: Outcome) -> None:
    """Connections never made and refusals for being too frequent leave every budget as it was."""
    used = Tries(4, 2, 4)
    disposition = judged(outcome, claim_of(99, used, doubted=True, code=1))
    assert (State.PENDING, used, True) == (disposition.state, disposition.tries, disposition.doubted)


@pytest.mark.parametrize("outcome", [NotSent("x"), ReplyLost("x"), HttpRefusal(404), Answer(0)])
def test_last_definite_code_outlives_answers_without_one(outcome: Outcome) -> None:
    """An outcome without a code leaves the last definite code as it was."""
    assert judged(outcome, claim_of(code=1000)).code == 1000


def test_busy_service_after_a_doubt_leaves_the_submission_in_doubt() -> None:
    """A submission that may have arrived once is never called failed."""
    disposition = judged(Answer(1), claim_of(6, Tries(busy=4, doubt=1), doubted=True))
    expected = (Decision.IN_DOUBT, State.IN_DOUBT, True)
    assert expected == (disposition.decision, disposition.state, disposition.doubted)


@pytest.mark.parametrize("policy", InDoubtPolicy)
@pytest.mark.parametrize("tries", [Tries(), Tries(doubt=3)])
def test_accepted_without_a_task_id_is_never_sent_again(policy: InDoubtPolicy, tries: Tries) -> None:
    """An accepted submission whose task id is not readable stays in doubt under each policy."""
    disposition = judged(Answer(0, "success"), claim_of(tries=tries), policy)
    expected = (Decision.IN_DOUBT, State.IN_DOUBT, True, None)
    assert expected == (disposition.decision, disposition.state, disposition.doubted, disposition.delay_s)


@pytest.mark.parametrize(("proven", "decision"), [(False, Decision.HALT), (True, Decision.PROBE)])
def test_code_7_is_a_fault_until_a_success(proven: bool, decision: Decision) -> None:
    """Code 7 halts before the first success and causes a probe after one; the submission stays pending."""
    disposition = judged(Answer(7), proven=proven)
    assert (decision, State.PENDING, Tries()) == (disposition.decision, disposition.state, disposition.tries)


@pytest.mark.parametrize("code", DENYING)
def test_permission_halts_until_a_success_and_then_has_three_tries(code: int) -> None:
    """Codes 3 and 5 halt before the first success; after one they are the recording's, three times."""
    first = judged(Answer(code), proven=False)
    assert (first.decision, first.state, first.tries) == (Decision.HALT, State.PENDING, Tries())
    assert decisions([Answer(code)] * 3) == [
        (Decision.AGAIN, State.PENDING, Tries(unknown=1)),
        (Decision.AGAIN, State.PENDING, Tries(unknown=2)),
        (Decision.REJECTED, State.REJECTED, Tries(unknown=3)),
    ]


def test_second_code_7_of_a_submission_has_three_tries() -> None:
    """A code 7 after an answered probe concerns the submission."""
    assert decisions([Answer(7)] * 4) == [
        (Decision.PROBE, State.PENDING, Tries()),
        (Decision.AGAIN, State.PENDING, Tries(unknown=1)),
        (Decision.AGAIN, State.PENDING, Tries(unknown=2)),
        (Decision.REJECTED, State.REJECTED, Tries(unknown=3)),
    ]


@pytest.mark.parametrize(
    ("doubted", "ending"),
    [(False, (Decision.FAILED, State.FAILED)), (True, (Decision.IN_DOUBT, State.IN_DOUBT))],
)
@pytest.mark.parametrize("outcome", [Answer(6), HttpRefusal(429), HttpRefusal(503), HttpRefusal(302)])
def test_tenth_refusal_while_others_are_answered_fails_the_submission(
    outcome: Outcome, doubted: bool, ending: tuple[Decision, State]
) -> None:
    """The tenth such refusal ends the submission, and the delays before it grow."""
    claim, delays = claim_of(doubted=doubted), []
    for _ in range(9):
        made = decide(outcome, claim, policy=RETRY, proven=True, jitter=most, refused_alone=True)
        assert made.state is State.PENDING
        delays.append(made.delay_s)
        claim = next_claim(claim, made)
    last = decide(outcome, claim, policy=RETRY, proven=True, jitter=most, refused_alone=True)
    assert (last.decision, last.state) == ending
    assert delays == sorted(delays, key=lambda delay: delay or 0.0)
    assert delays[-1] != delays[0]


@pytest.mark.parametrize(
    ("claim", "behind"),
    [
        (claim_of(), False),
        (claim_of(code=6), False),
        (claim_of(tries=Tries(refused=1)), True),
        *((claim_of(code=code), True) for code in (3, 5, 7, 100000005)),
    ],
)
def test_submission_that_would_delay_others_waits_behind(claim: Claim, behind: bool) -> None:
    """A submission that was refused alone, or that caused a halt, waits behind fresh ones."""
    assert waits_behind(claim) is behind


@pytest.mark.parametrize("proven", [False, True])
@pytest.mark.parametrize("code", sorted(DOCUMENTED - {7, *DENYING}))
def test_only_codes_3_5_and_7_depend_on_an_earlier_success(code: int, proven: bool) -> None:
    """Every other code is judged the same before and after a success."""
    assert judged(Answer(code)) == judged(Answer(code), proven=proven)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Answer(6, retry_after_s=7.5), 7.5),
        (Answer(6, retry_after_s=3600.0), 3600.0),
        (HttpRefusal(429, 0.0), 0.0),
        (HttpRefusal(503, 120.0), 120.0),
        (HttpRefusal(429), 1.0),
        (Answer(6), 1.0),
        (NotSent("x"), 1.0),
        (Answer(100000005), 0.0),
        (Answer(7), 0.0),
        (Answer(100000004, clock_corrected=True), 0.0),
    ],
)
def test_retry_after_outranks_the_backoff(outcome: Outcome, expected: float) -> None:
    """A Retry-After is obeyed exactly; without one the wait is short."""
    assert expected == judged(outcome).delay_s


@pytest.mark.parametrize(
    ("outcome", "used", "longest"),
    [
        *((Answer(1), Tries(busy=n), 2.0**n) for n in range(4)),
        *((Answer(1000), Tries(unknown=n), 2.0**n) for n in range(2)),
        *((ReplyLost("x"), Tries(doubt=n), 2.0**n) for n in range(4)),
    ],
)
def test_backoff_is_drawn_evenly_and_doubles(outcome: Outcome, used: Tries, longest: float) -> None:
    """The jitter draws up to a bound that doubles, and its result is the delay."""
    asked: list[float] = []

    def draw(bound: float) -> float:
        asked.append(bound)
        return bound / 4

    made = decide(outcome, claim_of(tries=used), policy=RETRY, proven=True, jitter=draw)
    assert [min(longest, LARGEST_BACKOFF_S)] == asked
    assert made.delay_s == longest / 4


def test_backoff_is_at_most_a_minute() -> None:
    """The bound holds for any number of tries that a ledger has counted."""
    made = judged(ReplyLost("x"), claim_of(tries=Tries(doubt=-100)))
    assert made.delay_s is not None
    assert made.delay_s < 1
    assert LARGEST_BACKOFF_S == 60.0


def test_every_documented_code_has_a_meaning_and_a_rule() -> None:
    """Both tables have exactly the documented codes."""
    assert sorted(MEANINGS) == sorted(DOCUMENTED)
    assert sorted(KINDS) == sorted(DOCUMENTED)


def test_unknown_code_is_named_as_such() -> None:
    """A code that no table names is tried a little and called unknown."""
    assert (kind_of(424242), meaning(424242)) == (CodeKind.UNKNOWN, UNKNOWN)


@pytest.mark.parametrize("code", sorted(DOCUMENTED - {0}))
def test_every_meaning_has_a_text_and_a_remedy(code: int) -> None:
    """Every code other than 0 has a meaning in words and a remedy."""
    assert meaning(code).text
    assert meaning(code).remedy


NOT_DEFINITE: list[Outcome] = [
    NotSent("refused"),
    ReplyLost("lost"),
    HttpRefusal(404),
    HttpRefusal(429),
    *map(Answer, (*BUSY, *LITTLE, *TOO_FREQUENT, *HALTING, *DENYING, 7)),
]
ANY: list[Outcome] = [*NOT_DEFINITE, ACCEPTED, Answer(0), *map(Answer, REJECTING)]
COSTLY = (*BUSY, *LITTLE)


@given(
    outcomes=st.lists(st.sampled_from(NOT_DEFINITE), min_size=60, max_size=60),
    policy=st.sampled_from(InDoubtPolicy),
    proven=st.booleans(),
    seed=st.integers(),
)
def test_submission_without_a_definite_answer_ends_by_its_budgets(
    outcomes: Outcomes, policy: InDoubtPolicy, proven: bool, seed: int
) -> None:
    """Each try counts once in any mix of outcomes, none is given back, and the budgets end it."""
    claim, costs, rng = claim_of(), 0, random.Random(seed)
    for outcome in outcomes:
        made = decide(
            outcome, claim, policy=policy, proven=proven, jitter=lambda bound: rng.uniform(0.0, bound)
        )
        costly = isinstance(outcome, ReplyLost) or outcome in (HttpRefusal(404), *map(Answer, COSTLY))
        if proven:
            costly |= outcome in [*map(Answer, DENYING)] or (outcome == Answer(7) and claim.code == 7)
        costs += costly
        assert made.tries.busy >= claim.tries.busy
        assert made.tries.unknown >= claim.tries.unknown
        assert made.tries.doubt >= claim.tries.doubt
        assert costs == made.tries.busy + made.tries.unknown + made.tries.doubt
        assert made.doubted == (claim.doubted or isinstance(outcome, ReplyLost))
        assert made.state in MOVES[State.SENDING]
        if made.state is not State.PENDING:
            assert made.tries.busy == 5 or made.tries.unknown == 3 or made.tries.doubt in (1, 5)
            assert made.state is not State.FAILED or not made.doubted
            assert made.delay_s is None
            return
        assert made.delay_s is not None
        assert 0.0 <= made.delay_s <= LARGEST_BACKOFF_S
        claim = next_claim(claim, made)
    assert costs <= 4 + 2 + 4


@given(
    outcome=st.sampled_from(ANY),
    tries=st.builds(Tries, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
    policy=st.sampled_from(InDoubtPolicy),
    proven=st.booleans(),
    doubted=st.booleans(),
)
def test_every_disposition_is_a_legal_move(
    outcome: Outcome, tries: Tries, policy: InDoubtPolicy, proven: bool, doubted: bool
) -> None:
    """Every decision can be recorded: it is a legal move, with a task id exactly when submitted."""
    claim = claim_of(tries=tries, doubted=doubted)
    made = decide(outcome, claim, policy=policy, proven=proven, jitter=most)
    assert made.state in MOVES[State.SENDING]
    assert made.doubted >= doubted
    submitted = isinstance(outcome, Answer) and outcome.task_id == TASK
    assert submitted == (made.decision is Decision.SUBMITTED) == (made.state is State.SUBMITTED)
    assert (made.delay_s is None) == (made.state is not State.PENDING)
