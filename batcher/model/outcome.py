"""Outcomes of one request, and the decisions about them, as values.

The client returns an outcome for each request and raises nothing; the retry policy turns it into a
disposition; the ledger records both as a settlement. Values of :class:`Decision` are stored in ledgers and
must not change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import NamedTuple

from batcher.model.submission import Claim, ReplyShape, State, TaskId, Tries

# -- outcomes ---------------------------------------------------------------------------------


class Answer(NamedTuple):
    """The service answered with a readable ``Code``."""

    code: int
    message: str = ""
    request_id: str | None = None
    """The envelope's ``RequestId``."""
    vendor_request_id: str | None = None
    """The inner one of Tencent's part, which the vendor's support will ask for."""
    task_id: TaskId | None = None
    http_status: int = 200
    retry_after_s: float | None = None
    clock_corrected: bool = False
    """A clock offset was learned from this answer; the request was signed without it."""
    excerpt: str = ""
    """The beginning of the body, for a success whose task id cannot be read."""


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    """An HTTP 3xx, 4xx or 503 without a readable ``Code``: the request was not taken."""

    http_status: int
    retry_after_s: float | None = None
    location: str = ""
    """Where a redirect points, without its query."""

    @property
    def detail(self) -> str:
        """The HTTP status, in words."""
        if self.http_status < 400:
            return f"HTTP {self.http_status} to {self.location or 'an address it does not name'}"
        return f"HTTP {self.http_status} without a Code"


@dataclass(frozen=True, slots=True)
class ReplyLost:
    """The request may have arrived, and its answer is missing, cut off or unreadable."""

    detail: str
    http_status: int | None = None
    shape: ReplyShape = field(default=ReplyShape.NOTHING, compare=False)


class Obstacle(Enum):
    """Why a connection cannot be made, where a person has to act: waiting alone does not help.

    Each value says where the obstacle is.
    """

    PROXY_LOGIN = "the proxy asks for a user name and a password"
    PROXY_DENIAL = "the proxy does not allow this connection"
    CERTIFICATE = "the certificate of the endpoint is not accepted"


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request left this machine: sending it again is safe."""

    detail: str
    obstacle: Obstacle | None = field(default=None, compare=False)


HELD_BACK = NotSent("turns were held back before it was sent")
"""The pacer held the request back; the network is not the cause."""


Outcome = Answer | HttpRefusal | ReplyLost | NotSent

OUTCOME_NAMES: dict[type[Outcome], str] = {
    Answer: "answer",
    HttpRefusal: "http_refusal",
    ReplyLost: "reply_lost",
    NotSent: "not_sent",
}
"""The names of outcomes in ledgers and metrics."""


@dataclass(frozen=True, slots=True)
class Outage:
    """The endpoint does not answer."""

    since: datetime
    met: str
    """The error of the last call."""


WAITING = "waiting for the service"
"""How the reason begins why nothing is sent during an outage."""


NO_ANSWERS = 5
"""This many outcomes in a row without a usable answer begin an outage."""


NotReported = Answer | HttpRefusal | ReplyLost | NotSent
"""The outcome of a poll or search without a usable answer; an ``Answer`` has a code other than 0."""


# -- decisions --------------------------------------------------------------------------------


class Decision(StrEnum):
    """The decision about an outcome; recorded with the attempt."""

    SUBMITTED = "submitted"
    AGAIN = "again"
    REJECTED = "rejected"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    """The answer is missing. The state of the disposition says whether the submission is sent again."""
    SLOW_DOWN = "slow_down"
    HALT = "halt"
    PROBE = "probe"
    """Code 7 after successes: one harmless call shows whether the credentials or the rate are the cause."""


class Disposition(NamedTuple):
    """The decision after an attempt, and what follows for the submission."""

    decision: Decision
    state: State
    """The state the submission moves to."""
    tries: Tries
    """The budget used, this attempt included."""
    delay_s: float | None = None
    """The shortest wait before the next attempt; None when no wait is needed."""
    doubted: bool = False
    """Some attempt, this one included, may have arrived."""
    code: int | None = None
    """The last definite code, this attempt included."""


class Settlement(NamedTuple):
    """The end of one attempt, as the ledger records it."""

    claim: Claim
    outcome: Outcome
    disposition: Disposition
    sent_at: datetime | None = None
    """When the first byte of the request left; None when no byte left."""
    answered_at: datetime | None = None
    """When the answer was read; None without an answer."""
