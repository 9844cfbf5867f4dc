"""The events of loads, as the writer records them: loads, rows, and the parameters they share.

Called by the writer inside its transaction.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from batcher.ledger.bulk_insert import Batch, keep_rows
from batcher.ledger.connection import Connection
from batcher.ledger.manifest_fingerprint import Fingerprint
from batcher.ledger.tallies import tally
from batcher.ledger.transactor import BatchEvent
from batcher.model.submission import CountedBy, InvalidRow, LoadId, Parameters, State

_CONTENT_CHARS = 200


@dataclass(frozen=True, slots=True)
class Added:
    """The result of adding a batch of a manifest's rows."""

    new: int = 0
    duplicates: int = 0
    invalid: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """The result of keeping a batch."""

    added: Added
    ids: Sequence[int]
    """For each of its rows, in order, its submission."""


class Changes(NamedTuple):
    """The differences of a manifest since it was last read to its end, in rows."""

    appeared: int
    gone: int
    changed: int
    """The same recording, asked for under other parameters or carrying something else."""


class NewLoad(NamedTuple):
    """A load that begins."""

    source: str
    path: str
    columns: str
    """The names of the manifest's own columns, as a JSON list."""
    counted_by: CountedBy
    started_at_ms: int
    ended_at_ms: int | None = None
    options: str | None = None
    """The options by which it is read, as a JSON object; None when there is no file to read again."""
    run_id: int | None = None
    """The run that reads it; None without one."""


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
    """The fingerprint of its rows; None when it is not kept."""
    digest: str | None = None
    """The digest by which the next load recognises the same content."""
    distinct: int | None = None
    """How many submissions its rows have; None when it is not known."""


_INSERT_LOAD = """
INSERT INTO loads (source, path, columns, counted_by, started_at_ms, ended_at_ms, options, run_id)
VALUES (:source, :path, :columns, :counted_by, :started_at_ms, :ended_at_ms, :options, :run_id) RETURNING id
"""

_END_LOAD = """
UPDATE loads SET ended_at_ms = :ended_at_ms, error = :error, digest = :digest, appeared = :appeared,
    gone = :gone, changed = :changed,
    repeated = rows - invalid - coalesce(CAST(:distinct AS INTEGER), rows - invalid)
WHERE id = :id
"""

_COMPLETE_BEFORE = """
SELECT before.id FROM loads AS l JOIN loads AS before ON before.path = l.path
WHERE l.id = :id AND before.id < l.id AND before.ended_at_ms IS NOT NULL ORDER BY before.id DESC LIMIT 1
"""

_REPEAT_LOAD = """
UPDATE loads SET ended_at_ms = :ended_at_ms, rows = before.rows, new = 0,
    duplicates = before.new + before.duplicates, invalid = before.invalid, appeared = 0, gone = 0, changed =
    0, digest = before.digest, repeated = before.repeated
FROM loads AS before WHERE loads.id = :id AND before.id = :before
"""

_REPEAT_INVALID = "UPDATE invalid_rows SET last_load_id = :id WHERE last_load_id = :before"

_COUNT_ROWS = """
UPDATE loads SET rows = rows + :rows, new = new + :new, duplicates = duplicates + :duplicates,
    invalid = invalid + :invalid
WHERE id = :id
"""

_KEEP_PARAMETERS = """
INSERT INTO parameters (vendor, type, definition, interval, offsets)
VALUES (:vendor, :type, :definition, :interval, :offsets)
ON CONFLICT (vendor, type, definition, interval, offsets) DO UPDATE SET vendor = excluded.vendor RETURNING id
"""

_INSERT_INVALID = """
INSERT INTO invalid_rows (load_id, file_name, digest, line, "column", reason, content, last_load_id)
SELECT item.load_id, item.file_name, item.digest, item.line, item.named, item.reason, item.content,
    item.load_id
FROM json_to_recordset(:items) AS item (load_id INTEGER, file_name TEXT, digest TEXT, line BIGINT, named TEXT,
    reason TEXT, content TEXT)
WHERE true ON CONFLICT (file_name, digest, reason) DO UPDATE SET last_load_id = excluded.last_load_id
"""

_INSERT_SEEN = "INSERT INTO seen (load_id, page, checks) VALUES (:load_id, :page, :checks)"


def insert_load(connection: Connection, load: NewLoad) -> int:
    """Keep a new load; returns its id."""
    return int(connection.value(_INSERT_LOAD, **load._asdict()))


def end_load(connection: Connection, item: Ended) -> None:
    """Keep how a load ended, and its fingerprint in place of that of the last load of its path."""
    ended = {
        "ended_at_ms": item.at_ms,
        "error": item.error,
        "digest": item.digest,
        "distinct": item.distinct,
    }
    changes = item.changes._asdict() if item.changes else dict.fromkeys(Changes._fields)
    connection.run(_END_LOAD, id=item.load_id, **ended, **changes)
    if item.seen is not None:
        _keep_seen(connection, item.load_id, item.seen)


def repeat_load(connection: Connection, item: Ended) -> None:
    """Let a load end as the last of its path did, since the file holds the same."""
    before = connection.value(_COMPLETE_BEFORE, id=item.load_id)
    connection.run(_REPEAT_LOAD, ended_at_ms=item.at_ms, id=item.load_id, before=before)
    connection.run("UPDATE seen SET load_id = :id WHERE load_id = :before", id=item.load_id, before=before)
    connection.run(_REPEAT_INVALID, id=item.load_id, before=before)


def _keep_seen(connection: Connection, load_id: LoadId, fingerprint: Fingerprint) -> None:
    if before := connection.row(_COMPLETE_BEFORE, id=load_id):
        connection.run("DELETE FROM seen WHERE load_id = :id", id=before.id)
    for page, checks in fingerprint.packed():
        connection.run(_INSERT_SEEN, load_id=load_id, page=page, checks=checks)


def parameter_ids(connection: Connection, parameters: Sequence[Parameters]) -> dict[Parameters, int]:
    """Keep parameters that are new; returns under which id each is kept."""
    return {asked: _parameter_id(connection, asked) for asked in parameters}


def _parameter_id(connection: Connection, asked: Parameters) -> int:
    row = asked._asdict() | {"offsets": ";".join(asked.offsets)}
    return int(connection.value(_KEEP_PARAMETERS, **row))


@BatchEvent
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
        once: dict[tuple[str, str], dict[str, Any]] = {}  # a statement takes a key once
        for item in (_invalid_item(batch, row) for row in batch.invalid):
            once.setdefault((item["digest"], item["reason"]), item)
        connection.run(_INSERT_INVALID, items=list(once.values()))
    added = Added(new, batch.rows - new, len(batch.invalid))
    connection.run(
        _COUNT_ROWS,
        id=batch.load_id,
        rows=batch.rows + len(batch.invalid),
        new=added.new,
        duplicates=added.duplicates,
        invalid=added.invalid,
    )
    return Kept(added, ids)


def _invalid_item(batch: Batch, row: InvalidRow) -> dict[str, Any]:
    content = "\x1f".join(row.cells)
    return {
        "load_id": batch.load_id,
        "file_name": batch.file_name,
        "digest": hashlib.blake2b(content.encode(errors="replace"), digest_size=16).hexdigest(),
        "line": row.line,
        "named": row.column,
        "reason": row.reason,
        "content": content.replace("\x1f", ",")[:_CONTENT_CHARS],
    }
