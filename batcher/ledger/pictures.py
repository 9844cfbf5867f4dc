"""Pictures in the ledger: which are still to be fetched, and what came of each.

Works beside a run, without its lock. Only pictures of tasks count that a poll has found finished: what a
callback claims is no address to go to. Whatever can be long is handed out page by page, in the order of the
submissions and the pictures of each.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, select, tuple_

from batcher.errors import IllegalMove
from batcher.ledger.reader import _time_or_none
from batcher.ledger.schema import parameters, pictures, submissions, tasks
from batcher.ledger.shared_ledger import SharedLedger
from batcher.model.records import Fetched, PictureRecord
from batcher.model.submission import FileId, SubmissionId, TaskId, Vendor
from batcher.model.task import PictureState, TaskState

KEPT = (PictureState.WHOLE, PictureState.BLANK, PictureState.BLACK)
"""Pictures in these states have a file."""
GIVEN_UP = (PictureState.BROKEN, PictureState.REFUSED, PictureState.MISSING)
"""Pictures in these have none, and are not asked for again by themselves."""

PageEnd = tuple[int, int]
"""A submission and the number of one of its pictures: where a page ends."""

_TOGETHER = 500
"""Pictures or submissions that are looked up together."""

_EARLIER = submissions.alias("earlier")
_ORDINAL = (
    select(func.count() + 1)
    .select_from(_EARLIER)
    .where(_EARLIER.c.file_id == submissions.c.file_id, _EARLIER.c.id < submissions.c.id)
    .scalar_subquery()
)

_CONFIRMED = and_(
    tasks.c.state == TaskState.FINISHED.value, tasks.c.closed_at_ms.is_not(None), tasks.c.polls > 0
)
"""A poll has said that the task has ended well, and with which pictures."""

_PICTURE = (
    select(
        pictures,
        submissions.c.file_id,
        parameters.c.vendor,
        tasks.c.task_id,
        _ORDINAL.label("ordinal"),
    )
    .join_from(pictures, tasks, tasks.c.submission_id == pictures.c.submission_id)
    .join(submissions, submissions.c.id == pictures.c.submission_id)
    .join(parameters, parameters.c.id == submissions.c.parameters_id)
)

_RECORD = """
UPDATE pictures SET
    state = json_extract(value, '$[2]'),
    error = json_extract(value, '$[3]'),
    tries = tries + json_extract(value, '$[4]'),
    file = json_extract(value, '$[5]'),
    bytes = json_extract(value, '$[6]'),
    width = json_extract(value, '$[7]'),
    height = json_extract(value, '$[8]'),
    fetched_at_ms = json_extract(value, '$[9]')
