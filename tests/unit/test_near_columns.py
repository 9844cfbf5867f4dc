"""Own columns of a manifest that may be misspelt."""

from __future__ import annotations

import pytest

from batcher.manifest.columns import near_misses, one_edit_apart


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
        ("kye", "file_id"),
        ("eky", "file_id"),
        ("cnd", "vendor"),
        ("dcn", "vendor"),
        ("cdm", "vendor"),
        ("fiel_id", "file_id"),
        ("flieid", "file_id"),
        ("ExtTimeOffsetSets", "offsets"),
    ],
)
def test_column_within_two_letters_is_named_with_the_known_one(column: str, known: str) -> None:
    """Case, blanks, dashes and underscores do not count; letters changed about count once."""
    assert near_misses([column]) == [(column, known)]


@pytest.mark.parametrize(
    "column",
    [
        *("time", "date", "size", "day", "room", "name", "title", "status", "line", "录像", "", "x" * 500),
        *("y", "id", "day", "den", "eye", "kind", "code", "tape2", "typing"),
    ],
)
def test_column_of_other_letters_is_no_misspelling(column: str) -> None:
    """Common words and words of any other kind pass without a word."""
    assert near_misses([column]) == []


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("key", "kye", True),
        ("key", "eky", True),
        ("key", "keys", True),
        ("key", "ke", True),
        ("key", "kex", True),
        ("key", "xkey", True),
        ("key", "key", False),
        ("key", "yek", False),
        ("type", "ytep", False),
        ("key", "keyss", False),
        ("key", "eyk", False),
        ("", "a", True),
    ],
)
def test_edit_of_one_letter_or_swap_of_neighbours_counts_once(one: str, other: str, apart: bool) -> None:
    """In both directions."""
    assert (one_edit_apart(one, other), one_edit_apart(other, one)) == (apart, apart)
