"""A file for libraries that write a format, and the base of the tables that are written through it.

Used by :mod:`~batcher.report.export.parquet` and :mod:`~batcher.report.export.xlsx`. Both libraries write
the end of a file when their object is deleted, even after an error. A sink that was given up drops that, so
that no incomplete file looks complete.
"""

from __future__ import annotations

from types import TracebackType
from typing import BinaryIO, Self


class Sink:
    """A file that reports its position even if it is a pipe."""

    def __init__(self, file: BinaryIO) -> None:
        self.closed = False
        self._file = file
        self._written = 0

    def write(self, data: bytes) -> int:
        """Append bytes."""
        if not self.closed:
            self._file.write(data)
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self._written

    def flush(self) -> None:
        """Flush the file."""
        if not self.closed:
            self._file.flush()

    def close(self) -> None:
        """Do nothing: the owner of the file closes it."""

    def give_up(self) -> None:
        """Drop everything that is written from now on."""
        self.closed = True


class SinkTable:
    """A table written through a sink.

    Use as a context manager: a table that is not closed by then is given up.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._sink = Sink(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sink.give_up()
