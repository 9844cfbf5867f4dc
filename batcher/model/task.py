"""Tasks of the service, and the pictures that they make, as values.

Read from answers by the client, kept in the ledger, shown by reports. The values of the enums are stored in
ledgers and exported: they must not change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from batcher.model.submission import FileId


class TaskState(StrEnum):
    """The state of a task, as far as polls and callbacks have reported it."""

    WAITING = "waiting"
    """Accepted and not begun, or never polled."""
    PROCESSING = "processing"
    """The vendor is taking the pictures."""
    FINISHED = "finished"
    """Ended well, with or without pictures."""
    FAILED = "failed"
    """The vendor reports that it failed."""
    UNKNOWN = "unknown"
    """The service has no such task, or the task did not end within the time limit."""


class Effect(StrEnum):
    """The effect of a callback."""

    CLAIMED = "claimed"
    """The end of a task of this ledger; a poll will confirm it."""
    OPEN = "open"
    """A task that is not in the ledger, or not yet."""
    CHECKED = "checked"
    """Perhaps the task of a submission in doubt, which is held until a poll has confirmed the task."""
    SETTLED = "settled"
    """The task of a submission in doubt, confirmed by a poll."""
    DOUBLE = "double"
    """A second task of a submission that has one: it was sent twice, and both requests arrived."""
    DENIED = "denied"
    """The service has no such task, or the task belongs to another recording."""
    STRANGER = "stranger"
    """A task that is not in the ledger, and that no submission in doubt can have started."""
    AMBIGUOUS = "ambiguous"
    """Several submissions in doubt may have started the task that it names: the user decides."""
    ADDED = "added"
    """A recording that became a new submission."""
    KNOWN = "known"
    """A recording that is a submission already."""
    UNUSABLE = "unusable"
    """A recording that cannot be submitted."""
    NOTED = "noted"
    """No effect."""


class PictureState(StrEnum):
    """The result of fetching a picture."""

    WHOLE = "whole"
    BLANK = "blank"
    """A single colour other than black."""
    BLACK = "black"
    BROKEN = "broken"
    """Not an image, or an incomplete one."""
    REFUSED = "refused"
    """Its address is not allowed, or it is too large."""
    MISSING = "missing"
    """Missing, or refused by its server on every try."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a task."""

    url: str
    """Its address, or the name of the object where the vendor gives that instead."""
    offset_ms: int | None = None
    """Its position in the recording, where the vendor gives one."""


@dataclass(frozen=True, slots=True)
class TaskReport:
    """The service's report on one task: the answer to a poll."""

    state: TaskState
    status: str
    """The vendor's own word for the state; where that is unknown, ``NO_TASK`` or an undocumented word."""
    message: str = ""
    """The vendor's message."""
    pictures: tuple[Picture, ...] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    request_id: str | None = None
    """The inner one of the vendor where given, else that of the envelope."""
    file_id: FileId | None = None
    """The recording, where the answer names it."""
    event: str | None = None
    """The vendor's word for the kind of task, where the answer names it; another one merges or transcodes."""
