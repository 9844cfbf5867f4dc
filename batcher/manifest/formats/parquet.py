"""Parquet as a table: batches of typed columns in, cells of text out.

One batch is held at a time, and pages are read as they come, so a file of one huge row group takes no more
memory than a small one. A column of ids whose type cannot hold them exactly is refused before any row.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from batcher.errors import ManifestError
from batcher.manifest.columns import KnownColumn, read_columns
from batcher.manifest.display import shown
from batcher.manifest.formats.arrow_text import TextColumn, known_column, own_column
from batcher.manifest.formats.parquet_columns import column_groups, page_bytes, spooled
from batcher.manifest.formats.table import PASSED_OVER, Record, RecordFault
from batcher.manifest.optional_packages import needed
from batcher.manifest.sources.local import Unread
from batcher.model.submission import CountedBy

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 4_096
"""Rows held at a time, at most."""
BATCH_BYTES = 1 << 22
"""Bytes held at a time, about."""
PROBED_ROWS = 16
"""The rows by which the size of the others is estimated."""
PAGE_BUFFER_BYTES = 1 << 18
"""The bytes of each column read in one call; without it a row group's columns are read whole."""
_ALLOCATOR = "ARROW_DEFAULT_MEMORY_POOL"


class Parquet:
    """A Parquet file, read once."""

    passed_over = PASSED_OVER
    remarks = ()
    counted_by = CountedBy.ROW

    def __init__(self, name: str, file: BinaryIO) -> None:
        """Read the footer.

        Raises:
            ManifestError: it is not a whole Parquet file, or has no column for the file id of a right type.
        """
        with needed("pyarrow", f"{name}: a Parquet file"), _system_memory():
            import pyarrow as pa
            import pyarrow.parquet as pq
        pa.set_memory_pool(pa.system_memory_pool())
        self._name = name
        with _translated(name):
            self._file = pq.ParquetFile(_native(file), pre_buffer=False, buffer_size=PAGE_BUFFER_BYTES)
            self._schema = self._file.schema_arrow
        self.columns = read_columns(name, self._schema.names)
        id_at = self.columns.known[KnownColumn.FILE_ID]
        _refuse_inexact(f"{name}, column {self.columns.names[id_at]}", self._schema.field(id_at).type)

    def records(self) -> Iterator[Record]:
        """Every row, numbered from 1."""
        number = 0
        batches = self._batches()
        known = set(self.columns.known.values())
        while True:
            with _translated(CountedBy.ROW.place(self._name, number + 1)):
                batch = next(batches, None)
                if batch is None:
                    return
                columns = [
                    known_column(values) if place in known else TextColumn(own_column(values))
                    for place, values in enumerate(batch)
                ]
            for row, cells in enumerate(zip(*(column.texts for column in columns), strict=True)):
                number += 1
                yield number, list(cells), _first_fault(self.columns.names, columns, row)

    def _batches(self) -> Iterator[list[pa.Array]]:
        import pyarrow as pa

        for group in range(self._file.num_row_groups):
            together = self._read_together(group)
            rows = self._rows_at_once(group, together)
            if len(together) == 1:
                batches: Iterator[list[pa.Array]] = (batch.columns for batch in self._read(group, rows))
            else:
                readers = [self._read(group, rows, names) for names in together]
                batches = (
                    [columns[name] for name in self._schema.names] for columns in spooled(self._name, readers)
                )
            for columns in batches:
                yield columns
                del columns
                if rows < BATCH_ROWS:  # long rows lie in large pages, which would be kept when they are freed
                    pa.default_memory_pool().release_unused()

    def _read(self, group: int, rows: int, names: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        batches: Iterator[pa.RecordBatch] = self._file.iter_batches(
            batch_size=rows, row_groups=[group], columns=names, use_threads=False
        )
        return batches

    def _read_together(self, group: int) -> list[list[str]]:
        """Return the columns of a row group that are read side by side; of one group, all."""
        from pyarrow import types

        names = self._schema.names
        plain = len(set(names)) == len(names) and not any("." in name for name in names)
        if not plain or any(types.is_dictionary(kind) for kind in self._schema.types):
            return [names]  # columns cannot be named one by one, or batches share a dictionary
        known = self._file.metadata.row_group(group)
        sizes = dict.fromkeys(names, 0)
        for chunk in map(known.column, range(known.num_columns)):
            name = chunk.path_in_schema.partition(".")[0]
            sizes[name] += page_bytes(chunk.total_uncompressed_size, known.num_rows)
        return column_groups(sizes)

    def _rows_at_once(self, group: int, together: list[list[str]]) -> int:
        """Return how many rows of a row group are held at a time.

        Its size on disk is not enough: with a dictionary, a long value that repeats is stored once.
        """
        known = self._file.metadata.row_group(group)
        row_bytes = known.total_byte_size / max(known.num_rows, 1)
        if known.num_rows > PROBED_ROWS:
            probed = 0
            for names in together:
                probe = next(self._read(group, PROBED_ROWS, names if len(together) > 1 else None), None)
                probed += probe.nbytes if probe else 0
            row_bytes = max(row_bytes, probed / PROBED_ROWS)
        return max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(row_bytes, 1))))


@contextmanager
def _system_memory() -> Iterator[None]:
    """Let the package take memory from the system, which gets it back; its own allocators keep it.

    Pages are unpacked into the allocator that the package chooses when it is imported, and that can be told
    by a variable only.
    """
    before = os.environ.get(_ALLOCATOR)
    os.environ.setdefault(_ALLOCATOR, "system")
    try:
        yield
    finally:
        if before is None:
            del os.environ[_ALLOCATOR]


def _native(file: BinaryIO) -> Any:  # noqa: ANN401 - the package has no types
    """Return a file of the operating system as the package itself reads it: without a copy of each page."""
    import pyarrow as pa

    try:
        return pa.OSFile(f"/dev/fd/{file.fileno()}")
    except OSError:  # a file in parts from a server
        return file


def _refuse_inexact(where: str, kind: pa.DataType) -> None:
    """Refuse a column of ids whose type has lost digits, or is not a type for ids."""
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    if types.is_floating(kind):
        raise ManifestError(
            f"{where}: its type is {kind}, which keeps 15 to 17 of an id's 19 digits: the ids in it are "
            "rounded and name other recordings. Write the column as string or int64, from the original"
        )
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    raw = types.is_binary(kind) or types.is_large_binary(kind)
    if not (text or raw or types.is_integer(kind) or types.is_decimal(kind) or types.is_null(kind)):
        raise ManifestError(f"{where}: its type is {kind}; a file id is a string or an int64")


def _first_fault(names: Sequence[str], columns: Sequence[TextColumn], row: int) -> RecordFault | None:
    for name, column in zip(names, columns, strict=True):
        if column.faults and row in column.faults:
            return RecordFault(name, column.faults[row])
    return None


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Translate exceptions of the package into an error of the manifest."""
    import pyarrow as pa

    try:
        yield
    except Unread as exc:
        raise exc.at(where) from exc
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        reason = str(exc).splitlines()[0].rstrip(". ") if str(exc) else type(exc).__name__
        raise ManifestError(
            f"{where}: the Parquet file cannot be read: {shown(reason, limit=160)}. It is cut off, damaged "
            "or of an unknown kind; write or fetch it again"
        ) from exc
