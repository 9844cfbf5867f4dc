"""Rows of manifests into submissions, thousands in one statement: SQLite's way, others get one of their own.

Stands between a load and the table. What is asked for already stays as it is; every row learns which
submission it stands for. It counts nothing and never looks at what a row means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from json.encoder import encode_basestring
from operator import eq

from sqlalchemy import Connection

from batcher.errors import IllegalMove
from batcher.model.submission import InvalidRow, LoadId, Row


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a manifest, ready to be written."""

    load_id: LoadId
    file_name: str
    rows: int
    written: str
    """The rows, by :func:`written`."""
    first: str
    """The first of them alone: whether it is known tells what to expect of the others."""
    in_order: bool
    """Whether their file ids ascend."""
    invalid: Sequence[InvalidRow]


def written(rows: Sequence[Row], numbers: Mapping[int, int]) -> str:
    """Rows as one JSON object, for the statements below.

    A row is a member: its name is line and parameters, ten characters each, and then the file id; its value
    is what the row carries. That is what SQLite takes apart fastest: a name is a text already, an array
    would be parsed a second time, and what is JSON already is not quoted again.

    Args:
        rows: in their order.
        numbers: under which id parameters are kept, by the identity of the value: a value's hash costs more
            than all the rest, and the rows of a manifest share a handful of values.
    """
    members = [
        encode_basestring("%10d%10d%s" % (line, numbers[id(asked)], file_id)) + ":" + (extra or "null")  # noqa: UP031
        for line, file_id, asked, extra in rows
    ]
    return "{" + ",".join(members) + "}"


_INSERT = """
INSERT INTO submissions (file_id, parameters_id, load_id, line, extra)
SELECT substr(key, 21), substr(key, 11, 10), ?, substr(key, 1, 10), value FROM json_each(?)
WHERE substr(key, 21) <> ''
ON CONFLICT (file_id, parameters_id) DO NOTHING
"""
_FIND = """
SELECT json_group_array(s.id) FROM json_each(?) LEFT JOIN submissions AS s
ON s.file_id = substr(key, 21) AND s.parameters_id = CAST(substr(key, 11, 10) AS INTEGER)
"""

_STAGE = """
INSERT INTO temp.staged (file_id, parameters_id, load_id, line, extra)
SELECT substr(key, 21), CAST(substr(key, 11, 10) AS INTEGER), ?, CAST(substr(key, 1, 10) AS INTEGER), value
FROM json_each(?)
"""

_INSERT_STAGED = """
INSERT INTO submissions (id, file_id, parameters_id, load_id, line, extra)
SELECT ? + place, file_id, parameters_id, load_id, line, extra FROM temp.staged
WHERE file_id <> '' ORDER BY file_id, parameters_id, place
ON CONFLICT (file_id, parameters_id) DO NOTHING
"""

Rows = tuple[int, Sequence[int]]
"""Of a batch: how many rows were new, and for each row its submission."""


def keep_rows(connection: Connection, batches: Sequence[Batch]) -> list[Rows]:
    """Keep what is new of some batches.

    Ids in no order would touch a page of the index for every row: many batches of them are sorted first.
    """
    shuffled = not all(batch.in_order for batch in batches)
    if len(batches) > 1 and shuffled and not any(_is_known(connection, batch) for batch in batches):
        return _keep_sorted(connection, batches)
    return [_keep_batch(connection, batch) for batch in batches]


def _keep_sorted(connection: Connection, batches: Sequence[Batch]) -> list[Rows]:
    """Keep batches in the order of their keys; ids follow the order of the rows all the same."""
    connection.exec_driver_sql(
        "CREATE TEMP TABLE IF NOT EXISTS staged (place INTEGER PRIMARY KEY, file_id TEXT, "
        "parameters_id INTEGER, load_id INTEGER, line INTEGER, extra TEXT)"
    )
    connection.exec_driver_sql("DELETE FROM temp.staged")
    last: int = connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM submissions").scalar_one()
    for batch in batches:
        connection.exec_driver_sql(_STAGE, (batch.load_id, batch.written))
    with _unchecked(connection):
        new = connection.exec_driver_sql(_INSERT_STAGED, (last,)).rowcount
    connection.exec_driver_sql("DELETE FROM temp.staged")
    all_new, kept = new == sum(batch.rows for batch in batches), list[Rows]()
    for batch in batches:
        places = range(last + 1, last + 1 + batch.rows)
        ids = places if all_new else _all_found(connection, batch)
        kept.append((sum(map(eq, ids, places)), ids))
        last += batch.rows
    return kept


def _keep_batch(connection: Connection, batch: Batch) -> Rows:
    if not batch.rows:
        return 0, ()
    if _is_known(connection, batch):
        ids = _found(connection, batch.written)  # a file that was loaded before: most often nothing is new
        if None not in ids:
            return 0, ids
    with _unchecked(connection):
        result = connection.exec_driver_sql(_INSERT, (batch.load_id, batch.written))
    new, last = result.rowcount, result.lastrowid
    if new == batch.rows:
        return new, range(last - new + 1, last + 1)
    return new, _all_found(connection, batch)


def _is_known(connection: Connection, batch: Batch) -> bool:
    return batch.rows > 0 and None not in _found(connection, batch.first)


def _all_found(connection: Connection, batch: Batch) -> list[int]:
    ids = _found(connection, batch.written)
    if None in ids:
        raise IllegalMove("a row without a file id was to be kept")
    return ids


def _found(connection: Connection, rows: str) -> list[int]:
    """The submissions that written rows stand for; None in the place of one that is not there."""
    ids: list[int] = json.loads(connection.exec_driver_sql(_FIND, (rows,)).scalar_one())
    return ids


@contextmanager
def _unchecked(connection: Connection) -> Iterator[None]:
    """Without the checks of the table, which cost a quarter of the time.

    They cannot fail for new rows: but for the file id, whose check stands in the statements themselves, every
    column they look at has its default.
    """
    connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
    try:
        yield
    finally:
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = OFF")
