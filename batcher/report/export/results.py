"""Results as values: the columns of an export for a program instead of a file. Pure.

Called by :mod:`batcher.api`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from batcher.model.records import Record
from batcher.model.submission import FileId, InvalidRow, Row, SnapshotType, State, TaskId, Vendor
from batcher.report.export.rows import RowStatus, row_columns, submission_columns


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
    return Result(*submission_columns(record), own=_own(record.extra))


def row_result(
    row: Row | InvalidRow, record: Record | None, source: str, cells: Mapping[str, str], own: Sequence[str]
) -> Result:
    """Return a row of a manifest with the result of its submission, if the ledger has one.

    Args:
        row: as the manifest holds it.
        record: its submission.
        source: the manifest.
        cells: the cells of an invalid row by column, known columns under their standard names.
        own: the columns that are the manifest's own.
    """
    if isinstance(row, InvalidRow):
        values: Mapping[str, str] = {name: cells[name] for name in own if name in cells}
    else:
        values = _own(row.extra)
    return Result(*row_columns(row, record, source, cells), own=values)


def _own(extra: str | None) -> Mapping[str, str]:
    own: dict[str, str] = json.loads(extra) if extra else {}
    return own
