"""The tallies' own statements, within the transaction that moves the submissions."""

from __future__ import annotations

import json
from collections import Counter

from sqlalchemy import Connection

from batcher.ledger.schema import NO_CODE, NO_RUN
from batcher.model.submission import State
from batcher.model.task import TaskState

Key = tuple[State, int | None, int | None]
"""What a tally counts by: state, last definite code, run that last settled."""

_CHANGE = """
INSERT INTO tallies (state, code, run_id, n)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]') + coalesce(n, 0)
FROM json_each(?) LEFT JOIN tallies ON state = json_extract(value, '$[0]')
    AND code = json_extract(value, '$[1]') AND run_id = json_extract(value, '$[2]')
WHERE true ON CONFLICT (state, code, run_id) DO UPDATE SET n = excluded.n
"""


def tally(connection: Connection, changes: Counter[Key]) -> None:
    """Let the tallies follow; one that would fall below zero breaks a constraint."""
    rows = [
        (state, NO_CODE if code is None else code, NO_RUN if run is None else run, n)
        for (state, code, run), n in changes.items()
        if n
    ]
    if rows:
        connection.exec_driver_sql(_CHANGE, (json.dumps(rows),))


_CHANGE_TASKS = """
INSERT INTO task_tallies (state, n)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') + coalesce(n, 0)
FROM json_each(?) LEFT JOIN task_tallies ON state = json_extract(value, '$[0]')
WHERE true ON CONFLICT (state) DO UPDATE SET n = excluded.n
"""


def tally_tasks(connection: Connection, changes: Counter[TaskState]) -> None:
    """Let the tallies of tasks follow; one that would fall below zero breaks a constraint."""
    rows = [(state, n) for state, n in changes.items() if n]
    if rows:
        connection.exec_driver_sql(_CHANGE_TASKS, (json.dumps(rows),))
