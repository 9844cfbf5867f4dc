"""The counts of a whole ledger, and the first cases of each finding of its audit.

Called by ``audit``. It counts rows instead of reading the tallies, since the audit compares the two. All
queries see one moment of the ledger, also during a run, and count in the database, so that neither rows nor
sorts gather in memory. It never writes.
"""

from __future__ import annotations

from collections.abc import Iterator

from batcher.ledger.conditions import IS_CLAIMED, IS_POSSIBLY_TWICE, IS_TROUBLED
from batcher.ledger.connection import Connection, ResultRow
from batcher.ledger.database import database_of
from batcher.ledger.queries import counts
from batcher.ledger.queries.submissions import RECORD, with_attempts
from batcher.model.audit import Case, CaseKind, Counted
from batcher.model.ledger_name import LedgerName
from batcher.model.records import Record
from batcher.model.submission import FileId, State, TaskId, Vendor
from batcher.model.task import Effect, TaskState

_MOST_ATTEMPTS = 5
"""The number of RequestIds of a submission that are named: the first ones."""

_SUBMISSIONS = """
SELECT state, doubted, count(*) AS n, sum(CASE WHEN tracked THEN 1 ELSE 0 END) AS tracked,
    sum(pruned) AS pruned
FROM submissions GROUP BY 1, 2
"""
_ATTEMPTS = """
SELECT sum(CASE WHEN outcome = 'not_sent' THEN 0 ELSE 1 END) AS sent, count(task_id) AS task_ids FROM attempts
"""
_TASKS = """
SELECT state, count(*) AS n, sum(CASE WHEN pictures > 0 THEN 1 ELSE 0 END) AS pictured FROM tasks GROUP BY 1
"""
_UNCONFIRMED = f"SELECT count(*) FROM tasks WHERE {IS_CLAIMED}"  # noqa: S608 - words of ours
_SHARED = "SELECT count(*) FROM (SELECT 1 FROM tasks GROUP BY task_id HAVING count(*) > 1) AS shared"
_CALLBACKS = "SELECT effect, count(*) AS n FROM callbacks GROUP BY 1"
_TWICE = "SELECT count(DISTINCT submission_id) FROM callbacks WHERE effect = 'double'"
_TALLIED = "SELECT state, sum(n) AS n FROM tallies GROUP BY 1"
_TASKS_TALLIED = "SELECT state, sum(n) AS n FROM task_tallies GROUP BY 1"

_SUBMISSION_CASE = "SELECT id, NULL AS task_id FROM submissions WHERE"
_TASK_CASE = "SELECT submission_id AS id, NULL AS task_id FROM tasks WHERE"

_CASES: dict[CaseKind, str] = {
    CaseKind.TWICE: (
        "SELECT submission_id AS id, task_id FROM callbacks WHERE effect = 'double' ORDER BY callbacks.id"
    ),
    CaseKind.POSSIBLY_TWICE: f"{_SUBMISSION_CASE} {IS_POSSIBLY_TWICE} ORDER BY id",
    CaseKind.IN_DOUBT: f"{_SUBMISSION_CASE} state = 'in_doubt' AND {IS_TROUBLED} ORDER BY id + 0",
    CaseKind.UNNAMED: (
        f"{_SUBMISSION_CASE} state IN ('rejected', 'failed') AND doubted AND {IS_TROUBLED} ORDER BY id + 0"
    ),
    CaseKind.TASK_FAILED: f"{_TASK_CASE} state = 'failed'",
    CaseKind.TASK_UNKNOWN: f"{_TASK_CASE} state = 'unknown'",
    CaseKind.WITHOUT_PICTURES: f"{_TASK_CASE} state = 'finished' AND pictures = 0",
}
"""The first submissions of each kind, with the task to be named where it is not the submission's own."""

_STRANGERS = (
    "SELECT file_id, vendor, task_id FROM callbacks WHERE effect = 'stranger' ORDER BY id LIMIT :most"
)

_CASE = f"{RECORD} WHERE s.id = :id"


def audited(ledger: LedgerName, cases: int) -> Counted:
    """Count a ledger of today's schema.

    Args:
        ledger: its name.
        cases: how many of each kind are looked up.

    Raises:
        LedgerError: it cannot be read.
    """
    with database_of(ledger).open_existing() as connection, connection.transaction():  # one moment
        return _counted(connection, cases)


def _counted(connection: Connection, cases: int) -> Counted:
    bound = counts.bound_to(connection)
    submissions, tasks = connection.rows(_SUBMISSIONS), connection.rows(_TASKS)
    [attempts] = connection.rows(_ATTEMPTS)
    return Counted(
        app_id=bound[0] if bound else None,
        submissions={(State(row.state), bool(row.doubted)): row.n for row in submissions},
        twice=connection.value(_TWICE),
        attempts=(attempts.sent or 0) + sum(row.pruned for row in submissions),
        task_ids=attempts.task_ids,
        followed=sum(row.tracked for row in submissions),
        tasks={TaskState(row.state): row.n for row in tasks},
        with_pictures=sum(row.pictured for row in tasks if row.state == TaskState.FINISHED),
        unconfirmed=connection.value(_UNCONFIRMED),
        shared_task_ids=connection.value(_SHARED),
        callbacks={Effect(row.effect): row.n for row in connection.rows(_CALLBACKS)},
        tallied={State(row.state): row.n for row in connection.rows(_TALLIED)},
        tasks_tallied={TaskState(row.state): row.n for row in connection.rows(_TASKS_TALLIED)},
        cases={
            **{kind: tuple(_cases(connection, kind, cases)) for kind in _CASES},
            CaseKind.STRANGER: tuple(map(_stranger, connection.rows(_STRANGERS, most=cases))),
        },
    )


_DOUBTS = (CaseKind.POSSIBLY_TWICE, CaseKind.IN_DOUBT, CaseKind.UNNAMED)
"""Kinds that are reported with our reason for the doubt instead of the words of the service."""


def _cases(connection: Connection, kind: CaseKind, most: int) -> Iterator[Case]:
    for found in connection.rows(f"{_CASES[kind]} LIMIT :most", most=most):
        [record] = with_attempts(connection, connection.rows(_CASE, id=found.id))
        task_id = found.task_id or (record.task.task_id if record.task else record.task_id)
        attempts = record.attempts[:_MOST_ATTEMPTS]
        request_ids = [attempt.vendor_request_id or attempt.request_id for attempt in attempts]
        if record.task:
            request_ids.append(record.task.request_id)
        named = tuple(dict.fromkeys(filter(None, request_ids)))
        yield Case(record.file_id, record.parameters.vendor, task_id, named, _words(kind, record))


def _words(kind: CaseKind, record: Record) -> str | None:
    """Return what a case is reported with: the service's words, or the reason for a doubt."""
    if kind in _DOUBTS:
        if record.why_in_doubt:
            return record.why_in_doubt
    elif record.task and record.task.status:
        return ": ".join(filter(None, (record.task.status, record.task.message)))
    messages = [attempt.message for attempt in record.attempts if attempt.message]
    return messages[-1] if messages else None


def _stranger(row: ResultRow) -> Case:
    file_id = FileId(row.file_id) if row.file_id else None
    return Case(file_id, Vendor(row.vendor) if row.vendor else None, TaskId(row.task_id), (), None)
