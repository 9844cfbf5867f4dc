"""Cells as texts: numbers without a needless point, dates and times as ISO 8601. Pure."""

from __future__ import annotations

import datetime as dt

from batcher.manifest.formats.workbook.sheet import CellValue, FaultyCell

EXACT_BELOW = 10**15
"""Whole numbers below have at most the 15 digits that every spreadsheet keeps."""


def cell_text(value: CellValue) -> str:
    """Return a cell's value as text."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case FaultyCell():
            return value.text
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < EXACT_BELOW else repr(value)
        case _:
            return str(value)


def date_cell(text: str) -> FaultyCell:
    """Return a cell that holds a date or a time."""
    return FaultyCell(text, f"{text} is a date or a time to the spreadsheet, not a file id")


def moment_text(value: dt.datetime | dt.date | dt.time) -> str:
    """Return a date, a time of day, or both; without a time when that is midnight."""
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date().isoformat()
    return value.isoformat()


def duration_text(value: dt.timedelta) -> str:
    """Return hours, which may be more than 24, minutes and seconds."""
    seconds = round(value.total_seconds())
    minutes, second = divmod(abs(seconds), 60)
    return f"{'-' if seconds < 0 else ''}{minutes // 60}:{minutes % 60:02}:{second:02}"
