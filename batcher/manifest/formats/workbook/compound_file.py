"""The chains of sectors in a compound file, in which old documents of Microsoft Office are kept.

A reader follows them from sector to sector. In a damaged file a chain may lead in a circle, or a length may
be beyond the file; a reader that believes these takes all memory. So they are followed here first, with
nothing held but the tables. Source: MS-CFB, 2.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

HEADER_BYTES = 512
_ENTRY_BYTES = 128
_NO_SECTOR = 0xFFFFFFFA
"""Numbers from here on are marks, not sectors."""
_IN_HEADER = 109
"""The number of sectors of the allocation table that the header lists."""
_SHORT_BYTES = 4_096
"""Shorter streams are kept in the mini stream."""
_STREAM, _ROOT = 2, 5
"""Kinds of objects in the directory."""


_PASSED, _DONE = 1, 2
"""Marks of sectors: met on the present chain, and followed to an end."""


class _Header(NamedTuple):
    version: int
    sector_shift: int
    directory_sectors: int
    table_sectors: int
    directory: int
    mini_table: int
    mini_table_sectors: int
    more_tables: int
    more_table_sectors: int


class _Entry(NamedTuple):
    """An object of the directory."""

    kind: int
    start: int
    size: int


class _Fault(Exception):
    """Why the chains cannot be followed."""


def compound_fault(file: BinaryIO) -> str | None:
    """Return why the chains of a compound file cannot be followed; None when they can."""
    size = file.seek(0, 2)
    try:
        _Chains(file, size).check()
    except (_Fault, struct.error) as fault:
        return str(fault)
    finally:
        file.seek(0)
    return None


class _Chains:
    def __init__(self, file: BinaryIO, size: int) -> None:
        file.seek(0)
        head = file.read(HEADER_BYTES)
        self._header = header = _Header(
            *struct.unpack_from("<H", head, 26),
            *struct.unpack_from("<H", head, 30),
            *struct.unpack_from("<III", head, 40),
            *struct.unpack_from("<IIII", head, 60),
        )
        if header.sector_shift not in (9, 12):
            raise _Fault(f"it has sectors of 2^{header.sector_shift} bytes")
        self._file, self._size = file, size
        self._sector = 1 << header.sector_shift
        self._count = size // self._sector
        self._first_tables = struct.unpack_from(f"<{_IN_HEADER}I", head, 76)

    def check(self) -> None:
        """Follow every chain that a reader may follow.

        Raises:
            _Fault: one leads in a circle, or a length is beyond the file.
        """
        header = self._header
        for count in (header.directory_sectors, header.table_sectors, header.mini_table_sectors):
            self._refuse_beyond(count * self._sector)
        table = self._joined(self._table_sectors())
        checked = bytearray(len(table))
        directory = list(_chain(table, header.directory, checked))
        mini_table = self._joined(list(_chain(table, header.mini_table, checked)))
        mini_checked = bytearray(len(mini_table))
        for entry in self._entries(directory):
            self._refuse_beyond(entry.size)
            short = entry.size < _SHORT_BYTES and entry.kind != _ROOT
            for _ in _chain(
                *((mini_table, entry.start, mini_checked) if short else (table, entry.start, checked))
            ):
                pass

    def _refuse_beyond(self, length: int) -> None:
        if length > self._size:
            raise _Fault(f"a part of {length:,} bytes in a file of {self._size:,}")

    def _table_sectors(self) -> list[int]:
        """Return the sectors of the allocation table: the header lists the first ones."""
        listed = list(self._first_tables)
        at, seen = self._header.more_tables, set[int]()
        while at < _NO_SECTOR:
            if at in seen:
                raise _Fault(f"its list of tables leads in a circle at sector {at}")
            seen.add(at)
            *more, at = self._joined([at]) or [_NO_SECTOR]
            listed += more
        used = [sector for sector in listed if sector < _NO_SECTOR]
        if len(set(used)) < len(used):
            raise _Fault("it lists a sector of its table twice")
        return used

    def _joined(self, sectors: list[int]) -> array[int]:
        """Return sectors as numbers."""
        numbers = array("I")
        for sector in sectors:
            numbers.frombytes(self._read(sector))
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers

    def _read(self, sector: int) -> bytes:
        if sector >= self._count:
            raise _Fault(f"sector {sector} is beyond its end")
        self._file.seek((sector + 1) * self._sector)
        return self._file.read(self._sector).ljust(self._sector, b"\xff")

    def _entries(self, directory: list[int]) -> Iterator[_Entry]:
        """Yield the objects that have contents; an older version uses half of the field of their size."""
        sized = struct.Struct("<II" if self._header.version == 3 else "<IQ")
        for sector in directory:
            data = self._read(sector)
            for at in range(0, len(data), _ENTRY_BYTES):
                kind = data[at + 66]
                if kind in (_STREAM, _ROOT):
                    yield _Entry(kind, *sized.unpack_from(data, at + 116))


def _chain(table: array[int], start: int, checked: bytearray) -> Iterator[int]:
    """Yield the sectors of a chain up to its end, or to where a chain was checked before.

    Raises:
        _Fault: it leads in a circle.
    """
    passed = []
    at = start
    while at < len(table) and checked[at] != _DONE:
        if checked[at] == _PASSED:
            raise _Fault(f"a chain of its sectors leads in a circle at sector {at}")
        checked[at] = _PASSED
        passed.append(at)
        yield at
        at = table[at]
    for sector in passed:
        checked[sector] = _DONE
