"""The words of batcher as values: what is asked, what came back, what we decide, and the legal moves.

Everything in the flow passes these along. Nothing here does I/O, reads a clock or draws a
random number, and nothing here knows the ledger, the wire or the command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, NewType

FileId = NewType("FileId", str)
"""The service's name for a recording: Tencent's digits, Huawei's object path. Opaque text."""

TaskId = NewType("TaskId", str)
"""The service's name for the work it accepted. Opaque text, never parsed."""

SubmissionId = NewType("SubmissionId", int)
LoadId = NewType("LoadId", int)
RunId = NewType("RunId", int)


class Vendor(StrEnum):
    """Where a recording is kept."""

    TENCENT = "Tencent"
    HUAWEI = "Huawei"


class SnapshotType(StrEnum):
    """Which pictures are asked for."""

    BY_TIME_OFFSET = "SnapshotByTimeOffset"
    """At given times."""
    SAMPLE = "SampleSnapshot"
    """Every so often until the end."""


class Parameters(NamedTuple):
    """What is asked of a recording. Only parameters that have an effect are kept.

    Numbers are held as canonical decimal text (``10``, ``2.5``), so that equal numbers are
    equal values and nothing is lost in a float.
    """

    vendor: Vendor
    type: SnapshotType
    definition: str = ""
    """Snapshot template; empty for Huawei, where it has no effect."""
    interval: str = ""
    """Seconds; empty for Tencent, where it has no effect."""
    offsets: tuple[str, ...] = ()
    """Seconds, in the order asked for; empty for ``SampleSnapshot``."""


class Row(NamedTuple):
    """One row of a manifest that can be sent."""

    line: int
    """Line of the file on which the row begins, from 1."""
    file_id: FileId
    parameters: Parameters
    extra: str | None
    """The columns that mean nothing to us, as a JSON object; None when there are none."""


class InvalidRow(NamedTuple):
    """One row of a manifest that cannot be sent, and why."""

    line: int
    column: str
    """The column at fault, as the file's header names it (``row`` when it is the whole row)."""
    reason: str
    cells: tuple[str, ...]
    """What the row holds, cell by cell."""


class Place(StrEnum):
    """What kind of service a ledger's submissions went to."""

    ZEGO = "zego"
    OTHER = "other"


class State(StrEnum):
    """Where a submission stands."""

    PENDING = "pending"
    """To be sent, or sent again."""
    SENDING = "sending"
    """An attempt has begun; it may be on the wire."""
    SUBMITTED = "submitted"
    """Has a task id."""
    REJECTED = "rejected"
    """A definite no."""
    FAILED = "failed"
    """Tries used up, and no attempt can have arrived."""
    IN_DOUBT = "in_doubt"
    """Some attempt may have arrived and none had a definite answer."""


MOVES: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.SENDING, State.IN_DOUBT}),
    State.SENDING: frozenset({State.PENDING, State.SUBMITTED, State.REJECTED, State.FAILED, State.IN_DOUBT}),
    State.SUBMITTED: frozenset(),
    State.REJECTED: frozenset({State.PENDING}),
    State.FAILED: frozenset({State.PENDING}),
    State.IN_DOUBT: frozenset({State.PENDING}),
}
"""The legal moves of a submission. ``pending`` to ``in_doubt`` is a change of policy to *hold*."""

SETTLED = (State.SUBMITTED, State.REJECTED, State.FAILED, State.IN_DOUBT)
"""States in which nothing further happens by itself."""

TROUBLED = (State.REJECTED, State.FAILED, State.IN_DOUBT)
"""Settled states that a person should hear of."""


class InDoubtPolicy(StrEnum):
    """What becomes of a submission whose answer is missing."""

    RETRY = "retry"
    """Sent again, after all others: a missing thumbnail is worse than one paid twice."""
    HOLD = "hold"
    """Stays in doubt until a person decides."""


class Tries(NamedTuple):
    """How much of each budget a submission has used; each kind is counted by itself."""

    busy: int = 0
    """Answers that say the service was busy or failed inside."""
    unknown: int = 0
    """Code 1000, codes we do not know, and HTTP 4xx without a code."""
    doubt: int = 0
    """Sends whose answer never came."""


class Claim(NamedTuple):
    """A submission that a worker has taken up, with what judging the next attempt needs."""

    id: SubmissionId
    file_id: FileId
    parameters: Parameters
    number: int
    """The number its next attempt will have, from 1."""
    tries: Tries = Tries()
    doubted: bool = False
    """Some earlier attempt may have arrived; stays true for good."""
    code: int | None = None
    """The last definite code so far."""
    run_id: RunId | None = None
    """The run that last settled an attempt of it."""


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


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    """An HTTP 4xx or 503 without a readable ``Code``: the request was not taken."""

    http_status: int
    retry_after_s: float | None = None

    @property
    def detail(self) -> str:
        """The status in words."""
        return f"HTTP {self.http_status} without a Code"


@dataclass(frozen=True, slots=True)
class ReplyLost:
    """The request may have arrived, and its answer is missing, cut off or unreadable."""

    detail: str
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request left this machine: sending it again is safe."""

    detail: str


HELD_BACK = NotSent("turns were held back before it was sent")
"""Not the network's doing but ours."""

Outcome = Answer | HttpRefusal | ReplyLost | NotSent


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
