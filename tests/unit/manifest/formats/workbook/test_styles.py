"""Dates in Excel workbooks: which formats show one, and its text."""

from __future__ import annotations

import pytest

from batcher.manifest.formats.workbook.styles import DateKind, date_text, kind_of


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("General", None),
        ("0.00E+00", None),
        ("#,##0.00;[Red]-#,##0.00", None),
        ('0"days"', None),
        ("\\d0", None),
        ("[$-409]0", None),
        ("@", None),
        ("_-* #,##0.00\\ [$€-407]_-;@", None),
        ('[$-411]ggge"年"m"月"', DateKind.MOMENT),
        ("yyyy-mm-dd", DateKind.MOMENT),
        ('yyyy"年"m"月"d"日"', DateKind.MOMENT),
        ("[$-804]h:mm AM/PM", DateKind.MOMENT),
        ("[h]:mm:ss", DateKind.DURATION),
        ("mm:ss.0", DateKind.MOMENT),
        ("0;yyyy", None),
    ],
)
def test_format_code_shows_a_date_or_none(code: str, kind: DateKind | None) -> None:
    """Letters in quotation marks, colours and locales are not letters of a date."""
    assert kind_of(code) is kind


@pytest.mark.parametrize(
    ("value", "kind", "from_1904", "text"),
    [
        (45609.0, DateKind.MOMENT, False, "2024-11-13"),
        (45609.2574999, DateKind.MOMENT, False, "2024-11-13T06:10:47.991000"),
        (45609.2575, DateKind.MOMENT, False, "2024-11-13T06:10:48"),
        (44147.0, DateKind.MOMENT, True, "2024-11-13"),
        (1.0, DateKind.MOMENT, False, "1900-01-01"),
        (0.25, DateKind.MOMENT, False, "06:00:00"),
        (1.5, DateKind.DURATION, False, "36:00:00"),
        (-0.5, DateKind.DURATION, False, "-12:00:00"),
        (-1.0, DateKind.MOMENT, False, None),
        (1e9, DateKind.MOMENT, False, None),
        (1e300, DateKind.DURATION, False, None),
    ],
)
def test_number_of_days_becomes_a_date(
    value: float, kind: DateKind, from_1904: bool, text: str | None
) -> None:
    """Both ways to count days; what is beyond the calendar stays a number."""
    assert date_text(value, kind, from_1904=from_1904) == text
