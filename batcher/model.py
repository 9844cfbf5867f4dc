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


class Archive(StrEnum):
    """Where the service looks for recordings; it takes snapshots at the first two alone."""

    TENCENT = "Tencent"
    HUAWEI = "Huawei"
    WS = "Ws"


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


class Recording(NamedTuple):
    """One recording that exists, as a search tells of it; what the archive does not tell is empty."""

    file_id: FileId
    archive: Archive
    name: str = ""
    created: str = ""
    """As the service writes it."""
    created_at: datetime | None = None
    """None when that cannot be read."""
    duration_s: float | None = None
    size_bytes: int | None = None
    url: str = ""
    """May be signed: data, and never for a log."""
    category: str = ""
    """Video, Audio or Image."""
    status: str = ""
    """Normal or Forbidden."""
    storage_class: str = ""


class Row(NamedTuple):
    """One row of a manifest that can be sent."""

    line: int
    """Line of the file on which the row begins, from 1."""
    file_id: FileId
    parameters: Parameters
    extra: str | None
    """The columns that mean nothing to us, as a JSON object; None when there are none."""


class CountedBy(StrEnum):
    """How a person finds a row in its manifest; the one owner of the word for it."""

    LINE = "line"
    """Text: the line on which it begins, as an editor counts them."""
    ROW = "row"
    """What has no lines: the row as a spreadsheet counts them, or the record of a Parquet file, from 1."""

    def numbered(self, number: int) -> str:
        """``line 7``, ``row 7``."""
        return f"{self.value} {number}"

    def place(self, source: str, number: int) -> str:
        """Where a row stands, as every message says it."""
        return f"{source} {self.numbered(number)}"


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
    State.PENDING: frozenset({State.SENDING, State.IN_DOUBT, State.SUBMITTED}),
    State.SENDING: frozenset({State.PENDING, State.SUBMITTED, State.REJECTED, State.FAILED, State.IN_DOUBT}),
    State.SUBMITTED: frozenset(),
    State.REJECTED: frozenset({State.PENDING}),
    State.FAILED: frozenset({State.PENDING}),
    State.IN_DOUBT: frozenset({State.PENDING, State.SUBMITTED}),
}
"""The legal moves of a submission. ``pending`` to ``in_doubt`` is a change of policy to *hold*, or a callback
that is being checked; from either to ``submitted`` moves what was in doubt when a callback has named its task
and a poll has confirmed it."""

SETTLED = (State.SUBMITTED, State.REJECTED, State.FAILED, State.IN_DOUBT)
"""States in which nothing further happens by itself."""

TROUBLED = (State.REJECTED, State.FAILED, State.IN_DOUBT)
"""Settled states that a person should hear of."""


class TaskState(StrEnum):
    """What has become of a task, as far as we know."""

    WAITING = "waiting"
    """Accepted and not begun, or never asked about."""
    PROCESSING = "processing"
    """The vendor works on it."""
    FINISHED = "finished"
    """Ended well; it may have pictures or none."""
    FAILED = "failed"
    """Ended without pictures, by the vendor's word."""
    UNKNOWN = "unknown"
    """The service does not know it, or it has not ended in the time it was given."""


class Effect(StrEnum):
    """What came of a callback."""

    CLAIMED = "claimed"
    """It said that a task of ours has ended; a poll confirms that."""
    OPEN = "open"
    """It names a task that we do not know, or do not know yet."""
    CHECKED = "checked"
    """It may name the task of a submission in doubt, which is held until a poll confirms that task."""
    SETTLED = "settled"
    """It named the task of a submission in doubt, and a poll has confirmed it."""
    DOUBLE = "double"
    """It named one more task of a submission that has one: it was sent twice, and both arrived."""
    DENIED = "denied"
    """The service does not know the task that it named."""
    STRANGER = "stranger"
    """It names a task that we do not know, and that no submission in doubt can have started."""
    AMBIGUOUS = "ambiguous"
    """Several submissions in doubt may have started the task that it names: a person decides."""
    ADDED = "added"
    """It told of a recording, which is a new submission."""
    KNOWN = "known"
    """It told of a recording that is asked for already."""
    UNUSABLE = "unusable"
    """It told of a recording that cannot be sent."""
    NOTED = "noted"
    """Nothing follows from it."""


class PictureState(StrEnum):
    """What a picture turned out to be when it was fetched."""

    WHOLE = "whole"
    BLANK = "blank"
    """One colour all over, and not black."""
    BLACK = "black"
    BROKEN = "broken"
    """No image, or cut off."""
    REFUSED = "refused"
    """Its address is none that we go to, or it is too large."""
    MISSING = "missing"
    """Not there, or not given out, however often it was asked for."""


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


@dataclass(frozen=True, slots=True)
class Outage:
    """The endpoint does not answer."""

    since: datetime
    met: str
    """What the last call met instead."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a task."""

    url: str
    """Its address, or the object's name where the vendor gives that."""
    offset_ms: int | None = None
    """Its place in the recording, where the vendor says it."""


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What the service says of one task."""

    state: TaskState
    status: str
    """The vendor's own word for it: where the state is unknown, ``NO_TASK`` or one that is not documented."""
    message: str = ""
    """What the vendor adds to it."""
    pictures: tuple[Picture, ...] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    request_id: str | None = None
    """The vendor's inner one where given, else the envelope's."""


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
