"""One manifest, opened: bytes, lines, cells and rows put together.

The only module that knows all steps. Opening reads as far as the header; iterating reads the
rest once, as a stream, and holds a block of it at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Self

from batcher.errors import ManifestError
from batcher.manifest.columns import Columns, read_columns
from batcher.manifest.delimited import Delimited
from batcher.manifest.encoding import Encoding, check_text, encoding_of
from batcher.manifest.parameters import NO_DEFAULTS, Defaults
from batcher.manifest.rows import read_rows
from batcher.manifest.source import Source, open_source
from batcher.manifest.text import line_blocks
from batcher.model import InvalidRow, Row

HEAD_BYTES = 16
"""Enough to know a byte-order mark and the kinds of files that are no text."""


class Manifest:
    """One manifest, opened; made by :func:`open_manifest`. A context manager that closes it.

    Attributes:
        source: what the user named; ``-`` for standard input.
        columns: the manifest's own columns, those that mean nothing to us, in the order of the header.
    """

    def __init__(
        self,
        source: str,
        opened: Source,
        encoding: Encoding,
        table: Delimited,
        columns: Columns,
        defaults: Defaults,
    ) -> None:
        self.source = source
        self.columns = columns.own_names
        self._opened = opened
        self._encoding = encoding
        self._all_columns = columns
        self._rows = read_rows(table.records(), columns, defaults)

    def check(self) -> None:
        """Read all bytes of a local file once and make sure that they are text; a stream is let through.

        Raises:
            ManifestError: they are not, or cannot be read.
        """
        if self._opened.checkable:
            check_text(self._opened, self._encoding)

    def __iter__(self) -> Iterator[Row | InvalidRow]:
        """The rows, once: iterating again goes on where the last time stopped.

        Raises:
            ManifestError: the rest cannot be used.
        """
        return self._rows

    def cells_of(self, row: InvalidRow) -> dict[str, str]:
        """An invalid row's cells by column: known columns under our names for them, its own under theirs."""
        names = list(self._all_columns.names)
        for known, position in self._all_columns.known.items():
            names[position] = known.value
        return dict(zip(names, row.cells, strict=False))

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_manifest(
    source: str,
    *,
    defaults: Defaults = NO_DEFAULTS,
    encoding: str | None = None,
    stdin: BinaryIO | None = None,
) -> Manifest:
    """Open a file, or standard input for ``-``, and read its header.

    ``encoding`` is as the user named it; ``stdin`` stands in for the process's own.

    Raises:
        ManifestError: nothing there, not readable, empty, not text, or without a usable header.
    """
    opened = open_source(source, stdin)
    try:
        return _read_head(source, opened, encoding, defaults)
    except BaseException:
        opened.close()
        raise


def _read_head(source: str, opened: Source, wanted: str | None, defaults: Defaults) -> Manifest:
    head = _head(opened)
    encoding = encoding_of(opened.name, head, wanted)
    try:
        table = Delimited(opened.name, line_blocks(opened.name, head, opened.read, encoding))
        columns = read_columns(opened.name, *table.header)
    except ManifestError:
        if opened.checkable:
            check_text(opened, encoding)  # says more when it is the encoding that is at fault
        raise
    return Manifest(source, opened, encoding, table, columns, defaults)


def _head(opened: Source) -> bytes:
    """The first bytes; a pipe may hand them over one by one."""
    head = b""
    while len(head) < HEAD_BYTES and (more := opened.read()):
        head += more
    return head
