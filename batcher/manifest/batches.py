"""Batches of a manifest's rows, bounded by rows and by characters.

Used wherever rows are held between the reader and the ledger: a row may carry megabytes in columns of its
own, and memory must not depend on that. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from batcher.model.submission import InvalidRow, Row

BATCH_CHARACTERS = 1 << 20
"""The limit of characters in the rows of one batch; the row that reaches it is the last one."""


class RowBatch(NamedTuple):
    """Some rows of a manifest."""

    rows: list[Row | InvalidRow]
    """Empty at the end of the manifest."""
    characters: int
    """How many characters they carry beside what is asked for."""


def next_rows(rows: Iterator[Row | InvalidRow], most: int, characters: int = BATCH_CHARACTERS) -> RowBatch:
    """Return the next rows, ``most`` of them at most; fewer when they are long."""
    batch: list[Row | InvalidRow] = []
    carried = 0
    for row in rows:
        batch.append(row)
        if content := row[3]:  # not by name: this runs for every row
            carried += len(content) if type(content) is str else sum(map(len, content))
        if carried >= characters or len(batch) >= most:
            break
    return RowBatch(batch, carried)


def without_content(row: Row | InvalidRow) -> Row | InvalidRow:
    """Return a row without what it carries beside what is asked for."""
    return row._replace(extra=None) if isinstance(row, Row) else row._replace(cells=())
