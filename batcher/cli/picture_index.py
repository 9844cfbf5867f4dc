"""The index of fetched pictures: a CSV file in their folder that says which file is which picture.

A fetch appends the rows that are new. It writes the index anew, whole or not at all, when rows in the middle
have changed, or when the file is not as an earlier fetch of this ledger left it.
"""

from __future__ import annotations

import asyncio
import csv
import io
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from batcher.cli.output_file import opened
from batcher.errors import BatcherError, FolderError
from batcher.fetch.picture_paths import INDEX
from batcher.ledger.pictures import PageEnd, PictureLedger
from batcher.model.records import Fetched, PictureRecord
from batcher.model.submission import TaskId
from batcher.report.export.text_tables import encoded
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
"""Rows that are appended to the index; with more it is written anew."""

_PAGE = 1_000
_TAIL = 1 << 17
"""Bytes of an index that its last row surely fits in."""


@dataclass(slots=True)
class IndexChanges:
    """What a fetch changes in the index: rows to append, or rows in the middle."""

    added: list[PageEnd] = field(default_factory=list)
    """Pictures that have come to their end for the first time."""
    within: bool = False
    """Pictures have changed that the index has already, or there are too many new ones to append."""

    def note(self, fetched: Fetched) -> None:
        """Note what came of a picture."""
        if fetched.picture.state is not None or len(self.added) >= MOST_APPENDED:
            self.within = True
        elif fetched.state is not None:
            self.added.append(fetched.picture.place)


async def update_index(ledger: PictureLedger, folder: Path, changes: IndexChanges) -> None:
    """Have the index name every picture that was fetched or given up: its file, or why it has none.

    Folders have names that no file system mistakes, and programs should not have to read ids out of them.
    Where the index is as an earlier fetch left it, new rows are appended; else it is written anew, whole.

    Raises:
        FolderError: it cannot be written.
    """
    place = folder / INDEX
    try:
        if not changes.within and await _is_current(ledger, place, len(changes.added)):
            if changes.added:
                _append(place, _lines(map(_index_row, await ledger.at(changes.added))))
        else:
            await _write_index(ledger, place)
    except (BatcherError, OSError) as exc:
        cause = exc.__cause__ if isinstance(exc, BatcherError) else exc
        if isinstance(cause, OSError):
            why = cause.strerror or cause
            raise FolderError(
                f"{place}: the index cannot be written: {why}. The pictures are kept and recorded; "
                "correct that, then run the same command again"
            ) from exc
        raise


async def _write_index(ledger: PictureLedger, place: Path) -> None:
    """Write all of it."""
    await asyncio.to_thread(_without_link, place)
    after: PageEnd = (0, 0)
    with opened(place) as file:
        file.write(_lines([INDEX_COLUMNS]))
        while page := await ledger.pictures(after=after, limit=_PAGE, ended=True):
            after = page[-1].place
            file.write(_lines(map(_index_row, page)))


def _without_link(place: Path) -> None:
    """Remove a symbolic link in place of the index: what it points to is somebody else's."""
    if place.is_symlink():
        place.unlink()


async def _is_current(ledger: PictureLedger, place: Path, n_new: int) -> bool:
    """Whether the index holds what the ledger held when the fetch began, by its length and its last row."""
    n_ended = sum(n for state, n in (await ledger.counts()).items() if state is not None)
    found = await asyncio.to_thread(_looked_at, place)
    if found is None or found.n_rows != n_ended - n_new:
        return False
    if not found.n_rows:
        return True
    row = dict(zip(INDEX_COLUMNS, next(csv.reader([found.last.decode()]), ()), strict=False))
    if not row.get("number", "").isdecimal():
        return False
    picture = await ledger.of_task(TaskId(row["task_id"]), int(row["number"]))
    return picture is not None and _lines([_index_row(picture)]) == found.last


class _Index(NamedTuple):
    """What a look at an index shows."""

    n_rows: int
    last: bytes


def _looked_at(place: Path) -> _Index | None:
    """Count the rows of an index; None for a file that is not one, or has other names too."""
    head, n_lines, last, part = _lines([INDEX_COLUMNS]), 0, b"", b""
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
    """Open an index that is nobody else's file.

    Raises:
        OSError: it cannot be opened, or is a symbolic link.
        ValueError: it is not a file, or has other names too.
    """
    descriptor = os.open(place, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(descriptor)
        raise ValueError(f"{place} is not a file of its own")
    return descriptor


def _lines(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return encoded(text.getvalue())


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
        "" if "://" in picture.url else picture.url,  # an address may be signed, an object's name is none
    )
