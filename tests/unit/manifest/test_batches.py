"""Batches of rows: bounded by rows and by what they carry, so that memory does not depend on long rows."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.manifest_files import prepare_all

from batcher.manifest.batches import next_rows, without_content
from batcher.manifest.parameters import Defaults
from batcher.manifest.read_options import ReadOptions
from batcher.model.submission import FileId, InvalidRow, Parameters, Row, SnapshotType, Vendor

SAMPLED = Parameters(Vendor.TENCENT, SnapshotType.SAMPLE, "10")
TENCENT = ReadOptions(defaults=Defaults(vendor="Tencent", definition="10"))
ROWS, LONG = 1_500, 20_000


def row(characters: int) -> Row:
    """A row that carries so many characters."""
    return Row(2, FileId("1"), SAMPLED, "x" * characters or None)


def test_batch_ends_with_the_row_that_reaches_a_limit() -> None:
    """Either limit; the characters of valid and invalid rows count, and no row is lost."""
    invalid = InvalidRow(3, "row", "", ("ab", "c"))
    rows: Iterator[Row | InvalidRow] = iter([row(10), invalid, row(0), row(500), row(1)])
    first = next_rows(rows, 9, 100)
    assert (len(first.rows), first.characters) == (4, 513)
    assert (len(next_rows(rows, 9, 100).rows), next_rows(rows, 9, 100).rows) == (1, [])
    assert len(next_rows((row(0) for _ in range(9)), 4).rows) == 4


def test_row_without_content_keeps_what_is_asked_for() -> None:
    """It can be judged, and takes little memory."""
    assert without_content(row(9)) == row(0)
    assert without_content(InvalidRow(3, "a", "b", ("c",))) == InvalidRow(3, "a", "b", ())


def long_csv(path: Path) -> None:
    """Rows with 30 MB in a column of their own."""
    lines = (f"{1397757898183024945 + number},{'x' * LONG}\n" for number in range(ROWS))
    path.write_text("file_id,long\n" + "".join(lines))


def long_jsonl(path: Path) -> None:
    """The same as JSON lines."""
    ids = (str(1397757898183024945 + number) for number in range(ROWS))
    path.write_text("".join(json.dumps({"file_id": one, "long": "x" * LONG}) + "\n" for one in ids))


@pytest.mark.parametrize(("name", "write"), [("a.csv", long_csv), ("a.jsonl", long_jsonl)])
def test_memory_does_not_depend_on_long_own_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, write: Callable[[Path], None]
) -> None:
    """From the checks of the first rows to the batches for the ledger; no row is lost or read twice."""
    monkeypatch.setattr("batcher.submit.prepared.HEAD_CHARACTERS", 1 << 20)
    monkeypatch.setattr("batcher.manifest.formats.json_table.HEAD_CHARACTERS", 1 << 20)
    path = tmp_path / name
    write(path)
    tracemalloc.start()
    try:
        [prepared] = prepare_all([str(path)], TENCENT)
        assert len(prepared.first_rows().rows) == ROWS
        read = 0
        rows = prepared.rows()
        while batch := next_rows(rows, 5_000).rows:
            assert all(isinstance(one, Row) and one.extra and len(one.extra) > LONG for one in batch)
            read += len(batch)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    prepared.manifest.close()
    assert read == ROWS
    assert peak_bytes < 12_000_000
