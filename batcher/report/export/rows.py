"""Exports: one flat row for each submission, or for each row of a manifest. Pure.

The columns are public and fixed; the manifest's own follow them, under their own names where those are free.
A row is a tuple in the order of the columns, with times as times: each format writes them in its own way.
CSV and JSON lines are in :mod:`~batcher.report.export.text_tables`; Parquet and XLSX, which need packages, in
modules of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from batcher.model.records import Attempt, Record, doubt_reason, may_be_unseen
from batcher.model.submission import InvalidRow, Parameters, Row, State, TaskId
from batcher.model.task import TaskState

COLUMNS = (
    "file_id",
    "vendor",
    "type",
    "definition",
    "interval",
    "offsets",
    "status",
    "task_id",
    "code",
    "message",
    "request_id",
    "attempts",
    "first_sent_at",
    "last_answer_at",
    "source",
    "line",
    "possibly_twice",
)

TASK_COLUMNS = ("task_state", "picture_count", "picture_urls")
"""What follows :data:`COLUMNS`, before the manifest's own, once the ledger's tasks have been followed."""

TIMES = tuple(COLUMNS.index(name) for name in ("first_sent_at", "last_answer_at"))
"""Positions of the columns that hold times."""

NUMBERS = frozenset({"code", "attempts", "line", "possibly_twice", "picture_count"})
"""The columns of every export that hold numbers; everything that is not a time either is text."""

_ASKED = COLUMNS[: COLUMNS.index("status")]

Cell = str | int | datetime | None
ExportRow = tuple[Cell, ...]


class ReplyColumns(NamedTuple):
    """What came back for a submission: the columns from ``task_id`` to ``last_answer_at``."""

    task_id: TaskId | None = None
    code: int | None = None
    message: str | None = None
    request_id: str | None = None
    attempts: int = 0
    first_sent_at: datetime | None = None
    last_answer_at: datetime | None = None


NO_REPLY = ReplyColumns()


class ResultTable(Protocol):
    """A file of results in the making, in one of the formats."""

    def write(self, rows: Sequence[ExportRow]) -> None:
        """Add some rows."""
        ...

    def close(self) -> None:
        """Write what comes last; without it the file is not whole. The file itself stays open."""
        ...


def columns_of(*, followed: bool) -> tuple[str, ...]:
    """The columns of an export before the manifest's own.

    Args:
        followed: the ledger's tasks have been followed; else nothing is known of them, and the columns are
            those that they were before anybody could.
    """
    return COLUMNS + TASK_COLUMNS if followed else COLUMNS


def header(own: Iterable[str], *, followed: bool = False) -> dict[str, str]:
    """The manifest's own columns by the names they have in an export."""
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
    """A submission as an export shows it; with what became of its task where tasks are followed."""
    return (
        *_asked(record.file_id, record.parameters),
        record.state,
        *reply_columns(record),
        record.source,
        record.line,
        record.possibly_twice,
        *(task_cells(record) if followed else ()),
        *_own(record.extra, own),
    )


def task_cells(record: Record | None) -> ExportRow:
    """What became of a submission's task: the cells of :data:`TASK_COLUMNS`."""
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
    """A row of a manifest with the result of its submission.

    Args:
        row: as the manifest holds it.
        record: its submission; None when the ledger has none.
        source: the manifest.
        own: from :func:`header`.
        known: what is known of an invalid row's own cells, by column of the export.
        followed: tasks are followed: with what became of this one's.
    """
    tasks: ExportRow = task_cells(record) if followed else ()
    if isinstance(row, InvalidRow):
        asked: ExportRow = tuple(map(known.get, _ASKED))
        message = f"{row.column}: {row.reason}"
        reply: ExportRow = ("invalid", None, None, message, *NO_REPLY[3:])
        return (*asked, *reply, source, row.line, 0, *tasks, *map(known.get, own.values()))
    if record is None:
        asked, reply = _asked(row.file_id, row.parameters), ("not_loaded", *NO_REPLY)
    else:
        asked, reply = _asked(record.file_id, record.parameters), (record.state, *reply_columns(record))
    twice = record.possibly_twice if record else 0
    return (*asked, *reply, source, row.line, twice, *tasks, *_own(row.extra, own))


def _asked(file_id: str, parameters: Parameters) -> ExportRow:
    return (
        file_id,
        parameters.vendor,
        parameters.type,
        parameters.definition or None,
        parameters.interval or None,
        ";".join(parameters.offsets) or None,
    )


def reply_columns(record: Record) -> ReplyColumns:
    """What came back for a submission, out of its attempts."""
    code = 0 if record.state is State.SUBMITTED else record.code
    if not record.attempts:
        return ReplyColumns(code=code)
    if len(record.attempts) == 1:
        return _reply_of_one(record.attempts[0], code, record)
    decisive = record.decisive
    left = [attempt for attempt in record.attempts if attempt.may_have_left]
    answered = [attempt.answered_at for attempt in record.attempts if attempt.answered_at]
    return ReplyColumns(
        record.task_id,
        code,
        _message(decisive, record.state) if decisive else None,
        (decisive.vendor_request_id or decisive.request_id) if decisive else None,
        len(left) + record.pruned,
        min(attempt.sent_at or attempt.begun_at for attempt in left) if left else None,
        max(answered) if answered else None,
    )


def _message(attempt: Attempt, state: State) -> str | None:
    """What the service said; of an attempt that leaves its submission in doubt, why."""
    if state is State.IN_DOUBT and may_be_unseen(attempt.outcome, attempt.decision, attempt.code):
        return doubt_reason(attempt.outcome, attempt.code, attempt.message)
    return attempt.message


def _reply_of_one(attempt: Attempt, code: int | None, record: Record) -> ReplyColumns:
    """The same for one attempt, which is all that nearly every submission has."""
    left, ended = attempt.may_have_left, attempt.outcome is not None
    return ReplyColumns(
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
