"""Options that are a moment or a length of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from batcher.cli.time_options import moment_of, seconds_of
from batcher.errors import SettingsError

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("1.5h", NOW - timedelta(minutes=90)),
        (" 7d ", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(days=14)),
        ("2026-11-30T05:30Z", datetime(2026, 11, 30, 5, 30, tzinfo=UTC)),
        ("2026-11-30T05:30+08:00", datetime(2026, 11, 29, 21, 30, tzinfo=UTC)),
    ],
)
def test_moment_of_age_or_date_is_a_moment(text: str, expected: datetime) -> None:
    """An age counts back from now; a date may have a zone."""
    assert moment_of(text, "--since", NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "7", "2026-13-01", f"{'9' * 20}d"])
def test_moment_of_other_text_names_the_option(text: str) -> None:
    """The message says what to give."""
    with pytest.raises(SettingsError, match=r"^--since .*: give how long ago"):
        moment_of(text, "--since", NOW)


@pytest.mark.parametrize(("text", "expected"), [("10", 10), ("90s", 90), ("5m", 300), ("1.5h", 5400)])
def test_seconds_of_length_is_seconds(text: str, expected: float) -> None:
    """Without a unit they are seconds."""
    assert seconds_of(text, "--min-duration") == expected


def test_seconds_of_other_text_names_the_option() -> None:
    """Days are not a duration of a recording."""
    with pytest.raises(SettingsError, match=r"^--min-duration 1d: give seconds"):
        seconds_of("1d", "--min-duration")
