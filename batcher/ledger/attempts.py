"""What the writer does within its transaction: one function per business event, for items of its kind.

Every statement that moves a submission names the state it moves from, and the tallies change with it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, insert, select, text, update
from sqlalchemy.dialects.sqlite import insert as upsert

from batcher.errors import IllegalMove
from batcher.ledger.schema import binding, invalid_rows, runs, submissions
from batcher.ledger.tallies import Key, tally
from batcher.model.outcome import Answer, NotSent, ReplyLost, Settlement
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


# Prepared by hand: these run for every request, a group of them at a time as one JSON array, so that a
# transaction is a handful of statements however many it records.

_BEGIN_SUBMISSIONS = """
UPDATE submissions SET state = 'sending', attempts = attempts + 1, not_before_ms = NULL
WHERE id IN (SELECT value FROM json_each(?)) AND state = 'pending'
"""

_BEGIN_ATTEMPTS = """
INSERT INTO attempts (submission_id, number, run_id, begun_at_ms)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]')
FROM json_each(?)
"""

_SETTLE_ATTEMPTS = """
UPDATE attempts SET
    sent_at_ms = json_extract(value, '$[2]'),
    answered_at_ms = json_extract(value, '$[3]'),
    outcome = json_extract(value, '$[4]'),
    decision = json_extract(value, '$[5]'),
    http_status = json_extract(value, '$[6]'),
    code = json_extract(value, '$[7]'),
    task_id = json_extract(value, '$[8]'),
    request_id = json_extract(value, '$[9]'),
    vendor_request_id = json_extract(value, '$[10]'),
    message = json_extract(value, '$[11]')
FROM json_each(?)
WHERE submission_id = json_extract(value, '$[0]') AND number = json_extract(value, '$[1]')
"""

_SETTLE_SUBMISSIONS = """
UPDATE submissions SET
    state = json_extract(value, '$[1]'),
    code = json_extract(value, '$[2]'),
    run_id = json_extract(value, '$[3]'),
    tries_busy = json_extract(value, '$[4]'),
    tries_unknown = json_extract(value, '$[5]'),
    tries_doubt = json_extract(value, '$[6]'),
    doubted = json_extract(value, '$[7]'),
    not_before_ms = json_extract(value, '$[8]')
FROM json_each(?)
WHERE submissions.id = json_extract(value, '$[0]') AND state = 'sending'
"""


_AMONG = "submissions.id IN (SELECT value FROM json_each(:ids))"


def insert_run(connection: Connection, items: Sequence[dict[str, Any]]) -> list[int]:
    """Keep new runs; returns their ids."""
    return [(connection.execute(insert(runs).values(row).returning(runs.c.id))).scalar_one() for row in items]


def update_run(connection: Connection, items: Sequence[dict[str, Any]]) -> list[None]:
    """Keep what is new of runs; ``told`` ones have told of every invalid row so far."""
    for item in items:
        row = {name: value for name, value in item.items() if name not in ("run", "told")}
        if item.get("told"):
            row["invalid_rows_seen"] = select(func.coalesce(func.max(invalid_rows.c.id), 0)).scalar_subquery()
        connection.execute(update(runs).where(runs.c.id == item["run"]).values(row))
    return [None] * len(items)


def begin(connection: Connection, items: Sequence[Begin]) -> list[bool]:
    """Begin attempts of submissions that are open; returns which were.

    Raises:
        IllegalMove: one of several is not open; tried alone, each tells for itself.
    """
    ids = json.dumps([item.claim.id for item in items])
    opened = connection.exec_driver_sql(_BEGIN_SUBMISSIONS, (ids,)).rowcount
    if opened != len(items):
        if len(items) == 1:
            return [False]
        raise IllegalMove(f"{len(items) - opened} submissions were to be begun that are not open")
    rows = [(item.claim.id, item.claim.number, item.run_id, item.at_ms) for item in items]
    connection.exec_driver_sql(_BEGIN_ATTEMPTS, (json.dumps(rows),))
    changes: Counter[Key] = Counter()
    for item in items:
        changes[State.PENDING, item.claim.code, item.claim.run_id] -= 1
        changes[State.SENDING, item.claim.code, item.claim.run_id] += 1
    tally(connection, changes)
    return [True] * len(items)


def settle(connection: Connection, items: Sequence[Settle]) -> list[None]:
    """Settle attempts and move their submissions on."""
    known = connection.exec_driver_sql(_SETTLE_ATTEMPTS, (json.dumps(list(map(_attempt_row, items))),))
    if known.rowcount != len(items):
        raise IllegalMove(f"{len(items) - known.rowcount} attempts were settled that were never begun")
    moved = connection.exec_driver_sql(_SETTLE_SUBMISSIONS, (json.dumps(list(map(_submission_row, items))),))
    if moved.rowcount != len(items):
        raise IllegalMove(f"{len(items) - moved.rowcount} submissions were settled that were not being sent")
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
        row = {"id": 1, "app_id": proven[0], "place": proven[1]}
        connection.execute(upsert(binding).values(row).on_conflict_do_nothing())


class Moving(NamedTuple):
    """Submissions that are to be moved alike."""

    ids: Sequence[int]
    chosen: ColumnElement[bool]
    """What is asked of each once more: another process may have moved it meanwhile."""
    values: dict[str, Any]


def move(connection: Connection, items: Sequence[Moving]) -> list[int]:
    """Move submissions, as far as they are still chosen; the states they are in must allow the move."""
    moved = []
    for ids, still, values in items:
        chosen = and_(text(_AMONG).bindparams(ids=json.dumps(ids)), still)
        counted = connection.execute(
            select(submissions.c.state, submissions.c.code, submissions.c.run_id, func.count())
            .where(chosen)
            .group_by(submissions.c.state, submissions.c.code, submissions.c.run_id)
        )
        changes: Counter[Key] = Counter()
        for state, code, run_id, n in counted:
            if values["state"] not in MOVES[State(state)]:
                raise IllegalMove(f"a submission cannot move from {state} to {values['state']}")
            changes[State(state), code, run_id] -= n
            changes[values["state"], code, values.get("run_id", run_id)] += n
        tally(connection, changes)
        moved.append((connection.execute(update(submissions).where(chosen).values(values))).rowcount)
    return moved


def _ms(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1000)


def _attempt_row(item: Settle) -> tuple[Any, ...]:
    """Which attempt, and then what ``_SETTLE_ATTEMPTS`` takes."""
    claim, outcome = item.settlement.claim, item.settlement.outcome
    times = _ms(item.settlement.sent_at), _ms(item.settlement.answered_at)
    decision = item.settlement.disposition.decision
    if isinstance(outcome, Answer):
        return (
            claim.id,
            claim.number,
            *times,
            "answer",
            decision,
            outcome.http_status,
            outcome.code,
            outcome.task_id,
            outcome.request_id,
            outcome.vendor_request_id,
            outcome.message,
        )
    kind = {ReplyLost: "reply_lost", NotSent: "not_sent"}.get(type(outcome), "http_refusal")
    status = None if isinstance(outcome, NotSent) else outcome.http_status
    return (claim.id, claim.number, *times, kind, decision, status, None, None, None, None, outcome.detail)


def _submission_row(item: Settle) -> tuple[Any, ...]:
    """Which submission, and then what ``_SETTLE_SUBMISSIONS`` takes."""
    disposition = item.settlement.disposition
    tries = disposition.tries
    return (
        item.settlement.claim.id,
        disposition.state,
        disposition.code,
        item.run_id,
        tries.busy,
        tries.unknown,
        tries.doubt,
        disposition.doubted,
        item.not_before_ms,
    )
