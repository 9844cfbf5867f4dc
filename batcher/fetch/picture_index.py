"""The index of fetched pictures: ``pictures.csv`` in their folder, one row for each picture that has ended.

Called by ``api/fetch`` when a fetch has ended. New rows are appended. The index is rewritten, completely or
not at all, when rows in the middle have changed, or when the file is not as the last fetch of this ledger
left it. A symbolic link in its place is replaced, never followed.
"""

from __future__ import annotations

import asyncio
import csv
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from batcher.errors import FolderError
from batcher.fetch.address_guard import is_object
from batcher.fetch.picture_paths import INDEX
from batcher.files import is_link, reason_of
from batcher.ledger.pictures import ENDED, PageEnd, PictureLedger, of_task
from batcher.model.records import Fetched, PictureRecord
from batcher.model.submission import TaskId
from batcher.output_files import written_whole
from batcher.report.export.text_tables import csv_lines
from batcher.report.formatting import moment

INDEX_COLUMNS = (
    "file",
    "file_id",
    "vendor",
    "task_id",
    "number",
    "offset_ms",
    "state",
    "reason",
    "bytes",
    "width",
    "height",
    "fetched_at",
    "object",
)

MOST_APPENDED = 50_000
"""Rows that are appended to the index; with more it is rewritten."""

_TAIL = 1 << 17
"""Bytes at the end of an index that hold its last row."""


@dataclass(slots=True)
class IndexChanges:
    """The changes that a fetch makes to the index: rows to append, or rows in the middle."""

    added: list[PageEnd] = field(default_factory=list)
    """Pictures that were fetched or given up for the first time."""
    within: bool = False
    """Whether rows have changed that the index has already, or there are too many new ones to append."""

    def add(self, fetched: Fetched) -> None:
        """Add the result of a picture."""
        if fetched.picture.state is not None or len(self.added) >= MOST_APPENDED:
            self.within = True
        elif fetched.state is not None:
            self.added.append(fetched.picture.place)


async def update_index(ledger: PictureLedger, folder: Path, changes: IndexChanges) -> None:
    """Bring the index up to date with the ledger.

    Programs find pictures by it: names of folders are made safe for file systems and are not ids.

    Raises:
        FolderError: the index cannot be written.
        SettingsError: the ledger or another database is in its place.
    """
    place = folder / INDEX
    try:
        if changes.within or not await _is_current(ledger, place, len(changes.added)):
            await _rewrite(ledger, place)
        elif changes.added:
            _append(place, csv_lines(map(_index_row, await ledger.at(changes.added))))
    except OSError as exc:
        raise FolderError(
            f"{place}: the index cannot be written: {reason_of(exc, place, to='write')}. "
            "The pictures are kept and recorded; fix that, then run the same command again"
        ) from exc


async def _rewrite(ledger: PictureLedger, place: Path) -> None:
    """Write a new index in place of the old one."""
    await asyncio.to_thread(_remove_link, place)
    beside = place.with_name(f".{place.name}.part")  # of a killed fetch too, which it replaces
    with written_whole(place, "the index", beside=beside) as file:
        file.write(csv_lines([INDEX_COLUMNS]))
        async for page in ledger.pages(ENDED):
            file.write(csv_lines(map(_index_row, page)))


def _remove_link(place: Path) -> None:
    """Remove a symbolic link in place of the index, and leave the file that it points to as it is."""
    if is_link(place):
        place.unlink()


async def _is_current(ledger: PictureLedger, place: Path, n_new: int) -> bool:
    """Whether the index is as the ledger was when the fetch began, judged by its length and its last row."""
    n_ended = sum(n for state, n in (await ledger.counts()).items() if state is not None)
    found = await asyncio.to_thread(_read, place)
    if found is None or found.n_rows != n_ended - n_new:
        return False
    if not found.n_rows:
        return True
    row = dict(zip(INDEX_COLUMNS, next(csv.reader([found.last.decode()]), ()), strict=False))
    if not row.get("number", "").isdecimal():
        return False
    named = of_task(TaskId(row["task_id"]), int(row["number"]))
    return csv_lines(map(_index_row, await ledger.page(named, limit=1))) == found.last


class _Index(NamedTuple):
    """The length of an index, and its last row."""

    n_rows: int
    last: bytes


def _read(place: Path) -> _Index | None:
    """Count the rows of an index; None for any other file, and for one with several hard links."""
    head, n_lines, last, part = csv_lines([INDEX_COLUMNS]), 0, b"", b""
    try:
        with open(_opened_index(place, os.O_RDONLY), "rb") as file:
            if file.read(len(head)) != head:
                return None
            while part := file.read(1 << 20):
                n_lines += part.count(b"\n")
                last = (last + part)[-_TAIL:]
    except (OSError, ValueError):
        return None
    if last and not last.endswith(b"\n"):
        return None
    return _Index(n_lines, last[last.rfind(b"\n", 0, -1) + 1 :])


def _append(place: Path, rows: bytes) -> None:
    """Append rows, all of them or none."""
    descriptor = _opened_index(place, os.O_WRONLY | os.O_APPEND)
    with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        size = os.fstat(descriptor).st_size
        try:
            left = memoryview(rows)
            while left:
                left = left[file.write(left) or 0 :]
            os.fsync(descriptor)
        except BaseException:
            os.ftruncate(descriptor, size)
            raise


def _opened_index(place: Path, flags: int) -> int:
    """Open an index that is a regular file with one name.

    Raises:
        OSError: it cannot be opened, or is a symbolic link.
        ValueError: it is not a regular file, or has several hard links.
    """
    descriptor = os.open(place, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(descriptor)
        raise ValueError(f"{place} is not a file of its own")
    return descriptor


def _index_row(picture: PictureRecord) -> tuple[object, ...]:
    return (
        picture.file,
        picture.file_id,
        picture.vendor.value,
        picture.task_id,
        picture.number,
        picture.offset_ms,
        picture.state.value if picture.state else "",
        picture.error,
        picture.n_bytes,
        picture.width,
        picture.height,
        moment(picture.fetched_at),
        picture.url if is_object(picture.url) else "",  # an address may be signed, an object's name is not
    )
