"""Queries for open submissions: what a run claims next, and what submissions ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from batcher.ledger.connection import Connection, ResultRow
from batcher.ledger.row_values import PARAMETERS, parameters_of, time_of, time_or_none
from batcher.model.records import AskedFor
from batcher.model.submission import Claim, FileId, LoadId, Parameters, RunId, SubmissionId, Tries

CLAIM = f"""
SELECT s.id, s.file_id, s.attempts, s.tries_busy, s.tries_unknown, s.tries_doubt, s.doubted, s.code, s.run_id,
    s.not_before_ms, {PARAMETERS}
FROM submissions AS s JOIN parameters AS p ON p.id = s.parameters_id
"""  # noqa: S608 - ours
"""A submission to claim, with what :func:`claim_of` reads."""

_FRESH = f"""{CLAIM}
WHERE s.state = 'pending' AND s.tries_doubt = 0 AND s.not_before_ms IS NULL AND s.id > :after_id
ORDER BY s.id LIMIT :limit
"""

_DOUBTFUL = f"""{CLAIM}
WHERE s.state = 'pending' AND s.tries_doubt > 0 AND (s.tries_doubt, s.id) > (:after_tries, :after_id)
ORDER BY s.tries_doubt, s.id LIMIT :limit
"""

_DELAYED = f"{CLAIM} WHERE s.not_before_ms IS NOT NULL AND s.tries_doubt = 0 ORDER BY s.not_before_ms"

_SENDING = f"{CLAIM} WHERE s.state = 'sending' ORDER BY s.id"

_ASKED_BEFORE = f"""
SELECT s.file_id, {PARAMETERS} FROM submissions AS s JOIN parameters AS p ON p.id = s.parameters_id
WHERE s.file_id IN (SELECT value FROM json_array_elements_text(:file_ids))
"""  # noqa: S608 - ours


def fresh(connection: Connection, *, after_id: int, limit: int) -> list[Claim]:
    """Return open submissions that wait for nothing, in their order, after a given one."""
    return [claim_of(row) for row in connection.rows(_FRESH, after_id=after_id, limit=limit)]


def doubtful(
    connection: Connection, *, after: tuple[int, int], limit: int
) -> list[tuple[datetime | None, Claim]]:
    """Return open submissions whose answer was lost before, with the time they wait for, if any.

    In the order of the number of doubts and then their own, after a given one.
    """
    rows = connection.rows(_DOUBTFUL, after_tries=after[0], after_id=after[1], limit=limit)
    return [(time_or_none(row.not_before_ms), claim_of(row)) for row in rows]


def delayed(connection: Connection) -> list[tuple[datetime, Claim]]:
    """Return open submissions that an earlier run put off, with the time they wait for."""
    return [(time_of(row.not_before_ms), claim_of(row)) for row in connection.rows(_DELAYED)]


def sending(connection: Connection) -> list[Claim]:
    """Return submissions whose attempt began and was never settled."""
    return [claim_of(row, begun=True) for row in connection.rows(_SENDING)]


_OPEN = """
SELECT parameters_id FROM submissions WHERE state = 'pending'
UNION ALL SELECT parameters_id FROM submissions WHERE state = 'sending'
"""
"""Submissions that are to be sent, and those whose attempt began: each part has an index."""


def asked_for_open(connection: Connection, groups: int) -> AskedFor:
    """Return what the open submissions ask for, the largest groups first."""
    return asked_for(connection, f"({_OPEN}) AS s", groups)


def asked_for_by(connection: Connection, loads: Sequence[LoadId], after_id: int, groups: int) -> AskedFor:
    """Return what the submissions ask for that some loads have added, the largest groups first.

    Args:
        connection: the ledger.
        loads: the loads.
        after_id: a submission that is older than all of theirs.
        groups: how many groups to return.
    """
    added = "s.load_id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:loads))"
    chosen = f"submissions AS s WHERE s.id > :after_id AND {added}"
    return asked_for(connection, chosen, groups, after_id=after_id, loads=list(loads))


def asked_for(connection: Connection, chosen: str, groups: int, **values: object) -> AskedFor:
    """Return what submissions ask for, the largest groups first.

    Args:
        connection: where they are.
        chosen: the submissions, named ``s``, as a query takes them behind ``FROM``.
        groups: how many groups to return.
        values: the parameters of that query.
    """
    query = f"""
        SELECT {PARAMETERS}, c.n, sum(c.n) OVER () AS total, count(*) OVER () AS sets
        FROM (SELECT s.parameters_id, count(*) AS n FROM {chosen} GROUP BY 1) AS c
        JOIN parameters AS p ON p.id = c.parameters_id
        ORDER BY c.n DESC, p.id LIMIT :groups
    """  # noqa: S608 - ours
    rows = connection.rows(query, groups=groups, **values)
    if not rows:
        return AskedFor()
    return AskedFor(tuple((parameters_of(row), row.n) for row in rows), rows[0].total, rows[0].sets)


def asked_before(connection: Connection, file_ids: Iterable[FileId]) -> dict[FileId, set[Parameters]]:
    """Return under which parameters recordings are in the ledger already; unknown ones are left out."""
    known: dict[FileId, set[Parameters]] = {}
    for row in connection.rows(_ASKED_BEFORE, file_ids=list(dict.fromkeys(file_ids))):
        known.setdefault(FileId(row.file_id), set()).add(parameters_of(row))
    return known


def claim_of(row: ResultRow, *, begun: bool = False) -> Claim:
    """Return the claim of a row; one whose attempt has begun has the number of that attempt."""
    busy, unknown, doubt = row.tries_busy, row.tries_unknown, row.tries_doubt
    return Claim(
        SubmissionId(row.id),
        FileId(row.file_id),
        parameters_of(row),
        row.attempts + (0 if begun else 1),
        Tries(busy, unknown, doubt) if busy or unknown or doubt else _UNTRIED,
        bool(row.doubted),
        row.code,
        None if row.run_id is None else RunId(row.run_id),
    )


_UNTRIED = Tries()
