"""The checks of a ledger's file: what it is made of, and whether it is complete and consistent.

Called by ``ledger info``, ``ledger verify`` and ``ledger restore``. They use SQLite alone, so that they work
on a ledger of any schema and on a damaged one. Only :func:`repair` writes; the others take no lock and work
during a run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batcher.errors import LedgerError
from batcher.files import exists
from batcher.ledger.conditions import NO_CODE, NO_RUN
from batcher.ledger.sqlite.connection import Access, Connection, connect, open_existing
from batcher.ledger.sqlite.schema_version import revision_of, table_names
from batcher.ledger.tallies import GROUPED, TASKS_GROUPED, recount

FIRST_FINDINGS = 20
"""The number of findings of one kind that are reported one by one."""

_STEPS = 1_000_000
"""Instructions of the database between two reports of progress."""

_SAMPLED = 1_000


@dataclass(frozen=True, slots=True)
class TableAndIndexes:
    """A table with its indexes."""

    name: str
    rows: int
    bytes: int
    estimated: bool
    """Out of a sample of rows: this build of SQLite does not report sizes."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """The contents of a ledger's file."""

    path: Path
    revision: str
    file_bytes: int
    wal_bytes: int
    free_bytes: int
    """In the file and not used; ``vacuum`` gives it back to the disk."""
    parts: tuple[TableAndIndexes, ...]
    bound: tuple[int, str] | None
    runs: tuple[int | None, int | None]
    """When the first and the last run began, in Unix milliseconds."""


def inspect(path: Path) -> Inspected:
    """Return what a ledger's file is made of.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    with open_existing(path) as connection:
        revision = revision_of(connection, path)
        page, pages, free = (
            int(connection.value(f"PRAGMA {name}")) for name in ("page_size", "page_count", "freelist_count")
        )
        bound = connection.row("SELECT app_id, place FROM binding")
        [runs] = connection.rows("SELECT min(started_at_ms) AS first, max(started_at_ms) AS last FROM runs")
        wal = path.with_name(path.name + "-wal")
        return Inspected(
            path,
            revision,
            page * pages,
            wal.stat().st_size if exists(wal) else 0,
            page * free,
            tuple(_parts(connection)),
            None if bound is None else (bound.app_id, bound.place),
            (runs.first, runs.last),
        )


def _parts(connection: Connection) -> Iterator[TableAndIndexes]:
    from batcher.ledger.schema import metadata  # slow to import

    there, sizes = table_names(connection), _sizes(connection)
    for name in [table.name for table in metadata.sorted_tables if table.name in there]:
        rows = int(connection.value(f"SELECT count(*) FROM {name}"))  # noqa: S608 - ours
        size = sizes[name] if sizes else _estimate(connection, name, rows)
        yield TableAndIndexes(name, rows, size, estimated=not sizes)


def _sizes(connection: Connection) -> dict[str, int]:
    """Return the bytes of each table with its indexes; empty where this build of SQLite does not report
    it."""
    query = """
        SELECT m.tbl_name AS name, sum(d.pgsize) AS size FROM dbstat('main', 1) AS d
        JOIN sqlite_master AS m ON m.name = d.name GROUP BY 1
    """
    try:
        return {row.name: int(row.size) for row in connection.rows(query)}
    except LedgerError:
        return {}


def _estimate(connection: Connection, table: str, rows: int) -> int:
    """Return the bytes of a table, out of its first rows; indexes are left out."""
    columns = [row.name for row in connection.rows(f"PRAGMA table_info({table})")]
    length = " + ".join(f'coalesce(length("{name}"), 0) + 1' for name in columns)
    query = f"SELECT avg(n) FROM (SELECT {length} AS n FROM {table} LIMIT {_SAMPLED})"  # noqa: S608 - ours
    return int(rows * (connection.value(query) or 0))


# -- whether it is whole -----------------------------------------------------------------------------


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


def verify(path: Path, on_progress: Callable[[str, float], None]) -> Iterator[str]:
    """Check a ledger; each finding is a line.

    Args:
        path: the ledger.
        on_progress: called now and then with what is being checked, and for how many seconds.

    Raises:
        LedgerError: there is no ledger, or it cannot be read at all.
    """
    with open_existing(path) as connection:
        revision_of(connection, path)
        with connection.transaction():  # one moment of the ledger, also during a run
            yield from _watched(connection, "the file", on_progress, _file_findings)
            yield from _watched(connection, "references", on_progress, _reference_findings)
            yield from _watched(connection, "tallies", on_progress, _tally_findings)
            yield from _watched(connection, "states and attempts", on_progress, _contradictions)
            if "task_tallies" in table_names(connection):  # an older schema has no tasks
                yield from _watched(connection, "tasks", on_progress, _task_findings)


def repair(path: Path) -> None:
    """Count the tallies again, in one transaction. The caller holds the ledger's lock.

    Raises:
        LedgerError: the ledger cannot be read or written.
    """
    with connect(path, Access.WRITE) as connection, connection.transaction():
        recount(connection)


_Check = Callable[[Connection], Iterator[str]]


def _watched(
    connection: Connection, what: str, on_progress: Callable[[str, float], None], check: _Check
) -> Iterator[str]:
    began = time.monotonic()

    def progress() -> int:
        on_progress(what, time.monotonic() - began)
        return 0

    connection.driver.set_progress_handler(progress, _STEPS)
    try:
        yield from check(connection)
    except LedgerError as exc:
        yield f"{what}: cannot be read: {exc.__cause__ or exc}"
    finally:
        connection.driver.set_progress_handler(None, 0)


def _file_findings(connection: Connection) -> Iterator[str]:
    for row in connection.rows(f"PRAGMA integrity_check({FIRST_FINDINGS})"):
        if row.integrity_check != "ok":
            yield f"the file: {row.integrity_check}"


def _reference_findings(connection: Connection) -> Iterator[str]:
    query = 'SELECT "table" AS name, rowid, parent FROM pragma_foreign_key_check LIMIT :limit'
    for row in connection.rows(query, limit=FIRST_FINDINGS):
        which = row.name if row.rowid is None else f"{row.name} row {row.rowid}"  # tables may have no rowid
        yield f"{which}: refers to a row of {row.parent} that is not there"


def _tally_findings(connection: Connection) -> Iterator[str]:
    has_coded = any(row.name == "coded" for row in connection.rows("PRAGMA table_info(tallies)"))
    counted: Counter[tuple[Any, ...]] = Counter()
    for row in connection.rows(GROUPED):
        coded = row.coded if has_coded else row.code != NO_CODE
        counted[row.state, row.code, row.run_id, coded] += row.n
    tallied: Counter[tuple[Any, ...]] = Counter()
    for row in connection.rows(_TALLIED if has_coded else _TALLIED_UNTIL_0004):
        tallied[row.state, row.code, row.run_id, row.coded] += row.n
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
