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
INSERT INTO tallies (state, code, run_id, coded, n)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]'), json_extract(value, '$[4]') + coalesce(n, 0)
FROM json_each(?) LEFT JOIN tallies ON state = json_extract(value, '$[0]')
    AND code = json_extract(value, '$[1]') AND run_id = json_extract(value, '$[2]')
    AND coded = json_extract(value, '$[3]')
WHERE true ON CONFLICT (state, code, run_id, coded) DO UPDATE SET n = excluded.n
"""

GROUPED = f"""
SELECT state, coalesce(code, {NO_CODE}) AS code, coalesce(run_id, {NO_RUN}) AS run_id,
    code IS NOT NULL AS coded, count(*) AS n
FROM submissions GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - numbers of ours
"""What the tallies must be."""

TASKS_GROUPED = "SELECT state, count(*) AS n FROM tasks GROUP BY 1"
"""What the tallies of tasks must be; states without a task are left out."""


def tally(connection: Connection, changes: Counter[Key]) -> None:
    """Let the tallies follow; one that would fall below zero breaks a constraint."""
    rows: Counter[tuple[str, int, int, int]] = Counter()  # the statement takes each key once
    for (state, code, run), n in changes.items():
        rows[state, NO_CODE if code is None else code, run or NO_RUN, code is not None] += n
    changed = [(*key, n) for key, n in rows.items() if n]
    if changed:
        connection.exec_driver_sql(_CHANGE, (json.dumps(changed),))


def recount(connection: Connection) -> None:
    """Replace the tallies by what is counted now."""
    connection.exec_driver_sql("DELETE FROM tallies")
    connection.exec_driver_sql(f"INSERT INTO tallies (state, code, run_id, coded, n) {GROUPED}")
    connection.exec_driver_sql(_RECOUNT_TASKS)


_RECOUNT_TASKS = f"""
UPDATE task_tallies SET n = counted.n, told = min(told, counted.n)
FROM (SELECT t.state AS state, coalesce(c.n, 0) AS n FROM task_tallies AS t
    LEFT JOIN ({TASKS_GROUPED}) AS c ON c.state = t.state) AS counted
WHERE counted.state = task_tallies.state
"""  # noqa: S608 - words of ours


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
