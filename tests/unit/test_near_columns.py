"""Own columns of a manifest that may be misspelt."""

from __future__ import annotations

import pytest

from batcher.manifest.columns import near_misses


@pytest.mark.parametrize(
    ("column", "known"),
    [
        ("definiton", "definition"),
        ("Defintion", "definition"),
        ("ofsets", "offsets"),
        ("offset", "offsets"),
        ("Vendr", "vendor"),
        ("vendors", "vendor"),
        ("venodr", "vendor"),
        ("intreval", "interval"),
        ("Inter_vals", "interval"),
        ("templte", "definition"),
        ("type2", "type"),
        ("tpye", "type"),
        ("ExtTimeOffsetSets", "offsets"),
    ],
)
def test_column_within_two_letters_is_named_with_the_known_one(column: str, known: str) -> None:
    """Case, blanks, dashes and underscores do not count; letters changed about count once."""
    assert near_misses([column]) == [(column, known)]


@pytest.mark.parametrize(
    "column",
    ["time", "date", "size", "day", "room", "name", "title", "status", "line", "录像", "", "x" * 500],
)
def test_column_of_other_letters_is_no_misspelling(column: str) -> None:
    """Common words and words of any other kind pass without a word."""
    assert near_misses([column]) == []
