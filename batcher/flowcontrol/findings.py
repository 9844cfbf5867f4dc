"""Findings: what one outcome says about the service, and the words for it.

:func:`classify` is called for every outcome by the guard (:mod:`batcher.flowcontrol.outage`) and by the flows
that judge a single task or question. The disposition of a submission is decided in
:mod:`batcher.flowcontrol.retry_policy`. Pure: no I/O, no clock. The table of findings is promised: which
outcome counts as an outage, a throttle or an account fault must be the same in every flow.
"""

from __future__ import annotations

from enum import Enum

from batcher.flowcontrol.rate_policy import TOO_FREQUENT
from batcher.flowcontrol.retry_policy import FORBIDDEN_STATUSES, CodeKind, kind_of
from batcher.model.outcome import (
    HELD_BACK,
    WAITING,
    Answer,
    HttpRefusal,
    NotSent,
    Obstacle,
    Outage,
    ReplyLost,
)
from batcher.model.records import Meaning
from batcher.model.submission import ReplyShape
from batcher.zego.codes import meaning


class Finding(Enum):
    """The meaning of one outcome for the state of the service."""

    OURS = "nothing: batcher itself held the request back"
    SUCCEEDED = "the service did what was asked"
    ANSWERED = "the service answered about this submission, task or question"
    NO_ANSWER = "no usable answer: no connection, no answer, a server error, a redirect, a page"
    UNREADABLE = "the service accepted the request, in an answer that cannot be read"
    THROTTLED = "requests are too frequent"
    CREDENTIALS = "code 7: the credentials are wrong, or requests are too frequent"
    PERMISSION = "codes 3 and 5: a fault of the account, or of this submission"
    ACCOUNT = "a fault of the account: every request fails alike"
    FORBIDDEN = "HTTP 401, 403, 407 or 451 without a code"


_BY_KIND = {
    CodeKind.SUBMITTED: Finding.SUCCEEDED,
    CodeKind.SLOW_DOWN: Finding.THROTTLED,
    CodeKind.CREDENTIALS: Finding.CREDENTIALS,
    CodeKind.PERMISSION: Finding.PERMISSION,
    CodeKind.HALT: Finding.ACCOUNT,
}

_BY_SHAPE = {
    ReplyShape.NOTHING: Finding.NO_ANSWER,
    ReplyShape.OTHER_JSON: Finding.UNREADABLE,
    ReplyShape.DATA: Finding.ANSWERED,
}


def classify(outcome: object) -> Finding:
    """Return the finding of an outcome; a value of any other type is a success, such as a report."""
    match outcome:
        case NotSent():
            return Finding.OURS if outcome is HELD_BACK else Finding.NO_ANSWER
        case ReplyLost():
            return _BY_SHAPE[outcome.shape]
        case HttpRefusal():
            return _classify_status(outcome)
        case Answer(code=0, task_id=None):
            return Finding.UNREADABLE
        case Answer(code=code) if kind_of(code) is CodeKind.CLOCK:
            return Finding.ANSWERED if outcome.clock_corrected else Finding.ACCOUNT
        case Answer():
            return _BY_KIND.get(kind_of(outcome.code), Finding.ANSWERED)
    return Finding.SUCCEEDED


def _classify_status(refusal: HttpRefusal) -> Finding:
    match refusal.http_status:
        case 429:
            return Finding.THROTTLED
        case 503 if refusal.retry_after_s is not None:
            return Finding.THROTTLED
        case status if status in FORBIDDEN_STATUSES:
            return Finding.FORBIDDEN
        case status if 400 <= status < 500:
            return Finding.ANSWERED
    return Finding.NO_ANSWER


def fault_of(answer: Answer, what: Meaning | None = None) -> str:
    """Return why an answer halts the flow, and the remedy.

    Args:
        answer: the refusal.
        what: the meaning of its code, if the call has codes of its own.
    """
    what = what or meaning(answer.code)
    quoted = f" (the service says: {answer.message})" if answer.message else ""
    return f"code {answer.code}: {what.text}{quoted}; {remedy_of(answer, what)}"


def remedy_of(answer: Answer, what: Meaning) -> str:
    """Return the remedy of an answer's code, with the RequestId if support will ask for it."""
    request_id = answer.vendor_request_id or answer.request_id
    return f"{what.remedy} ({request_id})" if request_id and "RequestId" in what.remedy else what.remedy


def throttle_text(refusal: Answer | HttpRefusal) -> str:
    """Return the words of a throttling answer, by which the pacer counts refusals."""
    is_busy = isinstance(refusal, HttpRefusal) and refusal.http_status == 503
    return "HTTP 503" if is_busy else TOO_FREQUENT


def outcome_text(outcome: object) -> str:
    """Return an outcome in words, for messages."""
    if isinstance(outcome, Answer):
        quoted = f" {outcome.message}" if outcome.message else ""
        return f"code {outcome.code}{quoted}" + (f" in {outcome.excerpt}" if outcome.excerpt else "")
    return str(getattr(outcome, "detail", ""))


CHECK_ENDPOINT = "check the network and BATCHER_ENDPOINT"
"""The remedy for an outage that does not end."""


CHECK_FIREWALL = (
    "check BATCHER_ENDPOINT, and whether a firewall or a proxy between this machine and the service blocks it"
)
"""The remedy where an endpoint forbids every request."""

OBSTACLE_REMEDIES = {
    Obstacle.PROXY_LOGIN: (
        "check the user name and the password in the URL of the proxy (HTTPS_PROXY or ALL_PROXY)"
    ),
    Obstacle.PROXY_DENIAL: (
        "ask the operator of the proxy to allow this endpoint, or name another proxy in HTTPS_PROXY"
    ),
    Obstacle.CERTIFICATE: (
        "check this machine's clock and its certificate authorities; where a private authority or a "
        "proxy signs, name its file in SSL_CERT_FILE"
    ),
}


def obstacle_of(outcome: object) -> Obstacle | None:
    """Return the obstacle that an outcome shows; None if it shows none."""
    return outcome.obstacle if isinstance(outcome, NotSent) else None


def obstacle_text(outcome: object) -> str:
    """Return the obstacle that an outcome shows, with the remedy; empty if it shows none."""
    obstacle = obstacle_of(outcome)
    if obstacle is None:
        return ""
    return f"{obstacle.value} ({outcome_text(outcome)}); {OBSTACLE_REMEDIES[obstacle]}"


def waiting_text(outage: Outage) -> str:
    """Return why nothing is sent during an outage; its beginning is a local time."""
    return f"{WAITING} since {outage.since.astimezone():%H:%M} ({outage.met})"


def outage_text(outage: Outage, requests: str = "") -> str:
    """Return an outage in words: its beginning and the last outcome.

    Args:
        outage: that had not ended.
        requests: such as ``polls``, where other requests may have been answered.
    """
    unanswered = f"the endpoint did not answer {requests}".rstrip()
    return f"{unanswered} (since {outage.since:%Y-%m-%d %H:%M:%S} UTC, last: {outage.met})"
