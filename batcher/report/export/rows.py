"""Rows of exports: one flat row for each submission, or for each row of a manifest. Pure.

Called by ``cli/commands/export.py`` and the library. The columns are public and fixed. The manifest's own
columns follow them, under their own names where those are free. A row is a tuple in the order of the
columns, with times as datetimes; each format writes them in its own way: CSV and JSON lines in
:mod:`~batcher.report.export.text_tables`, Parquet and XLSX, which need packages, in modules of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from batcher.model.records import Attempt, Record, doubt_reason, may_be_unseen
from batcher.model.submission import (
    FileId,
    InvalidRow,
    Parameters,
    Row,
    SnapshotType,
    State,
    TaskId,
    Vendor,
)
from batcher.model.task import TaskState


class RowStatus(StrEnum):
    """The status of a manifest's row that has no submission."""

    INVALID = "invalid"
    """The row cannot be sent; ``message`` has the column and the reason."""
    NOT_LOADED = "not_loaded"
    """The ledger has no submission for this row."""


class ResultColumns(NamedTuple):
    """The fixed columns: the result of a submission, or of a manifest's row. Their names are public."""

    file_id: FileId
    vendor: Vendor | str | None
    type: SnapshotType | str | None
    definition: str | None
    interval: str | None
    offsets: tuple[str, ...]
    status: State | RowStatus
    task_id: TaskId | None = None
    code: int | None = None
    message: str | None = None
    request_id: str | None = None
    attempts: int = 0
    first_sent_at: datetime | None = None
    last_answer_at: datetime | None = None
    source: str = ""
    line: int = 0
    possibly_twice: int = 0


COLUMNS = ResultColumns._fields

TASK_COLUMNS = ("task_state", "picture_count", "picture_urls")
"""The columns after :data:`COLUMNS`, before the manifest's own, once the ledger's tasks have been
followed."""

TIMES = tuple(COLUMNS.index(name) for name in ("first_sent_at", "last_answer_at"))
"""Positions of the columns that hold times."""

NUMBERS = frozenset({"code", "attempts", "line", "possibly_twice", "picture_count"})
"""The columns of every export that hold numbers; everything that is not a time either is text."""

Cell = str | int | datetime | None
ExportRow = tuple[Cell, ...]


class ResultTable(Protocol):
    """A file of results that is being written, in one of the formats."""

    def write(self, rows: Sequence[ExportRow]) -> None:
        """Add some rows."""
        ...

    def close(self) -> None:
        """Write the end of the file, without which it is not complete. The file stays open."""
        ...


def columns_of(*, followed: bool) -> tuple[str, ...]:
    """Return the columns of an export before the manifest's own.

    Args:
        followed: whether the ledger's tasks have been followed. Otherwise nothing is known about tasks.
    """
    return COLUMNS + TASK_COLUMNS if followed else COLUMNS


def header(own: Iterable[str], *, followed: bool = False) -> dict[str, str]:
    """Return the manifest's own columns with their names in an export."""
    names: dict[str, str] = {}
    taken = set(columns_of(followed=followed))
    for name in dict.fromkeys(own):
        free = name
        while free in taken:
            free = f"manifest_{free}"
        taken.add(free)
        names[name] = free
    return names


def record_row(record: Record, own: Mapping[str, str], *, followed: bool = False) -> ExportRow:
    """Return a submission as a row, with the result of its task if tasks are followed."""
    tasks = task_cells(record) if followed else ()
    return (*_cells(submission_columns(record)), *tasks, *_own(record.extra, own))


def task_cells(record: Record | None) -> ExportRow:
    """Return the result of a submission's task: the cells of :data:`TASK_COLUMNS`."""
    if record is None or record.state is not State.SUBMITTED:
        return (None, None, None)
    if record.task is None:
        return (TaskState.WAITING, None, None)
    if record.task.state is not TaskState.FINISHED:
        return (record.task.state, None, None)
    urls = " ".join(picture.url.replace(" ", "%20") for picture in record.task.pictures)
    return (record.task.state, len(record.task.pictures), urls or None)


