"""The tallies' own statements, within the transaction that moves the submissions."""

from __future__ import annotations

from collections import Counter

from batcher.ledger.conditions import NO_CODE, NO_RUN
from batcher.ledger.connection import Connection
from batcher.model.submission import State
from batcher.model.task import TaskState

Key = tuple[State, int | None, int | None]
"""The key of a tally: state, last definite code, run that last settled."""

_KEY_COLUMNS = ("state", "code", "run_id", "coded")
_KEY = f"({', '.join(_KEY_COLUMNS)})"

_LOCK = f"""
SELECT n FROM tallies WHERE {_KEY} IN
    (SELECT item.state, item.code, item.run_id, item.coded FROM json_to_recordset(:items) AS item
        (state TEXT, code BIGINT, run_id BIGINT, coded BOOLEAN))
ORDER BY state, code, run_id, coded FOR UPDATE
"""  # noqa: S608 - ours

_CHANGE = """
UPDATE tallies SET n = tallies.n + item.n
FROM json_to_recordset(:items) AS item (state TEXT, code BIGINT, run_id BIGINT, coded BOOLEAN, n BIGINT)
WHERE tallies.state = item.state AND tallies.code = item.code AND tallies.run_id = item.run_id
    AND tallies.coded = item.coded
RETURNING tallies.state, tallies.code, tallies.run_id, tallies.coded
"""

_HAVE = f"""
INSERT INTO tallies (state, code, run_id, coded, n)
SELECT item.state, item.code, item.run_id, item.coded, 0
FROM json_to_recordset(:items) AS item (state TEXT, code BIGINT, run_id BIGINT, coded BOOLEAN)
WHERE true ON CONFLICT {_KEY} DO NOTHING
"""  # noqa: S608 - ours

GROUPED = f"""
SELECT state, coalesce(code, {NO_CODE}) AS code, coalesce(run_id, {NO_RUN}) AS run_id,
    code IS NOT NULL AS coded, count(*) AS n
FROM submissions GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - numbers of ours
"""The tallies, counted anew from the submissions."""

TASKS_GROUPED = "SELECT state, count(*) AS n FROM tasks GROUP BY 1"
"""The tallies of tasks, counted anew from the tasks; states without a task are left out."""


def tally(connection: Connection, changes: Counter[Key]) -> None:
    """Change the tallies at the end of the transaction; one below zero breaks a constraint."""
    connection.add_up(_change, changes)


def _change(connection: Connection, changes: Counter[Key]) -> None:
    rows: Counter[tuple[str, int, int, bool]] = Counter()  # the statement takes each key once
    for (state, code, run), n in changes.items():
        rows[state, NO_CODE if code is None else code, run or NO_RUN, code is not None] += n
    changed = [
        {"state": state, "code": code, "run_id": run, "coded": coded, "n": n}
        for (state, code, run, coded), n in sorted(rows.items())
        if n
    ]
    if changed:
        connection.lock(_LOCK, items=changed)
        known = {tuple(row) for row in connection.rows(_CHANGE, items=changed)}
        if new := [item for item in changed if tuple(item[name] for name in _KEY_COLUMNS) not in known]:
            connection.run(_HAVE, items=new)
            connection.rows(_CHANGE, items=new)


def recount(connection: Connection) -> None:
    """Replace the tallies by what is counted now."""
    connection.run("DELETE FROM tallies")
    connection.run(f"INSERT INTO tallies (state, code, run_id, coded, n) {GROUPED}")
    connection.run(_RECOUNT_TASKS)


_RECOUNT_TASKS = f"""
UPDATE task_tallies SET n = counted.n, told = CASE WHEN told < counted.n THEN told ELSE counted.n END
FROM (SELECT t.state AS state, coalesce(c.n, 0) AS n FROM task_tallies AS t
    LEFT JOIN ({TASKS_GROUPED}) AS c ON c.state = t.state) AS counted
WHERE counted.state = task_tallies.state
"""  # noqa: S608 - words of ours


_LOCK_TASKS = """
SELECT n FROM task_tallies WHERE state IN (SELECT value FROM json_array_elements_text(:states))
ORDER BY state FOR UPDATE
"""

_CHANGE_TASKS = """
UPDATE task_tallies SET n = task_tallies.n + item.n
FROM json_to_recordset(:items) AS item (state TEXT, n BIGINT) WHERE task_tallies.state = item.state
RETURNING task_tallies.state
"""

HAVE_TASKS = """
INSERT INTO task_tallies (state, n) SELECT value, 0 FROM json_array_elements_text(:states)
WHERE true ON CONFLICT (state) DO NOTHING
"""
"""Have a tally of each of some states of tasks."""


def tally_tasks(connection: Connection, changes: Counter[TaskState]) -> None:
    """Change the tallies of tasks at the end of the transaction; one below zero breaks a constraint."""
    connection.add_up(_change_tasks, changes)


def _change_tasks(connection: Connection, changes: Counter[TaskState]) -> None:
    changed = [{"state": state, "n": n} for state, n in sorted(changes.items()) if n]
    if changed:
        connection.lock(_LOCK_TASKS, states=[item["state"] for item in changed])
        known = {row.state for row in connection.rows(_CHANGE_TASKS, items=changed)}
        if new := [item for item in changed if item["state"] not in known]:
            connection.run(HAVE_TASKS, states=[item["state"] for item in new])
            connection.rows(_CHANGE_TASKS, items=new)
