"""CSV as a table: lines of comma, semicolon or tab separated text in, a header and records of cells out.

One of the formats behind :class:`~batcher.manifest.formats.table.Table`; has no rules about the content of a
cell. The standard library's reader refuses cells above a limit that the whole process shares. The limit is
neither changed nor relied on: a record that the reader refuses is split here a second time.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import NamedTuple, Protocol

from batcher.errors import ManifestError
from batcher.manifest.columns import BLANKS, names_file_id, read_columns
from batcher.manifest.display import shown
from batcher.manifest.formats.cut_end import cut_fault, cut_warnings, is_unfinished
from batcher.manifest.formats.table import PASSED_OVER, NothingInside, Record, RecordFault, whole
from batcher.manifest.text.lines import MAX_LINE, split_lines
from batcher.model.submission import CountedBy

DELIMITERS = (",", ";", "\t", "|")

_NOTHING = BLANKS + '\r\n,;|"\ufeff'
"""A line of only these characters is blank."""

_SEPARATOR = re.compile(r'"?sep=(?:(.)(?:\1|[,;\t])*)?"?[,;\t]*[\r\n]*', re.IGNORECASE)
"""A line by which spreadsheets are told the delimiter, before the header."""
_TYPE_NAME = re.compile(r'"?#TYPE\b')
"""A line by which PowerShell names the type of the objects, before the header."""


class _Reader(Protocol):
    """The object that ``csv.reader`` returns."""

    @property
    def line_num(self) -> int:
        """The number of lines read so far."""

    def __iter__(self) -> Iterator[list[str]]: ...


class _Trial(NamedTuple):
    """A header as read with one delimiter."""

    delimiter: str
    cells: tuple[str, ...]
    lines: int
    """The number of lines it covers."""
    cut_off: bool
    """A quote is still open where the lines read so far end."""


class Delimited:
    """A table in delimited text, read once.

    Lines are kept until the record they belong to is complete: when a stray quote has swallowed
    the lines after it, only the line with the quote is lost and the others are read again.
    """

    passed_over = PASSED_OVER
    counted_by = CountedBy.LINE

    def __init__(self, name: str, blocks: Iterator[list[str]]) -> None:
        """Read up to the end of the header.

        Raises:
            ManifestError: it is empty, or its first row cannot be read or is not a header.
        """
        self._name = name
        self._blocks = blocks
        self._kept: deque[tuple[int, list[str]]] = deque()
        self._next_line = 1
        self._line = 1
        self._ended = False
        self.remarks: list[str] = []
        self._unfinished = 0
        """The number of a last line without an end."""
        self._given: str | None = None
        """The delimiter that the file names."""
        trial = self._read_header()
        self.delimiter = trial.delimiter
        self.columns = read_columns(CountedBy.LINE.place(name, self._line), trial.cells)
        self._line += trial.lines

    def records(self) -> Iterator[Record]:
        """All records after the header. A blank line is a record without cells.

        Raises:
            ManifestError: a quote never closes, a row is too long, or the lines cannot be read.
        """
        reader, before = self._reader(), self._line - 1
        previous: list[str] = []
        while True:
            try:
                for cells in reader:
                    fault = None
                    if self._unfinished and before + reader.line_num == self._unfinished:
                        fault = self._cut_fault(cells, previous)
                    yield self._line, cells, fault
                    previous = cells
                    self._line = before + reader.line_num + 1
                return
            except csv.Error:
                begun, last, pulled = self._line, before + reader.line_num, self._next_line
            cells, lines, fault = self._refused_record(begun)
            if begun + lines - 1 == self._unfinished:
                fault = fault or self._cut_fault(cells, previous)
            yield begun, cells, fault
            previous, self._line = cells, begun + lines
            if self._line != last + 1 or self._next_line != pulled:  # the reader is at another line
                reader, before = self._reader(), self._line - 1

    def _cut_fault(self, cells: list[str], before: list[str]) -> RecordFault | None:
        """Return why the last record, which has no line end, cannot be a row; else note a warning."""
        fault = cut_fault(self.columns, cells, before)
        if fault is None and any(map(str.strip, cells)):
            self.remarks += cut_warnings(self._name, self.columns, self._unfinished)
        return fault

    def _refused_record(self, begun: int) -> tuple[list[str], int, RecordFault | None]:
        """Return the record that the reader refused, and the number of lines it covers.

        A cell is above the reader's limit, or the quotes do not match: then the record is its first line.

        Raises:
            ManifestError: a quote never closes.
        """
        first = self._line_kept(begun)
        found = _first_record(first, self.delimiter)
        while found is None:
            found = _first_record("".join(self._lines_kept()), self.delimiter)
            if found is None and self._pull() is None:
                raise self._never_closes()
        if found.cells is None:
            fault = _quote_fault(begun, begun + found.lines - 1, self._column_at(found.cut_cell))
            return first.rstrip("\r\n").split(self.delimiter), 1, fault
        return found.cells, found.lines, None

    def _column_at(self, position: int) -> str:
        """Return the name of a column; empty beyond the header."""
        return self.columns.names[position] if position < len(self.columns.names) else ""

    def _reader(self) -> _Reader:
        """Return a reader of everything from the present line on, beginning with the lines kept."""
        lines = chain.from_iterable(self._batches(self._lines_kept()))
        return csv.reader(lines, delimiter=self.delimiter, strict=True)

    def _batches(self, first: list[str]) -> Iterator[list[str]]:
        yield first
        while (block := self._pull()) is not None:
            yield block

    def _pull(self) -> list[str] | None:
        """Return the next lines and keep them; drop the lines before the present record."""
        while self._kept and self._kept[0][0] + len(self._kept[0][1]) <= self._line:
            self._kept.popleft()
        if sum(map(len, self._lines_kept())) > MAX_LINE:
            raise self._open_too_long()
        block = next(self._blocks, None)
        if block is None:
            self._ended = True
            return None
        self._kept.append((self._next_line, block))
        self._next_line += len(block)
        if is_unfinished(block[-1]):
            self._unfinished = self._next_line - 1
        return block

    def _lines_kept(self) -> list[str]:
        """Return the lines kept, from the present one on."""
        return [line for first, block in self._kept for line in block[max(0, self._line - first) :]]

    def _line_kept(self, number: int) -> str:
        return next(block[number - first] for first, block in self._kept if number < first + len(block))

    def _never_closes(self) -> ManifestError:
        """Return the error for a quote that is still open where the file ends."""
        return ManifestError(
            f'{self._open_quote()}: a quote (") opens here and never closes, so the rows after it '
            "cannot be separated. Close it, or write it twice inside a quoted value"
        )

    def _open_too_long(self) -> ManifestError:
        """Return the error for a row that has not ended at the limit; whether it ends later is not known."""
        where = self._open_quote()
        return ManifestError(
            f'{where}: a quote (") opens here and does not close within {MAX_LINE:,} characters, '
            "the limit of a row. Close it, or write it twice inside a quoted value. If the value is that "
            "long, shorten it, or write the rows as JSON lines (.jsonl)"
        )

    def _open_quote(self) -> str:
        """Return the place of an open quote: the last one that is not part of a pair."""
        lines = enumerate(self._lines_kept(), self._line)
        alone = [number for number, line in lines if '"' in line.replace('""', "")]
        return CountedBy.LINE.place(self._name, alone[-1] if alone else self._line)

    # -- the header ----------------------------------------------------------------------------

    def _read_header(self) -> _Trial:
        """Return the first row that is not blank, read with the delimiter that makes a header of it."""
        self._skip_to_content()
        while True:
            text = "".join(self._lines_kept())
            trials = [_try(text, delimiter) for delimiter in self._given or DELIMITERS]
            if found := [trial for trial in trials if names_file_id(trial.cells)]:
                return max(found, key=lambda trial: len(trial.cells))  # the first of equals: comma
            cut_off = any(trial.cut_off for trial in trials)
            if not cut_off or self._pull() is None:
                break
        if cut_off:
            raise self._never_closes()
        best = max(trials, key=lambda trial: len(trial.cells))
        if not best.cells:
            where = CountedBy.LINE.place(self._name, self._line)
            raise ManifestError(f"{where}: the quotes of the header do not match. Correct them")
        return best

    def _skip_to_content(self) -> None:
        """Go to the header: past blank lines, and lines about the file that some programs write first."""
        while True:
            for line in self._lines_kept():
                if found := _SEPARATOR.fullmatch(line):
                    self._given = found[1]
                elif line.strip(_NOTHING) and not _TYPE_NAME.match(line):
                    return
                self._line += 1
            if self._pull() is None:
                raise NothingInside(f"{self._name}: is empty")


def _try(text: str, delimiter: str) -> _Trial:
    """Read the first record of a text; no cells when its quotes do not match."""
    found = _first_record(text, delimiter)
    if found is None:
        return _Trial(delimiter, (), 0, cut_off=True)
    return _Trial(delimiter, tuple(found.cells or ()), found.lines, cut_off=False)


class _FirstRecord(NamedTuple):
    """The first record of a text."""

    cells: list[str] | None
    """None when text follows a closing quote."""
    lines: int
    """The number of lines it covers; up to that closing quote, if there is one."""
    cut_cell: int = 0
    """The position of the cell with that closing quote."""


def _first_record(text: str, delimiter: str) -> _FirstRecord | None:
    """Split the first record of a text, as the standard library's reader does when it is strict.

    None when a quote is still open where the text ends.
    """
    cell_at, cells, at, end = _cell(delimiter).match, list[str](), 0, delimiter
    while end == delimiter:
        found = cell_at(text, at)
        if found is None:
            closed = _CLOSED.match(text, at)
            lines = len(split_lines(text[: closed.end()])) if closed else 0
            return _FirstRecord(None, lines, len(cells)) if closed else None
        quoted, plain, end = found.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        at = found.end()
    return _FirstRecord(cells, len(split_lines(text[:at])))


_CLOSED = re.compile('"[^"]*+(?:""[^"]*+)*+"')
"""A quoted value with its closing quote."""


@lru_cache
def _cell(delimiter: str) -> re.Pattern[str]:
    """A cell, quoted or plain, and what ends it: a delimiter, a line end or the end of the text."""
    delimiter = re.escape(delimiter)
    return re.compile(rf'(?:"([^"]*+(?:""[^"]*+)*+)"|(?!")([^{delimiter}\r\n]*+))({delimiter}|\r\n|\r|\n|\Z)')


def _quote_fault(begun: int, last: int, column: str) -> RecordFault:
    """The fault of a record that the reader refused, in a column or, without a name, beyond all columns."""
    where = "" if last == begun else f" on {CountedBy.LINE.numbered(last)}"
    where += f" in the column {shown(column, limit=30)}" if column else ""
    return whole(
        f"its quotes do not match: text follows the closing quote{where}. "
        "Inside a quoted value a quote is written twice"
    )
