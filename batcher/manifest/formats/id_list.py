"""Plain text as a table: one file id a line, without header, cells or quotes.

A line is the id, commas and blanks inside it included; only its end and surrounding blanks are removed. A
first line that looks like another format is refused, since every line would become a request.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from batcher.errors import ManifestError
from batcher.manifest.columns import BLANKS, Columns, KnownColumn, is_markup, meaning, names_file_id
from batcher.manifest.display import shown
from batcher.manifest.formats.csv_table import DELIMITERS
from batcher.manifest.formats.cut_end import cut_fault, cut_warnings, is_unfinished
from batcher.manifest.formats.table import PASSED_OVER, NothingInside, Record
from batcher.model.submission import CountedBy

_COLUMNS = Columns((KnownColumn.FILE_ID.value,), {KnownColumn.FILE_ID: 0}, (), marked=False)


class Listing:
    """A list of ids, read once."""

    columns = _COLUMNS
    passed_over = PASSED_OVER
    counted_by = CountedBy.LINE

    def __init__(self, name: str, blocks: Iterator[list[str]], *, requested: bool) -> None:
        """Read up to the first line that is not blank.

        Args:
            name: the name of the manifest in messages.
            blocks: its lines, with their ends.
            requested: ``--format text`` was given; otherwise only the name announces text.

        Raises:
            ManifestError: there is no such line, or it is not an id.
        """
        self._name = name
        self.remarks: list[str] = []
        self._begun: list[list[str]] = []
        number = 0
        for block in blocks:
            self._begun.append(block)
            for number, line in enumerate(block, number + 1):  # noqa: B020 - counting continues
                if text := line.strip(BLANKS + "\r\n"):
                    _refuse_other_formats(CountedBy.LINE.place(name, number), text, requested=requested)
                    self._blocks = blocks
                    return
        raise NothingInside(f"{name}: is empty")

    def records(self) -> Iterator[Record]:
        """Every line."""
        number, before = 0, ""
        for block in chain(self._begun, self._blocks):
            last = block.pop() if is_unfinished(block[-1]) else None
            for number, line in enumerate(block, number + 1):  # noqa: B020 - counting continues
                yield number, [line.rstrip("\r\n")], None
            before = block[-1] if block else before
            if last is not None:
                number += 1
                yield self._unfinished(number, [last], [before])

    def _unfinished(self, number: int, cells: list[str], before: list[str]) -> Record:
        """Return the last line, which has no end: a fault, or a record and a warning."""
        fault = cut_fault(_COLUMNS, cells, before)
        if fault is None and cells[0].strip():
            self.remarks += cut_warnings(self._name, _COLUMNS, number)
        return number, cells, fault


def _refuse_other_formats(where: str, text: str, *, requested: bool) -> None:
    """Refuse a first line that is a header, or the beginning of JSON when only the name announces text."""
    header = meaning(text) is KnownColumn.FILE_ID
    if not requested:
        header = header or any(names_file_id(text.split(delimiter)) for delimiter in DELIMITERS)
        if is_markup(text):
            raise ManifestError(
                f"{where}: {shown(text, limit=30)} is a web page or XML, as a server sends for an error. "
                "Fetch the list again"
            )
        if text.startswith(('{"', "[{", '["', "%7B")):
            raise ManifestError(
                f"{where}: {shown(text, limit=30)} looks like JSON, and a list is read as one file id a "
                "line. Give --format jsonl or json if it is, or --format text if these are ids"
            )
    if header:
        raise ManifestError(
            f"{where}: {shown(text)} is a header, and text has none: every line is a file id. "
            "Give --format csv, or remove the line"
        )
