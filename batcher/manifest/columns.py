"""The header of a manifest: the meaning of each column.

Called once per manifest, before its first row; the same for every format. Never reads a row.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from batcher.errors import ManifestError
from batcher.manifest.display import shown

BLANKS = " \t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
"""Characters that may surround a value without belonging to it. A line end belongs to the value."""


class KnownColumn(StrEnum):
    """The columns with a meaning; all others are the manifest's own."""

    FILE_ID = "file_id"
    VENDOR = "vendor"
    TYPE = "type"
    DEFINITION = "definition"
    INTERVAL = "interval"
    OFFSETS = "offsets"


PARAMETERS = tuple(known for known in KnownColumn if known is not KnownColumn.FILE_ID)
"""The known columns that hold parameters, in the order of :class:`GivenParameters`."""

_NAMES = {
    "fileid": KnownColumn.FILE_ID,
    "obsobject": KnownColumn.FILE_ID,
    "key": KnownColumn.FILE_ID,
    "vendor": KnownColumn.VENDOR,
    "cdn": KnownColumn.VENDOR,
    "type": KnownColumn.TYPE,
    "definition": KnownColumn.DEFINITION,
    "template": KnownColumn.DEFINITION,
    "interval": KnownColumn.INTERVAL,
    "offsets": KnownColumn.OFFSETS,
    "exttimeoffsetset": KnownColumn.OFFSETS,
    "exttimeoffsetset[]": KnownColumn.OFFSETS,
}
ALIKE = 0.75
"""The share of letters that a misspelt name has in common with the known one: ``tpye`` and ``type``."""
LETTERS_MORE = 2
"""A name with more letters added or left out is another word: ``profile_id`` is not ``file_id``."""
_IGNORED = str.maketrans("", "", " \t\u00a0\u3000\r\n_-\"'=\ufeff")


@dataclass(frozen=True, slots=True)
class Columns:
    """The positions of all columns in a row."""

    names: tuple[str, ...]
    """Every column as the header names it; unnamed and repeated ones made distinct."""
    known: dict[KnownColumn, int]
    """Positions of the known columns; ``file_id`` is always among them."""
    own: tuple[int, ...]
    """Positions of all others, in the order of the header."""
    marked: bool = True
    """Whether cells may carry a spreadsheet's marks for text; where not, only blanks are removed."""

    @property
    def own_names(self) -> tuple[str, ...]:
        """The names of the columns that are the manifest's own."""
        return tuple(self.names[position] for position in self.own)

    def name(self, known: KnownColumn) -> str:
        """Return the header's name for a column; our own name when the manifest has no such column."""
        position = self.known.get(known)
        return known.value if position is None else self.names[position]


def meaning(cell: str) -> KnownColumn | None:
    """Return the known column that a header cell names; None for a column of the manifest's own."""
    return _NAMES.get(cell.translate(_IGNORED).lower())


def names_file_id(cells: Sequence[str]) -> bool:
    """Whether a row can be a header."""
    return any(meaning(cell) is KnownColumn.FILE_ID for cell in cells)


def read_columns(where: str, cells: Sequence[str]) -> Columns:
    """Read a header; ``where`` names its place in messages.

    Raises:
        ManifestError: it has no column for the file id, or two for the same thing.
    """
    names = distinct_names([cell.strip(BLANKS + "\ufeff\r\n") for cell in cells])
    known: dict[KnownColumn, int] = {}
    for position, cell in enumerate(cells):
        what = meaning(cell)
        if what is None:
            continue
        if what in known:
            first = names[known[what]]
            raise ManifestError(
                f"{where}: the columns {shown(first)!r} and {shown(names[position])!r} both mean {what}. "
                "Rename or remove one of them"
            )
        known[what] = position
    if KnownColumn.FILE_ID not in known:
        raise ManifestError(f"{where}: {no_file_id(names)}")
    return Columns(names, known, tuple(i for i in range(len(names)) if i not in known.values()))


def no_file_id(names: Sequence[str]) -> str:
    """Return the message for cells that are not a header."""
    if names[0].startswith(("{", "[{")):
        return "this looks like JSON. Give --format jsonl when each line is an object, else --format json"
    if is_markup(names[0]):
        return "this is a web page or XML, as a server sends for an error. Fetch the file again"
    listed = ", ".join(shown(name, limit=30) for name in names[:8]) + (", …" if len(names) > 8 else "")
    if any(name.strip("='\"").isdigit() or name.startswith("/") for name in names):
        return (
            f"there is no header; the file begins with {listed}. "
            "Put a first line that names the columns, file_id among them"
        )
    return f"no column is named file_id; there are {listed}. Name the one that holds the file ids file_id"


def is_markup(text: str) -> bool:
    """Whether a text begins as a web page or XML does."""
    return text.lstrip().lower().startswith(("<!doctype", "<html", "<?xml"))


def near_misses(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the manifest's own columns that may be misspelt, each with the column that may be meant."""
    found = []
    for name in names:
        word = name.translate(_IGNORED).lower()
        near = _nearest(word)
        if near and near != word:
            found.append((name, _NAMES[near].value))
    return found


def _nearest(word: str) -> str | None:
    """Return the known name that a word may be a misspelling of: one edit away, else with most letters."""
    if edited := next((known for known in _NAMES if word == known or one_edit_apart(word, known)), None):
        return edited
    alike = difflib.get_close_matches(word, _NAMES, n=1, cutoff=ALIKE)
    return alike[0] if alike and abs(len(alike[0]) - len(word)) <= LETTERS_MORE else None


def one_edit_apart(one: str, other: str) -> bool:
    """Whether two words differ by one letter added, left out or replaced, or by two neighbours swapped."""
    shorter = min(len(one), len(other))
    if max(len(one), len(other)) - shorter > 1:
        return False
    begin = next((at for at in range(shorter) if one[at] != other[at]), shorter)
    rest, other_rest = one[begin:], other[begin:]
    if rest[1:] == other_rest[1:] or rest[1:] == other_rest or rest == other_rest[1:]:
        return one != other
    return rest[:2] == other_rest[1::-1] and rest[2:] == other_rest[2:]


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """Name the unnamed by their position and number the repeated: ``note``, ``note_2``."""
    named = [name or f"column_{position}" for position, name in enumerate(names, 1)]
    taken = set(named)
    seen: set[str] = set()
    distinct = []
    for name in named:
        unique, number = name, 1
        while unique in seen or (number > 1 and unique in taken):
            number += 1
            unique = f"{name}_{number}"
        seen.add(unique)
        distinct.append(unique)
    return tuple(distinct)
