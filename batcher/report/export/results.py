"""Results as values: the columns of an export for a program instead of a file. Pure.

Called by :mod:`batcher.api`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from batcher.model.records import Record
from batcher.model.submission import FileId, InvalidRow, Row, SnapshotType, State, TaskId, Vendor
from batcher.report.export.rows import NO_REPLY, reply_columns


class RowStatus(StrEnum):
    """The status of a manifest's row that has no submission."""

    INVALID = "invalid"
    """The row cannot be sent; ``message`` has the column and the reason."""
    NOT_LOADED = "not_loaded"
    """The ledger has no submission for this row."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one submission, or of a manifest's row: the columns of an export, in their order.

    For an invalid row, the columns of what is asked for hold its cells: any text, or None.
    """

    file_id: FileId
    vendor: Vendor | str | None
    type: SnapshotType | str | None
    definition: str | None
    """The template's number as text; None for Huawei."""
    interval: str | None
    """Seconds as text; None for Tencent."""
    offsets: tuple[str, ...]
    """Seconds as texts, in the order asked for."""
    status: State | RowStatus
    """A :class:`RowStatus` occurs only in the results of a manifest."""
    task_id: TaskId | None
    code: int | None
    """The last definite code: 0 if submitted, None without a definite answer."""
    message: str | None
    request_id: str | None
    """The vendor's inner RequestId if there is one, else the outer RequestId."""
    attempts: int
    """Requests that may have left."""
    first_sent_at: datetime | None
    last_answer_at: datetime | None
    source: str
    """The manifest of the first row that asked for it; in the results of a manifest, that manifest."""
    line: int
    possibly_twice: int = 0
    """The number of earlier attempts that may have been accepted in addition to the last one."""
    own: Mapping[str, str] = field(default_factory=dict)
    """The manifest's own columns, under their own names."""


def result_of(record: Record) -> Result:
    """Return a submission as a result."""
    asked = record.parameters
    return Result(
        record.file_id,
        asked.vendor,
        asked.type,
        asked.definition or None,
        asked.interval or None,
        asked.offsets,
        record.state,
        *reply_columns(record),
        record.source,
        record.line,
        record.possibly_twice,
        _own(record.extra),
    )


def row_result(row: Row, record: Record | None, source: str) -> Result:
    """Return a row of a manifest with the result of its submission, if the ledger has one."""
    own = _own(row.extra)
    if record is not None:
        return replace(result_of(record), source=source, line=row.line, own=own)
    asked = row.parameters
    return Result(
        row.file_id,
        asked.vendor,
        asked.type,
        asked.definition or None,
        asked.interval or None,
        asked.offsets,
        RowStatus.NOT_LOADED,
        *NO_REPLY,
        source,
        row.line,
        own=own,
    )


def invalid_result(row: InvalidRow, cells: Mapping[str, str], source: str, own: Sequence[str]) -> Result:
    """Return a row of a manifest that cannot be sent.

    Args:
        row: as the manifest holds it.
        cells: its cells by column, known columns under their standard names.
        source: the manifest.
        own: the columns that are the manifest's own.
    """
    offsets = cells.get("offsets")
    return Result(
        FileId(cells.get("file_id", "")),
        cells.get("vendor") or None,
        cells.get("type") or None,
        cells.get("definition") or None,
        cells.get("interval") or None,
        (offsets,) if offsets else (),
        RowStatus.INVALID,
        *NO_REPLY._replace(message=f"{row.column}: {row.reason}"),
        source,
        row.line,
        own={name: cells[name] for name in own if name in cells},
    )


def _own(extra: str | None) -> Mapping[str, str]:
    own: dict[str, str] = json.loads(extra) if extra else {}
    return own