def manifest_row(
    row: Row | InvalidRow,
    record: Record | None,
    source: str,
    own: Mapping[str, str],
    known: Mapping[str, str | None],
    *,
    followed: bool = False,
) -> ExportRow:
    """Return a row of a manifest with the result of its submission.

    Args:
        row: as the manifest holds it.
        record: its submission; None if the ledger has none.
        source: the manifest.
        own: from :func:`header`.
        known: the readable cells of an invalid row, by column of the export.
        followed: whether tasks are followed; adds the result of this row's task.
    """
    tasks = task_cells(record) if followed else ()
    values = map(known.get, own.values()) if isinstance(row, InvalidRow) else _own(row.extra, own)
    return (*_cells(row_columns(row, record, source, known)), *tasks, *values)


def _cells(columns: ResultColumns) -> ExportRow:
    """Return the columns as cells: several offsets are one text."""
    return (columns.file_id or None, *columns[1:5], ";".join(columns.offsets) or None, *columns[6:])


def row_columns(
    row: Row | InvalidRow, record: Record | None, source: str, known: Mapping[str, str | None]
) -> ResultColumns:
    """Return the result of a manifest's row; see :func:`manifest_row`."""
    if isinstance(row, InvalidRow):
        file_id, vendor, type_, definition, interval, offsets = (
            known.get(name) or None for name in COLUMNS[:6]
        )
        return ResultColumns(
            FileId(file_id or ""),
            vendor,
            type_,
            definition,
            interval,
            (offsets,) if offsets else (),
            RowStatus.INVALID,
            message=f"{row.column}: {row.reason}",
            source=source,
            line=row.line,
        )
    if record is None:
        asked = _asked(row.file_id, row.parameters)
        return ResultColumns(*asked, RowStatus.NOT_LOADED, source=source, line=row.line)
    return submission_columns(record)._replace(source=source, line=row.line)


def submission_columns(record: Record) -> ResultColumns:
    """Return the result of a submission."""
    asked, reply = _asked(record.file_id, record.parameters), _reply(record)
    seen = record.source, record.line, record.possibly_twice
    return ResultColumns._make((*asked, record.state, *reply, *seen))


def _asked(
    file_id: FileId, asked: Parameters
) -> tuple[FileId, Vendor, SnapshotType, str | None, str | None, tuple[str, ...]]:
    return file_id, asked.vendor, asked.type, asked.definition or None, asked.interval or None, asked.offsets


_Reply = tuple[TaskId | None, int | None, str | None, str | None, int, datetime | None, datetime | None]
"""The columns from ``task_id`` to ``last_answer_at``."""


def _reply(record: Record) -> _Reply:
    """Compute the result of a submission from its attempts."""
    code = 0 if record.state is State.SUBMITTED else record.code
    if not record.attempts:
        return None, code, None, None, 0, None, None
    if len(record.attempts) == 1:
        return _reply_of_one(record.attempts[0], code, record)
    decisive = record.decisive
    left = [attempt for attempt in record.attempts if attempt.may_have_left]
    answered = [attempt.answered_at for attempt in record.attempts if attempt.answered_at]
    return (
        record.task_id,
        code,
        _message(decisive, record.state) if decisive else None,
        (decisive.vendor_request_id or decisive.request_id) if decisive else None,
        len(left) + record.pruned,
        min(attempt.sent_at or attempt.begun_at for attempt in left) if left else None,
        max(answered) if answered else None,
    )


def _message(attempt: Attempt, state: State) -> str | None:
    """Return the service's message; for an attempt that leaves its submission in doubt, the reason."""
    if state is State.IN_DOUBT and may_be_unseen(attempt.outcome, attempt.decision, attempt.code):
        return doubt_reason(attempt.outcome, attempt.code, attempt.message)
    return attempt.message


def _reply_of_one(attempt: Attempt, code: int | None, record: Record) -> _Reply:
    """Return the result of a submission with one attempt, which nearly every submission has."""
    left, ended = attempt.may_have_left, attempt.outcome is not None
    return (
        attempt.task_id or None,
        code,
        _message(attempt, record.state) if ended else None,
        (attempt.vendor_request_id or attempt.request_id) if ended else None,
        left + record.pruned,
        (attempt.sent_at or attempt.begun_at) if left else None,
        attempt.answered_at,
    )


_decoded = json.JSONDecoder().raw_decode


def _own(extra: str | None, own: Mapping[str, str]) -> Iterable[str | None]:
    values: dict[str, str] = _decoded(extra)[0] if own and extra else {}
    return map(values.get, own)
