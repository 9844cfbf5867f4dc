"""Queries for loads of manifests, their invalid rows, and what was in a manifest the last time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from batcher.ledger.connection import Connection, ResultRow
from batcher.ledger.row_values import time_of, time_or_none
from batcher.model.records import InvalidRowRecord, LoadRecord
from batcher.model.submission import CountedBy, LoadId, SubmissionId

_ALL = 2**62
"""A limit that no table reaches."""

_FINISHED_LATER = (
    "EXISTS (SELECT 1 FROM loads AS later "
    "WHERE later.path = l.path AND later.id > l.id AND later.ended_at_ms IS NOT NULL)"
)
"""A later load has read the same path to its end."""

_LOADS = f"""
SELECT l.*, {_FINISHED_LATER} AS superseded, (
    SELECT earlier.ended_at_ms FROM loads AS earlier
    WHERE earlier.path = l.path AND earlier.id < l.id AND earlier.ended_at_ms IS NOT NULL
        AND l.appeared IS NOT NULL
    ORDER BY earlier.id DESC LIMIT 1
) AS since_ms
FROM loads AS l WHERE l.id > :after_id ORDER BY l.id
"""  # noqa: S608 - ours

# Not by the id alone: for that order SQLite would read all loads.
_UNFINISHED = f"""
SELECT l.source FROM loads AS l WHERE l.ended_at_ms IS NULL AND NOT {_FINISHED_LATER} ORDER BY l.id + 0
"""  # noqa: S608 - ours

_LAST_ENDED = """
SELECT id, digest FROM loads WHERE path = :path AND ended_at_ms IS NOT NULL ORDER BY id DESC LIMIT 1
"""

_MENDED = (
    "(last.path <> '-' AND EXISTS (SELECT 1 FROM loads AS later "
    "WHERE later.path = last.path AND later.id > last.id AND later.ended_at_ms IS NOT NULL))"
)
"""A later load has read the same path to its end without this invalid row. Two streams are not compared."""

_INVALID = f"""
SELECT i.id, l.source, i.line, i."column", i.reason, l.counted_by
FROM invalid_rows AS i JOIN loads AS l ON l.id = i.load_id
JOIN loads AS last ON last.id = i.last_load_id
WHERE i.id > :after_id AND NOT {_MENDED} ORDER BY i.id LIMIT :limit
"""  # noqa: S608 - ours

_COUNT_INVALID = f"""
SELECT count(*) FROM invalid_rows AS i JOIN loads AS last ON last.id = i.last_load_id
WHERE i.id > :after_id AND NOT {_MENDED}
"""  # noqa: S608 - ours

_LAST_OPTIONS = """
SELECT options FROM loads WHERE path = :path ORDER BY id DESC LIMIT 1
"""

_SAME_RECORDING = """
SELECT s.id, other.id AS other
FROM submissions AS s JOIN submissions AS other ON other.file_id = s.file_id AND other.id <> s.id
WHERE s.id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:ids)) ORDER BY s.id, other.id
"""


def loads(connection: Connection, *, after_id: int = 0) -> list[LoadRecord]:
    """Return every load after a given one, oldest first."""
    return [_load(row) for row in connection.rows(_LOADS, after_id=after_id)]


def newest_load(connection: Connection) -> int:
    """Return the id of the newest load, which is also their number, or 0."""
    return int(connection.value("SELECT coalesce(max(id), 0) FROM loads"))


def unfinished_sources(connection: Connection) -> list[str]:
    """Return the manifests of which some rows may be missing, each once, in the order of their loads."""
    return list(dict.fromkeys(row.source for row in connection.rows(_UNFINISHED)))


def own_columns(connection: Connection) -> list[str]:
    """Return the names of all columns that manifests have had, in the order of their first load."""
    rows = connection.rows("SELECT columns FROM loads GROUP BY columns ORDER BY min(id)")
    return list(dict.fromkeys(name for row in rows for name in json.loads(row.columns)))


def digest_before(connection: Connection, path: str) -> str | None:
    """Return the digest of a path's file when it was last read to its end."""
    row = connection.row(_LAST_ENDED, path=path)
    return None if row is None else row.digest


def last_seen(connection: Connection, path: str) -> LoadId | None:
    """Return the last load of a path that reached its end, if its fingerprint is kept."""
    row = connection.row(_LAST_ENDED, path=path)
    if row is None or not connection.rows("SELECT 1 FROM seen WHERE load_id = :id LIMIT 1", id=row.id):
        return None
    return LoadId(row.id)


def seen_pages(connection: Connection, load_id: LoadId, *, after: int, limit: int) -> list[tuple[int, bytes]]:
    """Return pages of a load's fingerprint in their order, after a given one."""
    query = """
        SELECT page, checks FROM seen WHERE load_id = :load_id AND page > :after ORDER BY page LIMIT :limit
    """
    return [
        (row.page, row.checks) for row in connection.rows(query, load_id=load_id, after=after, limit=limit)
    ]


def same_recording(connection: Connection, ids: Sequence[int]) -> list[tuple[SubmissionId, SubmissionId]]:
    """Return, for submissions, the other submissions of the same recording."""
    rows = connection.rows(_SAME_RECORDING, ids=list(ids))
    return [(SubmissionId(row.id), SubmissionId(row.other)) for row in rows]


def invalid_rows(
    connection: Connection, *, after_id: int = 0, limit: int | None = None
) -> list[InvalidRowRecord]:
    """Return the rows that cannot be sent and are not mended, in the order of reading, after a given one."""
    rows = connection.rows(_INVALID, after_id=after_id, limit=_ALL if limit is None else limit)
    return [
        InvalidRowRecord(row.id, row.source, row.line, row.column, row.reason, CountedBy(row.counted_by))
        for row in rows
    ]


def count_invalid_rows(connection: Connection, *, after_id: int = 0) -> int:
    """Count the rows that cannot be sent and are not mended, after a given one."""
    return int(connection.value(_COUNT_INVALID, after_id=after_id))


def last_options(connection: Connection, path: str) -> dict[str, Any]:
    """Return the options by which a path was last read; empty without a load, and for one that kept none."""
    row = connection.row(_LAST_OPTIONS, path=path)
    return dict(json.loads(row.options)) if row is not None and row.options is not None else {}


def _load(row: ResultRow) -> LoadRecord:
    return LoadRecord(
        id=LoadId(row.id),
        source=row.source,
        path=row.path,
        columns=tuple(json.loads(row.columns)),
        started_at=time_of(row.started_at_ms),
        ended_at=time_or_none(row.ended_at_ms),
        rows=row.rows,
        new=row.new,
        duplicates=row.duplicates,
        invalid=row.invalid,
        error=row.error,
        superseded=bool(row.superseded),
        since=time_or_none(row.since_ms),
        appeared=row.appeared,
        gone=row.gone,
        changed=row.changed,
        repeated=row.repeated,
    )
