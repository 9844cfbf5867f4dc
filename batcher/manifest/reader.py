"""One manifest, opened: bytes, lines, cells and rows put together.

The only module that knows all steps and all formats. Opening reads as far as the header; iterating reads the
rest once, as a stream, and holds a block of it at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import BinaryIO, Self

from batcher.errors import ManifestError
from batcher.manifest.columns import near_misses
from batcher.manifest.display import shown
from batcher.manifest.formats.csv_table import Delimited
from batcher.manifest.formats.detect import ManifestFormat, format_of, name_says, unpacked
from batcher.manifest.formats.id_list import Listing
from batcher.manifest.formats.json_stream import MAX_VALUE, Documents, lines_of
from batcher.manifest.formats.json_table import Objects
from batcher.manifest.formats.parquet import Parquet
from batcher.manifest.formats.table import Table
from batcher.manifest.formats.xlsx import Worksheet
from batcher.manifest.parameters import NO_DEFAULTS, Defaults
from batcher.manifest.rows import read_rows
from batcher.manifest.sources.local import Source, open_local
from batcher.manifest.sources.remote import is_url, local_path, open_remote, redacted
from batcher.manifest.text.lines import HEAD_BYTES, Text
from batcher.model.submission import CountedBy, InvalidRow, Row

COLUMNS_LOOKED_AT = 200
"""Of a manifest's own columns, so many are looked at for misspelt names."""
FIRST_MISSES = 5
"""So many of those are named."""


class Manifest:
    """One manifest, opened; made by :func:`open_manifest`. A context manager that closes it.

    Attributes:
        source: what the user named, a URL without its secrets; ``-`` for standard input.
        columns: the manifest's own columns, those that mean nothing to us, in the order of the header.
    """

    def __init__(
        self, source: str, opened: Source, table: Table, check: Callable[[], None], defaults: Defaults
    ) -> None:
        self.source = source
        self.columns = table.columns.own_names
        self.check = check
        """Read all bytes of a local file of text once and make sure that they are text; anything else is let
        through. Raises ManifestError: they are not, or cannot be read."""
        self._opened = opened
        self._table = table
        self._rows = read_rows(table.records(), table.columns, defaults)

    @property
    def counted_by(self) -> CountedBy:
        """What the numbers of its rows count."""
        return self._table.counted_by

    @property
    def passed_over(self) -> Mapping[str, int]:
        """What was met so far that is no row and no fault, by name, with how many of it."""
        return self._table.passed_over

    @property
    def warnings(self) -> list[str]:
        """What a person should hear of its columns."""
        misses = near_misses(self.columns[:COLUMNS_LOOKED_AT])
        lines = [
            f"{self.source}: the column {shown(name)} has no effect; if {known} is meant, correct its name"
            for name, known in misses[:FIRST_MISSES]
        ]
        if (more := len(misses) - FIRST_MISSES) > 0:
            lines.append(f"{self.source}: {more:,} more columns are named almost like one that has an effect")
        return lines

    @property
    def again(self) -> bool:
        """Whether it can be opened once more, and be the same."""
        return self._opened.checkable

    def __iter__(self) -> Iterator[Row | InvalidRow]:
        """The rows, once: iterating again goes on where the last time stopped.

        Raises:
            ManifestError: the rest cannot be used.
        """
        return self._rows

    def cells_of(self, row: InvalidRow) -> dict[str, str]:
        """An invalid row's cells by column: known columns under our names for them, its own under theirs."""
        names = list(self._table.columns.names)
        for known, position in self._table.columns.known.items():
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
    format_: str | None = None,
    sheet: str | None = None,
    stdin: BinaryIO | None = None,
) -> Manifest:
    """Open a file, a URL, or standard input for ``-``, and read its header.

    ``encoding``, ``format_`` and ``sheet`` are as the user named them; ``stdin`` stands in for the
    process's own.

    Raises:
        ManifestError: nothing there, not readable, empty, not of its format, or without a usable header.
    """
    source = local_path(source) or source
    remote = is_url(source)
    opened = open_remote(source) if remote else open_local(source, stdin)
    try:
        wanted = ManifestFormat(format_) if format_ else None
        says = name_says(redacted(source))
        opened = unpacked(opened, says, trusted=remote or source == "-" or wanted is not None)
        kind = format_of(opened.name, opened.peek(HEAD_BYTES), wanted, says.format)
        table, check = _table(opened, kind, encoding, sheet, asked_for=wanted is not None)
        return Manifest(redacted(source), opened, table, check, defaults)
    except BaseException:
        opened.close()
        raise


def _table(
    opened: Source, kind: ManifestFormat, encoding: str | None, sheet: str | None, *, asked_for: bool
) -> tuple[Table, Callable[[], None]]:
    """The table of a format, and the check of all its bytes."""
    match kind:
        case ManifestFormat.PARQUET:
            return Parquet(opened.name, opened.seekable()), _nothing_to_check
        case ManifestFormat.XLSX:
            return Worksheet(opened.name, opened.seekable(), sheet), _nothing_to_check
    text = Text(opened, encoding)
    try:
        return _text_table(text, kind, asked_for=asked_for), text.check
    except ManifestError:
        text.check()  # says more when it is the encoding that is at fault
        raise


def _text_table(text: Text, kind: ManifestFormat, *, asked_for: bool) -> Table:
    match kind:
        case ManifestFormat.TEXT:
            return Listing(text.name, text.lines(), asked_for=asked_for)
        case ManifestFormat.JSONL:
            return Objects(text.name, lines_of(text.lines(MAX_VALUE)))
        case ManifestFormat.JSON:
            return Objects(text.name, Documents(text.name, text.blocks()).values())
        case _:
            return Delimited(text.name, text.lines())


def _nothing_to_check() -> None:
    """Formats with an end of their own, and checksums, are checked as they are read."""
