"""What the writer does within its transaction for manifests: loads, rows, and the parameters they share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from batcher.ledger.bulk_insert import Batch, keep_rows
from batcher.ledger.manifest_fingerprint import Fingerprint
from batcher.ledger.schema import invalid_rows, loads, parameters, seen
from batcher.ledger.tallies import tally
from batcher.model.submission import InvalidRow, LoadId, Parameters, State

_CONTENT_CHARS = 200


@dataclass(frozen=True, slots=True)
class Added:
    """What a batch of a manifest's rows brought."""

    new: int = 0
    duplicates: int = 0
    invalid: int = 0


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
    seen: Fingerprint | None = None
    """What its rows stood for; None when that is not to be kept."""
    digest: str | None = None
    """By which the file is known to hold the same the next time."""


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
        row = {"ended_at_ms": item.at_ms, "error": item.error, "digest": item.digest, **changes}
        connection.execute(update(loads).where(loads.c.id == item.load_id).values(row))
        if item.seen is not None:
            _keep_seen(connection, item.load_id, item.seen)
    return [None] * len(items)


_WHOLE_BEFORE = """
SELECT before.id FROM loads JOIN loads AS before USING (path)
WHERE loads.id = ? AND before.id < loads.id AND before.ended_at_ms IS NOT NULL ORDER BY before.id DESC LIMIT 1
"""

_REPEATED = """
UPDATE loads SET ended_at_ms = ?, rows = before.rows, new = 0, duplicates = before.new + before.duplicates,
    invalid = before.invalid, appeared = 0, gone = 0, changed = 0, digest = before.digest
FROM loads AS before WHERE loads.id = ? AND before.id = ?
"""


def repeat_load(connection: Connection, items: Sequence[Ended]) -> list[None]:
    """Let loads end as the last of their path did, since the file holds the same."""
    for item in items:
        before = connection.exec_driver_sql(_WHOLE_BEFORE, (item.load_id,)).scalar_one()
        connection.exec_driver_sql(_REPEATED, (item.at_ms, item.load_id, before))
        connection.execute(update(seen).where(seen.c.load_id == before).values(load_id=item.load_id))
    return [None] * len(items)


def _keep_seen(connection: Connection, load_id: LoadId, what: Fingerprint) -> None:
    before = connection.exec_driver_sql(_WHOLE_BEFORE, (load_id,)).scalar_one_or_none()
    if before is not None:
        connection.execute(delete(seen).where(seen.c.load_id == before))
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
    kept = [
        _add_one(connection, batch, *rows)
        for batch, rows in zip(batches, keep_rows(connection, batches), strict=True)
    ]
    tally(connection, Counter({(State.PENDING, None, None): sum(one.added.new for one in kept)}))
    return kept


def _add_one(connection: Connection, batch: Batch, new: int, ids: Sequence[int]) -> Kept:
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
