"""The rules that turn the cells of a record into a row, or into an invalid row.

The last step of reading, the same for every format; called by :mod:`batcher.manifest.reader`. A row that
breaks a rule becomes an :class:`InvalidRow` with the column and the reason; nothing here raises for a row,
and no row is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from json.encoder import encode_basestring
from operator import itemgetter

from batcher.manifest.columns import BLANKS, PARAMETERS, Columns, KnownColumn, meaning, names_file_id
from batcher.manifest.display import shown
from batcher.manifest.formats.table import NEVER_CALCULATED, Record
from batcher.manifest.id_rules import MAX_ID_BYTES, id_fault
from batcher.manifest.parameters import Defaults, GivenParameters, Unusable, resolve
from batcher.model.submission import WHOLE_ROW, InvalidRow, Parameters, Row

CACHED = 4_096
"""The number of different sets of parameters that are cached; most manifests have a handful."""
CACHED_CHARACTERS = 1_000
"""Longer sets are rare and are not cached."""

_QUOTED_MARK = re.compile(r'="(.*)"', re.DOTALL)

_HEADER = "names columns, as a header does. Files may have been joined; remove the row"

_Resolved = Parameters | InvalidRow
"""The result for one set of parameters; the invalid row is a pattern, without its line and cells."""


def read_rows(records: Iterable[Record], columns: Columns, defaults: Defaults) -> Iterator[Row | InvalidRow]:
    """Judge every record; skip blank records.

    One flat loop on purpose: it runs millions of times, and each call in it costs a tenth of the whole. Only
    what few rows need is a function.
    """
    width = len(columns.names)
    id_at = columns.known[KnownColumn.FILE_ID]
    parameters_of = _Resolver(columns, defaults)
    fixed = parameters_of(()) if not parameters_of.positions else None
    key_of = _picker(parameters_of.positions)
    cache: dict[tuple[str, ...], _Resolved] = {}
    extra_of = _extra_writer(columns)
    cleaned = unmarked if columns.marked else _stripped
    new_row: Callable[[tuple[int, str, Parameters, str | None]], Row] = partial(tuple.__new__, Row)
    for line, cells, fault in records:
        if fault:
            yield InvalidRow(line, *fault, tuple(cells))
            continue
        if len(cells) != width:
            if not any(map(_stripped, cells)):
                continue
            if too_many := _padded(cells, width):
                yield InvalidRow(line, WHOLE_ROW, too_many, tuple(cells))
                continue
        file_id = cells[id_at]
        plain = file_id.isdigit() and file_id[0] != "0" and file_id.isascii() and len(file_id) < MAX_ID_BYTES
        if not plain:
            file_id = cleaned(file_id)
            if not file_id and not any(map(_stripped, cells)):
                continue
        asked = fixed
        if asked is None:
            key = key_of(cells)
            asked = cache.get(key)
            if asked is None:
                asked = _kept(cache, key, parameters_of(key))
        if not plain:
            if "/" not in file_id and file_id and _is_header(file_id, cells, columns):
                yield InvalidRow(line, WHOLE_ROW, _HEADER, tuple(cells))
                continue
            vendor = None if isinstance(asked, InvalidRow) else asked.vendor
            if reason := id_fault(file_id, cells[id_at], vendor):
                lacks = asked.lacks if isinstance(asked, InvalidRow) else ""
                yield InvalidRow(line, columns.names[id_at], reason, tuple(cells), lacks)
                continue
        if isinstance(asked, InvalidRow):
            yield asked._replace(line=line, cells=tuple(cells))
        else:
            yield new_row((line, file_id, asked, extra_of(cells) if extra_of else None))


def _padded(cells: list[str], width: int) -> str:
    """Fill up a record that is too short; return why one that is too long is invalid, empty if it is not."""
    if any(map(_stripped, cells[width:])):
        return _too_many(len(cells), width)
    cells += [""] * (width - len(cells))
    return ""


def _kept(cache: dict[tuple[str, ...], _Resolved], key: tuple[str, ...], asked: _Resolved) -> _Resolved:
    """Remember the parameters of some cells, within bounds."""
    if len(cache) >= CACHED:
        cache.clear()
    if sum(map(len, key)) <= CACHED_CHARACTERS:
        cache[key] = asked
    return asked


class _Resolver:
    """Turns the cells of the parameter columns into parameters."""

    def __init__(self, columns: Columns, defaults: Defaults) -> None:
        self._columns = columns
        self._defaults = defaults.given
        self._present = [known for known in PARAMETERS if known in columns.known]
        self.positions = [columns.known[known] for known in self._present]

    def __call__(self, cells: tuple[str, ...]) -> _Resolved:
        texts = {known.value: unmarked(cell) for known, cell in zip(self._present, cells, strict=True)}
        given = GivenParameters(**texts)
        try:
            return resolve(given, self._defaults)
        except Unusable as exc:
            text = texts.get(exc.column, "")
            reason = f"{shown(text)} {NEVER_CALCULATED}" if text.startswith("=") else exc.reason
            return InvalidRow(0, self._columns.name(exc.column), reason, (), exc.lacks)


def _picker(positions: Sequence[int]) -> Callable[[list[str]], tuple[str, ...]]:
    """Return a function that takes the cells at ``positions``, always as a tuple."""
    if len(positions) == 1:
        only = positions[0]
        return lambda cells: (cells[only],)
    return itemgetter(*positions) if positions else lambda _: ()


def _extra_writer(columns: Columns) -> Callable[[list[str]], str] | None:
    """Return a function that writes a row's own columns as a JSON object.

    A template is filled faster than a dict is encoded. The columns are in the order of their names: two files
    that differ only in the order of columns give the same text.
    """
    if not columns.own:
        return None
    own = sorted(columns.own, key=columns.names.__getitem__)
    names = (encode_basestring(columns.names[position]).replace("%", "%%") for position in own)
    template = "{" + ",".join(f"{name}:%s" for name in names) + "}"
    pick = _picker(own)
    return lambda cells: template % tuple(map(encode_basestring, pick(cells)))


def unmarked(cell: str) -> str:
    """Return a cell of a known column without surrounding blanks and a spreadsheet's marks for text."""
    text = cell.strip(BLANKS)
    if marked := _QUOTED_MARK.fullmatch(text):
        text = marked[1]
    return text.removeprefix("'").strip(BLANKS)


def _stripped(cell: str) -> str:
    return cell.strip(BLANKS)


def _is_header(file_id: str, cells: Sequence[str], columns: Columns) -> bool:
    """Whether a row names columns: files with headers were joined."""
    if meaning(file_id) is not None:
        return True
    return file_id in columns.names and names_file_id(cells)


def _too_many(count: int, width: int) -> str:
    return (
        f"has {count} cells and the header names {width}; a delimiter in a value that is not quoted "
        "may have split it"
    )
