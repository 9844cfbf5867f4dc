"""Looking into a ledger's file: what it is made of, and whether it is whole.

Reads as a stranger would, with the database library alone, so that it can look at a ledger of any schema
and at a damaged one. Only :func:`repair` writes; the others take no lock and work while a run is going on.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batcher.ledger.schema import NO_CODE, NO_RUN, metadata
from batcher.ledger.sqlite.connection import (
    BUSY_TIMEOUT_S,
    check_file,
    check_revision,
    connect_writer,
    translated,
)
from batcher.ledger.tallies import GROUPED, TASKS_GROUPED, recount

FIRST_FINDINGS = 20
"""So many findings of one kind are told of one by one."""

_STEPS = 1_000_000
"""Instructions of the database between two looks at the clock."""

_SAMPLED = 1_000


@dataclass(frozen=True, slots=True)
class TableAndIndexes:
    """A table with its indexes."""

    name: str
    rows: int
    bytes: int
    estimated: bool
    """Out of a sample of rows: this build of SQLite cannot tell."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a ledger's file is made of."""

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


@contextmanager
def looking_into(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write.

    Raises:
        LedgerError: there is none, or it cannot be read.
    """
    check_file(path)
    with translated(path):
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        with closing(connection):
            connection.execute("PRAGMA query_only = ON")
            yield connection


def revision_of(connection: sqlite3.Connection, path: Path) -> str:
    """The schema's version.

    Raises:
        LedgerError: it is no ledger, or from a newer version.
    """
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    revision = ""
    if {"alembic_version", "submissions", "attempts"} <= names:
        revision = str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    check_revision(revision, path, may_be_empty=False)
    return revision


def inspect(path: Path) -> Inspected:
    """Look at the file.

    Raises:
        LedgerError: there is none, or it cannot be read.
    """
    with looking_into(path) as connection:
        revision = revision_of(connection, path)
        page, pages, free = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_size", "page_count", "freelist_count")
        )
        bound = connection.execute("SELECT app_id, place FROM binding").fetchone()
        runs = connection.execute("SELECT min(started_at_ms), max(started_at_ms) FROM runs").fetchone()
        wal = path.with_name(path.name + "-wal")
        return Inspected(
            path,
            revision,
            page * pages,
            wal.stat().st_size if wal.exists() else 0,
            page * free,
            tuple(_parts(connection)),
            bound,
            runs,
        )


def _parts(connection: sqlite3.Connection) -> Iterator[TableAndIndexes]:
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    sizes = _sizes(connection)
    for table in metadata.sorted_tables:
        if table.name in there:
            rows = int(connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0])  # noqa: S608 - ours
            size = sizes[table.name] if sizes else _estimate(connection, table.name, rows)
            yield TableAndIndexes(table.name, rows, size, estimated=not sizes)


def _sizes(connection: sqlite3.Connection) -> dict[str, int]:
    """Bytes by table, its indexes included; empty where this build of SQLite cannot tell."""
    query = (
        "SELECT m.tbl_name, sum(d.pgsize) FROM dbstat('main', 1) AS d "
        "JOIN sqlite_master AS m ON m.name = d.name GROUP BY 1"
    )
    try:
        return {name: int(size) for name, size in connection.execute(query)}
    except sqlite3.OperationalError:
        return {}


def _estimate(connection: sqlite3.Connection, table: str, rows: int) -> int:
    """Bytes of a table, out of its first rows; indexes are left out."""
    columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
    length = " + ".join(f'coalesce(length("{name}"), 0) + 1' for name in columns)
    query = f"SELECT avg(n) FROM (SELECT {length} AS n FROM {table} LIMIT {_SAMPLED})"  # noqa: S608 - ours
    return int(rows * (connection.execute(query).fetchone()[0] or 0))


# -- whether it is whole -----------------------------------------------------------------------------


_TALLIED = "SELECT state, code, run_id, coded, n FROM tallies WHERE n <> 0"
_TALLIED_UNTIL_0004 = f"SELECT state, code, run_id, code <> {NO_CODE}, n FROM tallies WHERE n <> 0"  # noqa: S608
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
"""What no run can have left behind, each with a query for the submissions of which it is true."""

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
"""The same about what becomes of tasks."""

_TASKS_TALLIED = "SELECT state, n FROM task_tallies WHERE n <> 0"


def verify(path: Path, on_progress: Callable[[str, float], None]) -> Iterator[str]:
    """Look for what is wrong; each finding is a line.

    Args:
        path: the ledger.
        on_event: called now and then with what is being looked at, and for how many seconds.

    Raises:
        LedgerError: there is none, or it cannot be read at all.
    """
    with looking_into(path) as connection:
        revision_of(connection, path)
        connection.execute("BEGIN")  # one moment of the ledger, whatever a run does meanwhile
        yield from _watched(connection, "the file", on_progress, _file_findings)
        yield from _watched(connection, "references", on_progress, _reference_findings)
        yield from _watched(connection, "tallies", on_progress, _tally_findings)
        yield from _watched(connection, "states and attempts", on_progress, _contradictions)
        if _has_tasks(connection):
            yield from _watched(connection, "tasks", on_progress, _task_findings)


def repair(path: Path) -> None:
    """Count the tallies anew, in one transaction. The caller holds the ledger's lock.

    Raises:
        LedgerError: the ledger cannot be read or written.
    """
    engine = connect_writer(path)
    try:
        with translated(path), engine.begin() as connection:
            recount(connection)
    finally:
        engine.dispose()


_Look = Callable[[sqlite3.Connection], Iterator[str]]


def _watched(
    connection: sqlite3.Connection, what: str, on_progress: Callable[[str, float], None], look: _Look
) -> Iterator[str]:
    began = time.monotonic()

    def progress() -> int:
        on_progress(what, time.monotonic() - began)
        return 0

    connection.set_progress_handler(progress, _STEPS)
    try:
        yield from look(connection)
    except sqlite3.DatabaseError as exc:
        yield f"{what}: cannot be read: {exc}"
    finally:
        connection.set_progress_handler(None, 0)


def _file_findings(connection: sqlite3.Connection) -> Iterator[str]:
    for (line,) in connection.execute(f"PRAGMA integrity_check({FIRST_FINDINGS})"):
        if line != "ok":
            yield f"the file: {line}"


def _reference_findings(connection: sqlite3.Connection) -> Iterator[str]:
    found = connection.execute("PRAGMA foreign_key_check").fetchmany(FIRST_FINDINGS)
    for table, row, parent, _ in found:
        yield f"{table} row {row}: refers to a row of {parent} that is not there"


def _tally_findings(connection: sqlite3.Connection) -> Iterator[str]:
    columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(tallies)")}
    counted: Counter[tuple[Any, ...]] = Counter()
    for state, code, run, coded, n in connection.execute(GROUPED):
        counted[state, code, run, coded if "coded" in columns else code != NO_CODE] += n
    tallied: Counter[tuple[Any, ...]] = Counter()
    for *key, n in connection.execute(_TALLIED if "coded" in columns else _TALLIED_UNTIL_0004):
        tallied[tuple(key)] += n
    for key in sorted(counted.keys() | tallied.keys()):
        there, tallied_n = counted[key], tallied[key]
        if there != tallied_n:
            state, code, run, coded = key
            of = f"{state}, code {code if coded else 'none'}, run {'none' if run == NO_RUN else run}"
            yield f"tallies: {tallied_n:,} submissions {of}, and {there:,} are there"


def _contradictions(connection: sqlite3.Connection) -> Iterator[str]:
    yield from _contradicting(connection, _CONTRADICTIONS)


def _has_tasks(connection: sqlite3.Connection) -> bool:
    """Whether the schema knows tasks: older ones do not."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'task_tallies'"
    return connection.execute(query).fetchone() is not None


def _task_findings(connection: sqlite3.Connection) -> Iterator[str]:
    counted = dict(connection.execute(TASKS_GROUPED).fetchall())
    tallied = dict(connection.execute(_TASKS_TALLIED).fetchall())
    for state in sorted(counted.keys() | tallied.keys()):
        there, tallied_n = counted.get(state, 0), tallied.get(state, 0)
        if there != tallied_n:
            yield f"tallies: {tallied_n:,} tasks {state}, and {there:,} are there"
    yield from _contradicting(connection, _TASK_CONTRADICTIONS)


def _contradicting(connection: sqlite3.Connection, looked_for: Mapping[str, str]) -> Iterator[str]:
    for what, query in looked_for.items():
        for id_, file_id in connection.execute(query).fetchmany(FIRST_FINDINGS):
            yield f"submission {id_}, {file_id}: {what}"
