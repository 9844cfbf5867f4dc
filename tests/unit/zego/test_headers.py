"""``Date`` and ``Retry-After``, by table."""

from __future__ import annotations

import pytest

from batcher.zego.headers import MAX_RETRY_AFTER_S, retry_after_s, server_time

NOW_S = 1_731_478_248.0
NOW = "Wed, 13 Nov 2024 06:10:48 GMT"


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (NOW, NOW_S),
        (None, None),
        ("", None),
        ("yesterday", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Fri, 01 Jan 2100 00:00:00 GMT", None),
    ],
)
def test_date_that_is_plausible_is_read(date: str | None, expected: float | None) -> None:
    """An unreadable date, and one of an unset clock, count as missing."""
    assert server_time(date) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("999999", MAX_RETRY_AFTER_S),
        ("Wed, 13 Nov 2024 06:11:18 GMT", 30.0),
        ("Wed, 13 Nov 2024 06:00:00 GMT", 0.0),
        ("-3", None),
        ("soon", None),
        ("²", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, expected: float | None) -> None:
    """The pause is never negative and never longer than the cap; an unreadable value counts as missing."""
    assert retry_after_s(value, lambda: NOW_S) == expected


def test_retry_after_is_cut_to_the_given_cap() -> None:
    """The caller may set a lower cap."""
    assert retry_after_s("90", lambda: NOW_S, 30.0) == 30.0
