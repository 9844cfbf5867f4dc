"""The fingerprint of a manifest: the submissions of its rows, with a check of the columns of its own.

Kept by a load for the next load of the same file, which reports what is new, gone and changed. Each
submission has a check of the columns of its own that the row carried; of several rows for one submission
the first counts. It takes 2 bytes for each submission of the ledger; it is kept in pages, and only those that
are used. It reads neither a ledger nor a file.

What a row carries is its values by the names of their columns: an empty cell is no value, so a column that
was added empty, or taken away empty, is no change. The order of columns is no change either: the manifest
reader sorts them by name.
"""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

PAGE_IDS = 4096

CARRIES_NOTHING = 1
"""The check of a row without values in columns of its own; 0 means no row."""

_CHECKS = (1 << 16) - CARRIES_NOTHING - 1

_KEPT, _NARROW, _DATED = b"C", b"B", b"H"
"""The prefix of a kept page. Earlier versions have written pages of one byte a row, where no row carried
anything, and pages whose checks depended on the order of columns and on empty cells: those show which rows
there were, and not their content."""

_MARK_OF_EMPTY = ':""'
"""The text of an empty cell within a row, found nowhere else: a quote in a value is escaped."""
_EMPTY = re.compile(r'"(?<=[{,]")[^"\\]*+(?:\\.[^"\\]*+)*+":"",?')

NO_ROWS = array("H", bytes(2 * PAGE_IDS))
"""A page that is not used."""


def check_of(extra: str | None) -> int:
    """The check of what a row carries, a JSON object of texts; never that of no row.

    Two texts in 65,000 have the same one, so that one change in 65,000 is not noticed.
    """
    if extra is None:
        return CARRIES_NOTHING
    if _MARK_OF_EMPTY in extra:
        extra = filled(extra)
    if extra == "{}":
        return CARRIES_NOTHING
    return CARRIES_NOTHING + 1 + zlib.crc32(extra.encode("utf-8", "surrogatepass")) % _CHECKS


def filled(extra: str) -> str:
    """Return the content of a row without its empty cells."""
    left = _EMPTY.sub("", extra)
    return left[:-2] + "}" if left.endswith(",}") else left


class PageBefore(NamedTuple):
    """A page as it was when the manifest was last read."""

    checks: array[int]
    dated: bool = False
    """Its checks are of another kind than today's: they say that a row was there, and not what it carried."""


NOTHING_BEFORE = PageBefore(NO_ROWS)


class Differences(NamedTuple):
    """The differences between two pages."""

    appeared: list[int]
    gone: list[int]
    changed: int
    """There before and now, and carrying something else."""


class Fingerprint:
    """Submissions by their ids, each with its check."""

    def __init__(self) -> None:
        self._checks = array("H")
        """By id, up to the end of a page; 0 where there is no row."""

    def __contains__(self, id_: int) -> bool:
        return id_ < len(self._checks) and self._checks[id_] != 0

    def add(self, ids: Sequence[int], checks: Sequence[int] | None = None) -> None:
        """Add the submissions of rows; without ``checks``, no row has values in columns of its own."""
        if not ids:
            return
        rows = range(ids[0], ids[0] + len(ids))
        in_order = ids == rows or list(ids) == list(rows)
        most = rows[-1] if in_order else max(ids)
        while most >= len(self._checks):
            self._checks.extend(NO_ROWS)
        values = array("H", checks or (CARRIES_NOTHING,) * len(ids))
        if in_order and not any(self._checks[rows.start : rows.stop]):
            self._checks[rows.start : rows.stop] = values
            return
        for id_, check in zip(ids, values, strict=True):
            self._checks[id_] = self._checks[id_] or check

    def numbers(self) -> list[int]:
        """Of the pages that are used, in order."""
        return [number for number in range(len(self._checks) // PAGE_IDS) if any(self.page(number))]

    def page(self, number: int) -> array[int]:
        """The checks of a page, 0 where there is no row."""
        return self._checks[number * PAGE_IDS : (number + 1) * PAGE_IDS] or NO_ROWS

    def count(self) -> int:
        """Return how many submissions there are."""
        return len(self._checks) - self._checks.count(0)

    def packed(self) -> Iterator[tuple[int, bytes]]:
        """Page by page, as they are kept."""
        for number in self.numbers():
            yield number, _KEPT + zlib.compress(self.page(number).tobytes(), 1)


def unpacked(kept: bytes) -> PageBefore:
    """A page as it was kept."""
    page = array("B" if kept.startswith(_NARROW) else "H")
    page.frombytes(zlib.decompress(kept[1:]))
    return PageBefore(array("H", page), dated=kept.startswith(_DATED))


def differences(number: int, before: PageBefore, now: array[int]) -> Differences:
    """Return the differences between a page of this number and its earlier state."""
    found = Differences([], [], 0)
    if before.checks == now:
        return found
    changed = 0
    for id_, (was, is_) in enumerate(zip(before.checks, now, strict=True), number * PAGE_IDS):
        if was == is_:
            continue
        if was and is_:
            changed += not before.dated
        else:
            (found.appeared if is_ else found.gone).append(id_)
    return found._replace(changed=changed)
