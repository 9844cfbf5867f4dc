"""Lists of recordings as manifests: CSV or JSON lines, written in parts. Pure.

Called by ``cli/commands/discover.py``. The columns are those that a manifest is read by, followed by
further facts.
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
    """The format of a list."""

    CSV = "csv"
    JSONL = "jsonl"


def head(format_: ListFormat) -> bytes:
    """Return the first bytes of a list."""
    return (",".join(COLUMNS) + "\n").encode() if format_ is ListFormat.CSV else b""


def lines(recordings: Iterable[Recording], format_: ListFormat) -> bytes:
    """Return some recordings as lines."""
    cells = map(_cells, recordings)
    if format_ is ListFormat.JSONL:
        return encoded("".join(_object(row) for row in cells))
    return csv_lines(cells)


def _object(row: tuple[str | float | None, ...]) -> str:
    return json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n"


def _cells(recording: Recording) -> tuple[str | float | None, ...]:
    seconds = recording.duration_s
    return (
        recording.file_id,
        recording.archive.value,
        recording.name or None,
        (moment(recording.created_at) if recording.created_at else recording.created) or None,
        int(seconds) if seconds is not None and seconds.is_integer() else seconds,
        recording.size_bytes,
        recording.url or None,
    )
