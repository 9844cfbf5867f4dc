"""The tallies' own statements, within the transaction that moves the submissions."""

from __future__ import annotations

from collections import Counter

from batcher.ledger.conditions import NO_CODE, NO_RUN
from batcher.ledger.sqlite.connection import Connection
from batcher.model.submission import State
from batcher.model.task import TaskState

Key = tuple[State, int | None, int | None]
"""The key of a tally: state, last definite code, run that last settled."""

_CHANGE = """
INSERT INTO tallies (state, code, run_id, coded, n)
SELECT item.state, item.code, item.run_id, item.coded, item.n + coalesce(t.n, 0)
FROM json_to_recordset(:items) AS item (state TEXT, code INTEGER, run_id INTEGER, coded BOOLEAN, n INTEGER)
LEFT JOIN tallies AS t ON t.state = item.state AND t.code = item.code AND t.run_id = item.run_id
    AND t.coded = item.coded
WHERE true ON CONFLICT (state, code, run_id, coded) DO UPDATE SET n = excluded.n
"""

GROUPED = f"""
SELECT state, coalesce(code, {NO_CODE}) AS code, coalesce(run_id, {NO_RUN}) AS run_id,
    code IS NOT NULL AS coded, count(*) AS n
FROM submissions GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - numbers of ours
"""The tallies, counted anew from the submissions."""

TASKS_GROUPED = "SELECT state, count(*) AS n FROM tasks GROUP BY 1"
"""The tallies of tasks, counted anew from the tasks; states without a task are left out."""


def tally(connection: Connection, changes: Counter[Key]) -> None:
    """Change the tallies; one that would fall below zero breaks a constraint."""
    rows: Counter[tuple[str, int, int, int]] = Counter()  # the statement takes each key once
    for (state, code, run), n in changes.items():
        rows[state, NO_CODE if code is None else code, run or NO_RUN, code is not None] += n
    changed = [
        {"state": state, "code": code, "run_id": run, "coded": coded, "n": n}
        for (state, code, run, coded), n in rows.items()
        if n
    ]
    if changed:
        connection.run(_CHANGE, items=changed)


def recount(connection: Connection) -> None:
    """Replace the tallies by what is counted now."""
    connection.run("DELETE FROM tallies")
    connection.run(f"INSERT INTO tallies (state, code, run_id, coded, n) {GROUPED}")
    connection.run(_RECOUNT_TASKS)


_RECOUNT_TASKS = f"""
UPDATE task_tallies SET n = counted.n, told = min(told, counted.n)
FROM (SELECT t.state AS state, coalesce(c.n, 0) AS n FROM task_tallies AS t
    LEFT JOIN ({TASKS_GROUPED}) AS c ON c.state = t.state) AS counted
WHERE counted.state = task_tallies.state
"""  # noqa: S608 - words of ours


_CHANGE_TASKS = """
INSERT INTO task_tallies (state, n)
SELECT item.state, item.n + coalesce(t.n, 0) FROM json_to_recordset(:items) AS item (state TEXT, n INTEGER)
LEFT JOIN task_tallies AS t ON t.state = item.state
WHERE true ON CONFLICT (state) DO UPDATE SET n = excluded.n
"""


def tally_tasks(connection: Connection, changes: Counter[TaskState]) -> None:
    """Change the tallies of tasks; one that would fall below zero breaks a constraint."""
    changed = [{"state": state, "n": n} for state, n in changes.items() if n]
    if changed:
        connection.run(_CHANGE_TASKS, items=changed)
