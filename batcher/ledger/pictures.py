"""Pictures in the ledger: which are still to be fetched, and the result of each fetch.

Called by ``fetch``, next to a run and without its lock. Only pictures count whose task a poll has found
finished: an address that only a callback has named is never fetched. A long result is returned page by page,
in the order of the submissions and the pictures of each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from batcher.errors import IllegalMove
from batcher.ledger.connection import Connection, ResultRow
from batcher.ledger.database import database_of
from batcher.ledger.read_thread import ReadThread
from batcher.ledger.reader import asked
from batcher.ledger.row_values import time_or_none
from batcher.ledger.shared_ledger import SharedLedger
from batcher.ledger.taken_pictures import release, take
from batcher.ledger.transactor import BatchEvent
from batcher.ledger.writer import Writer
from batcher.model.records import Fetched, PictureRecord
from batcher.model.submission import FileId, SubmissionId, TaskId, Vendor
from batcher.model.task import PictureState

KEPT = (PictureState.WHOLE, PictureState.BLANK, PictureState.BLACK)
"""Pictures in these states have a file."""
GIVEN_UP = (PictureState.BROKEN, PictureState.REFUSED, PictureState.MISSING)
"""Pictures in these states have no file, and are fetched again only on request."""

PageEnd = tuple[int, int]
"""A submission and the number of one of its pictures: where a page ends."""

_TOGETHER = 500
"""The number of pictures that one query reads."""

_CONFIRMED = "t.state = 'finished' AND t.closed_at_ms IS NOT NULL AND t.polls > 0"
"""A poll has reported that the task has finished, and with which pictures."""

_PICTURES = f"""
SELECT k.submission_id, k.number, s.file_id, p.vendor, t.task_id, (
    SELECT count(*) + 1 FROM submissions AS earlier WHERE earlier.file_id = s.file_id AND earlier.id < s.id
), k.url, k.offset_ms, k.state, k.error, k.tries, k.file, k.bytes, k.width, k.height, k.fetched_at_ms
FROM pictures AS k JOIN tasks AS t ON t.submission_id = k.submission_id
JOIN submissions AS s ON s.id = k.submission_id JOIN parameters AS p ON p.id = s.parameters_id
WHERE {_CONFIRMED} AND (k.submission_id, k.number) > (:after_id, :after_number) AND {{which}}{{of_recordings}}
ORDER BY k.submission_id, k.number LIMIT :limit
"""  # noqa: S608 - ours
"""Pictures, with the columns in the order of the fields of :class:`PictureRecord`."""

_OF_RECORDINGS = """ AND k.submission_id IN
    (SELECT id FROM submissions WHERE file_id IN (SELECT value FROM json_array_elements_text(:recordings)))"""

_AT_PLACES = """(k.submission_id, k.number) IN
    (SELECT item.id, item.number FROM json_to_recordset(:places) AS item (id BIGINT, number INTEGER))"""

_FOLDERS = """
SELECT k.submission_id, min(k.file) AS file, count(*) AS n FROM pictures AS k
WHERE k.submission_id > :after AND k.file IS NOT NULL AND k.fetched_at_ms < :at_ms{of_recordings}
GROUP BY k.submission_id ORDER BY k.submission_id LIMIT :limit
"""

_COUNT = f"""
SELECT count(*) FROM pictures AS k JOIN tasks AS t ON t.submission_id = k.submission_id
WHERE k.state IS NULL AND {_CONFIRMED}{{of_recordings}}
"""  # noqa: S608 - ours

_RETRIABLE = f"""
SELECT count(*) FROM pictures AS k JOIN tasks AS t ON t.submission_id = k.submission_id
WHERE {_CONFIRMED} AND k.state IN ('broken', 'missing')
    AND k.tries > 0 AND coalesce(k.error, '') <> 'HTTP 410'
"""  # noqa: S608 - ours
_COUNTS = f"""
SELECT k.state, count(*) AS n FROM pictures AS k JOIN tasks AS t ON t.submission_id = k.submission_id
WHERE {_CONFIRMED} GROUP BY k.state
"""  # noqa: S608 - ours

_RECORD = """
UPDATE pictures SET
    state = item.state,
    error = item.error,
    tries = pictures.tries + item.tries,
    file = item.file,
    bytes = item.n_bytes,
    width = item.width,
    height = item.height,
    fetched_at_ms = item.fetched_at_ms,
    taken_until_ms = NULL
