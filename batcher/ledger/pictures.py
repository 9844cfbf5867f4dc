"""Pictures in the ledger: which are still to be fetched, and the result of each fetch.

Called by ``fetch``, next to a run and without its lock. Only pictures count whose task a poll has found
finished: an address that only a callback has named is never fetched. A long result is returned page by page,
in the order of the submissions and the pictures of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from batcher.errors import IllegalMove
from batcher.ledger.reader import asked
from batcher.ledger.row_values import time_or_none
from batcher.ledger.shared_ledger import SharedLedger
from batcher.ledger.sqlite.connection import Connection, ResultRow
from batcher.ledger.writer import BatchEvent
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
SELECT k.*, s.file_id, p.vendor, t.task_id, (
    SELECT count(*) + 1 FROM submissions AS earlier WHERE earlier.file_id = s.file_id AND earlier.id < s.id
) AS ordinal
FROM pictures AS k JOIN tasks AS t ON t.submission_id = k.submission_id
JOIN submissions AS s ON s.id = k.submission_id JOIN parameters AS p ON p.id = s.parameters_id
WHERE {_CONFIRMED} AND (k.submission_id, k.number) > (:after_id, :after_number) AND {{which}}
ORDER BY k.submission_id, k.number LIMIT :limit
"""  # noqa: S608 - ours

_IN_STATES = "k.state IN (SELECT value FROM json_array_elements_text(:states)) AND k.fetched_at_ms < :at_ms"

_OF_RECORDINGS = """ AND k.submission_id IN
    (SELECT id FROM submissions WHERE file_id IN (SELECT value FROM json_array_elements_text(:recordings)))"""

_AT_PLACES = """(k.submission_id, k.number) IN
    (SELECT item.id, item.number FROM json_to_recordset(:places) AS item (id BIGINT, number INTEGER))"""

_FILES_OF = """k.submission_id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:ids))
    AND k.file IS NOT NULL AND k.fetched_at_ms < :at_ms"""

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
    AND coalesce(k.error, '') NOT IN ('HTTP 404', 'HTTP 410')
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
    bytes = item.bytes,
    width = item.width,
    height = item.height,
    fetched_at_ms = item.fetched_at_ms
FROM json_to_recordset(:items) AS item (id BIGINT, number INTEGER, state TEXT, error TEXT, tries INTEGER,
    file TEXT, bytes BIGINT, width INTEGER, height INTEGER, fetched_at_ms BIGINT)
