"""Queries for numbers. Those of submissions and tasks come from the tallies: no query counts all rows."""

from __future__ import annotations

from batcher.ledger.conditions import IS_POSSIBLY_TWICE, IS_TROUBLED, NO_RUN
from batcher.ledger.connection import Connection
from batcher.model.records import HttpTally, Tally, TaskTally
from batcher.model.submission import EndpointKind, RunId, State
from batcher.model.task import TaskState


def bound_to(connection: Connection) -> tuple[int, EndpointKind] | None:
    """Return the AppId and kind of endpoint this ledger belongs to; None before its first run."""
    row = connection.row("SELECT app_id, place FROM binding")
    return None if row is None else (row.app_id, EndpointKind(row.place))


def tallies(connection: Connection) -> list[Tally]:
    """Count all submissions by state, last definite code, and the run that last settled them."""
    return [
        Tally(
            State(row.state),
            row.code if row.coded else None,
            None if row.run_id == NO_RUN else RunId(row.run_id),
            row.n,
        )
        for row in connection.rows("SELECT state, code, coded, run_id, n FROM tallies WHERE n > 0")
    ]


_LAST_REFUSALS = f"""
SELECT a.http_status, refused.run_id, count(*) AS n
FROM (
    SELECT id, attempts, run_id FROM submissions WHERE {IS_TROUBLED} AND code IS NULL
    UNION ALL
    SELECT id, attempts, run_id FROM submissions WHERE not_before_ms IS NOT NULL AND code IS NULL
) AS refused JOIN attempts AS a ON a.submission_id = refused.id AND a.number = refused.attempts
WHERE a.outcome = 'http_refusal' AND a.http_status IS NOT NULL
GROUP BY a.http_status, refused.run_id ORDER BY a.http_status
"""  # noqa: S608 - conditions of ours
"""Submissions without a code that are put off or have ended; both conditions have an index."""


def tallies_of_http_refusals(connection: Connection) -> list[HttpTally]:
    """Count the submissions without a code whose last answer was a refusal, by its HTTP status."""
    return [
        HttpTally(row.http_status, RunId(row.run_id) if row.run_id else None, row.n)
        for row in connection.rows(_LAST_REFUSALS)
    ]


def tallies_of_tasks(connection: Connection) -> list[TaskTally]:
    """Count the tracked tasks by state; empty before the first is tracked."""
    rows = connection.rows("SELECT state, n, told FROM task_tallies")
    return [TaskTally(TaskState(row.state), row.n, row.told) for row in rows]


def count_doubtful(connection: Connection) -> int:
    """Count the open submissions that may have been accepted already: their answer was lost before."""
    return int(
        connection.value("SELECT count(*) FROM submissions WHERE state = 'pending' AND tries_doubt > 0")
    )


def count_possibly_twice(connection: Connection) -> int:
    """Count the submissions with a task id of which an earlier attempt may have been accepted as well."""
    return int(connection.value(f"SELECT count(*) FROM submissions WHERE {IS_POSSIBLY_TWICE}"))  # noqa: S608


def newest_submission(connection: Connection) -> int:
    """Return the id of the newest submission, or 0."""
    return int(connection.value("SELECT coalesce(max(id), 0) FROM submissions"))


def newest_invalid_row(connection: Connection) -> int:
    """Return the id of the newest row that cannot be sent, or 0."""
    return int(connection.value("SELECT coalesce(max(id), 0) FROM invalid_rows"))
