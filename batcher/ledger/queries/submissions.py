"""Queries for everything recorded of submissions: attempts, tasks and pictures.

Used by exports, ``show``, summaries and reports. A long result is returned page by page, in the order of the
submissions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from batcher.ledger.conditions import IS_TROUBLED
from batcher.ledger.connection import Connection, ResultRow
from batcher.ledger.row_values import PARAMETERS, parameters_of, time_of, time_or_none
from batcher.model.records import Attempt, Record, TaskRecord
from batcher.model.submission import CountedBy, FileId, RunId, State, SubmissionId
from batcher.model.task import Picture, TaskState

RECORD = f"""
SELECT s.id, s.file_id, s.state, s.code, s.doubted, s.not_before_ms, s.line, s.extra, s.pruned,
    l.source, l.counted_by, {PARAMETERS}
FROM submissions AS s JOIN parameters AS p ON p.id = s.parameters_id JOIN loads AS l ON l.id = s.load_id
"""  # noqa: S608 - ours
"""A submission; the queries of this module and of the report add which."""

_PAGE = f"{RECORD} WHERE s.id > :after_id ORDER BY s.id LIMIT :limit"

# Not by the id alone: for that order SQLite would read all rows until it has found enough.
_IN_DOUBT = f"{RECORD} WHERE s.state = 'in_doubt' AND {IS_TROUBLED} ORDER BY s.id + 0 LIMIT :limit"
_DOUBTFUL = f"""{RECORD}
WHERE s.state = 'pending' AND s.tries_doubt > 0 ORDER BY s.id + 0 LIMIT :limit
"""

_MANY_ATTEMPTS = f"""{RECORD}
WHERE s.state IN ('submitted', 'rejected', 'failed', 'in_doubt') AND s.attempts > 1 AND s.id > :after_id
ORDER BY s.id LIMIT :limit
"""

_OF_RECORDINGS = f"""{RECORD}
WHERE s.file_id IN (SELECT value FROM json_array_elements_text(:file_ids)) ORDER BY s.id
"""  # noqa: S608 - ours

_CHOSEN = "submission_id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:ids))"
_BETWEEN = "submission_id BETWEEN :first AND :last"

_ATTEMPTS = """
SELECT submission_id, number, run_id, begun_at_ms, sent_at_ms, answered_at_ms, outcome, decision, http_status,
    code, task_id, request_id, vendor_request_id, message
FROM attempts WHERE {which} ORDER BY submission_id, number
"""
"""Attempts, with the columns in the order of the fields of :class:`Attempt`."""

_TASKS = """
SELECT submission_id, task_id, state, status, message, request_id, polls, polled_at_ms, due_at_ms,
    started_at_ms, ended_at_ms, closed_at_ms, pictures
FROM tasks WHERE {which}
"""
"""Tasks, with the columns in the order of the fields of :class:`TaskRecord`."""

_PICTURES = """
SELECT submission_id, url, offset_ms FROM pictures WHERE {which} ORDER BY submission_id, number
"""


def records(connection: Connection, *, after_id: int = 0, limit: int = 1000) -> list[Record]:
    """Return a page of submissions with their attempts, in the order of their first load."""
    rows = connection.rows(_PAGE, after_id=after_id, limit=limit)
    if not rows:
        return []
    return _complete(connection, rows, _BETWEEN, first=rows[0].id, last=rows[-1].id)


def records_in_doubt(connection: Connection, limit: int) -> list[Record]:
    """Return the first submissions in doubt, then those that wait to be sent again for it."""
    rows = connection.rows(_IN_DOUBT, limit=limit)
    return with_attempts(connection, rows + connection.rows(_DOUBTFUL, limit=limit - len(rows)))


def records_of_many_attempts(connection: Connection, *, after_id: int, limit: int) -> list[Record]:
    """Return a page of the submissions that have ended after more than one attempt, in their order."""
    return with_attempts(connection, connection.rows(_MANY_ATTEMPTS, after_id=after_id, limit=limit))


def records_of(connection: Connection, file_ids: Iterable[FileId]) -> list[Record]:
    """Return all submissions of these recordings, with their attempts."""
    rows = connection.rows(_OF_RECORDINGS, file_ids=list(dict.fromkeys(file_ids)))
    return with_attempts(connection, rows)


def with_attempts(connection: Connection, rows: Sequence[ResultRow]) -> list[Record]:
    """Return the records of submissions, wherever they are in the ledger."""
    return _complete(connection, rows, _CHOSEN, ids=[row.id for row in rows]) if rows else []


def _complete(
    connection: Connection, rows: Sequence[ResultRow], which: str, **values: object
) -> list[Record]:
    """Add to submissions what else is recorded of them; ``which`` chooses the same in the other tables."""
    attempts: dict[int, list[Attempt]] = {}
    for row in connection.rows(_ATTEMPTS.format(which=which), **values):
        attempts.setdefault(row.submission_id, []).append(_attempt(row))
    tasks = connection.rows(_TASKS.format(which=which), **values)
    pictures: dict[int, list[Picture]] = {}
    if any(task.pictures for task in tasks):
        for row in connection.rows(_PICTURES.format(which=which), **values):
            pictures.setdefault(row.submission_id, []).append(Picture(row.url, row.offset_ms))
    tracked = {row.submission_id: _task(row, pictures.get(row.submission_id, ())) for row in tasks}
    return [_record(row, attempts, tracked) for row in rows]


_STATES = {state.value: state for state in State}
_COUNTED_BY = {word.value: word for word in CountedBy}


def _record(
    row: ResultRow, attempts: Mapping[int, Sequence[Attempt]], tasks: Mapping[int, TaskRecord]
) -> Record:
    return Record(
        SubmissionId(row.id),
        FileId(row.file_id),
        parameters_of(row),
        _STATES[row.state],
        row.code,
        bool(row.doubted),
        time_or_none(row.not_before_ms),
        row.source,
        row.line,
        row.extra,
        tuple(attempts.get(row.id, ())),
        row.pruned,
        _COUNTED_BY[row.counted_by],
        tasks.get(row.id),
    )


def _attempt(row: ResultRow) -> Attempt:
    _, number, run_id, begun_at_ms, sent_at_ms, answered_at_ms, *others = row
    times = time_of(begun_at_ms), time_or_none(sent_at_ms), time_or_none(answered_at_ms)
    return Attempt(number, RunId(run_id), *times, *others)


def _task(row: ResultRow, pictures: Sequence[Picture]) -> TaskRecord:
    _, task_id, state, status, message, request_id, polls, *times, _ = row
    others: list[Any] = [*map(time_or_none, times), tuple(pictures)]
    return TaskRecord(task_id, TaskState(state), status, message, request_id, polls, *others)
