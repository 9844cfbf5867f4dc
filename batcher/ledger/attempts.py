"""The events of runs and attempts, as the writer records them: one function per business event.

Called by the writer inside its transaction, with all items of one kind. Every statement that moves a
submission names the state it moves from, and the tallies change with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from batcher.errors import IllegalMove
from batcher.ledger.connection import Connection
from batcher.ledger.tallies import Key, tally
from batcher.ledger.transactor import BatchEvent
from batcher.model.outcome import OUTCOME_NAMES, Answer, Settlement
from batcher.model.submission import MOVES, Claim, EndpointKind, RunId, State


class Begin(NamedTuple):
    """An attempt that begins."""

    claim: Claim
    run_id: RunId
    at_ms: int


class Settle(NamedTuple):
    """An attempt that has ended."""

    settlement: Settlement
    run_id: RunId
    not_before_ms: int | None
    proven: tuple[int, EndpointKind] | None = None
    """The account that its outcome proves, if the ledger may not be bound to it yet."""


# These run for every request, for a group of them together, so that a transaction is a handful of statements
# for any number of records.

_BEGIN_SUBMISSIONS = """
UPDATE submissions SET state = 'sending', attempts = attempts + 1, not_before_ms = NULL
WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:ids)) AND state = 'pending'
"""

_BEGIN_ATTEMPTS = """
INSERT INTO attempts (submission_id, number, run_id, begun_at_ms)
SELECT item.id, item.number, item.run_id, item.at_ms
FROM json_to_recordset(:items) AS item (id BIGINT, number INTEGER, run_id INTEGER, at_ms BIGINT)
"""

_SETTLE_ATTEMPTS = """
UPDATE attempts SET
    sent_at_ms = item.sent_at_ms,
    answered_at_ms = item.answered_at_ms,
    outcome = item.outcome,
    decision = item.decision,
    http_status = item.http_status,
    code = item.code,
    task_id = item.task_id,
    request_id = item.request_id,
    vendor_request_id = item.vendor_request_id,
    message = item.message
FROM json_to_recordset(:items) AS item (id BIGINT, number INTEGER, sent_at_ms BIGINT, answered_at_ms BIGINT,
    outcome TEXT, decision TEXT, http_status INTEGER, code BIGINT, task_id TEXT, request_id TEXT,
    vendor_request_id TEXT, message TEXT)
WHERE attempts.submission_id = item.id AND attempts.number = item.number
"""

_SETTLE_SUBMISSIONS = """
UPDATE submissions SET
    state = item.state,
    code = item.code,
    run_id = item.run_id,
    tries_busy = item.busy,
    tries_unknown = item.unknown,
    tries_doubt = item.doubt,
    doubted = item.doubted,
    not_before_ms = item.not_before_ms
FROM json_to_recordset(:items) AS item (id BIGINT, state TEXT, code BIGINT, run_id INTEGER, busy INTEGER,
    unknown INTEGER, doubt INTEGER, doubted BOOLEAN, not_before_ms BIGINT)
WHERE submissions.id = item.id AND submissions.state = 'sending'
"""

_INSERT_RUN = """
INSERT INTO runs (started_at_ms, pid, host, version, rate_per_s)
VALUES (:started_at_ms, :pid, :host, :version, :rate_per_s) RETURNING id
"""

_NOTE_PACE = "UPDATE runs SET pace_per_s = :pace_per_s, why_slow = :why_slow WHERE id = :run_id"

_END_RUN = """
UPDATE runs SET ended_at_ms = :ended_at_ms, exit_code = :exit_code, reason = :reason,
    pace_per_s = :pace_per_s, why_slow = :why_slow, invalid_rows_seen = CASE WHEN :reported
        THEN (SELECT coalesce(max(id), 0) FROM invalid_rows) ELSE invalid_rows_seen END
