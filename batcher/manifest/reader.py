"""Opening of a manifest: bytes, lines, cells and rows put together.

The only module that depends on all steps and all formats; everything else opens manifests through it. Opening
reads up to the header; iterating reads the rest once, as a stream, and holds a block of it at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import BinaryIO, Self

from batcher.errors import ManifestError
from batcher.manifest.columns import near_misses
from batcher.manifest.display import shown
from batcher.manifest.formats.csv_table import Delimited
from batcher.manifest.formats.detect import (
    WORKBOOKS,
    ManifestFormat,
    format_named,
    format_of,
    unpacked,
)
from batcher.manifest.formats.id_list import Listing
from batcher.manifest.formats.json_stream import MAX_VALUE, Documents, lines_of
from batcher.manifest.formats.json_table import Objects
from batcher.manifest.formats.parquet import Parquet
from batcher.manifest.formats.table import Empty, NoRecordings, NothingInside, Table
from batcher.manifest.formats.workbook.worksheet import Worksheet
from batcher.manifest.parameters import NO_DEFAULTS, Defaults
from batcher.manifest.rows import read_rows
from batcher.manifest.sources.local import Source, open_local
from batcher.manifest.sources.remote import is_url, local_path, open_remote, redacted
from batcher.manifest.text.lines import HEAD_BYTES, Text
from batcher.model.submission import CountedBy, InvalidRow, Row

CHECKED_COLUMNS = 200
"""The number of a manifest's own columns that are checked for misspelt names."""
_MARKS_AND_BLANKS = b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"
"""Bytes that are no content: byte-order marks, blanks and line ends, also in UTF-16."""
_WITHOUT_HEADER = (ManifestFormat.JSONL, ManifestFormat.TEXT)
"""Formats in which no recordings are no bytes. A stream of another format without a byte was cut off."""
NAMED_MISSES = 5
"""The number of possibly misspelt columns that are named."""


