"""The fingerprint of a manifest: the submissions of its rows, with a check of the columns of its own.

Kept by a load for the next load of the same file, which reports what is new, gone and changed. Each
submission has a check of the columns of its own that the row carried; of several rows for one submission
the first counts. It takes 1 byte a row, or 2 where rows have values in such columns, wherever in the ledger
the submissions are: their ids lie in pages, and only pages that are used exist. It reads neither a ledger
nor a file.

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

_NARROW, _WIDE = "B", "H"
"""Kinds of pages: where no row carries anything, and where some do."""

_KEPT_AS = {_NARROW: b"B", _WIDE: b"C"}
"""The prefix of a kept page, by its kind."""
_DATED = b"H"
"""The prefix of a wide page from a version whose checks depended on the order of columns and on empty cells:
it shows which rows there were, and not their content."""

_MARK_OF_EMPTY = ':""'
"""The text of an empty cell within a row, found nowhere else: a quote in a value is escaped."""
_EMPTY = re.compile(r'"(?<=[{,]")[^"\\]*+(?:\\.[^"\\]*+)*+":"",?')

NO_ROWS = array(_NARROW, bytes(PAGE_IDS))
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
        self._pages: dict[int, array[int]] = {}

    def __contains__(self, id_: int) -> bool:
        return self.page(id_ // PAGE_IDS)[id_ % PAGE_IDS] != 0

    def add(self, ids: Sequence[int], checks: Sequence[int] | None = None) -> None:
        """Add the submissions of rows; without ``checks``, no row has values in columns of its own."""
        if not ids:
            return
        start, n = ids[0], len(ids)
        if ids[-1] - start == n - 1 and (isinstance(ids, range) or ids == list(range(start, start + n))):
            for number, at, first, length in _slices(start, n):
                self._add_slice(
                    number, at, None if checks is None else checks[first : first + length], length
                )
            return
        for at, id_ in enumerate(ids):
            self._add_one(id_, CARRIES_NOTHING if checks is None else checks[at])

    def _add_slice(self, number: int, at: int, checks: Sequence[int] | None, n: int) -> None:
        page = self._writable(number, wide=checks is not None)
        values = (CARRIES_NOTHING,) * n if checks is None else checks
        if any(page[at : at + n]):
            for offset, check in enumerate(values):
                page[at + offset] = page[at + offset] or check
        else:
            page[at : at + n] = array(page.typecode, values)

    def _add_one(self, id_: int, check: int) -> None:
        number, at = divmod(id_, PAGE_IDS)
        page = self._writable(number, wide=check != CARRIES_NOTHING)
        if not page[at]:
            page[at] = check

    def _writable(self, number: int, *, wide: bool) -> array[int]:
        page = self._pages.get(number)
        if page is None or (wide and page.typecode == _NARROW):
            page = self._pages[number] = array(_WIDE if wide else _NARROW, NO_ROWS if page is None else page)
        return page

    def numbers(self) -> list[int]:
        """Of the pages that are used, in order."""
        return sorted(self._pages)

    def page(self, number: int) -> array[int]:
        """The checks of a page, 0 where there is no row."""
        return self._pages.get(number, NO_ROWS)

    def count(self) -> int:
        """Return how many submissions there are."""
        return sum(map(used, self._pages.values()))

    def packed(self) -> Iterator[tuple[int, bytes]]:
        """Page by page, as they are kept."""
        for number in self.numbers():
            page = self._pages[number]
            yield number, _KEPT_AS[page.typecode] + zlib.compress(page.tobytes(), 1)


def used(page: array[int]) -> int:
    """Return how many submissions a page has."""
    return len(page) - page.count(0)


def unpacked(kept: bytes) -> PageBefore:
    """A page as it was kept."""
    page = array(_NARROW if kept.startswith(_KEPT_AS[_NARROW]) else _WIDE)
    page.frombytes(zlib.decompress(kept[1:]))
    return PageBefore(page, dated=kept.startswith(_DATED))


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


def _slices(start: int, n: int) -> Iterator[tuple[int, int, int, int]]:
    """Cut ids that follow one another where pages end: page, place on it, place among them, how many."""
    first = 0
    while first < n:
        number, at = divmod(start + first, PAGE_IDS)
        length = min(n - first, PAGE_IDS - at)
        yield number, at, first, length
        first += length