FROM json_each(?)
WHERE submission_id = json_extract(value, '$[0]') AND number = json_extract(value, '$[1]')
"""


class FolderRecord(NamedTuple):
    """The pictures of one submission that have a file."""

    submission_id: SubmissionId
    file: str
    """One of them; the others are most often in the same folder."""
    n: int


class FetchEnded(NamedTuple):
    """A fetch that has ended, one way or another."""

    fetched: Fetched
    at_ms: int


class PictureLedger(SharedLedger):
    """A ledger for whoever fetches pictures. Open it with :meth:`open`."""

    async def unfetched(
        self, recordings: Sequence[FileId] = (), *, after: PageEnd = (0, 0), limit: int
    ) -> list[PictureRecord]:
        """A page of the pictures that nobody has fetched or given up yet.

        Args:
            recordings: of these alone; of all when there are none.
            after: where the page before it ended.
            limit: how many at most.
        """
        return await self._page(and_(pictures.c.state.is_(None), _CONFIRMED), recordings, after, limit)

    async def settled_before(
        self,
        states: Sequence[PictureState],
        at_ms: int,
        recordings: Sequence[FileId] = (),
        *,
        after: PageEnd = (0, 0),
        limit: int,
    ) -> list[PictureRecord]:
        """A page of the pictures in some states that were fetched or given up before a time."""
        settled = and_(
            pictures.c.state.in_([state.value for state in states]),
            pictures.c.fetched_at_ms < at_ms,
            _CONFIRMED,
        )
        return await self._page(settled, recordings, after, limit)

    async def pictures(
        self, *, after: PageEnd = (0, 0), limit: int, ended: bool = False
    ) -> list[PictureRecord]:
        """A page of all pictures, whatever has become of them.

        Args:
            after: where the page before it ended.
            limit: how many at most.
            ended: only those that were fetched or given up.
        """
        which = and_(_CONFIRMED, pictures.c.state.is_not(None)) if ended else _CONFIRMED
        return await self._page(which, (), after, limit)

    async def at(self, places: Sequence[PageEnd]) -> list[PictureRecord]:
        """Pictures by their places, in the order of all pictures."""
        found: list[PictureRecord] = []
        ordered = sorted(set(places))
        for first in range(0, len(ordered), _TOGETHER):
            some = ordered[first : first + _TOGETHER]
            which = tuple_(pictures.c.submission_id, pictures.c.number).in_(some)
            found += await self._page(and_(which, _CONFIRMED), (), (0, 0), len(some))
        return found

    async def of_task(self, task_id: TaskId, number: int) -> PictureRecord | None:
        """A picture by its task and its number there; None when it is not on record."""
        which = and_(tasks.c.task_id == task_id, pictures.c.number == number, _CONFIRMED)
        return next(iter(await self._page(which, (), (0, 0), 1)), None)

    async def folders(
        self, at_ms: int, recordings: Sequence[FileId] = (), *, after: int = 0, limit: int
    ) -> list[FolderRecord]:
        """A page of the submissions that had files before a time; goes through all pictures, page by page.

        Args:
            at_ms: files from before this time.
            recordings: of these alone; of all when there are none.
            after: the last submission of the page before.
            limit: how many submissions at most.
        """
        query = (
            select(pictures.c.submission_id, func.min(pictures.c.file).label("file"), func.count().label("n"))
            .where(pictures.c.submission_id > after, pictures.c.file.is_not(None))
            .where(pictures.c.fetched_at_ms < at_ms)
            .group_by(pictures.c.submission_id)
            .order_by(pictures.c.submission_id)
            .limit(limit)
        )
        found = await self._rows(_of(query, recordings))
        return [FolderRecord(SubmissionId(row.submission_id), row.file, row.n) for row in found]

    async def of_submissions(self, ids: Sequence[SubmissionId], at_ms: int) -> list[PictureRecord]:
        """The pictures of some submissions that had files before a time."""
        which = and_(pictures.c.submission_id.in_(ids), pictures.c.file.is_not(None), _CONFIRMED)
        found: list[PictureRecord] = []
        after: PageEnd = (0, 0)
        while page := await self._page(and_(which, pictures.c.fetched_at_ms < at_ms), (), after, _TOGETHER):
            after = page[-1].place
            found += page
        return found

    async def count_unfetched(self, recordings: Sequence[FileId] = ()) -> int:
        """How many pictures nobody has fetched or given up yet."""
        query = (
            select(func.count())
            .select_from(pictures)
            .join(tasks, tasks.c.submission_id == pictures.c.submission_id)
            .where(pictures.c.state.is_(None), _CONFIRMED)
        )
        return int((await self._rows(_of(query, recordings)))[0][0])

    async def counts(self) -> dict[PictureState | None, int]:
        """How many pictures stand in each state, all of them always; goes through all pictures."""
        query = (
            select(pictures.c.state, func.count().label("n"))
            .join_from(pictures, tasks, tasks.c.submission_id == pictures.c.submission_id)
            .where(_CONFIRMED)
            .group_by(pictures.c.state)
        )
        found: dict[PictureState | None, int] = dict.fromkeys([*PictureState, None], 0)
        for row in await self._rows(query):
            found[None if row.state is None else PictureState(row.state)] = row.n
        return found

    async def knows(self, recording: FileId) -> bool:
        """Whether anything was ever asked of a recording."""
        query = select(submissions.c.id).where(submissions.c.file_id == recording).limit(1)
        return bool(await self._rows(query))

    async def record(self, fetched: Fetched) -> None:
        """Keep what came of fetching a picture.

        Raises:
            LedgerError: it is not on disk.
        """
        await self._record(fetch_ended, FetchEnded(fetched, self.now_ms()))

    def now_ms(self) -> int:
        """Now, as the ledger dates what it records."""
        return self._now_ms()

    async def _page(
        self, which: ColumnElement[bool], recordings: Sequence[FileId], after: PageEnd, limit: int
    ) -> list[PictureRecord]:
        query = (
            _of(_PICTURE, recordings)
            .where(which, tuple_(pictures.c.submission_id, pictures.c.number) > tuple_(*after))
            .order_by(pictures.c.submission_id, pictures.c.number)
            .limit(limit)
        )
        return [_picture(row) for row in await self._rows(query)]


def fetch_ended(connection: Connection, items: Sequence[FetchEnded]) -> list[None]:
    """Keep what came of fetching pictures.

    Raises:
        IllegalMove: one of them is not on record.
    """
    rows = json.dumps(list(map(_row, items)))
    kept = connection.exec_driver_sql(_RECORD, (rows,)).rowcount
    if kept != len(items):
        raise IllegalMove(f"{len(items) - kept} pictures were fetched that are not on record")
    return [None] * len(items)


def _of(query: Select[Any], recordings: Sequence[FileId]) -> Select[Any]:
    """A query of pictures, of some recordings alone."""
    if not recordings:
        return query
    chosen = select(submissions.c.id).where(submissions.c.file_id.in_(recordings))
    return query.where(pictures.c.submission_id.in_(chosen))


def _row(item: FetchEnded) -> tuple[Any, ...]:
    """Which picture, and then what ``_RECORD`` takes."""
    fetched = item.fetched
    return (
        *fetched.picture.place,
        fetched.state,
        fetched.error,
        fetched.tries,
        fetched.file,
        fetched.n_bytes,
        fetched.width,
        fetched.height,
        None if fetched.state is None else item.at_ms,
    )


def _picture(row: Row[Any]) -> PictureRecord:
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
        fetched_at=_time_or_none(row.fetched_at_ms),
    )
