"""Callbacks of the service, as values.

Read from request bodies by :mod:`batcher.zego.callbacks`, recorded by the ledger. The content of a callback
is only a
claim: its signature covers neither the task nor the recording that it names, so a poll has to confirm it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from batcher.model.submission import FileId, TaskId, Vendor
from batcher.model.task import Picture


@dataclass(frozen=True, slots=True)
class Seal:
    """The proof that the sender of a callback has the secret."""

    timestamp: int
    """Unix seconds, by the sender's clock."""
    nonce: str
    signature: str = field(repr=False)
    app_id: int | None = None
    """None when the callback does not name it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot task has ended."""

    seal: Seal
    task_id: TaskId
    vendor: Vendor | None = None
    file_id: FileId | None = None
    """The recording; given for Tencent only."""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording exists."""

    seal: Seal
    vendor: Vendor | None = None
    """None when the callback names no recording that snapshots can be taken of."""
    file_id: FileId | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    """Its other values, by the names of a manifest's columns."""


@dataclass(frozen=True, slots=True)
class Composed:
    """Files were merged into a recording, or could not be."""

    seal: Seal
    code: str | None = None
    """``0`` is success; None from vendors that send no code."""
    vendor: Vendor | None = None
    file_id: FileId | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether the files were merged."""
        return self.code in (None, "0")


@dataclass(frozen=True, slots=True)
class Other:
    """A callback that has no effect on submissions."""

    seal: Seal
    event: str


Callback = Snapshot | Recorded | Composed | Other

FACTS = ("stream_alias", "url", "begin_time", "end_time", "duration", "size", "record_task_id")
"""Columns that a recording's facts are kept under, as in a manifest of such callbacks."""


def event_of(callback: Callback) -> str:
    """Return the name of the event, as the service writes it."""
    match callback:
        case Snapshot():
            return "snapshot"
        case Recorded():
            return "record"
        case Composed():
            return "compose"
        case Other():
            return callback.event
