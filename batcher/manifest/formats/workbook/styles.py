"""Dates in Excel workbooks: which styles make a number a date, and the date as text.

Pure, but for the reading of the part that holds the styles. A workbook keeps a date as a number of days; only
the format of its cell says that it is one.

Source: ECMA-376, part 1, 18.8.30 (built-in formats, with those of Chinese, Japanese and Korean versions) and
18.17.4 (dates).
"""

from __future__ import annotations

import datetime as dt
import re
from enum import Enum, auto

from batcher.manifest.formats.workbook.cell_text import duration_text, moment_text
from batcher.manifest.formats.workbook.package import Package


class DateKind(Enum):
    """What a format shows."""

    MOMENT = auto()
    """A date, a time of day, or both."""
    DURATION = auto()
    """Hours that may be more than 24."""


_BUILT_IN = {
    **dict.fromkeys((*range(14, 23), *range(27, 37), 45, 47, *range(50, 59)), DateKind.MOMENT),
    46: DateKind.DURATION,
}
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!(?:h+|m+|s+)\])[^\]]*\]', re.IGNORECASE)
_DURATION = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_DATE_LETTER = re.compile(r"[dmyhs]", re.IGNORECASE)
_SCIENTIFIC = re.compile(r"[0#?.]E[+-]", re.IGNORECASE)
_EPOCHS = (dt.datetime(1899, 12, 30), dt.datetime(1904, 1, 1))  # noqa: DTZ001 - a sheet has no time zones
_DAYS_WITHOUT_LEAP_FAULT = 60
"""Spreadsheets count a 29 February 1900 that never was; dates before it are one day off."""


def date_styles(package: Package, part: str | None) -> list[DateKind | None]:
    """Return for each style of a workbook whether it makes a number a date.

    Raises:
        ManifestError: the part is damaged.
    """
    formats: dict[str, DateKind | None] = {str(number): kind for number, kind in _BUILT_IN.items()}
    styles: list[DateKind | None] = []
    among_cell_styles = False
    for tag, attributes in package.elements(part) if part else ():
        if tag == "numFmt":
            formats[attributes.get("numFmtId", "")] = kind_of(attributes.get("formatCode", ""))
        elif tag in ("cellXfs", "cellStyles", "cellStyleXfs", "dxfs"):
            among_cell_styles = tag == "cellXfs"
        elif tag == "xf" and among_cell_styles:
            styles.append(formats.get(attributes.get("numFmtId", "")))
    return styles


def kind_of(code: str) -> DateKind | None:
    """Return what a format code shows; None for anything but dates and times."""
    first = _LITERAL.sub("", code).partition(";")[0]
    if _DURATION.search(first):
        return DateKind.DURATION
    return DateKind.MOMENT if _DATE_LETTER.search(_SCIENTIFIC.sub("", first)) else None


def date_text(value: float, kind: DateKind, *, from_1904: bool) -> str | None:
    """Return a number of days as ISO 8601, or as hours for a duration; None when it is not a date."""
    try:
        days = dt.timedelta(milliseconds=round(value * 86_400_000))
        if kind is DateKind.DURATION:
            return duration_text(days)
        if value < 0:
            return None
        if days < dt.timedelta(days=1):
            return moment_text((_EPOCHS[0] + days).time())
        if value < _DAYS_WITHOUT_LEAP_FAULT and not from_1904:
            days += dt.timedelta(days=1)
        return moment_text(_EPOCHS[from_1904] + days)
    except OverflowError:
        return None
