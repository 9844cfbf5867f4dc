"""Queries for runs."""

from __future__ import annotations

from batcher.ledger.conditions import NO_RUN
from batcher.ledger.row_values import time_of, time_or_none
from batcher.ledger.sqlite.connection import Connection, ResultRow
from batcher.model.records import Run
from batcher.model.submission import RunId


def last_run(connection: Connection) -> Run | None:
    """Return the newest run, ended or not."""
    return _first(connection.row("SELECT * FROM runs ORDER BY id DESC LIMIT 1"))


def last_ended_run(connection: Connection, exit_code: int | None = None) -> Run | None:
    """Return the newest run that recorded its end, of all or of those with an exit code."""
    which = "exit_code IS NOT NULL" if exit_code is None else "exit_code = :exit_code"
    query = f"SELECT * FROM runs WHERE {which} ORDER BY id DESC LIMIT 1"  # noqa: S608 - ours
    return _first(connection.row(query) if exit_code is None else connection.row(query, exit_code=exit_code))


def last_reported_run(connection: Connection) -> Run | None:
    """Return the newest run with exit code 0 or 1: what it reported is not new any more."""
    return _first(connection.row("SELECT * FROM runs WHERE exit_code IN (0, 1) ORDER BY id DESC LIMIT 1"))


def runs_that_sent(connection: Connection) -> list[Run]:
    """Return every run that has settled a submission, oldest first."""
    query = """
        SELECT * FROM runs WHERE id IN (SELECT run_id FROM tallies WHERE n > 0 AND run_id <> :no_run)
        ORDER BY id
    """
    return [_run(row) for row in connection.rows(query, no_run=NO_RUN)]


def _first(row: ResultRow | None) -> Run | None:
    return None if row is None else _run(row)


def _run(row: ResultRow) -> Run:
    return Run(
        id=RunId(row.id),
        started_at=time_of(row.started_at_ms),
        ended_at=time_or_none(row.ended_at_ms),
        exit_code=row.exit_code,
        pid=row.pid,
        host=row.host,
        version=row.version,
        rate_per_s=row.rate_per_s,
        reason=row.reason,
        pace_per_s=row.pace_per_s,
        why_slow=row.why_slow,
        invalid_rows_seen=row.invalid_rows_seen,
    )
