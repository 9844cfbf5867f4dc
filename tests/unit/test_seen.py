"""What a manifest's rows stand for, as it is remembered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batcher.ledger.seen import PAGE_IDS, Seen, check_of, differences, unpacked

IDS = st.one_of(
    st.lists(st.integers(1, 3 * PAGE_IDS), max_size=30),
    st.tuples(st.integers(1, 2 * PAGE_IDS), st.integers(1, PAGE_IDS + 5)).map(
        lambda one: list(range(one[0], one[0] + one[1]))
    ),
)
BATCHES = st.lists(st.tuples(IDS, st.booleans()), max_size=5)


def seen_of(batches: list[tuple[list[int], bool]]) -> tuple[Seen, dict[int, int]]:
    """Batches of rows as they are remembered, and as they should be."""
    seen, expected = Seen(), dict[int, int]()
    for n, (ids, carry) in enumerate(batches):
        checks = [check_of(f'{{"n":"{n} {at}"}}') for at in range(len(ids))] if carry else None
        seen.add(ids, checks)
        for at, id_ in enumerate(ids):
            expected.setdefault(id_, checks[at] if checks else 1)
    return seen, expected


def as_dict(seen: Seen) -> dict[int, int]:
    """All that is remembered, as it is kept and taken up again."""
    return {
        id_: check
        for number, kept in seen.packed()
        for id_, check in enumerate(unpacked(kept), number * PAGE_IDS)
        if check
    }


@given(BATCHES)
def test_the_first_row_for_a_submission_counts(batches: list[tuple[list[int], bool]]) -> None:
    """Whatever the order and size of batches, each submission has the check of its first row."""
    seen, expected = seen_of(batches)
    assert expected == as_dict(seen)
    assert all(id_ in seen for id_ in expected)
    assert 3 * PAGE_IDS + 7 in seen or 3 * PAGE_IDS + 7 not in expected


@given(BATCHES, BATCHES)
def test_differences(before: list[tuple[list[int], bool]], now: list[tuple[list[int], bool]]) -> None:
    """What appeared, is gone or changed is what differs."""
    (one, was), (two, is_) = seen_of(before), seen_of(now)
    numbers = {*one.numbers(), *two.numbers()}
    found = [differences(number, one.page(number), two.page(number)) for number in sorted(numbers)]
    assert sorted(is_.keys() - was.keys()) == [id_ for page in found for id_ in page.appeared]
    assert sorted(was.keys() - is_.keys()) == [id_ for page in found for id_ in page.gone]
    changed = sum(was[id_] != is_[id_] for id_ in was.keys() & is_.keys())
    assert changed == sum(page.changed for page in found)


def test_a_check_tells_nothing_from_something() -> None:
    """No row, a row that carries nothing, and a row that carries an empty object are three things."""
    assert len({0, check_of(None), check_of("{}")}) == 3
    assert all(1 < check_of(f'{{"n":"{n}"}}') < 1 << 16 for n in range(70_000))
