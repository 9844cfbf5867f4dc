"""Results as Parquet: typed columns, in groups of rows small enough to be held. Needs pyarrow.

Ids and everything else that is text stay text, numbers are 64-bit integers, times have milliseconds and
are UTC. Between the command line, which hands over rows and a file, and the library; it never reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from batcher.report.export.rows import COLUMNS, NUMBERS, TIMES, Cell, ExportRow
from batcher.report.export.sink import SinkTable
from batcher.report.export.text_tables import encoded

GROUP_ROWS = 25_000
"""Rows in a group. Smaller ones hold less at a time, but the library keeps 30 KiB of each until the end: for
5,000,000 rows, both together are least here."""
PAGE_BYTES = 16 * 1024
"""A page of a column; the library holds some of each at a time."""

_FEW_VALUES = frozenset(
    {"vendor", "type", "definition", "interval", "offsets", "status", "message", "source", "task_state"}
)
"""Columns that say the same thing over and over; the others differ in every row."""
_SOUGHT = frozenset({"file_id", "status", "code", "first_sent_at", "last_answer_at", "line"})
"""Columns whose least and greatest values help to find a row; those of the others would only take memory."""


class ParquetTable(SinkTable):
    """Parquet. Use as a context manager: what is not closed by then is given up.

    Args:
        file: where it goes; a pipe will do.
        columns: all columns, ours first.
        ours: how many are not the manifest's own.
    """

    def __init__(self, file: BinaryIO, columns: Sequence[str], ours: int = len(COLUMNS)) -> None:
        super().__init__(file)
        known = columns[:ours]
        self._schema = pa.schema([(name, _type(at, known)) for at, name in enumerate(columns)])
        self._writer = ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            self._schema,
            compression="snappy",
            data_page_size=PAGE_BYTES,
            use_dictionary=[name for name in known if name in _FEW_VALUES],
            write_statistics=[name for name in known if name in _SOUGHT],
        )
        self._waiting: list[Any] = []
        self._waiting_rows = 0

    def write(self, rows: Sequence[ExportRow]) -> None:
        """Add some rows; they are written when there are enough for a group."""
        if not rows:
            return
        arrays = [
            self._array(field.type, cells)
            for field, cells in zip(self._schema, zip(*rows, strict=True), strict=True)
        ]
        self._waiting.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._waiting_rows += len(rows)
        if self._waiting_rows >= GROUP_ROWS:
            self._write_group()

    def close(self) -> None:
        """Write the last group and the footer, without which the file is not whole; the file stays open."""
        self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self._schema)
            self._waiting, self._waiting_rows = [], 0
            self._writer.write_table(table, row_group_size=len(table))

    def _array(self, type_: Any, cells: Sequence[Cell]) -> Any:  # noqa: ANN401 - the library has no types
        try:
            return pa.array(cells, type_)
        except UnicodeEncodeError:
            whole = [encoded(cell).decode() if isinstance(cell, str) else cell for cell in cells]
            return pa.array(whole, type_)


def _type(position: int, ours: Sequence[str]) -> Any:  # noqa: ANN401 - the library has no types
    if position in TIMES:
        return pa.timestamp("ms", "UTC")
    return pa.int64() if position < len(ours) and ours[position] in NUMBERS else pa.string()
