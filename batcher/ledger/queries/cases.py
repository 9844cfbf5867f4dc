"""Queries for the cases that a report shows one by one: failures, doubts, tasks and pictures."""

from __future__ import annotations

from itertools import groupby

from batcher.ledger.conditions import IS_TROUBLED
from batcher.ledger.connection import Connection, ResultRow
from batcher.ledger.queries.history import WITHOUT_PICTURES, pages
from batcher.ledger.queries.submissions import RECORD, records_in_doubt, with_attempts
from batcher.ledger.row_values import time_or_none
from batcher.model.history import Doubt, Doubted, FetchedPicture, Pictured, TaskWithoutPictures, doubt_of
from batcher.model.records import Record
from batcher.model.submission import FileId, State, Vendor
from batcher.model.task import PictureState, TaskState

_SEARCHED = 200_000
"""Of the newest tasks, how many are searched for pictures to show."""

_TROUBLED = f"""{RECORD}
WHERE s.state = :state AND s.code IS NOT DISTINCT FROM :code AND {IS_TROUBLED} LIMIT :limit
"""

_DOUBTED = f"{RECORD} WHERE s.id BETWEEN :first AND :last AND s.doubted LIMIT :limit"

_TASKS = f"""
SELECT s.file_id, p.vendor, s.extra, t.task_id, t.state, t.status, t.message, t.request_id, t.ended_at_ms,
    t.closed_at_ms
FROM (SELECT * FROM tasks WHERE submission_id BETWEEN :first AND :last AND {WITHOUT_PICTURES}) AS t
JOIN submissions AS s ON s.id = t.submission_id JOIN parameters AS p ON p.id = s.parameters_id
ORDER BY t.submission_id LIMIT :limit
"""  # noqa: S608 - ours

_NEWEST_PICTURED = """
SELECT t.submission_id AS id FROM tasks AS t
WHERE t.submission_id > :after AND t.pictures > 0 AND EXISTS (
    SELECT 1 FROM pictures AS k
    WHERE k.submission_id = t.submission_id AND k.state IN ('whole', 'blank', 'black')
)
ORDER BY t.submission_id DESC LIMIT :limit
"""

_PICTURES_OF = """
SELECT s.file_id, p.vendor, s.extra, t.pictures AS n, k.submission_id, k.number, k.offset_ms, k.state, k.file,
    k.error
FROM pictures AS k JOIN tasks AS t ON t.submission_id = k.submission_id
JOIN submissions AS s ON s.id = t.submission_id JOIN parameters AS p ON p.id = s.parameters_id
WHERE k.submission_id = :id AND k.state IS NOT NULL ORDER BY k.number LIMIT :each
"""


def troubled(connection: Connection, state: State, code: int | None, limit: int) -> list[Record]:
    """Return the first submissions that ended in a state with a last code."""
    return with_attempts(connection, connection.rows(_TROUBLED, state=state, code=code, limit=limit))


def doubted(connection: Connection, limit: int) -> list[Doubted]:
    """Return the first submissions that may exist twice or unseen, those in doubt first."""
    held = records_in_doubt(connection, limit)
    found = [Doubted(Doubt.HELD if one.state is State.IN_DOUBT else Doubt.AGAIN, one) for one in held]
    known = {one.id for one in held}
    for first, last in pages(connection):
        if len(found) >= limit:
            break
        rows = connection.rows(_DOUBTED, first=first, last=last, limit=limit)
        for record in with_attempts(connection, rows):
            doubt = doubt_of(record.state, len(record.attempts) + record.pruned)
            if doubt and record.id not in known:
                found.append(Doubted(doubt, record))
    return found[:limit]


def tasks_without_pictures(connection: Connection, limit: int) -> list[TaskWithoutPictures]:
    """Return the first tasks that ended without a picture."""
    found: list[TaskWithoutPictures] = []
    for first, last in pages(connection):
        if len(found) >= limit:
            break
        rows = connection.rows(_TASKS, first=first, last=last, limit=limit - len(found))
        found += map(_task, rows)
    return found


def pictured(connection: Connection, limit: int, each: int) -> list[Pictured]:
    """Return the newest recordings of which a picture was fetched, with the results of their other pictures.

    Args:
        connection: the ledger.
        limit: of recordings.
        each: pictures of each.
    """
    newest: int = connection.value("SELECT coalesce(max(submission_id), 0) FROM tasks")
    ids = [row.id for row in connection.rows(_NEWEST_PICTURED, after=newest - _SEARCHED, limit=limit)]
    rows = [row for id_ in ids for row in connection.rows(_PICTURES_OF, id=id_, each=each)]
    return [
        Pictured(
            FileId(group[0].file_id), Vendor(group[0].vendor), group[0].extra, group[0].n, _pictures(group)
        )
        for group in (list(rows) for _, rows in groupby(rows, key=lambda row: row.submission_id))
    ]


def _task(row: ResultRow) -> TaskWithoutPictures:
    file_id, vendor, extra, task_id, state, *others, ended_at_ms, closed_at_ms = row
    others.append(time_or_none(ended_at_ms or closed_at_ms))
    return TaskWithoutPictures(file_id, Vendor(vendor), extra, task_id, TaskState(state), *others)


def _pictures(rows: list[ResultRow]) -> tuple[FetchedPicture, ...]:
    return tuple(
        FetchedPicture(row.number, row.offset_ms, PictureState(row.state), row.file, row.error)
        for row in rows
    )
