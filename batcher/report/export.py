"""Exports: one flat row for each submission, or for each row of a manifest. Pure.

The columns are public and fixed; the manifest's own follow them, under their own names where those are free.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence

from batcher.model import InvalidRow, Row, State
from batcher.records import Record
from batcher.report.words import moment

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
)

_IDS = frozenset({"file_id", "task_id", "request_id"})
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

ExportRow = dict[str, str | int | None]


def header(own: Iterable[str]) -> dict[str, str]:
    """The manifest's own columns by the names they have in an export."""
    names: dict[str, str] = {}
    taken = set(COLUMNS)
    for name in dict.fromkeys(own):
        free = name
        while free in taken:
            free = f"manifest_{free}"
        taken.add(free)
        names[name] = free
    return names


def record_row(record: Record, own: dict[str, str]) -> ExportRow:
    """A submission as an export shows it."""
    return _result(record) | {"source": record.source, "line": record.line} | _extra(record.extra, own)


def manifest_row(
    row: Row | InvalidRow, record: Record | None, source: str, own: dict[str, str], known: ExportRow
) -> ExportRow:
    """A row of a manifest with the result of its submission.

    Args:
        row: as the manifest holds it.
        record: its submission; None when the ledger has none.
        source: the manifest.
        own: from :func:`header`.
        known: what is known of an invalid row's own cells, by column of the export.
    """
    place: ExportRow = {"source": source, "line": row.line}
    if isinstance(row, InvalidRow):
        return (
            _empty()
            | dict.fromkeys(own.values())
            | known
            | {"status": "invalid", "message": f"{row.column}: {row.reason}"}
            | place
        )
    if record is not None:
        return _result(record) | place | _extra(row.extra, own)
    return _empty() | _asked(row.file_id, row) | {"status": "not_loaded"} | place | _extra(row.extra, own)


def csv_writer(columns: Sequence[str], *, excel: bool) -> Callable[[ExportRow], str]:
    """Turns rows into lines of CSV; with ``excel``, what a spreadsheet would damage or run is protected."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n" if excel else "\n")

    def line(row: ExportRow) -> str:
        buffer.seek(0)
        buffer.truncate()
        values = ("" if (value := row.get(name)) is None else str(value) for name in columns)
        writer.writerow(
            [_protected(name, value) for name, value in zip(columns, values, strict=True)]
            if excel
            else list(values)
        )
        return buffer.getvalue()

    return line


def json_line(row: ExportRow) -> str:
    """A row as one line of JSON; what is empty is null."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def _protected(column: str, value: str) -> str:
    if column in _IDS and value.isdecimal():
        return f'="{value}"'
    return "'" + value if value.startswith(_FORMULA) else value


def _empty() -> ExportRow:
    return dict.fromkeys(COLUMNS) | {"attempts": 0}


def _asked(file_id: str, asked: Row | Record) -> ExportRow:
    parameters = asked.parameters
    return {
        "file_id": file_id,
        "vendor": parameters.vendor.value,
        "type": parameters.type.value,
        "definition": parameters.definition or None,
        "interval": parameters.interval or None,
        "offsets": ";".join(parameters.offsets) or None,
    }


def _result(record: Record) -> ExportRow:
    telling = record.telling
    left = [attempt for attempt in record.attempts if attempt.may_have_left]
    sent = [attempt.sent_at or attempt.begun_at for attempt in left]
    answered = [attempt.answered_at for attempt in record.attempts if attempt.answered_at]
    return {
        **_asked(record.file_id, record),
        "status": record.state.value,
        "task_id": record.task_id,
        "code": 0 if record.state is State.SUBMITTED else record.code,
        "message": telling.message if telling else None,
        "request_id": (telling.vendor_request_id or telling.request_id) if telling else None,
        "attempts": len(left),
        "first_sent_at": moment(min(sent)) if sent else None,
        "last_answer_at": moment(max(answered)) if answered else None,
    }


def _extra(extra: str | None, own: dict[str, str]) -> ExportRow:
    values: dict[str, str] = json.loads(extra) if extra else {}
    return {free: values.get(name) for name, free in own.items()}
