"""What a manifest's header says: which cell of a row is what.

Used once per manifest, before its first row; the same for every format. Never looks at a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from batcher.errors import ManifestError
from batcher.manifest.display import shown

BLANKS = " \t\u00a0\u3000"
"""What may surround a value without belonging to it. A line end may not: it is part of what was written."""


class KnownColumn(StrEnum):
    """The columns that mean something to us."""

    FILE_ID = "file_id"
    VENDOR = "vendor"
    TYPE = "type"
    DEFINITION = "definition"
    INTERVAL = "interval"
    OFFSETS = "offsets"


PARAMETERS = (
    KnownColumn.VENDOR,
    KnownColumn.TYPE,
    KnownColumn.DEFINITION,
    KnownColumn.INTERVAL,
    KnownColumn.OFFSETS,
)
"""The known columns that say what is asked for, in the order in which they are handed on."""

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
SHORT = 5
"""A known name of fewer letters is misspelt by one letter only: ``time`` is no misspelt ``type``."""
FAR = 3
"""Letters: words that differ in so many have nothing to do with each other."""
_IGNORED = str.maketrans("", "", " \t\u00a0\u3000\r\n_-\"'=\ufeff")


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a row everything is."""

    names: tuple[str, ...]
    """Every column as the header names it; unnamed and repeated ones told apart."""
    known: dict[KnownColumn, int]
    """Positions of the columns that mean something; ``file_id`` is always there."""
    own: tuple[int, ...]
    """Positions of all others, in the order of the header."""
    marked: bool = True
    """Whether cells may carry a spreadsheet's marks for text; where not, only blanks are taken off."""

    @property
    def own_names(self) -> tuple[str, ...]:
        """The names of the columns that are the manifest's own."""
        return tuple(self.names[position] for position in self.own)

    def name(self, known: KnownColumn) -> str:
        """What the header calls a column; our own name for it when the manifest has none."""
        position = self.known.get(known)
        return known.value if position is None else self.names[position]


def meaning(cell: str) -> KnownColumn | None:
    """What a cell of the header stands for; None when it is a column of the manifest's own."""
    return _NAMES.get(cell.translate(_IGNORED).lower())


def names_file_id(cells: Sequence[str]) -> bool:
    """Whether a row can be a header."""
    return any(meaning(cell) is KnownColumn.FILE_ID for cell in cells)


def read_columns(where: str, cells: Sequence[str]) -> Columns:
    """Understand a header; ``where`` is what messages call its place.

    Raises:
        ManifestError: it has no column for the file id, or two for the same thing.
    """
    names = told_apart([cell.strip(BLANKS + "\ufeff\r\n") for cell in cells])
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
    """Why these cells are no header, and what to do."""
    if names[0].startswith(("{", "[{")):
        return "this looks like JSON. Give --format jsonl when each line is an object, else --format json"
    listed = ", ".join(shown(name, limit=30) for name in names[:8]) + (", …" if len(names) > 8 else "")
    if any(name.strip("='\"").isdigit() or name.startswith("/") for name in names):
        return (
            f"there is no header; the file begins with {listed}. "
            "Put a first line that names the columns, file_id among them"
        )
    return f"no column is named file_id; there are {listed}. Name the one that holds the file ids file_id"


def near_misses(names: Iterable[str]) -> list[tuple[str, str]]:
    """Columns of a manifest's own that may be misspelt, each with the column that it may stand for."""
    found = []
    for name in names:
        word = name.translate(_IGNORED).lower()
        near = min(_NAMES, key=lambda known: _letters_apart(word, known))
        if 0 < _letters_apart(word, near) <= (1 if len(near) < SHORT else 2):
            found.append((name, _NAMES[near].value))
    return found


def _letters_apart(one: str, other: str) -> int:
    """How many letters differ: put in, left out, changed, or changed about with the next one."""
    if abs(len(one) - len(other)) > FAR:
        return FAR
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, there in enumerate(other, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != there))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == there:
                best = min(best, earlier[j - 2] + 1)
            row.append(best)
    return min(row[-1], FAR)


def told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Name the unnamed by their position and number the repeated: ``note``, ``note_2``."""
    named = [name or f"column_{position}" for position, name in enumerate(names, 1)]
    taken = set(named)
    seen: set[str] = set()
    apart = []
    for name in named:
        unique, number = name, 1
        while unique in seen or (number > 1 and unique in taken):
            number += 1
            unique = f"{name}_{number}"
        seen.add(unique)
        apart.append(unique)
    return tuple(apart)
