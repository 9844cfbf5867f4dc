"""Submissions as values: what is asked of the service, their states, and the legal moves between them.

Everything in the flow passes these along. Nothing here does I/O, reads a clock or draws a
random number, and nothing here knows the ledger, the wire or the command line.
"""

from __future__ import annotations

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


class EndpointKind(StrEnum):
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
    refused: int = 0
    """Refusals as too frequent while others were answered; counted within one run, not kept in the ledger."""


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


class ReplyShape(StrEnum):
    """How much of an answer there is in a reply that is lost."""

    NOTHING = "nothing"
    """No answer, an empty or cut-off one, or a page: nothing of the API's."""
    OTHER_JSON = "other_json"
    """JSON without a readable ``Code``."""
    DATA = "data"
    """The API's answer to a question, whose ``Data`` cannot be read."""
