"""The checks of a ledger: whether it is complete and consistent.

Called by ``ledger verify`` and ``ledger restore``. They use statements alone, so that they work on a ledger
of any schema and on a damaged one. Only :func:`repair` writes; the checks take no lock and work during a run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from batcher.errors import LedgerError
from batcher.ledger.conditions import NO_CODE, NO_RUN
from batcher.ledger.connection import Access, Connection
from batcher.ledger.database import FIRST_FINDINGS, Check, Database, database_of
from batcher.ledger.schema_version import revision_of
from batcher.ledger.tallies import GROUPED, TASKS_GROUPED, recount
from batcher.model.ledger_name import LedgerName

_TALLIED = "SELECT state, code, run_id, coded, n FROM tallies WHERE n <> 0"
_TALLIED_UNTIL_0004 = f"SELECT state, code, run_id, code <> {NO_CODE} AS coded, n FROM tallies WHERE n <> 0"  # noqa: S608
"""Until then a code of -1 and no code were one."""

_CONTRADICTIONS = {
    "is submitted, and no attempt has a task id": """
        SELECT s.id, s.file_id FROM submissions AS s WHERE s.state = 'submitted' AND NOT EXISTS
        (SELECT 1 FROM attempts AS a WHERE a.submission_id = s.id AND a.task_id IS NOT NULL)
    """,
    "has a task id, and is not submitted": """
        SELECT s.id, s.file_id FROM attempts AS a JOIN submissions AS s ON s.id = a.submission_id
        WHERE a.task_id IS NOT NULL AND s.state <> 'submitted'
    """,
    "is being sent, and its last attempt has ended or never began": """
        SELECT s.id, s.file_id FROM submissions AS s WHERE s.state = 'sending' AND NOT EXISTS
        (SELECT 1 FROM attempts AS a WHERE a.submission_id = s.id AND a.number = s.attempts
            AND a.outcome IS NULL)
    """,
    "is not being sent, and an attempt of it has not ended": """
        SELECT s.id, s.file_id FROM attempts AS a JOIN submissions AS s ON s.id = a.submission_id
        WHERE a.outcome IS NULL AND s.state <> 'sending'
    """,
    "counts other attempts than there are": """
        SELECT s.id, s.file_id FROM submissions AS s WHERE s.attempts <>
        coalesce((SELECT max(number) FROM attempts AS a WHERE a.submission_id = s.id), 0)
    """,
    "is rejected, failed or in doubt without any attempt": """
        SELECT s.id, s.file_id FROM submissions AS s
        WHERE s.state IN ('rejected', 'failed', 'in_doubt') AND s.attempts = 0
    """,
}
"""Contradictions that no run leaves, each with a query for the submissions that have it."""

_TASK_CONTRADICTIONS = {
    "counts as followed, and has no task": """
        SELECT s.id, s.file_id FROM submissions AS s WHERE s.tracked
        AND NOT EXISTS (SELECT 1 FROM tasks AS t WHERE t.submission_id = s.id)
    """,
    "has a task, and does not count as followed": """
        SELECT s.id, s.file_id FROM tasks AS t JOIN submissions AS s ON s.id = t.submission_id
        WHERE NOT s.tracked
    """,
    "has a task, and is not submitted": """
        SELECT s.id, s.file_id FROM tasks AS t JOIN submissions AS s ON s.id = t.submission_id
        WHERE s.state <> 'submitted'
    """,
    "is followed under another task id than it was given": """
        SELECT s.id, s.file_id FROM tasks AS t JOIN submissions AS s ON s.id = t.submission_id
        WHERE NOT EXISTS (SELECT 1 FROM attempts AS a
            WHERE a.submission_id = t.submission_id AND a.task_id = t.task_id)
    """,
    "has a task that has ended and is due, or has not ended and is not due": """
        SELECT s.id, s.file_id FROM tasks AS t JOIN submissions AS s ON s.id = t.submission_id
        WHERE (t.state IN ('waiting', 'processing')) <> (t.due_at_ms IS NOT NULL)
    """,
    "counts other pictures than there are": """
        SELECT s.id, s.file_id FROM tasks AS t JOIN submissions AS s ON s.id = t.submission_id
        WHERE t.pictures <> (SELECT count(*) FROM pictures AS p WHERE p.submission_id = t.submission_id)
    """,
}
"""The same for tasks."""

_TASKS_TALLIED = "SELECT state, n FROM task_tallies WHERE n <> 0"


def verify(ledger: LedgerName, on_progress: Callable[[str, float], None]) -> Iterator[str]:
    """Check a ledger; each finding is a line.

    Args:
        ledger: its name.
        on_progress: called now and then with what is being checked, and for how many seconds.

    Raises:
        LedgerError: there is no ledger, or it cannot be read at all.
    """
    database = database_of(ledger)
    with database.open_existing() as connection:
        revision_of(connection)
        with connection.transaction():  # one moment of the ledger, also during a run
            yield from findings_of(connection, database, on_progress)


def findings_of(
    connection: Connection, database: Database, on_progress: Callable[[str, float], None]
) -> Iterator[str]:
    """Check a ledger within an open transaction; see :func:`verify`."""
    checks: dict[str, Check] = {
        **database.checks(),
        "tallies": _tally_findings,
        "states and attempts": _contradictions,
    }
    if "task_tallies" in connection.table_names():  # an older schema has no tasks
        checks["tasks"] = _task_findings
    for what, check in checks.items():
        yield from _watched(connection, what, on_progress, check)


def repair(ledger: LedgerName) -> None:
    """Count the tallies again, in one transaction. The caller holds the ledger's lock.

    Raises:
        LedgerError: the ledger cannot be read or written.
    """
    with database_of(ledger).connect(Access.WRITE) as connection, connection.transaction():
        recount(connection)


def _watched(
    connection: Connection, what: str, on_progress: Callable[[str, float], None], check: Check
) -> Iterator[str]:
    began = time.monotonic()
    try:
        with connection.watched(lambda: on_progress(what, time.monotonic() - began)):
            yield from check(connection)
    except LedgerError as exc:
        yield f"{what}: cannot be read: {exc.__cause__ or exc}"


def _tally_findings(connection: Connection) -> Iterator[str]:
    has_coded = "coded" in connection.column_names("tallies")
    counted: Counter[tuple[Any, ...]] = Counter()
    for row in connection.rows(GROUPED):
        coded = row.coded if has_coded else row.code != NO_CODE
        counted[row.state, row.code, row.run_id, bool(coded)] += row.n
    tallied: Counter[tuple[Any, ...]] = Counter()
    for row in connection.rows(_TALLIED if has_coded else _TALLIED_UNTIL_0004):
        tallied[row.state, row.code, row.run_id, bool(row.coded)] += row.n
    for key in sorted(counted.keys() | tallied.keys()):
        there, tallied_n = counted[key], tallied[key]
        if there != tallied_n:
            state, code, run, coded = key
            of = f"{state}, code {code if coded else 'none'}, run {'none' if run == NO_RUN else run}"
            yield f"tallies: {tallied_n:,} submissions {of}, and {there:,} are there"


def _contradictions(connection: Connection) -> Iterator[str]:
    yield from _contradicting(connection, _CONTRADICTIONS)


def _task_findings(connection: Connection) -> Iterator[str]:
    counted = {row.state: row.n for row in connection.rows(TASKS_GROUPED)}
    tallied = {row.state: row.n for row in connection.rows(_TASKS_TALLIED)}
    for state in sorted(counted.keys() | tallied.keys()):
        there, tallied_n = counted.get(state, 0), tallied.get(state, 0)
        if there != tallied_n:
            yield f"tallies: {tallied_n:,} tasks {state}, and {there:,} are there"
    yield from _contradicting(connection, _TASK_CONTRADICTIONS)


def _contradicting(connection: Connection, contradictions: Mapping[str, str]) -> Iterator[str]:
    for what, query in contradictions.items():
        for row in connection.rows(f"{query} LIMIT {FIRST_FINDINGS}"):
            yield f"submission {row.id}, {row.file_id}: {what}"
