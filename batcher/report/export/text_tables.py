"""Exports as text: CSV and JSON lines.

Used by ``cli/commands/export.py``; the escape rules of :class:`CsvTable` protect ids from spreadsheets.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import BinaryIO
from unicodedata import normalize

from batcher.report.export.rows import TIMES, Cell, ExportRow
from batcher.report.formatting import moment

_IDS = frozenset({"file_id", "task_id", "request_id"})
"""The columns of which a spreadsheet would round the digits."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""The characters that begin a formula in a spreadsheet, or that it skips before one."""
_BOM = "\ufeff"


class CsvTable:
    """A CSV table; with ``excel``, cells that a spreadsheet would damage or run are protected.

    Args:
        file: the file.
        columns: all columns.
        excel: protect cells for spreadsheets.
    """

    def __init__(self, file: BinaryIO, columns: Sequence[str], *, excel: bool = False) -> None:
        self._file = file
        self._columns = columns
        self._excel = excel
        file.write(encoded(_BOM if excel else ""))
        self.write([tuple(columns)])

    def write(self, rows: Sequence[ExportRow]) -> None:
        """Add some rows."""
        rows_as_text = map(_as_text, rows)
        if self._excel:
            self._file.write(_csv(list(map(self._protected, rows_as_text)), "\r\n"))
        else:
            self._file.write(csv_lines(rows_as_text))

    def close(self) -> None:
        """Do nothing: the format has no end."""

    def _protected(self, row: ExportRow) -> list[Cell]:
        return [
            _protected(name, value) if isinstance(value, str) else value
            for name, value in zip(self._columns, row, strict=True)
        ]


class JsonLines:
    """A table of JSON lines, one object per row; empty cells are null.

    Args:
        file: the file.
        columns: all columns.
    """

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        self._file = file
        self._columns = columns
        self._encode = json.JSONEncoder(ensure_ascii=False).encode

    def write(self, rows: Sequence[ExportRow]) -> None:
        """Add some rows."""
        lines = [self._encode(dict(zip(self._columns, row, strict=True))) for row in map(_as_text, rows)]
        self._file.write(encoded("\n".join(lines) + "\n") if lines else b"")

    def close(self) -> None:
        """Do nothing: the format has no end."""


def csv_lines(rows: Iterable[Sequence[object]]) -> bytes:
    """Return rows as lines of CSV."""
    return _csv(list(rows), "\n")


def _csv(rows: list[Sequence[object]], end: str) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator=end).writerows(rows)
    if end == "\n" and "\r" in buffer.getvalue():  # some versions of Python leave it without quotes
        buffer = io.StringIO()
        minimal = csv.writer(buffer, lineterminator=end)
        quoted = csv.writer(buffer, lineterminator=end, quoting=csv.QUOTE_ALL)
        for row in rows:
            has_return = any(isinstance(cell, str) and "\r" in cell for cell in row)
            (quoted if has_return else minimal).writerow(row)
    return encoded(buffer.getvalue())


def encoded(text: str) -> bytes:
    """Return a text as UTF-8; a lone surrogate, which some inputs hold, is written as its escape."""
    return text.encode("utf-8", "backslashreplace")


def _as_text(row: ExportRow) -> ExportRow:
    """Return a row with its times as text."""
    sent, answered = row[TIMES[0]], row[TIMES[1]]
    if sent is None and answered is None:
        return row
    return (*row[: TIMES[0]], in_words(sent), in_words(answered), *row[TIMES[1] + 1 :])


def in_words(value: Cell) -> str | int | None:
    """Return a cell as text or number; a time as ISO 8601."""
    return moment(value) if isinstance(value, datetime) else value


def _protected(column: str, value: str) -> str:
    if column in _IDS and value.isdecimal():
        return f'="{value}"'
    first = value[:1]
    if not first.isascii():  # full-width signs are as good, where Chinese or Japanese is written
        first = normalize("NFKC", first)
    return "'" + value if first.startswith(_FORMULA) else value
