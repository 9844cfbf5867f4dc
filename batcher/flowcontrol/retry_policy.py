"""The retry policy of submissions: which disposition follows from the outcome of an attempt.

The workers call :func:`decide` for each outcome, and the ledger records the result. The meaning of a code
is in :mod:`batcher.zego.codes`. Pure: no I/O, no clock, no random numbers of its own. The table and the
numbers of tries are promised to users, and ``batcher codes`` prints them.

Source: ZEGO server API, "Start a snapshot task", return codes; "Accessing server APIs", global return codes.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from batcher.model.outcome import Answer, Decision, Disposition, HttpRefusal, NotSent, Outcome, ReplyLost
from batcher.model.submission import Claim, InDoubtPolicy, State, Tries

BUSY_TRIES = 5
UNKNOWN_TRIES = 3
DOUBT_SENDS = 5
REFUSED_TRIES = 10

FIRST_BACKOFF_S = 1.0
LARGEST_BACKOFF_S = 60.0
"""Only the service's own ``Retry-After`` makes a submission wait longer."""

REFUSED_GROWTH = 1.25
"""The backoff of a submission that is refused while others are answered grows by this factor."""

FORBIDDEN_STATUSES = frozenset({401, 403, 407, 451})
"""HTTP statuses by which an endpoint, or a firewall before it, forbids requests."""

Jitter = Callable[[float], float]
"""Draws a number evenly between zero and its argument."""


class CodeKind(Enum):
    """The consequence of a code; ``batcher codes`` prints the texts."""

    SUBMITTED = "records the task id"
    REJECT = "rejects the submission"
    HALT = "halts: every further call would fail alike; the submission stays pending"
    PERMISSION = (
        "halts before the run's first success; after one, halts when two recordings get it; a single one "
        f"waits behind the others, {UNKNOWN_TRIES} tries, then it is rejected"
    )
    SLOW_DOWN = (
        f"slows down and sends again; refused {REFUSED_TRIES} times while others were accepted, the "
        "submission has failed"
    )
    BUSY = f"sends again, {BUSY_TRIES} tries; then the submission has failed"
    UNKNOWN = f"sends again, {UNKNOWN_TRIES} tries; then rejects the submission"
    CREDENTIALS = (
        "halts before the run's first success; after one, pauses and asks with one harmless call "
        f"whether it was the credentials (halts) or the rate (slows down); again for the same submission: "
        f"{UNKNOWN_TRIES} tries, then rejects it"
    )
    CLOCK = "learns how far this machine's clock is off and sends again; halts when that did not help"


KINDS: dict[int, CodeKind] = {
    0: CodeKind.SUBMITTED,
    1: CodeKind.BUSY,
    2: CodeKind.REJECT,
    3: CodeKind.PERMISSION,
    4: CodeKind.REJECT,
    5: CodeKind.PERMISSION,
    6: CodeKind.SLOW_DOWN,
    7: CodeKind.CREDENTIALS,
    1000: CodeKind.UNKNOWN,
    41003: CodeKind.REJECT,
    100000004: CodeKind.CLOCK,
    100000012: CodeKind.BUSY,
    100000015: CodeKind.BUSY,
    **dict.fromkeys((206, 207, 1010, 5007, 30002), CodeKind.SLOW_DOWN),
    **dict.fromkeys((*range(100000000, 100000004), *range(100000005, 100000012)), CodeKind.HALT),
    **dict.fromkeys((100000013, 100000014, 100000016, 100000017), CodeKind.HALT),
}


def kind_of(code: int) -> CodeKind:
    """Return the kind of a code; a code that is not documented is unknown."""
    return KINDS.get(code, CodeKind.UNKNOWN)


def waits_behind(claim: Claim) -> bool:
    """Whether a submission that was put off waits behind fresh ones, because it would delay them."""
    if claim.tries.refused:
        return True
    return claim.code is not None and kind_of(claim.code) in (
        CodeKind.HALT,
        CodeKind.PERMISSION,
        CodeKind.CREDENTIALS,
    )


def decide(
    outcome: Outcome,
    claim: Claim,
    *,
    policy: InDoubtPolicy,
    proven: bool,
    jitter: Jitter,
    refused_alone: bool = False,
) -> Disposition:
    """Judge one attempt.

    Args:
        outcome: of the attempt.
        claim: the submission, with the tries it has used before this attempt.
        policy: for a submission whose answer is missing.
        proven: a request of this run has succeeded with these credentials.
        jitter: draws the backoff.
        refused_alone: other submissions were answered since this one was last refused.
    """
    match outcome:
        case NotSent():
            return _again(claim, jitter(FIRST_BACKOFF_S))
        case ReplyLost():
            return _in_doubt(claim, policy, jitter)
        case HttpRefusal(http_status=status) if status in (429, 503) or status < 400:
            return _refused(claim, outcome, refused_alone, jitter)
        case HttpRefusal(http_status=status) if status in FORBIDDEN_STATUSES and not refused_alone:
            return _again(claim, jitter(FIRST_BACKOFF_S))  # perhaps all are forbidden
        case HttpRefusal():
            return _unknown(claim, jitter)
        case Answer(code=0, task_id=None):
            # Accepted, but the task id cannot be read: another request would surely create a second task.
            return _disposition(claim, Decision.IN_DOUBT, State.IN_DOUBT, doubted=True)
        case Answer():
            return _decide_code(outcome, claim, proven, refused_alone, jitter)


