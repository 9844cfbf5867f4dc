"""Numbers, durations, times and sentences as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from batcher.report.formatting import (
    at_least_a_second,
    columns,
    count,
    duration,
    moment,
    one_line,
    paragraph,
    sentence,
    size,
    wrapped,
)


@pytest.mark.parametrize(
    ("n", "many", "expected"),
    [(0, None, "0 rows"), (1, None, "1 row"), (1200, None, "1,200 rows"), (2, "oxen", "2 oxen")],
)
def test_count_has_its_noun(n: int, many: str | None, expected: str) -> None:
    """One is singular, everything else plural, thousands are separated."""
    assert expected == count(n, "row", many)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (4, "4 s"),
        (59.6, "1 min"),
        (190, "3 min 10 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (7500, "2 h 5 min"),
        (86400 * 3 + 3600 * 4 + 59, "3 d 4 h"),
        (86400 + 60, "1 d"),
    ],
)
def test_duration_has_its_two_largest_units(seconds: float, expected: str) -> None:
    """Durations have at most two consecutive units."""
    assert expected == duration(seconds)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (None, ""),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000Z"),
        (
            datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=8))),
            "2026-01-01T19:04:05.678Z",
        ),
    ],
)
def test_moment_is_iso_8601_in_utc(at: datetime | None, expected: str) -> None:
    """Times of every zone become UTC to the millisecond."""
    assert expected == moment(at)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("done", "Done."),
        ("Done.", "Done."),
        ("who knows?", "Who knows?"),
        ("`batcher retry` sends it", "`batcher retry` sends it."),
        ("a.csv: not read", "a.csv: not read."),
        ("BATCHER_RATE is wrong", "BATCHER_RATE is wrong."),
    ],
)
def test_sentence_has_capital_and_full_stop(text: str, expected: str) -> None:
    """A capital and a full stop are added, names are left alone."""
    assert expected == sentence(text)


def test_paragraph_has_a_column() -> None:
    """The text wraps next to its label, and no word is broken."""
    expected = "  you:   one two\n         three\n         a-very-long-word-indeed"
    assert expected == paragraph("you:", "one two three a-very-long-word-indeed", width=17, label_width=6)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, "less than 1 s"), (0.99, "less than 1 s"), (1.0, "1 s"), (75.2, "1 min 15 s")],
)
def test_short_time_is_never_zero(seconds: float, expected: str) -> None:
    """Less than a second is shown as that."""
    assert expected == at_least_a_second(seconds)


def test_list_entry_hangs() -> None:
    """Continuation lines differ from the beginning of an entry."""
    assert paragraph("", "7: one two three", width=10, hang=2) == "  7: one\n    two\n    three"


@pytest.mark.parametrize(
    ("n_bytes", "expected"),
    [
        (0, "0 KiB"),
        (1, "1 KiB"),
        (1025, "2 KiB"),
        (1023 << 10, "1,023 KiB"),
        (3 << 19, "1.5 MiB"),
        (1 << 30, "1.0 GiB"),
        (5 << 42, "20,480.0 GiB"),
    ],
)
def test_size_has_fitting_unit(n_bytes: int, expected: str) -> None:
    """A small size is never shown as zero."""
    assert expected == size(n_bytes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("archive", 7), ("录像 2024", 9), ("e\u0301", 1), ("\u200bid", 2), ("ｗｉｄｅ", 8)],
)
def test_columns_match_terminal(text: str, expected: int) -> None:
    """Chinese characters take two columns, combining and invisible characters none."""
    assert expected == columns(text)


def test_wide_characters_count_twice_in_paragraph() -> None:
    """A line with wide characters is no wider than the terminal."""
    made = paragraph("", "录像一.csv line 2, 数学一班: 不是 a plain number", width=24)
    assert made.splitlines() == ["  录像一.csv line 2, 数学", "  一班: 不是 a plain", "  number"] or (
        max(map(columns, made.splitlines())) <= 24
    )
    assert " ".join(made.split()) == "录像一.csv line 2, 数学一班: 不是 a plain number"


def test_blanks_within_line_are_kept() -> None:
    """A file name with two blanks differs from one with one blank."""
    assert wrapped("a  b.mp4 is  missing", 80) == "a  b.mp4 is  missing"
    assert wrapped("one\ttwo\nthree", 80) == "one two three"


def test_command_at_end_is_not_broken() -> None:
    """The command stays in one piece, even if it is wider than the terminal."""
    text = "3 submissions to send: batcher run -l /a/rather/long/place/of/a/ledger.db"
    assert wrapped(text, 30, indent="  ").splitlines() == [
        "3 submissions to send:",
        "  batcher run -l /a/rather/long/place/of/a/ledger.db",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", "a b"),
        ("截图 é", "截图 é"),
        ("a\nb", "a\\x0ab"),
        ("a\r\tb", "a\\x0d\\x09b"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\x85b\u2028c", "a\\x85b\\u2028c"),
        ("a\u202eb\u2066c\u200fd\u061ce", "a\\u202eb\\u2066c\\u200fd\\u061ce"),
        ("\ud800", "\\ud800"),
    ],
)
def test_text_from_outside_is_one_line(text: str, expected: str) -> None:
    """Line ends, control characters and direction marks are escaped."""
    assert one_line(text) == expected