class Manifest:
    """One manifest, opened; made by :func:`open_manifest`. A context manager that closes it.

    Attributes:
        source: the name that the user gave, a URL without its secrets; ``-`` for standard input.
        columns: the manifest's own columns, which have no effect, in the order of the header.
    """

    def __init__(
        self, source: str, opened: Source, table: Table, check: Callable[[], None], defaults: Defaults
    ) -> None:
        self.source = source
        self.columns = table.columns.own_names
        self.check = check
        """Check that all bytes of a local file of text are text; any other source passes. Raises
        ManifestError: they are not, or cannot be read."""
        self._opened = opened
        self._table = table
        self._remarks_at_start = len(table.remarks)
        self._rows = self._watched(read_rows(table.records(), table.columns, defaults))

    @property
    def counted_by(self) -> CountedBy:
        """Whether rows are numbered by line or by row."""
        return self._table.counted_by

    @property
    def passed_over(self) -> Mapping[str, int]:
        """Records so far that are neither a row nor a fault, by name, with their number."""
        return self._table.passed_over

    @property
    def warnings(self) -> list[str]:
        """Warnings about its columns, and what the user may not see in it."""
        misses = near_misses(self.columns[:CHECKED_COLUMNS])
        lines = [
            f"{self.source}: the column {shown(name)} has no effect; if {known} is meant, correct its name"
            for name, known in misses[:NAMED_MISSES]
        ]
        if (more := len(misses) - NAMED_MISSES) > 0:
            lines.append(f"{self.source}: {more:,} more columns are named almost like one that has an effect")
        return [*lines, *self._table.remarks[: self._remarks_at_start]]

    @property
    def late_warnings(self) -> Sequence[str]:
        """Warnings that only reading its rows has shown; complete when all have been read."""
        return self._table.remarks[self._remarks_at_start :]

    @property
    def again(self) -> bool:
        """Whether it can be opened a second time with the same content."""
        return self._opened.checkable

    def __iter__(self) -> Iterator[Row | InvalidRow]:
        """The rows, once: iterating again continues where the last iteration stopped.

        Raises:
            ManifestError: the rest cannot be used.
        """
        return self._rows

    def _watched(self, rows: Iterator[Row | InvalidRow]) -> Generator[Row | InvalidRow]:
        """Yield the rows; a file that changes while it is read is an error at its end, or at any fault."""
        try:
            yield from rows
        except ManifestError as exc:
            if self._opened.has_changed():
                raise self._changed() from exc
            raise
        if self._opened.has_changed():
            raise self._changed()

    def _changed(self) -> ManifestError:
        return ManifestError(
            f"{self.source}: changed while it was read, so that its rows may be of two files. Its load stays "
            "unfinished; load it again once it is complete"
        )

    def cells_of(self, row: InvalidRow) -> dict[str, str]:
        """Return an invalid row's cells by column: known columns by our names, its own by the manifest's."""
        names = list(self._table.columns.names)
        for known, position in self._table.columns.known.items():
            names[position] = known.value
        return dict(zip(names, row.cells, strict=False))

    def close(self) -> None:
        """Close the file and free what is held of it; standard input stays open."""
        with contextlib.suppress(ValueError):  # a thread reads it at this moment
            self._rows.close()
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
    format_: str | None = None,
    sheet: str | None = None,
    stdin: BinaryIO | None = None,
) -> Manifest:
    """Open a file, a URL, or standard input for ``-``, and read its header.

    ``encoding``, ``format_`` and ``sheet`` are as the user named them; ``stdin`` replaces standard input of
    the process.

    Raises:
        ManifestError: it is missing, not readable, empty, not of its format, or without a usable header.
    """
    source = local_path(source) or source
    remote = is_url(source)
    opened = open_remote(source) if remote else open_local(source, stdin)
    try:
        requested = ManifestFormat(format_) if format_ else None
        named = format_named(redacted(source))
        opened = unpacked(opened, named, trusted=remote or source == "-" or requested is not None)
        kind = format_of(opened, requested, named.format)
        table, check = _table(opened, kind, encoding, sheet, requested=requested is not None)
        return Manifest(redacted(source), opened, table, check, defaults)
    except BaseException:
        opened.close()
        raise


def _table(
    opened: Source, kind: ManifestFormat, encoding: str | None, sheet: str | None, *, requested: bool
) -> tuple[Table, Callable[[], None]]:
    """Return the table of a format, and the check of all its bytes."""
    if not opened.peek(1):
        if not opened.checkable and kind not in _WITHOUT_HEADER:
            raise ManifestError(
                f"{opened.name}: is empty: nothing arrived, not even a header. The program that writes it "
                "may have failed"
            )
        return Empty(opened.name), _nothing_to_check
    blank = not opened.peek(HEAD_BYTES).strip(_MARKS_AND_BLANKS)
    if kind is ManifestFormat.PARQUET:
        return Parquet(opened.name, opened.seekable()), _nothing_to_check
    if kind in WORKBOOKS:
        try:
            return Worksheet(opened.name, opened.seekable(), sheet), _nothing_to_check
        except NothingInside:
            return Empty(opened.name), _nothing_to_check
    text = Text(opened, encoding)
    try:
        return _text_table(text, kind, requested=requested), text.check
    except NothingInside:
        return NoRecordings() if kind is ManifestFormat.JSON and not blank else Empty(opened.name), text.check
    except ManifestError:
        text.check()  # gives the better message when the encoding is at fault
        raise


def _text_table(text: Text, kind: ManifestFormat, *, requested: bool) -> Table:
    match kind:
        case ManifestFormat.TEXT:
            return Listing(text.name, text.lines(), requested=requested)
        case ManifestFormat.JSONL:
            return Objects(text.name, lines_of(text.lines(MAX_VALUE)))
        case ManifestFormat.JSON:
            return Objects(text.name, Documents(text.name, text.blocks()).values())
        case _:
            return Delimited(text.name, text.lines())


def _nothing_to_check() -> None:
    """The check of a format with checksums of its own: it is checked as it is read."""
