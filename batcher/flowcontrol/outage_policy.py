"""Rules of the guard: when a flow is held back, what a probe's answer settles, how long the pauses are.

Called by :class:`batcher.flowcontrol.outage.Guard` alone. Pure: values in, values out. The numbers are
promises to users: how many requests an outage may affect, and how long it may last before it is noticed.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from batcher.flowcontrol.findings import (
    CHECK_FIREWALL,
    Finding,
    classify,
    fault_of,
    obstacle_of,
    obstacle_text,
    outcome_text,
)
from batcher.model.outcome import NO_ANSWERS, Answer
from batcher.report.formatting import duration

LONG_WAIT_S = 1.0
"""A request that waited this long in vain begins an outage, if no other was answered meanwhile."""

UNREADABLE_ANSWERS = 3
"""This many accepted but unreadable answers in a row, before any success, halt."""

FORBIDDEN_SUBJECTS = 3
"""This many subjects in a row that get HTTP 401, 403, 407 or 451 cause a probe, and so does one that gets it
twice with no other answer in between."""

DENIED_SUBJECTS = 2
"""This many subjects that get code 3, or code 5, after a success halt."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
PAUSE_GROWTH = 1.5
"""The end of an outage is noticed after at most half of its duration again."""

OBSTACLE_PATIENCE_S = 180.0
"""A flow halts when every probe met the same obstacle for this long; the last probe may come 90 s later."""

CREDENTIALS_PAUSE_S = 1.25
"""The pause before the probe after a code 7. A rate limit that counts the last second has emptied by then."""
CREDENTIALS_TRUSTED_S = 30.0
"""After an answered probe, single codes 7 cause no probe for this long."""
CREDENTIALS_IN_A_ROW = 3
"""This many codes 7 in a row always cause a probe."""

RECENT_CALLS = 100
FEWEST_CALLS = 20
THROTTLED_SHARE = 0.05
"""The pacer slows down only if at least this share of the recent calls was refused."""


class GuardState(Enum):
    """The requests that the guard allows a flow to send."""

    OPEN = "all turns are given"
    PROBING = "turns are held back, and one caller of the guard probes"
    SINGLE = "a probe was answered: one ordinary request leaves alone before all turns are given"


MOVES = {
    GuardState.OPEN: {GuardState.PROBING},
    GuardState.PROBING: {GuardState.OPEN, GuardState.SINGLE},
    GuardState.SINGLE: {GuardState.OPEN, GuardState.PROBING, GuardState.SINGLE},
}
"""The states that may follow each state. SINGLE follows itself when the single request says nothing."""


class HoldCause(Enum):
    """Why turns are held back."""

    NO_ANSWER = ""
    CREDENTIALS = "the service doubts the credentials; probing"
    THROTTLED = "the service refuses the same requests repeatedly; probing"
    FORBIDDEN = "the endpoint forbids the requests; probing"


class ProbeResult(Enum):
    """The meaning of a probe's answer for a flow that is held back."""

    NO_ANSWER = "the service gives no usable answer: probe again"
    UNDECIDED = "the answer leaves the cause open: probe again"
    THROTTLED = "the service is there, and requests are too frequent"
    ANSWERED = "the service is there"
    HALT = "the flow must stop"


def forbidden_needs_probe(subjects: int, *, first: bool, alone: bool) -> bool:
    """Whether HTTP 401, 403, 407 or 451 causes a probe.

    Args:
        subjects: that got one of them in a row, this one included.
        first: it is the first refusal of this subject.
        alone: others were answered since this subject was last refused.
    """
    return subjects >= FORBIDDEN_SUBJECTS or not (first or alone)


def begins_outage(no_answers: int, silent_s: float, waited_s: float) -> bool:
    """Whether a missing answer begins an outage.

    Args:
        no_answers: missing answers in a row, this one included.
        silent_s: how long ago the last usable answer arrived.
        waited_s: how long this request waited for its answer.
    """
    return no_answers >= NO_ANSWERS or silent_s >= waited_s >= LONG_WAIT_S