FROM json_to_recordset(:items) AS item (id BIGINT, number INTEGER, state TEXT, error TEXT, tries INTEGER,
    file TEXT, n_bytes BIGINT, width INTEGER, height INTEGER, fetched_at_ms BIGINT)
WHERE pictures.submission_id = item.id AND pictures.number = item.number
"""

_RESULTS = ("state", "error", "tries", "file", "n_bytes", "width", "height")
"""Columns that are attributes of the result of a fetch."""


class FolderRecord(NamedTuple):
    """The pictures of one submission that have a file."""

    submission_id: SubmissionId
    file: str
    """One of them; the others are most often in the same folder."""
    n: int


class Choice(NamedTuple):
    """The pictures that a query chooses."""

    condition: str
    """On pictures named ``k`` and their tasks named ``t``."""
    values: Mapping[str, object] = MappingProxyType({})
    """The parameters of the condition."""


UNFETCHED = Choice("k.state IS NULL")
"""Pictures that are neither fetched nor given up yet."""
ENDED = Choice("k.state IS NOT NULL")
"""Pictures that were fetched or given up."""


def settled_before(at_ms: int, states: Sequence[PictureState]) -> Choice:
    """Choose the pictures in some states that were fetched or given up before a time."""
    in_states = "k.state IN (SELECT value FROM json_array_elements_text(:states))"
    return Choice(f"{in_states} AND k.fetched_at_ms < :at_ms", {"states": list(states), "at_ms": at_ms})


def with_files_before(at_ms: int, ids: Sequence[SubmissionId]) -> Choice:
    """Choose the pictures of some submissions that had files before a time."""
    of_them = "k.submission_id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:ids))"
    has_file = "k.file IS NOT NULL AND k.fetched_at_ms < :at_ms"
    return Choice(f"{of_them} AND {has_file}", {"ids": list(ids), "at_ms": at_ms})


def of_task(task_id: TaskId, number: int) -> Choice:
    """Choose a picture by its task and its number there."""
    return Choice("t.task_id = :task_id AND k.number = :number", {"task_id": task_id, "number": number})


class FetchEnded(NamedTuple):
    """A fetch that has ended, successful or not."""

    fetched: Fetched
    at_ms: int


def pictures(
    connection: Connection,
    which: Choice,
    recordings: Sequence[FileId] = (),
    *,
    after: PageEnd = (0, 0),
    limit: int,
) -> list[PictureRecord]:
    """Return a page of pictures.

    Args:
        connection: the ledger.
        which: the pictures to choose.
        recordings: of these alone; of all if empty.
        after: where the page before it ended.
        limit: how many at most.
    """
    query, values = _of(_PICTURES, recordings, which=which.condition)
    place = {"after_id": after[0], "after_number": after[1]}
    return [_picture(row) for row in connection.rows(query, limit=limit, **place, **values, **which.values)]


def folders(
    connection: Connection, at_ms: int, recordings: Sequence[FileId] = (), *, after: int = 0, limit: int
) -> list[FolderRecord]:
    """Return a page of the submissions that had files before a time; all pages together read all pictures.

    Args:
        connection: the ledger.
        at_ms: files from before this time.
        recordings: of these alone; of all if empty.
        after: the last submission of the page before.
        limit: how many submissions at most.
    """
    query, values = _of(_FOLDERS, recordings)
    rows = connection.rows(query, at_ms=at_ms, after=after, limit=limit, **values)
    return [FolderRecord(SubmissionId(row.submission_id), row.file, row.n) for row in rows]


def count_unfetched(connection: Connection, recordings: Sequence[FileId] = ()) -> int:
    """Count the pictures that are neither fetched nor given up yet."""
    query, values = _of(_COUNT, recordings)
    return int(connection.value(query, **values))


def counts(connection: Connection) -> dict[PictureState | None, int]:
    """Count the pictures in each state, with a 0 where there are none; reads all pictures."""
    found: dict[PictureState | None, int] = dict.fromkeys([*PictureState, None], 0)
    for row in connection.rows(_COUNTS):
        found[None if row.state is None else PictureState(row.state)] = row.n
    return found


def count_retriable(connection: Connection) -> int:
    """Count the pictures given up that another try may bring: not refused, not gone for good."""
    return int(connection.value(_RETRIABLE))


def has_recording(connection: Connection, recording: FileId) -> bool:
    """Return whether there is any submission of a recording."""
    query = "SELECT 1 FROM submissions WHERE file_id = :file_id LIMIT 1"
    return connection.row(query, file_id=recording) is not None


class PictureLedger(SharedLedger):
    """A ledger whose pictures are fetched. Open it with :meth:`open`."""

    def __init__(self, reads: ReadThread, writer: Writer, clock: Callable[[], float]) -> None:
        super().__init__(reads, writer, clock)
        self._taken: set[PageEnd] = set()
        """What this fetch has taken and not recorded yet."""

    page = asked(pictures)
    folders = asked(folders)
    count_unfetched = asked(count_unfetched)
    counts = asked(counts)
    count_retriable = asked(count_retriable)
    has_recording = asked(has_recording)

    async def pages(
        self, which: Choice, recordings: Sequence[FileId] = (), *, after: PageEnd = (0, 0)
    ) -> AsyncIterator[list[PictureRecord]]:
        """Yield the chosen pictures page by page, after a given place."""
        while page := await self.page(which, recordings, after=after, limit=_TOGETHER):
            after = page[-1].place
            yield page

    async def unfetched(self, recordings: Sequence[FileId] = ()) -> AsyncIterator[list[PictureRecord]]:
        """Yield the pictures that are neither fetched nor given up, page by page.

        Where several fetches may work on one ledger, each page is taken: no other fetch gets it.
        """
        if not database_of(self.name).is_shared:
            async for page in self.pages(UNFETCHED, recordings):
                yield page
            return
        of_recordings, values = _of("{of_recordings}", recordings)
        after: PageEnd = (0, 0)
        while places := await self.change(take, after, _CONFIRMED, of_recordings, values):
            self._taken.update(places)
            after = places[-1]
            yield await self.at(places)

    async def release(self) -> None:
        """Let other fetches have what was taken and not fetched."""
        if self._taken:
            await self.change(release, sorted(self._taken))
            self._taken.clear()

    async def at(self, places: Sequence[PageEnd]) -> list[PictureRecord]:
        """Return pictures by their places, in the order of all pictures."""
        found: list[PictureRecord] = []
        ordered = sorted(set(places))
        for first in range(0, len(ordered), _TOGETHER):
            chosen = [{"id": id_, "number": number} for id_, number in ordered[first : first + _TOGETHER]]
            found += await self.page(Choice(_AT_PLACES, {"places": chosen}), limit=len(chosen))
        return found

    async def record(self, fetched: Fetched) -> None:
        """Keep the result of fetching a picture.

        Raises:
            LedgerError: it is not on disk.
        """
        await self._record(fetch_ended, FetchEnded(fetched, self.now_ms()))
        self._taken.discard(fetched.picture.place)


@BatchEvent
def fetch_ended(connection: Connection, items: Sequence[FetchEnded]) -> list[None]:
    """Keep the results of fetching pictures.

    Raises:
        IllegalMove: one of them is not on record.
    """
    kept = connection.run(_RECORD, items=list(map(_item, items)))
    if kept != len(items):
        raise IllegalMove(f"{len(items) - kept} pictures were fetched that are not on record")
    return [None] * len(items)


def _of(query: str, recordings: Sequence[FileId], **parts: str) -> tuple[str, dict[str, object]]:
    """Return a query of the pictures of some recordings alone, with its parameter."""
    if not recordings:
        return query.format(of_recordings="", **parts), {}
    return query.format(of_recordings=_OF_RECORDINGS, **parts), {"recordings": list(recordings)}


def _item(ended: FetchEnded) -> dict[str, Any]:
    """Return a fetch as ``_RECORD`` takes it."""
    fetched = ended.fetched
    submission_id, number = fetched.picture.place
    fetched_at_ms = None if fetched.state is None else ended.at_ms
    results = {name: getattr(fetched, name) for name in _RESULTS}
    return {"id": submission_id, "number": number, "fetched_at_ms": fetched_at_ms, **results}


def _picture(row: ResultRow) -> PictureRecord:
    id_, number, file_id, vendor, task_id, ordinal, url, offset_ms, state, *others, fetched_at_ms = row
    state = None if state is None else PictureState(state)
    others = [*others, time_or_none(fetched_at_ms)]
    return PictureRecord(
        id_, number, file_id, Vendor(vendor), task_id, ordinal, url, offset_ms, state, *others
    )
