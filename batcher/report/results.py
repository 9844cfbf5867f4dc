"""Results as values: what an export's columns hold, for a program instead of a file. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from batcher.model import FileId, SnapshotType, State, TaskId, Vendor
from batcher.records import Record
from batcher.report.export import came_back


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one submission; its fields are the columns of an export, in their order."""

    file_id: FileId
    vendor: Vendor
    type: SnapshotType
    definition: str | None
    """The template's number as text; None for Huawei."""
    interval: str | None
    """Seconds as text; None for Tencent."""
    offsets: tuple[str, ...]
    """Seconds as texts, in the order asked for."""
    status: State
    task_id: TaskId | None
    code: int | None
    """The last definite code: 0 when submitted, None when none came."""
    message: str | None
    request_id: str | None
    """The vendor's inner one where given, else the outer."""
    attempts: int
    """Requests that may have left."""
    first_sent_at: datetime | None
    last_answer_at: datetime | None
    source: str
    """The manifest that asked for it first."""
    line: int
    own: Mapping[str, str] = field(default_factory=dict)
    """The manifest's own columns, under their own names."""


def result_of(record: Record) -> Result:
    """A submission as a result."""
    asked = record.parameters
    return Result(
        record.file_id,
        asked.vendor,
        asked.type,
        asked.definition or None,
        asked.interval or None,
        asked.offsets,
        record.state,
        *came_back(record),
        record.source,
        record.line,
        json.loads(record.extra) if record.extra else {},
    )
