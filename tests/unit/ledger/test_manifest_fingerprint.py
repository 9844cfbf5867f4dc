"""Fingerprints of manifests: the submission and the check of each row."""

from __future__ import annotations

import json
import zlib
from array import array

from hypothesis import assume, example, given
from hypothesis import strategies as st

from batcher.ledger.manifest_fingerprint import (
    PAGE_IDS,
    Fingerprint,
    PageBefore,
    check_of,
    differences,
    filled,
    unpacked,
)

IDS = st.one_of(
    st.lists(st.integers(1, 3 * PAGE_IDS), max_size=30),
    st.tuples(st.integers(1, 2 * PAGE_IDS), st.integers(1, PAGE_IDS + 5)).map(
        lambda one: list(range(one[0], one[0] + one[1]))
    ),
)
BATCHES = st.lists(st.tuples(IDS, st.booleans()), max_size=5)


def seen_of(batches: list[tuple[list[int], bool]]) -> tuple[Fingerprint, dict[int, int]]:
    """Batches of rows as a fingerprint, and the expected content."""
    seen, expected = Fingerprint(), dict[int, int]()
    for n, (ids, carry) in enumerate(batches):
        checks = [check_of(f'{{"n":"{n} {at}"}}') for at in range(len(ids))] if carry else None
        seen.add(ids, checks)
        for at, id_ in enumerate(ids):
            expected.setdefault(id_, checks[at] if checks else 1)
    return seen, expected


def as_dict(seen: Fingerprint) -> dict[int, int]:
    """The content of a fingerprint after it was kept and read again."""
    return {
        id_: check
        for number, kept in seen.packed()
        for id_, check in enumerate(unpacked(kept).checks, number * PAGE_IDS)
        if check
    }


@given(BATCHES)
def test_first_row_for_a_submission_counts(batches: list[tuple[list[int], bool]]) -> None:
    """Each submission has the check of its first row, for any order and size of batches."""
    seen, expected = seen_of(batches)
    assert expected == as_dict(seen)
    assert all(id_ in seen for id_ in expected)
    assert 3 * PAGE_IDS + 7 in seen or 3 * PAGE_IDS + 7 not in expected


@given(BATCHES, BATCHES)
def test_differences_of_two_fingerprints_are_counted(
    before: list[tuple[list[int], bool]], now: list[tuple[list[int], bool]]
) -> None:
    """Appeared, gone and changed rows are those that differ."""
    (one, was), (two, is_) = seen_of(before), seen_of(now)
    numbers = {*one.numbers(), *two.numbers()}
    found = [
        differences(number, PageBefore(one.page(number)), two.page(number)) for number in sorted(numbers)
    ]
    assert sorted(is_.keys() - was.keys()) == [id_ for page in found for id_ in page.appeared]
    assert sorted(was.keys() - is_.keys()) == [id_ for page in found for id_ in page.gone]
    changed = sum(was[id_] != is_[id_] for id_ in was.keys() & is_.keys())
    assert changed == sum(page.changed for page in found)


def test_check_of_no_row_an_empty_row_and_a_row_differ() -> None:
    """A missing row, a row without own values, and a row with some have different checks."""
    assert check_of(None) == check_of("{}") == check_of('{"a":""}') != 0
    assert all(1 < check_of(f'{{"n":"{n}"}}') < 1 << 16 for n in range(70_000))


ROWS = st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=5)


def carried(row: dict[str, str]) -> str:
    """The own columns of a row as a manifest writes them."""
    return json.dumps(dict(sorted(row.items())), ensure_ascii=False, separators=(",", ":"))


@given(ROWS, st.sets(st.text(max_size=6), max_size=3))
@example({'":""': ':""', "a": '",}'}, {'x"', "\\", ","})
@example({"a": '{"b":"",'}, {"b"})
@example({"a": ""}, {"z"})
def test_empty_cells_do_not_change_the_check(row: dict[str, str], names: set[str]) -> None:
    """Columns that were added or removed empty are not a change, for any names and values."""
    without = {name: value for name, value in row.items() if value}
    added = dict.fromkeys(names, "") | row
    assert check_of(carried(without)) == check_of(carried(row)) == check_of(carried(added))


@given(ROWS, ROWS)
def test_rows_with_other_values_have_other_checks(one: dict[str, str], two: dict[str, str]) -> None:
    """A difference in more than empty cells changes the check, but for one in 65,000."""
    differ = {k: v for k, v in one.items() if v} != {k: v for k, v in two.items() if v}
    assume(differ)
    assert filled(carried(one)) != filled(carried(two))


def test_page_of_the_version_before_shows_its_rows() -> None:
    """It gives new and gone rows, and counts none as changed."""
    before, now = array("H", bytes(2 * PAGE_IDS)), Fingerprint()
    before[5:8] = array("H", [700, 800, 900])
    now.add([6, 7, 8], [check_of('{"a":"1"}')] * 3)
    old = unpacked(b"H" + zlib.compress(before.tobytes()))
    assert differences(0, old, now.page(0)) == ([8], [5], 0)
    today = unpacked(dict(now.packed())[0])
    now.add([5])
    assert differences(0, today, now.page(0)) == ([5], [], 0)


def test_page_of_one_byte_a_row_is_read() -> None:
    """Earlier versions kept pages of rows that carried nothing in one byte a row."""
    narrow, now = array("B", bytes(PAGE_IDS)), Fingerprint()
    narrow[5:8] = array("B", [1, 1, 1])
    now.add([6, 7, 8])
    old = unpacked(b"B" + zlib.compress(narrow.tobytes()))
    assert differences(0, old, now.page(0)) == ([8], [5], 0)
    now.add([5])
    assert differences(0, old, now.page(0)) == ([8], [], 0)
