"""Counting a whole ledger, and looking up the first cases of what its audit names.

Stands between the audit and the tables. It counts rows, and not the figures kept beside them, since those
are what it is held against; all in one moment of the ledger, whatever a run does meanwhile, and in the
database, so that neither rows nor sorts gather in memory. It never writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from batcher.ledger.schema import IS_CLAIMED, IS_POSSIBLY_TWICE, IS_TROUBLED
from batcher.ledger.sqlite.verify import looking_into
from batcher.model.audit import Case, CaseKind, Counted
from batcher.model.records import doubt_reason, may_be_unseen
from batcher.model.submission import FileId, State, TaskId, Vendor
from batcher.model.task import Effect, TaskState

_MOST_ATTEMPTS = 5
"""Of a submission, so many of its RequestIds are named: the first ones."""

_SUBMISSIONS = "SELECT state, doubted, count(*), sum(tracked), sum(pruned) FROM submissions GROUP BY 1, 2"
_ATTEMPTS = "SELECT sum(outcome IS NOT 'not_sent'), count(task_id) FROM attempts"
_TASKS = "SELECT state, count(*), sum(pictures > 0) FROM tasks GROUP BY 1"
_UNCONFIRMED = f"SELECT count(*) FROM tasks WHERE {IS_CLAIMED}"  # noqa: S608 - words of ours
_SHARED = "SELECT count(*) FROM (SELECT 1 FROM tasks GROUP BY task_id HAVING count(*) > 1)"
_CALLBACKS = "SELECT effect, count(*) FROM callbacks GROUP BY 1"
_TWICE = "SELECT count(DISTINCT submission_id) FROM callbacks WHERE effect = 'double'"
_TALLIED = "SELECT state, sum(n) FROM tallies GROUP BY 1"
_TASKS_TALLIED = "SELECT state, sum(n) FROM task_tallies GROUP BY 1"

_CASES: dict[CaseKind, str] = {
    CaseKind.TWICE: (
        "SELECT submission_id, task_id FROM callbacks WHERE effect = 'double' ORDER BY id LIMIT ?"
    ),
    CaseKind.POSSIBLY_TWICE: (
        f"SELECT id, NULL FROM submissions WHERE {IS_POSSIBLY_TWICE} ORDER BY id LIMIT ?"  # noqa: S608
    ),
    CaseKind.IN_DOUBT: (
        f"SELECT id, NULL FROM submissions WHERE state = 'in_doubt' AND {IS_TROUBLED} "  # noqa: S608
        "ORDER BY id + 0 LIMIT ?"
    ),
    CaseKind.UNNAMED: (
        "SELECT id, NULL FROM submissions WHERE state IN ('rejected', 'failed') AND doubted "  # noqa: S608
        f"AND {IS_TROUBLED} ORDER BY id + 0 LIMIT ?"
    ),
    CaseKind.TASK_FAILED: "SELECT submission_id, NULL FROM tasks WHERE state = 'failed' LIMIT ?",
    CaseKind.TASK_UNKNOWN: "SELECT submission_id, NULL FROM tasks WHERE state = 'unknown' LIMIT ?",
    CaseKind.WITHOUT_PICTURES: (
        "SELECT submission_id, NULL FROM tasks WHERE state = 'finished' AND NOT pictures LIMIT ?"
    ),
}
"""The first submissions of each kind, with the task to be named where it is not the submission's own."""

_STRANGERS = "SELECT file_id, vendor, task_id FROM callbacks WHERE effect = 'stranger' ORDER BY id LIMIT ?"

_CASE = """
SELECT s.file_id, p.vendor, t.task_id, t.status, t.message, t.request_id FROM submissions AS s
JOIN parameters AS p ON p.id = s.parameters_id LEFT JOIN tasks AS t ON t.submission_id = s.id WHERE s.id = ?
"""
_CASE_ATTEMPTS = """
SELECT coalesce(vendor_request_id, request_id), task_id, message, outcome, decision, code FROM attempts
WHERE submission_id = ? ORDER BY number LIMIT ?
"""


def audited(path: Path, cases: int) -> Counted:
    """Count a ledger of today's schema.

    Args:
        path: the ledger.
        cases: so many of each kind are looked up.

    Raises:
        LedgerError: it cannot be read.
    """
    with looking_into(path) as connection:
        connection.execute("BEGIN")  # one moment of the ledger
        return _counted(connection, cases)


def _counted(connection: sqlite3.Connection, cases: int) -> Counted:
    def all_of(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query).fetchall()

    bound = connection.execute("SELECT app_id FROM binding").fetchone()
    submissions, tasks = all_of(_SUBMISSIONS), all_of(_TASKS)
    [(attempts, task_ids)] = all_of(_ATTEMPTS)
    return Counted(
        app_id=bound[0] if bound else None,
        submissions={(State(state), bool(doubted)): n for state, doubted, n, *_ in submissions},
        twice=all_of(_TWICE)[0][0],
        attempts=(attempts or 0) + sum(row[4] for row in submissions),
        task_ids=task_ids,
        followed=sum(row[3] for row in submissions),
        tasks={TaskState(state): n for state, n, _ in tasks},
        with_pictures=sum(pictured for state, _, pictured in tasks if state == TaskState.FINISHED),
        unconfirmed=all_of(_UNCONFIRMED)[0][0],
        shared_task_ids=all_of(_SHARED)[0][0],
        callbacks={Effect(effect): n for effect, n in all_of(_CALLBACKS)},
        tallied={State(state): n for state, n in all_of(_TALLIED)},
        tasks_tallied={TaskState(state): n for state, n in all_of(_TASKS_TALLIED)},
        cases={
            **{kind: tuple(_cases(connection, kind, cases)) for kind in _CASES},
            CaseKind.STRANGER: tuple(
                Case(FileId(file_id) if file_id else None, _vendor(vendor), TaskId(task_id), (), None)
                for file_id, vendor, task_id in connection.execute(_STRANGERS, (cases,))
            ),
        },
    )


_DOUBTS = (CaseKind.POSSIBLY_TWICE, CaseKind.IN_DOUBT, CaseKind.UNNAMED)
"""Kinds of which our reason for the doubt is told, and not what the service said."""


def _cases(connection: sqlite3.Connection, kind: CaseKind, most: int) -> Iterator[Case]:
    for id_, named in connection.execute(_CASES[kind], (most,)).fetchall():
        file_id, vendor, task_id, status, message, polled = connection.execute(_CASE, (id_,)).fetchone()
        made = connection.execute(_CASE_ATTEMPTS, (id_, _MOST_ATTEMPTS)).fetchall()
        of_attempts = [request_id for request_id, *_ in made if request_id]
        own = next((one for _, one, *_ in made if one), None)
        said = [text for _, _, text, *_ in made if text][-1:]
        if kind in _DOUBTS:
            lost = [
                doubt_reason(outcome, code, text)
                for _, _, text, outcome, decision, code in made
                if may_be_unseen(outcome, decision, code)
            ]
            status, said = None, lost[-1:] or said
        yield Case(
            FileId(file_id),
            _vendor(vendor),
            TaskId(task) if (task := named or task_id or own) else None,
            tuple(dict.fromkeys([*of_attempts, *([polled] if polled else [])])),
            (f"{status}: {message}" if message else status) if status else (said[0] if said else None),
        )


def _vendor(name: str | None) -> Vendor | None:
    return Vendor(name) if name else None
