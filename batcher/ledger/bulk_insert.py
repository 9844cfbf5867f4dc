"""Rows of manifests into submissions, thousands in one statement.

Called by loads and by callbacks that add a submission, inside the writer's transaction. A submission that
exists already stays as it is; the result names the submission of each row. The rows are staged in a
temporary table first: from there they are inserted, and looked up if some existed already.

The rows go to the database as one text, since the interpreter is held once for a statement: a statement for
each row would wait each time for the thread that reads the manifest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from operator import eq
from typing import cast

from batcher.ledger.connection import Connection
from batcher.model.submission import InvalidRow, LoadId, Row


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a manifest, ready to be written."""

    load_id: LoadId
    file_name: str
    rows: int
    items: str
    """The rows, by :func:`json_of`."""
    in_order: bool
    """Whether their file ids ascend."""
    invalid: Sequence[InvalidRow]


def json_of(rows: Sequence[Row], parameters_ids: Mapping[int, int]) -> str:
    """Return rows as the JSON that ``_STAGE`` takes.

    Args:
        rows: in their order.
        parameters_ids: under which id parameters are kept, by the identity of the value: its hash would cost
            more than all the rest, and the rows of a manifest share a handful of values.
    """
    items = [
        f'{{"line":{line},"parameters_id":{parameters_ids[id(parameters)]},'
        f'"file_id":{encode_basestring(file_id)},"extra":{extra or "null"}}}'
        for line, file_id, parameters, extra in rows
    ]
    return f"[{','.join(items)}]"


STAGED = "file_id TEXT, parameters_id BIGINT, load_id BIGINT, line BIGINT, extra TEXT"
"""The columns of the temporary table, after the place of a row."""

_STAGE = """
INSERT INTO staged (file_id, parameters_id, load_id, line, extra)
SELECT item.file_id, item.parameters_id, :load_id, item.line, CAST(item.extra AS TEXT)
FROM json_to_recordset(:items) AS item (line BIGINT, parameters_id INTEGER, file_id TEXT, extra JSON)
"""

_INSERT = """
INSERT INTO submissions (id, file_id, parameters_id, load_id, line, extra)
SELECT :last + place, file_id, parameters_id, load_id, line, extra FROM staged WHERE true {order}
ON CONFLICT (file_id, parameters_id) DO NOTHING
"""

_IN_THEIR_ORDER = _INSERT.format(order="ORDER BY place")
_SORTED = _INSERT.format(order="ORDER BY file_id, parameters_id, place")
"""Ids in no order would touch a page of the index for every row."""

FIND = """
SELECT CAST(json_agg(id) AS TEXT) FROM (
    SELECT s.id AS id FROM staged LEFT JOIN submissions AS s
    ON s.file_id = staged.file_id AND s.parameters_id = staged.parameters_id
    WHERE staged.place <= :most ORDER BY staged.place
) AS found
"""
"""One value for all rows: each row of a result would wait for the thread that reads the manifest."""

KeptRows = tuple[int, Sequence[int]]
"""Of a batch: how many rows were new, and for each row its submission."""


def keep_rows(connection: Connection, batches: Sequence[Batch]) -> list[KeptRows]:
    """Keep the new rows of some batches; ids follow the order of the rows.

    Raises:
        IllegalMove: a row breaks a constraint of the table, such as one without a file id.
    """
    n_rows = sum(batch.rows for batch in batches)
    if not n_rows:
        return [(0, ())] * len(batches)
    connection.alone_in("adding rows")  # ids follow the order of the rows, also beside another load
    connection.make_scratch("staged", STAGED)
    for batch in batches:
        connection.run(_STAGE, load_id=batch.load_id, items=batch.items)
    last: int = connection.value("SELECT coalesce(max(id), 0) FROM submissions")
    new_ids: Sequence[int] = range(last + 1, last + 1 + n_rows)
    ids: Sequence[int | None] = [None]
    if None not in _found(connection, 1):  # a file that was loaded before: most often nothing is new
        ids = _found(connection, n_rows)
    if None in ids:
        in_order = all(batch.in_order for batch in batches)
        n_new = connection.run(_IN_THEIR_ORDER if in_order else _SORTED, last=last)
        ids = new_ids if n_new == n_rows else _found(connection, n_rows)
    kept, first = list[KeptRows](), 0
    for batch in batches:
        end = first + batch.rows
        of_batch = cast("Sequence[int]", ids[first:end])  # each row has a submission by now
        kept.append((sum(map(eq, of_batch, new_ids[first:end])), of_batch))
        first = end
    return kept


def _found(connection: Connection, most: int) -> list[int | None]:
    """Return the submissions of the first staged rows; None for a row that has none."""
    ids: list[int | None] = json.loads(connection.value(FIND, most=most))
    return ids
