"""What the writer does within its transaction for manifests: loads, rows, and the parameters they share."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, text, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from batcher.ledger.tables import invalid_rows, loads, parameters
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
    """Some rows of a manifest, and under which ids the parameters of theirs are kept."""

    load_id: LoadId
    file_name: str
    rows: Sequence[Row]
    invalid: Sequence[InvalidRow]
    parameter_ids: Mapping[Parameters, int]


_INSERT_SUBMISSIONS = text(
    "INSERT INTO submissions (file_id, parameters_id, load_id, line, extra) "
    "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), :load, "
    "json_extract(value, '$[2]'), json_extract(value, '$[3]') FROM json_each(:rows) WHERE true "
    "ON CONFLICT (file_id, parameters_id) DO NOTHING"
)
"""SQLite's way to take thousands of rows in one statement; other databases get one of their own."""

_INSERT_INVALID = upsert(invalid_rows).on_conflict_do_nothing()


async def insert_load(connection: AsyncConnection, items: Sequence[dict[str, Any]]) -> list[int]:
    """Keep new loads; returns their ids."""
    return [
        (await connection.execute(insert(loads).values(row).returning(loads.c.id))).scalar_one()
        for row in items
    ]


async def update_load(connection: AsyncConnection, items: Sequence[dict[str, Any]]) -> list[None]:
    """Keep how loads ended."""
    for item in items:
        row = {name: item[name] for name in ("ended_at_ms", "error")}
        await connection.execute(update(loads).where(loads.c.id == item["load"]).values(row))
    return [None] * len(items)


async def parameter_ids(
    connection: AsyncConnection, items: Sequence[Sequence[Parameters]]
) -> list[dict[Parameters, int]]:
    """Keep parameters that are new; returns under which id each is kept."""
    return [{asked: await _parameter_id(connection, asked) for asked in wanted} for wanted in items]


async def _parameter_id(connection: AsyncConnection, asked: Parameters) -> int:
    row = {
        "vendor": asked.vendor,
        "type": asked.type,
        "definition": asked.definition,
        "interval": asked.interval,
        "offsets": ";".join(asked.offsets),
    }
    await connection.execute(upsert(parameters).values(row).on_conflict_do_nothing())
    return int((await connection.execute(select(parameters.c.id).filter_by(**row))).scalar_one())


async def add(connection: AsyncConnection, batches: Sequence[Batch]) -> list[Added]:
    """Keep rows of manifests; what is asked for already stays as it is."""
    return [await _add_one(connection, batch) for batch in batches]


async def _add_one(connection: AsyncConnection, batch: Batch) -> Added:
    rows = [[row.file_id, batch.parameter_ids[row.parameters], row.line, row.extra] for row in batch.rows]
    result = await connection.execute(
        _INSERT_SUBMISSIONS,
        {"load": batch.load_id, "rows": json.dumps(rows, ensure_ascii=False, separators=(",", ":"))},
    )
    new = result.rowcount
    await tally(connection, Counter({(State.PENDING, None, None): new}))
    if batch.invalid:
        await connection.execute(_INSERT_INVALID, [_invalid(batch, row) for row in batch.invalid])
    added = Added(new, len(batch.rows) - new, len(batch.invalid))
    await connection.execute(
        update(loads)
        .where(loads.c.id == batch.load_id)
        .values(
            rows=loads.c.rows + len(batch.rows) + len(batch.invalid),
            new=loads.c.new + added.new,
            duplicates=loads.c.duplicates + added.duplicates,
            invalid=loads.c.invalid + added.invalid,
        )
    )
    return added


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