WHERE id = :run_id
"""

_BIND = "INSERT INTO binding (id, app_id, place) VALUES (1, :app_id, :place) ON CONFLICT DO NOTHING"


def insert_run(connection: Connection, row: dict[str, Any]) -> int:
    """Keep a new run; returns its id."""
    return int(connection.value(_INSERT_RUN, **row))


def note_pace(connection: Connection, row: dict[str, Any]) -> None:
    """Keep the pace that a run has."""
    connection.run(_NOTE_PACE, **row)


def end_run(connection: Connection, row: dict[str, Any]) -> None:
    """Keep how a run ended; one that ``reported`` has reported every invalid row so far."""
    connection.run(_END_RUN, **row)


@BatchEvent
def begin(connection: Connection, items: Sequence[Begin]) -> list[bool]:
    """Begin attempts of submissions that are open; returns which were.

    Raises:
        IllegalMove: one of several is not open; the writer then records each alone.
    """
    opened = connection.run(_BEGIN_SUBMISSIONS, ids=[item.claim.id for item in items])
    if opened != len(items):
        if len(items) == 1:
            return [False]
        raise IllegalMove(f"{len(items) - opened} submissions were to be begun that are not open")
    begun = [
        {"id": item.claim.id, "number": item.claim.number, "run_id": item.run_id, "at_ms": item.at_ms}
        for item in items
    ]
    connection.run(_BEGIN_ATTEMPTS, items=begun)
    changes: Counter[Key] = Counter()
    for item in items:
        changes[State.PENDING, item.claim.code, item.claim.run_id] -= 1
        changes[State.SENDING, item.claim.code, item.claim.run_id] += 1
    tally(connection, changes)
    return [True] * len(items)


@BatchEvent
def settle(connection: Connection, items: Sequence[Settle]) -> list[None]:
    """Settle attempts and move their submissions."""
    known = connection.run(_SETTLE_ATTEMPTS, items=list(map(attempt_item, items)))
    if known != len(items):
        raise IllegalMove(f"{len(items) - known} attempts were settled that were never begun")
    moved = connection.run(_SETTLE_SUBMISSIONS, items=list(map(_submission_item, items)))
    if moved != len(items):
        raise IllegalMove(f"{len(items) - moved} submissions were settled that were not being sent")
    changes: Counter[Key] = Counter()
    for item in items:
        claim, disposition = item.settlement.claim, item.settlement.disposition
        if disposition.state not in MOVES[State.SENDING]:
            raise IllegalMove(f"a submission cannot move from sending to {disposition.state}")
        changes[State.SENDING, claim.code, claim.run_id] -= 1
        changes[disposition.state, disposition.code, item.run_id] += 1
    tally(connection, changes)
    _bind(connection, items)
    return [None] * len(items)


def _bind(connection: Connection, items: Sequence[Settle]) -> None:
    """Bind the ledger to the account that an answer proves, unless it is bound."""
    if proven := next((item.proven for item in items if item.proven), None):
        connection.run(_BIND, app_id=proven[0], place=proven[1])


@dataclass(frozen=True, slots=True)
class Move:
    """A move of many submissions alike.

    Attributes:
        condition: which submissions move; the states it names must allow the move.
        assignments: what the move sets.
        to: the state they move to.
        values: the parameters of both.
        run_id: the run that settles them; None leaves the one they have.
    """

    condition: str
    assignments: str
    to: State
    values: Mapping[str, object]
    run_id: RunId | None = None

    def page(self, connection: Connection, *, after_id: int, limit: int) -> list[int]:
        """Return the ids of submissions that are to move, in their order, after a given one."""
        query = f"""
            SELECT id FROM submissions WHERE {self.condition} AND id > :after_id ORDER BY id LIMIT :limit
        """  # noqa: S608 - ours
        return [row.id for row in connection.rows(query, after_id=after_id, limit=limit, **self.values)]


def held(run_id: RunId) -> Move:
    """Return the move of open submissions whose answer was lost before out of the queue."""
    return Move(
        "state = 'pending' AND tries_doubt > 0",
        "state = 'in_doubt', run_id = :run_id, not_before_ms = NULL",
        State.IN_DOUBT,
        {},
        run_id,
    )


def retried(states: Sequence[State], codes: Sequence[int]) -> Move:
    """Return the move of settled submissions back into the queue with fresh budgets.

    Args:
        states: the states they are in.
        codes: their last codes; any code if empty.
    """
    of_states = "state IN (SELECT value FROM json_array_elements_text(:states))"
    of_codes = " AND code IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:codes))"
    return Move(
        of_states + (of_codes if codes else ""),
        "state = 'pending', tries_busy = 0, tries_unknown = 0, tries_doubt = 0",
        State.PENDING,
        {"states": list(states), **({"codes": list(codes)} if codes else {})},
    )


def move(connection: Connection, item: tuple[Move, Sequence[int]]) -> int:
    """Move submissions by their ids, as far as the condition still holds; another process may have moved
    some.

    Raises:
        IllegalMove: the state of one does not allow the move.
    """
    what, ids = item
    chosen = "id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:ids))"
    where, values = f"{chosen} AND {what.condition}", {"ids": list(ids), **what.values}
    counted = f"SELECT state, code, run_id, count(*) AS n FROM submissions WHERE {where} GROUP BY 1, 2, 3"  # noqa: S608
    changes: Counter[Key] = Counter()
    for row in connection.rows(counted, **values):
        if what.to not in MOVES[State(row.state)]:
            raise IllegalMove(f"a submission cannot move from {row.state} to {what.to}")
        changes[State(row.state), row.code, row.run_id] -= row.n
        changes[what.to, row.code, what.run_id or row.run_id] += row.n
    tally(connection, changes)
    if what.run_id is not None:
        values["run_id"] = what.run_id
    return connection.run(f"UPDATE submissions SET {what.assignments} WHERE {where}", **values)  # noqa: S608


def _ms(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1000)


_ANSWERED = ("http_status", "code", "task_id", "request_id", "vendor_request_id")
"""Columns that are attributes of those outcomes that have them."""


def attempt_item(item: Settle) -> dict[str, Any]:
    """Return an attempt as ``_SETTLE_ATTEMPTS`` takes it."""
    claim, outcome = item.settlement.claim, item.settlement.outcome
    return {
        "id": claim.id,
        "number": claim.number,
        "sent_at_ms": _ms(item.settlement.sent_at),
        "answered_at_ms": _ms(item.settlement.answered_at),
        "decision": item.settlement.disposition.decision,
        "outcome": OUTCOME_NAMES[type(outcome)],
        "message": outcome.message if isinstance(outcome, Answer) else outcome.detail,
        **{name: getattr(outcome, name, None) for name in _ANSWERED},
    }


def _submission_item(item: Settle) -> dict[str, Any]:
    """Return a submission as ``_SETTLE_SUBMISSIONS`` takes it."""
    disposition = item.settlement.disposition
    tries = disposition.tries
    return {
        "id": item.settlement.claim.id,
        "state": disposition.state,
        "code": disposition.code,
        "run_id": item.run_id,
        "busy": tries.busy,
        "unknown": tries.unknown,
        "doubt": tries.doubt,
        "doubted": disposition.doubted,
        "not_before_ms": item.not_before_ms,
    }
