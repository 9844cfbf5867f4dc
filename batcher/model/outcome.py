"""Outcomes of one request, and what is decided about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from batcher.model.submission import Claim, ReplyShape, State, TaskId, Tries

# -- what came back ----------------------------------------------------------------------------


class Answer(NamedTuple):
    """The service answered with a readable ``Code``."""

    code: int
    message: str = ""
    request_id: str | None = None
    """The envelope's ``RequestId``."""
    vendor_request_id: str | None = None
    """The inner one of Tencent's part, which the vendor's support asks for."""
    task_id: TaskId | None = None
    http_status: int = 200
    retry_after_s: float | None = None
    clock_corrected: bool = False
    """The answer taught us a clock offset that this request was not signed with yet."""
    excerpt: str = ""
    """Of a success whose task id cannot be read: what came back, shortened."""


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    """An HTTP 3xx, 4xx or 503 without a readable ``Code``: the request was not taken."""

    http_status: int
    retry_after_s: float | None = None
    location: str = ""
    """Where a redirect points, without its query."""

    @property
    def detail(self) -> str:
        """The status in words."""
        if self.http_status < 400:
            return f"HTTP {self.http_status} to {self.location or 'an address it does not name'}"
        return f"HTTP {self.http_status} without a Code"


@dataclass(frozen=True, slots=True)
class ReplyLost:
    """The request may have arrived, and its answer is missing, cut off or unreadable."""

    detail: str
    http_status: int | None = None
    shape: ReplyShape = field(default=ReplyShape.NOTHING, compare=False)


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request left this machine: sending it again is safe."""

    detail: str


HELD_BACK = NotSent("turns were held back before it was sent")
"""Not the network's doing but ours."""


Outcome = Answer | HttpRefusal | ReplyLost | NotSent


@dataclass(frozen=True, slots=True)
class Outage:
    """The endpoint does not answer."""

    since: datetime
    met: str
    """What the last call met instead."""


NO_ANSWERS = 5
"""This many outcomes in a row without a usable answer begin an outage."""


NotReported = Answer | HttpRefusal | ReplyLost | NotSent
"""What came instead of a report; an answer among them has a code other than 0."""


# -- what we decide ----------------------------------------------------------------------------


class Decision(StrEnum):
    """What we do about an outcome; kept with the attempt."""

    SUBMITTED = "submitted"
    AGAIN = "again"
    REJECTED = "rejected"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    """The answer is missing. Whether it is sent again is in the disposition's state."""
    SLOW_DOWN = "slow_down"
    HALT = "halt"
    PROBE = "probe"
    """Code 7 after successes: find out by one harmless call whether it was the credentials or the rate."""


class Disposition(NamedTuple):
    """What we decide after an attempt."""

    decision: Decision
    state: State
    """The state the submission moves to."""
    tries: Tries
    """The budget used, this attempt included."""
    delay_s: float | None = None
    """When it goes back in the queue: how long to wait at least before the next attempt."""
    doubted: bool = False
    """Some attempt, this one included, may have arrived."""
    code: int | None = None
    """The last definite code, this attempt included."""


class Settlement(NamedTuple):
    """One attempt's end, as the ledger records it."""

    claim: Claim
    outcome: Outcome
    disposition: Disposition
    sent_at: datetime | None = None
    """When the request was handed to the wire; None when it never was."""
    answered_at: datetime | None = None
    """When the answer was read; None when none came."""