WHERE pictures.submission_id = item.id AND pictures.number = item.number
"""


class FolderRecord(NamedTuple):
    """The pictures of one submission that have a file."""

    submission_id: SubmissionId
    file: str
    """One of them; the others are most often in the same folder."""
    n: int


class FetchEnded(NamedTuple):
    """A fetch that has ended, successful or not."""

    fetched: Fetched
    at_ms: int


def pictures_where(
    connection: Connection,
    /,
    which: str,
    *,
    recordings: Sequence[FileId] = (),
    after: PageEnd = (0, 0),
    limit: int,
    **values: object,
) -> list[PictureRecord]:
    """Return a page of the pictures for which a condition holds.

    Args:
        connection: the ledger.
        which: the condition, on pictures named ``k`` and their tasks named ``t``.
        recordings: of these alone; of all if empty.
        after: where the page before it ended.
        limit: how many at most.
        values: the parameters of the condition.
    """
    if recordings:
        which, values = which + _OF_RECORDINGS, values | {"recordings": list(recordings)}
    rows = connection.rows(
        _PICTURES.format(which=which), after_id=after[0], after_number=after[1], limit=limit, **values
    )
    return [_picture(row) for row in rows]


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
    """Count the pictures given up that another try may bring: neither refused nor gone for good."""
    return int(connection.value(_RETRIABLE))


def has_recording(connection: Connection, recording: FileId) -> bool:
    """Return whether there is any submission of a recording."""
    query = "SELECT 1 FROM submissions WHERE file_id = :file_id LIMIT 1"
    return connection.row(query, file_id=recording) is not None


class PictureLedger(SharedLedger):
    """A ledger whose pictures are fetched. Open it with :meth:`open`."""

    folders = asked(folders)
    count_unfetched = asked(count_unfetched)
    counts = asked(counts)
    count_retriable = asked(count_retriable)
    has_recording = asked(has_recording)

    async def unfetched(
        self, recordings: Sequence[FileId] = (), *, after: PageEnd = (0, 0), limit: int
    ) -> list[PictureRecord]:
        """Return a page of the pictures that are neither fetched nor given up yet.

        Args:
            recordings: of these alone; of all if empty.
            after: where the page before it ended.
            limit: how many at most.
        """
        return await self.reads.read(
            pictures_where, "k.state IS NULL", recordings=recordings, after=after, limit=limit
        )

    async def settled_before(
        self,
        states: Sequence[PictureState],
        at_ms: int,
        recordings: Sequence[FileId] = (),
        *,
        after: PageEnd = (0, 0),
        limit: int,
    ) -> list[PictureRecord]:
        """Return a page of the pictures in some states that were fetched or given up before a time."""
        return await self.reads.read(
            pictures_where,
            _IN_STATES,
            recordings=recordings,
            after=after,
            limit=limit,
            states=list(states),
            at_ms=at_ms,
        )

    async def pictures(
        self, *, after: PageEnd = (0, 0), limit: int, ended: bool = False
    ) -> list[PictureRecord]:
        """Return a page of all pictures in any state.

        Args:
            after: where the page before it ended.
            limit: how many at most.
            ended: only those that were fetched or given up.
        """
        which = "k.state IS NOT NULL" if ended else "true"
        return await self.reads.read(pictures_where, which, after=after, limit=limit)

    async def at(self, places: Sequence[PageEnd]) -> list[PictureRecord]:
        """Return pictures by their places, in the order of all pictures."""
        found: list[PictureRecord] = []
        ordered = sorted(set(places))
        for first in range(0, len(ordered), _TOGETHER):
            chosen = [{"id": id_, "number": number} for id_, number in ordered[first : first + _TOGETHER]]
            found += await self.reads.read(pictures_where, _AT_PLACES, limit=len(chosen), places=chosen)
        return found

    async def of_task(self, task_id: TaskId, number: int) -> PictureRecord | None:
        """Return a picture by its task and its number there; None when it is not on record."""
        which = "t.task_id = :task_id AND k.number = :number"
        page = await self.reads.read(pictures_where, which, limit=1, task_id=task_id, number=number)
        return page[0] if page else None

    async def of_submissions(self, ids: Sequence[SubmissionId], at_ms: int) -> list[PictureRecord]:
        """Return the pictures of some submissions that had files before a time."""
        found: list[PictureRecord] = []
        after: PageEnd = (0, 0)
        while page := await self.reads.read(
            pictures_where, _FILES_OF, after=after, limit=_TOGETHER, ids=list(ids), at_ms=at_ms
        ):
            after = page[-1].place
            found += page
        return found

    async def record(self, fetched: Fetched) -> None:
        """Keep the result of fetching a picture.

        Raises:
            LedgerError: it is not on disk.
        """
        await self._record(fetch_ended, FetchEnded(fetched, self.now_ms()))


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


def _of(query: str, recordings: Sequence[FileId]) -> tuple[str, dict[str, object]]:
    """Return a query of the pictures of some recordings alone, with its parameter."""
    if not recordings:
        return query.format(of_recordings=""), {}
    return query.format(of_recordings=_OF_RECORDINGS), {"recordings": list(recordings)}


def _item(ended: FetchEnded) -> dict[str, Any]:
    """Return a fetch as ``_RECORD`` takes it."""
    fetched = ended.fetched
    submission_id, number = fetched.picture.place
    return {
        "id": submission_id,
        "number": number,
        "state": fetched.state,
        "error": fetched.error,
        "tries": fetched.tries,
        "file": fetched.file,
        "bytes": fetched.n_bytes,
        "width": fetched.width,
        "height": fetched.height,
        "fetched_at_ms": None if fetched.state is None else ended.at_ms,
    }


def _picture(row: ResultRow) -> PictureRecord:
    return PictureRecord(
        submission_id=SubmissionId(row.submission_id),
        number=row.number,
        file_id=FileId(row.file_id),
        vendor=Vendor(row.vendor),
        task_id=TaskId(row.task_id),
        ordinal=row.ordinal,
        url=row.url,
        offset_ms=row.offset_ms,
        state=None if row.state is None else PictureState(row.state),
        error=row.error,
        tries=row.tries,
        file=row.file,
        n_bytes=row.bytes,
        width=row.width,
        height=row.height,
        fetched_at=time_or_none(row.fetched_at_ms),
    )
