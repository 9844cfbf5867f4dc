"""How numbers, durations, times and sentences read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from batcher.report.words import count, duration, moment, paragraph, sentence


@pytest.mark.parametrize(
    ("n", "many", "expected"),
    [(0, None, "0 rows"), (1, None, "1 row"), (1200, None, "1,200 rows"), (2, "oxen", "2 oxen")],
)
def test_a_count_has_its_noun(n: int, many: str | None, expected: str) -> None:
    """One is singular, anything else plural, thousands are parted."""
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
def test_a_duration_has_its_two_largest_units(seconds: float, expected: str) -> None:
    """Durations are said in at most two units that follow one another."""
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
def test_a_moment_is_iso_8601_in_utc(at: datetime | None, expected: str) -> None:
    """Times are UTC to the millisecond, wherever they come from."""
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
def test_a_sentence_begins_and_ends_as_one(text: str, expected: str) -> None:
    """A capital and a full stop are added, names are left alone."""
    assert expected == sentence(text)


def test_a_paragraph_stands_in_a_column() -> None:
    """The text wraps beside its label, and no word is broken."""
    expected = "  you:   one two\n         three\n         a-very-long-word-indeed"
    assert expected == paragraph("you:", "one two three a-very-long-word-indeed", width=17, label_width=6)
