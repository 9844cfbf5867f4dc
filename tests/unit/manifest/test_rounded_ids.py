"""Detection of rounded ids: refusal, warning, and chance."""

from __future__ import annotations

import random

import pytest

from batcher.manifest.rounded_ids import HEAD_ROWS, Verdict, rounded_ids
from batcher.model.submission import FileId, InvalidRow, Parameters, Row, SnapshotType, Vendor

TENCENT = Parameters(Vendor.TENCENT, SnapshotType.SAMPLE, "10")
HUAWEI = Parameters(Vendor.HUAWEI, SnapshotType.SAMPLE, "", "2")


def honest_ids(count: int, seed: int = 1) -> list[int]:
    """Ids of 19 random digits that show no sign at all."""
    draw = random.Random(seed)
    ids = (draw.randrange(10**18, 9 * 10**18) for _ in iter(int, 1))
    return [number for number, _ in zip((n for n in ids if n % 100 and n % 256), range(count), strict=False)]


def rows_with(ids: list[int] | list[str], parameters: Parameters = TENCENT) -> list[Row | InvalidRow]:
    """Good rows with these ids."""
    return [Row(line, FileId(str(number)), parameters, None) for line, number in enumerate(ids, 2)]


@pytest.mark.parametrize(
    ("count", "zeros", "expected"),
    [
        (100, 2, Verdict.REFUSE),
        (100, 1, Verdict.FINE),
        (99, 1, Verdict.REFUSE),
        (20, 1, Verdict.REFUSE),
        (20, 0, Verdict.FINE),
        (19, 1, Verdict.WARN),
        (19, 19, Verdict.WARN),
        (1, 1, Verdict.WARN),
        (10_000, 101, Verdict.REFUSE),
        (10_000, 100, Verdict.WARN),
        (10_000, 3, Verdict.FINE),
        (0, 0, Verdict.FINE),
    ],
)
def test_more_than_one_in_a_hundred_ending_in_0000_refuses(count: int, zeros: int, expected: Verdict) -> None:
    """From 20 ids on the share decides; of fewer, any is worth a warning."""
    ids = honest_ids(count)
    ids[:zeros] = [number // 10_000 * 10_000 for number in ids[:zeros]]
    judged = rounded_ids(rows_with(ids))
    assert (judged.verdict, judged.ids) == (expected, count)
    assert bool(judged.message) == (expected is not Verdict.FINE)


def test_refusal_has_the_sign_and_the_remedy() -> None:
    """The message counts, shows the first one with its line, and names the remedy."""
    ids = honest_ids(100)
    ids[3:5] = [1397757897438980000, 1397757897438990000]
    assert rounded_ids(rows_with(ids)).message == (
        "2 of 100 Tencent ids end in 0000 (first on line 5: 1397757897438980000); a spreadsheet or another "
        "program may have rounded them, and rounded ids name other recordings. Compare some with the "
        "original; if they are right, use --trust-ids, else export the column as text"
    )


@pytest.mark.parametrize("count", [4, 20, 1_000, 10_000])
def test_ids_rounded_by_a_float_give_a_warning(count: int) -> None:
    """A float turns long ids into multiples of 256; printed by JavaScript they end in two zeros."""
    through_float = [int(float(number)) // 256 * 256 for number in honest_ids(count)]
    through_script = [number // 100 * 100 + 100 for number in honest_ids(count)]
    kept = [number for number in through_script if number % 10_000] or through_script
    assert rounded_ids(rows_with(through_float)).verdict is not Verdict.FINE
    judged = rounded_ids(rows_with(kept))
    assert judged.verdict is Verdict.WARN
    assert f"{len(kept):,} of {len(kept):,} Tencent ids end in 00;" in judged.message


def test_share_of_rounded_ids_is_detected() -> None:
    """One day of an archive that a spreadsheet has rounded shows among the others."""
    ids = honest_ids(2_000)
    ids[500:600] = [number // 256 * 256 for number in ids[500:600]]
    assert rounded_ids(rows_with(ids)).verdict is Verdict.WARN


def test_honest_ids_are_fine() -> None:
    """Random ids, with all that chance puts into them, trip nothing."""
    draw = random.Random(42)
    for count in [5, 19, 300, 1_000] * 20 + [10_000] * 2:
        ids = [draw.randrange(10**18, 9 * 10**18) for _ in range(count)]
        expected = Verdict.WARN if count < 20 and any(n % 10_000 == 0 for n in ids) else Verdict.FINE
        assert rounded_ids(rows_with(ids)).verdict is expected


def test_only_tencent_ids_of_the_head_are_judged() -> None:
    """Paths, invalid rows and rows after the head do not count."""
    paths = rows_with(["10000"] * 50, HUAWEI)
    invalid: list[Row | InvalidRow] = [InvalidRow(9, "file_id", "is missing", ("10000",))] * 50
    head = [*paths, *invalid, *rows_with(honest_ids(HEAD_ROWS - 100))]
    assert rounded_ids([*head, *rows_with([10_000] * 5_000)]).verdict is Verdict.FINE


def test_short_ids_cannot_have_been_rounded() -> None:
    """Multiples of 256 say nothing about numbers that every float holds exactly."""
    assert rounded_ids(rows_with([256 * number for number in range(1, 39)])).verdict is Verdict.FINE
