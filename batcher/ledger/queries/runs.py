"""Queries for runs."""

from __future__ import annotations

from batcher.ledger.conditions import NO_RUN
from batcher.ledger.connection import Connection, ResultRow
from batcher.ledger.row_values import time_of, time_or_none
from batcher.model.records import RunRecord
from batcher.model.submission import RunId

_RUNS = """
SELECT id, started_at_ms, ended_at_ms, exit_code, pid, host, version, rate_per_s, reason, pace_per_s,
    why_slow, invalid_rows_seen
FROM runs
"""
"""Runs, with the columns in the order of the fields of :class:`Run`."""


def last_run(connection: Connection) -> RunRecord | None:
    """Return the newest run, ended or not."""
    return _newest(connection, "true")


def last_ended_run(connection: Connection, exit_code: int | None = None) -> RunRecord | None:
    """Return the newest run that recorded its end, of all or of those with an exit code."""
    if exit_code is None:
        return _newest(connection, "exit_code IS NOT NULL")
    return _newest(connection, "exit_code = :exit_code", exit_code=exit_code)


def last_reported_run(connection: Connection) -> RunRecord | None:
    """Return the newest run with exit code 0 or 1: what it reported is not new any more."""
    return _newest(connection, "exit_code IN (0, 1)")


def runs_that_sent(connection: Connection) -> list[RunRecord]:
    """Return every run that has settled a submission, oldest first."""
    which = "id IN (SELECT run_id FROM tallies WHERE n > 0 AND run_id <> :no_run)"
    return list(map(_run, connection.rows(f"{_RUNS} WHERE {which} ORDER BY id", no_run=NO_RUN)))


def _newest(connection: Connection, which: str, **values: object) -> RunRecord | None:
    row = connection.row(f"{_RUNS} WHERE {which} ORDER BY id DESC LIMIT 1", **values)
    return None if row is None else _run(row)


def _run(row: ResultRow) -> RunRecord:
    id_, started_at_ms, ended_at_ms, *others = row
    return RunRecord(RunId(id_), time_of(started_at_ms), time_or_none(ended_at_ms), *others)
