"""Submissions as values: what is asked of the service, their states, and the legal moves between them.

Used by every package. No I/O, no clock and no randomness here. The values of the enums are stored in ledgers
and exported, and :data:`MOVES` is checked in every statement that moves a submission: they must not change.
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
    """Where the service searches recordings; it takes snapshots only of the first two."""

    TENCENT = "Tencent"
    HUAWEI = "Huawei"
    WS = "Ws"


class SnapshotType(StrEnum):
    """Which pictures a task takes."""

    BY_TIME_OFFSET = "SnapshotByTimeOffset"
    """At given times."""
    SAMPLE = "SampleSnapshot"
    """At equal intervals until the end."""


class Parameters(NamedTuple):
    """The parameters of a submission. Only parameters that have an effect are kept.

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
    """A recording that a search has found; values that the archive does not give are empty."""

    file_id: FileId
    archive: Archive
    name: str = ""
    created: str = ""
    """The time of creation, as the service writes it."""
    created_at: datetime | None = None
    """None when that cannot be read."""
    duration_s: float | None = None
    size_bytes: int | None = None
    url: str = ""
    """A URL that may be signed, and must never be logged."""
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
    """The manifest's own columns, as a JSON object; None without any."""


STANDARD_INPUT = "-"
"""The standard input, as a manifest."""


def source_name(source: str) -> str:
    """Return the name of a manifest as messages show it."""
    return "stdin" if source == STANDARD_INPUT else source


class CountedBy(StrEnum):
    """The unit that numbers a manifest's rows; the only owner of the word for it."""

    LINE = "line"
    """Text: the line on which the row begins, as an editor counts lines."""
    ROW = "row"
    """Other formats: the row as a spreadsheet counts rows, or the record of a Parquet file, from 1."""

    def numbered(self, number: int) -> str:
        """Return ``line 7`` or ``row 7``."""
        return f"{self.value} {number}"

    def place(self, source: str, number: int) -> str:
        """Return the place of a row, as every message shows it."""
        return f"{source_name(source)} {self.numbered(number)}"


WHOLE_ROW = "row"
"""The column of an invalid row that is at fault as a whole."""


class InvalidRow(NamedTuple):
    """One row of a manifest that cannot be sent, and why."""

    line: int
    column: str
    """The column at fault, as the file's header names it, or :data:`WHOLE_ROW`."""
    reason: str
    cells: tuple[str, ...]
    """The cells of the row."""
    lacks: str | None = None
    """The option that would fill in a missing parameter; empty when the row lacks none, None when its
    parameters were not read."""


class EndpointKind(StrEnum):
    """The kind of service that a ledger's submissions go to."""

    ZEGO = "zego"
    OTHER = "other"


class State(StrEnum):
    """The state of a submission."""

    PENDING = "pending"
    """To be sent, or sent again."""
    SENDING = "sending"
    """An attempt has begun; it may be in flight."""
    SUBMITTED = "submitted"
    """Has a task id."""
    REJECTED = "rejected"
    """Refused for good by the service."""
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
"""The legal moves of a submission. It moves from ``pending`` to ``in_doubt`` when the policy changes to
*hold*, or while a callback is checked; and from either to ``submitted`` when a callback has named its task
and
a poll has confirmed that task."""

SETTLED = (State.SUBMITTED, State.REJECTED, State.FAILED, State.IN_DOUBT)
"""States that a submission leaves only for a retry or a callback."""

TROUBLED = (State.REJECTED, State.FAILED, State.IN_DOUBT)
"""Settled states that need the user's attention."""


class InDoubtPolicy(StrEnum):
    """Whether a submission whose answer is missing is sent again."""

    RETRY = "retry"
    """Sent again, after all others: a missing thumbnail is worse than one paid twice."""
    HOLD = "hold"
    """Stays in doubt until the user decides."""


class Tries(NamedTuple):
    """The part of each budget that a submission has used; each kind is counted separately."""

    busy: int = 0
    """Answers that say the service was busy or failed inside."""
    unknown: int = 0
    """Code 1000, undocumented codes, and HTTP 4xx without a code."""
    doubt: int = 0
    """Sends whose answer never came."""
    refused: int = 0
    """Refusals as too frequent while others were answered; counted within one run, not kept in the ledger."""


class Claim(NamedTuple):
    """A submission that a worker has claimed, with what deciding on the next attempt needs."""

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
    """The length of an answer that a lost reply keeps."""

    NOTHING = "nothing"
    """No answer, an empty or incomplete one, or a page: nothing of the API."""
    OTHER_JSON = "other_json"
    """JSON without a readable ``Code``."""
    DATA = "data"
    """An answer of the API whose ``Data`` cannot be read."""
