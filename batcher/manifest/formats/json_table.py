"""JSON manifests as a table: one set of columns, although every line may have other names.

Used by :mod:`batcher.manifest.reader` for both JSON formats. The columns are the names that the first lines
use. Other names of later lines are kept together in one column ``more``: an export has that column from the
beginning, and a stream need not be read to its end first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from json.encoder import encode_basestring

from batcher.errors import ManifestError
from batcher.manifest.columns import Columns, KnownColumn, distinct_names, meaning, no_file_id
from batcher.manifest.display import shown
from batcher.manifest.formats.json_stream import JsonValue
from batcher.manifest.formats.json_wrapper import UnclearArrays, names_id
from batcher.manifest.formats.table import NothingInside, Record, RecordFault, whole
from batcher.manifest.formats.vendor_json import Cells, Item, Recordings
from batcher.manifest.rounded_ids import HEAD_ROWS
from batcher.model.submission import CountedBy

HEAD_CHARACTERS = 1 << 23
"""The limit of text held from the first lines while their names are gathered."""
LATE = "more"
"""The column for names that only later lines have; ``more_2`` when the manifest has a column ``more``."""

_KNOWN = tuple(KnownColumn)


class Objects:
    """The table of a JSON manifest, read once."""

    counted_by = CountedBy.LINE
    remarks = ()

    def __init__(self, name: str, found: Iterator[JsonValue]) -> None:
        """Read the first lines and gather their names.

        Raises:
            ManifestError: it is empty, or holds nothing that can be a row, or no name for the file id.
        """
        self._recordings = Recordings()
        self._any_found = False
        self._items = self._all_items(name, found)
        self._head, self._ended = self._first_items()
        if not self._any_found:
            raise NothingInside(f"{name}: is empty")
        self._refuse_unusable(name)
        self.columns, self._places = _columns_of(self._head, more=not self._ended)

    @property
    def passed_over(self) -> Mapping[str, int]:
        """Callbacks without a new recording, by name, with their number."""
        return self._recordings.passed_over

    def records(self) -> Iterator[Record]:
        """Every recording; a value that cannot be a recording is a fault."""
        width = len(self.columns.names)
        for line, pairs, fault in chain(_taken(self._head), self._items):
            cells, late = [""] * width, []
            for name, text in pairs:
                place = self._places.get(name)
                if place is None:
                    place = self._place_late(name)
                if place < 0:
                    late.append((name, text))
                elif text and place < len(_KNOWN) and cells[place]:
                    fault = fault or _both(self.columns.names[place], name, pairs)
                else:
                    cells[place] = text or cells[place]
            if late:
                cells[-1] = _together(late)
            yield line, cells, fault

    def _all_items(self, name: str, found: Iterator[JsonValue]) -> Iterator[Item]:
        for value in found:
            self._any_found = True
            try:
                yield from self._recordings.items(value)
            except UnclearArrays as exc:
                raise ManifestError(f"{CountedBy.LINE.place(name, exc.line)}: {exc}") from exc

    def _first_items(self) -> tuple[list[Item], bool]:
        """Return the items that give the columns, and whether the manifest ends with them."""
        head: list[Item] = []
        characters = 0
        for item in self._items:
            head.append(item)
            characters += sum(len(text) for _, text in item.cells)
            if len(head) >= HEAD_ROWS or characters > HEAD_CHARACTERS:
                return head, False
        return head, True

    def _refuse_unusable(self, name: str) -> None:
        """Refuse a manifest that is not JSON, and objects without an id."""
        good = [item for item in self._head if not item.fault or item.fault.column != "row"]
        if self._head and not good:
            line, _, fault = self._head[0]
            reason = fault.reason if fault else ""
            where = CountedBy.LINE.place(name, line)
            raise ManifestError(
                f"{where}: {reason}. Nothing in it can be a row. --format jsonl reads one JSON value a line, "
                "--format json values over several lines, --format csv and text read other files"
            )
        names = dict.fromkeys(name for item in good for name, _ in item.cells)
        if names and not any(map(names_id, names)) and not any(item.fault for item in good):
            where = CountedBy.LINE.place(name, good[0].line)
            raise ManifestError(f"{where}: {no_file_id(tuple(names))}")

    def _place_late(self, name: str) -> int:
        """Return the position of a name that the first lines did not have; below 0 for ``more``."""
        known = meaning(name)
        place = -1 if known is None else self.columns.known[known]
        if len(self._places) < 1000:
            self._places[name] = place
        return place


def _taken(items: list[Item]) -> Iterator[Item]:
    """Yield items and do not hold those that were taken."""
    items.reverse()
    while items:
        yield items.pop()


def _columns_of(head: list[Item], *, more: bool) -> tuple[Columns, dict[str, int]]:
    """Return the columns of the first items, and the position of each name.

    All known columns are included: one that only later lines have must take effect. A known column has the
    manifest's name for it, if there is exactly one.
    """
    names = dict.fromkeys(name for item in head for name, _ in item.cells)
    spelled: dict[KnownColumn, list[str]] = {known: [] for known in _KNOWN}
    own: list[str] = []
    for name in names:
        known = meaning(name)
        (own if known is None else spelled[known]).append(name)
    called = [spelled[known][0] if len(spelled[known]) == 1 else known.value for known in _KNOWN]
    places = {name: place for place, known in enumerate(_KNOWN) for name in spelled[known]}
    places |= {name: place for place, name in enumerate(own, len(_KNOWN))}
    all_names = distinct_names([*called, *own, *([LATE] if more else [])])
    known_places = {known: place for place, known in enumerate(_KNOWN)}
    return Columns(all_names, known_places, tuple(range(len(_KNOWN), len(all_names)))), places


def _together(cells: Cells) -> str:
    """Join cells into one JSON object, in the order of their names."""
    members = (f"{encode_basestring(name)}: {encode_basestring(text)}" for name, text in sorted(cells))
    return "{" + ", ".join(members) + "}"


def _both(first: str, second: str, pairs: Cells) -> RecordFault:
    """The fault of an object with two names for one column."""
    means = meaning(second)
    also = next((name for name, text in pairs if text and name != second and meaning(name) is means), first)
    return whole(f"{shown(also)} and {shown(second)} both mean {means}; leave one of them out")
