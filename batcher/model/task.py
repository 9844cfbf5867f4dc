"""Tasks of the service and the pictures that they make."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from batcher.model.submission import FileId


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
    """The service does not know the task that it named, or the task belongs to another recording."""
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
    file_id: FileId | None = None
    """The recording, where the answer names it."""