def slows_pace(refusals: Collection[bool]) -> bool:
    """Whether enough of the recent calls were refused for the pacer to slow down.

    Args:
        refusals: for each recent call, whether it was refused.
    """
    return sum(refusals) >= THROTTLED_SHARE * max(len(refusals), FEWEST_CALLS)


def needs_credentials_probe(in_a_row: int, *, explained: bool) -> bool:
    """Whether a code 7 after the first success causes a probe.

    Args:
        in_a_row: codes 7 in a row, this one included.
        explained: a probe was answered a short time ago, or the code concerns one submission.
    """
    return not explained or in_a_row >= CREDENTIALS_IN_A_ROW


def denial_halts(denied: int, *, proven: bool) -> bool:
    """Whether a code 3 or 5 halts: before the first success, or once several subjects got the same code."""
    return not proven or denied >= DENIED_SUBJECTS


def unreadable_halts(in_a_row: int, *, proven: bool) -> bool:
    """Whether an accepted but unreadable answer halts."""
    return not proven and in_a_row >= UNREADABLE_ANSWERS


def next_pause_s(pause_s: float) -> float:
    """Return the pause that follows a pause between two probes."""
    return min(pause_s * PAUSE_GROWTH, LONGEST_PAUSE_S)


def judge_probe(outcome: object, cause: HoldCause, *, proven: bool, obstacle_s: float = 0.0) -> ProbeResult:
    """Judge the outcome of a probe.

    Args:
        outcome: of the probe.
        cause: why turns are held back.
        proven: a request of this flow has succeeded.
        obstacle_s: how long every outcome has shown the obstacle that this one shows.
    """
    match classify(outcome):
        case Finding.NO_ANSWER if obstacle_of(outcome) and obstacle_s >= OBSTACLE_PATIENCE_S:
            return ProbeResult.HALT
        case Finding.NO_ANSWER | Finding.OURS:
            return ProbeResult.NO_ANSWER
        case Finding.UNREADABLE if not isinstance(outcome, Answer):
            return ProbeResult.UNDECIDED if proven else ProbeResult.HALT
        case Finding.PERMISSION | Finding.ACCOUNT:
            return ProbeResult.HALT
        case Finding.CREDENTIALS:
            asked_again = proven and cause is not HoldCause.CREDENTIALS
            return ProbeResult.UNDECIDED if asked_again else ProbeResult.HALT
        case Finding.FORBIDDEN if cause is HoldCause.FORBIDDEN:
            return ProbeResult.HALT
        case Finding.THROTTLED:
            return ProbeResult.THROTTLED
    return ProbeResult.ANSWERED


def is_settled(result: ProbeResult, cause: HoldCause) -> bool:
    """Whether a probe ends the holding back."""
    if result is ProbeResult.THROTTLED:
        return cause is not HoldCause.THROTTLED
    return result in (ProbeResult.ANSWERED, ProbeResult.HALT)


def halt_reason(outcome: object) -> str:
    """Return why an outcome halts a flow, and the remedy."""
    if isinstance(outcome, Answer) and outcome.code != 0:
        return fault_of(outcome)
    if classify(outcome) is Finding.FORBIDDEN:
        return f"the endpoint forbids the requests: {outcome_text(outcome)}; {CHECK_FIREWALL}"
    if obstacle := obstacle_text(outcome):
        return f"no connection to the service: {obstacle}"
    return (
        f"the service's answers cannot be read, {UNREADABLE_ANSWERS} in a row and no success yet; the "
        f"last: {outcome_text(outcome)}; check BATCHER_ENDPOINT, and what it accepted before sending again"
    )


def outage_began_text(silence: str, outcome: object) -> str:
    """Return the beginning of an outage in words.

    Args:
        silence: the words for an endpoint without usable answers.
        outcome: the outcome that began it.
    """
    if obstacle := obstacle_text(outcome):
        patience = f"sending stops if this lasts {duration(OBSTACLE_PATIENCE_S)}"
        return f"no connection to the service: {obstacle}; {patience}"
    return f"{silence} ({outcome_text(outcome)}); waiting for it"
