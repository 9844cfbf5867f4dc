"""What the writer does within its transaction for manifests: loads, rows, and the parameters they share."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from batcher.errors import IllegalMove
from batcher.ledger.seen import Seen
from batcher.ledger.tables import invalid_rows, loads, parameters, seen
from batcher.ledger.tallying import tally
from batcher.model import InvalidRow, LoadId, Parameters, Row, State

_CONTENT_CHARS = 200


@dataclass(frozen=True, slots=True)
class Added:
    """What a batch of a manifest's rows brought."""

    new: int = 0
    duplicates: int = 0
    invalid: int = 0


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
    invalid: Sequence[InvalidRow]


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a batch."""

    added: Added
    ids: Sequence[int]
    """For each of its rows, in order, the submission it stands for."""


class Changes(NamedTuple):
    """How a manifest differs from what it was when it was last read to its end, in rows."""

    appeared: int
    gone: int
    changed: int
    """The same recording, asked for under other parameters or carrying something else."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A load that has ended."""

    load_id: LoadId
    at_ms: int | None
    """None when it did not reach the end of the file."""
    error: str | None = None
    changes: Changes | None = None
    """Since the last load of the path; None when there was none to compare with."""
    seen: Seen | None = None
    """What its rows stood for; None when that is not to be kept."""


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
"""SQLite's way to take thousands of rows in one statement; other databases get one of their own."""

_FIND = """
SELECT json_group_array(s.id) FROM json_each(?) LEFT JOIN submissions AS s
ON s.file_id = substr(key, 21) AND s.parameters_id = CAST(substr(key, 11, 10) AS INTEGER)
"""

_INSERT_INVALID = upsert(invalid_rows).on_conflict_do_nothing()


def insert_load(connection: Connection, items: Sequence[dict[str, Any]]) -> list[int]:
    """Keep new loads; returns their ids."""
    return [
        (connection.execute(insert(loads).values(row).returning(loads.c.id))).scalar_one() for row in items
    ]


def end_load(connection: Connection, items: Sequence[Ended]) -> list[None]:
    """Keep how loads ended, and, in place of the last load of their path, what their rows stood for."""
    for item in items:
        changes = item.changes._asdict() if item.changes else {}
        row = {"ended_at_ms": item.at_ms, "error": item.error, **changes}
        connection.execute(update(loads).where(loads.c.id == item.load_id).values(row))
        if item.seen is not None:
            _keep_seen(connection, item.load_id, item.seen)
    return [None] * len(items)


def _keep_seen(connection: Connection, load_id: LoadId, what: Seen) -> None:
    path = select(loads.c.path).where(loads.c.id == load_id).scalar_subquery()
    connection.execute(delete(seen).where(seen.c.load_id.in_(select(loads.c.id).where(loads.c.path == path))))
    for number, checks in what.packed():
        connection.execute(insert(seen), {"load_id": load_id, "page": number, "checks": checks})


def parameter_ids(
    connection: Connection, items: Sequence[Sequence[Parameters]]
) -> list[dict[Parameters, int]]:
    """Keep parameters that are new; returns under which id each is kept."""
    return [{asked: _parameter_id(connection, asked) for asked in wanted} for wanted in items]


def _parameter_id(connection: Connection, asked: Parameters) -> int:
    row = {
        "vendor": asked.vendor,
        "type": asked.type,
        "definition": asked.definition,
        "interval": asked.interval,
        "offsets": ";".join(asked.offsets),
    }
    connection.execute(upsert(parameters).values(row).on_conflict_do_nothing())
    return int((connection.execute(select(parameters.c.id).filter_by(**row))).scalar_one())


def add(connection: Connection, batches: Sequence[Batch]) -> list[Kept]:
    """Keep rows of manifests; what is asked for already stays as it is."""
    kept = [_add_one(connection, batch) for batch in batches]
    tally(connection, Counter({(State.PENDING, None, None): sum(one.added.new for one in kept)}))
    return kept


def _add_one(connection: Connection, batch: Batch) -> Kept:
    new, ids = _submissions(connection, batch) if batch.rows else (0, ())
    if batch.invalid:
        connection.execute(_INSERT_INVALID, [_invalid(batch, row) for row in batch.invalid])
    added = Added(new, batch.rows - new, len(batch.invalid))
    connection.execute(
        update(loads)
        .where(loads.c.id == batch.load_id)
        .values(
            rows=loads.c.rows + batch.rows + len(batch.invalid),
            new=loads.c.new + added.new,
            duplicates=loads.c.duplicates + added.duplicates,
            invalid=loads.c.invalid + added.invalid,
        )
    )
    return Kept(added, ids)


def _submissions(connection: Connection, batch: Batch) -> tuple[int, Sequence[int]]:
    """Keep what is new; returns how many were, and for each row its submission."""
    if None not in _found(connection, batch.first):
        ids = _found(connection, batch.written)  # a file that was loaded before: most often nothing is new
        if None not in ids:
            return 0, ids
    new, last = _inserted(connection, batch)
    if new == batch.rows:
        return new, range(last - new + 1, last + 1)
    ids = _found(connection, batch.written)
    if None in ids:
        raise IllegalMove("a row without a file id was to be kept")
    return new, ids


def _found(connection: Connection, rows: str) -> list[int]:
    """The submissions that written rows stand for; None in the place of one that is not there."""
    ids: list[int] = json.loads(connection.exec_driver_sql(_FIND, (rows,)).scalar_one())
    return ids


def _inserted(connection: Connection, batch: Batch) -> tuple[int, int]:
    """Insert what is not there; returns how many rows were, and the last one's id.

    The checks of the table cost a quarter of the time, and cannot fail here: but for the file id, whose check
    stands in the statement, every column they look at has its default.
    """
    connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
    try:
        result = connection.exec_driver_sql(_INSERT, (batch.load_id, batch.written))
        return result.rowcount, result.lastrowid
    finally:
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = OFF")


def _invalid(batch: Batch, row: InvalidRow) -> dict[str, Any]:
    content = "\x1f".join(row.cells)
    return {
        "load_id": batch.load_id,
        "file_name": batch.file_name,
        "digest": hashlib.blake2b(content.encode(errors="replace"), digest_size=16).hexdigest(),
        "line": row.line,
        "column": row.column,
        "reason": row.reason,
        "content": content.replace("\x1f", ",")[:_CONTENT_CHARS],
    }
