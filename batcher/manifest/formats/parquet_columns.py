"""Columns of a Parquet file whose pages do not fit in memory side by side: read one after the other.

A page is unpacked whole, and pyarrow writes pages of 1,024 rows and more. Columns with large pages are
therefore unpacked into temporary files first, all but the largest, and the rows joined from them.

The memory is about 100 MiB and the largest page, unpacked and as stored: twice its size if it is hardly
compressed, and up to four times where the column begins with a dictionary of that size and other pages
follow. With 300 MB of hardly compressed cells, as pyarrow writes them:

- cells of 10 kB, pages of 10 MB: 110 to 130 MiB;
- cells of 100 kB, pages of 100 MB: 280 MiB without a dictionary, 480 MiB with one;
- cells of 1 MB, one page of 300 MB: 640 MiB without a dictionary, 660 MiB with one;
- the same with small pages (``write_batch_size=16``): 100 MiB.

It does not depend on the number of rows or columns. ``batcher load`` takes 40 to 65 MiB more.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from batcher.errors import ManifestError
from batcher.files import reason_of

if TYPE_CHECKING:
    import pyarrow as pa

TOGETHER_BYTES = 1 << 24
"""The unpacked bytes of the pages that are held side by side, at most; a larger page is held alone."""
_PAGE_ROWS = 1_024
"""The number of rows after which most writers look whether a page is full."""
_PAGE_BYTES = 1 << 20
"""The size from which on a page is full to most writers."""

Reader = Iterator["pa.RecordBatch"]


def page_bytes(chunk_bytes: int, rows: int) -> int:
    """Return about how large a page of a column is in a row group; both are the metadata's."""
    return min(chunk_bytes, max(_PAGE_BYTES, chunk_bytes * _PAGE_ROWS // max(rows, 1)))


def column_groups(sizes: Mapping[str, int]) -> list[list[str]]:
    """Return the columns that are read side by side, the group with the largest page last.

    Args:
        sizes: about the bytes of a page, by column.
    """
    groups: list[list[str]] = []
    held = 0
    for name in sorted(sizes, key=sizes.__getitem__):
        if not groups or held + sizes[name] > TOGETHER_BYTES:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += sizes[name]
    return groups


def spooled(name: str, readers: Sequence[Reader]) -> Iterator[Mapping[str, pa.Array]]:
    """Yield the columns of several readers of the same rows, a few rows at a time.

    All readers but the last one are read to their end before, one by one.

    Raises:
        ManifestError: there is no room for the temporary files.
    """
    with ExitStack() as files:
        waiting = [_unpacked(name, reader, files) for reader in readers[:-1]]
        yield from _side_by_side([*waiting, readers[-1]])


def _unpacked(name: str, reader: Reader, files: ExitStack) -> Reader:
    """Write the batches of a reader to a temporary file, and return a reader of that."""
    import pyarrow as pa

    with _storing(name):
        file = files.enter_context(tempfile.TemporaryFile(prefix="batcher-"))  # noqa: SIM115 - closed by it
    writer: Any = None
    for batch in reader:
        with _storing(name):
            writer = writer or pa.ipc.new_stream(file, batch.schema)
            writer.write_batch(batch)
    if writer is None:
        return iter(())
    with _storing(name):
        writer.close()
        file.seek(0)
    pa.default_memory_pool().release_unused()
    return iter(pa.ipc.open_stream(file))


def _side_by_side(readers: Sequence[Reader]) -> Iterator[Mapping[str, pa.Array]]:
    """Yield the columns of all readers, cut to the same rows."""
    held: list[Any] = [None] * len(readers)
    while True:
        for at, reader in enumerate(readers):
            while held[at] is not None and not held[at].num_rows:
                held[at] = None
            if held[at] is None and (batch := next(reader, None)) is not None:
                held[at] = batch
        if any(batch is None for batch in held):
            return
        rows = min(batch.num_rows for batch in held)
        yield {
            column: values
            for batch in held
            for column, values in zip(batch.schema.names, batch.slice(0, rows).columns, strict=True)
        }
        held = [batch.slice(rows) for batch in held]


@contextmanager
def _storing(name: str) -> Iterator[None]:
    """Translate the errors of a temporary file."""
    try:
        yield
    except OSError as exc:
        raise ManifestError(
            f"{name}: its columns have large pages, so they are unpacked to temporary files first, "
            f"which failed: {reason_of(exc, to='write')}. TMPDIR names the folder"
        ) from exc
