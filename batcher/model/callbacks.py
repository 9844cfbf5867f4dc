"""What the service tells by itself, as values: its callbacks.

Made by who reads a body, kept by the ledger. What a callback says is a claim: its signature covers
neither the task nor the recording that it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from batcher.model.submission import FileId, TaskId, Vendor
from batcher.model.task import Picture


@dataclass(frozen=True, slots=True)
class Seal:
    """What shows that a callback is from somebody who knows the secret."""

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
    """The recording; named for Tencent alone."""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording exists."""

    seal: Seal
    vendor: Vendor | None = None
    """None when the callback names no recording that a snapshot can be asked of."""
    file_id: FileId | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    """What else it tells, by the names of a manifest's columns."""


@dataclass(frozen=True, slots=True)
class Composed:
    """Files were merged into a recording, or could not be."""

    seal: Seal
    code: str | None = None
    """``0`` is success; missing from vendors that send none."""
    vendor: Vendor | None = None
    file_id: FileId | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether the files were merged."""
        return self.code in (None, "0")


@dataclass(frozen=True, slots=True)
class Other:
    """Something that we have no use for."""

    seal: Seal
    event: str


Callback = Snapshot | Recorded | Composed | Other

FACTS = ("stream_alias", "url", "begin_time", "end_time", "duration", "size", "record_task_id")
"""Names under which a recording's facts are kept, as a manifest of such callbacks has them."""


def event_of(callback: Callback) -> str:
    """The event's name, as the service writes it."""
    match callback:
        case Snapshot():
            return "snapshot"
        case Recorded():
            return "record"
        case Composed():
            return "compose"
        case Other():
            return callback.event