def _decide_code(
    answer: Answer, claim: Claim, proven: bool, refused_alone: bool, jitter: Jitter
) -> Disposition:
    if (kind := kind_of(answer.code)) is CodeKind.SUBMITTED:
        return Disposition(
            Decision.SUBMITTED, State.SUBMITTED, claim.tries, doubted=claim.doubted, code=answer.code
        )
    again, claim = claim.code == answer.code, claim._replace(code=answer.code)
    match kind:
        case CodeKind.REJECT:
            return _disposition(claim, Decision.REJECTED, State.REJECTED)
        case CodeKind.SLOW_DOWN:
            return _refused(claim, answer, refused_alone, jitter)
        case CodeKind.BUSY:
            return _busy(claim, jitter)
        case CodeKind.CLOCK if answer.clock_corrected:
            return _again(claim, 0.0)
        case CodeKind.HALT | CodeKind.CLOCK:
            return _disposition(claim, Decision.HALT, delay_s=0.0)
        case CodeKind.PERMISSION | CodeKind.CREDENTIALS if not proven:
            return _disposition(claim, Decision.HALT, delay_s=0.0)
        case CodeKind.CREDENTIALS if not again:
            return _disposition(claim, Decision.PROBE, delay_s=0.0)
        case CodeKind.PERMISSION | CodeKind.CREDENTIALS | CodeKind.UNKNOWN:
            return _unknown(claim, jitter)


def _busy(claim: Claim, jitter: Jitter) -> Disposition:
    tries = claim.tries._replace(busy=claim.tries.busy + 1)
    if tries.busy < BUSY_TRIES:
        return _again(claim, _backoff_s(tries.busy, jitter), tries)
    return _failed(claim, tries)


def _unknown(claim: Claim, jitter: Jitter) -> Disposition:
    tries = claim.tries._replace(unknown=claim.tries.unknown + 1)
    if tries.unknown < UNKNOWN_TRIES:
        return _again(claim, _backoff_s(tries.unknown, jitter), tries)
    return _disposition(claim, Decision.REJECTED, State.REJECTED, tries)


def _in_doubt(claim: Claim, policy: InDoubtPolicy, jitter: Jitter) -> Disposition:
    tries = claim.tries._replace(doubt=claim.tries.doubt + 1)
    if policy is InDoubtPolicy.HOLD or tries.doubt >= DOUBT_SENDS:
        return _disposition(claim, Decision.IN_DOUBT, State.IN_DOUBT, tries, doubted=True)
    delay_s = _backoff_s(tries.doubt, jitter)
    return _disposition(claim, Decision.IN_DOUBT, State.PENDING, tries, delay_s=delay_s, doubted=True)


def _refused(claim: Claim, refusal: Answer | HttpRefusal, alone: bool, jitter: Jitter) -> Disposition:
    """Retry a definite refusal; it uses a try only while other submissions are answered."""
    tries = claim.tries._replace(refused=claim.tries.refused + 1) if alone else claim.tries
    if tries.refused >= REFUSED_TRIES:
        return _failed(claim, tries)
    longest_s = FIRST_BACKOFF_S * REFUSED_GROWTH**claim.tries.refused
    delay_s = jitter(longest_s) if refusal.retry_after_s is None else refusal.retry_after_s
    decision = Decision.AGAIN if refusal.http_status in range(300, 400) else Decision.SLOW_DOWN
    return _disposition(claim, decision, State.PENDING, tries, delay_s=delay_s)


def _again(claim: Claim, delay_s: float, tries: Tries | None = None) -> Disposition:
    return _disposition(claim, Decision.AGAIN, State.PENDING, tries, delay_s=delay_s)


def _failed(claim: Claim, tries: Tries) -> Disposition:
    if claim.doubted:  # an earlier attempt may have arrived, so this is not known to have failed
        return _disposition(claim, Decision.IN_DOUBT, State.IN_DOUBT, tries)
    return _disposition(claim, Decision.FAILED, State.FAILED, tries)


def _disposition(
    claim: Claim,
    decision: Decision,
    state: State = State.PENDING,
    tries: Tries | None = None,
    *,
    delay_s: float | None = None,
    doubted: bool = False,
) -> Disposition:
    doubted = claim.doubted or doubted
    return Disposition(decision, state, tries or claim.tries, delay_s, doubted, claim.code)


def _backoff_s(tries: int, jitter: Jitter) -> float:
    """Return an exponential backoff with full jitter: the more tries were used, the longer it may be."""
    return jitter(min(LARGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (tries - 1)))
