"""Lists of recordings as manifests: CSV or JSON lines, a part at a time. Pure.

What a search has found goes out in the columns that a manifest is read by, with what else is known beside.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import StrEnum

from batcher.model.submission import Recording
from batcher.report.export.text_tables import csv_lines, encoded
from batcher.report.formatting import moment

COLUMNS = ("file_id", "vendor", "name", "created", "duration", "size", "url")


class ListFormat(StrEnum):
    """How a list is written."""

    CSV = "csv"
    JSONL = "jsonl"


def head(format_: ListFormat) -> bytes:
    """What comes first."""
    return (",".join(COLUMNS) + "\n").encode() if format_ is ListFormat.CSV else b""


def lines(recordings: Iterable[Recording], format_: ListFormat) -> bytes:
    """Some recordings."""
    cells = map(_cells, recordings)
    if format_ is ListFormat.JSONL:
        return encoded("".join(_object(row) for row in cells))
    return csv_lines(cells)


def _object(row: tuple[str | float | None, ...]) -> str:
    return json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n"


def _cells(one: Recording) -> tuple[str | float | None, ...]:
    seconds = one.duration_s
    return (
        one.file_id,
        one.archive.value,
        one.name or None,
        (moment(one.created_at) if one.created_at else one.created) or None,
        int(seconds) if seconds is not None and seconds.is_integer() else seconds,
        one.size_bytes,
        one.url or None,
    )
