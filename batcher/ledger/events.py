"""What the writer does within its transaction: one function per business event, for items of its kind.

Every statement that moves a submission names the state it moves from, and the tallies change with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from batcher.errors import IllegalMove
from batcher.ledger.tables import (
    attempts,
    binding,
    invalid_rows,
    runs,
    submissions,
)
from batcher.ledger.tallying import Key, tally
from batcher.model import (
    MOVES,
    Answer,
    Claim,
    NotSent,
    Place,
    ReplyLost,
    RunId,
    Settlement,
    State,
)


@dataclass(frozen=True, slots=True)
class Begin:
    """An attempt that begins."""

    claim: Claim
    run_id: RunId
    at_ms: int


@dataclass(frozen=True, slots=True)
class Settle:
    """An attempt that has ended."""

    settlement: Settlement
    run_id: RunId
    not_before_ms: int | None


_BEGIN = (
    update(submissions)
    .where(submissions.c.id.in_(bindparam("ids", expanding=True)), submissions.c.state == State.PENDING)
    .values(state=State.SENDING, attempts=submissions.c.attempts + 1, not_before_ms=None)
    .returning(submissions.c.id)
)

_SETTLE_ATTEMPT = (
    update(attempts)
    .where(attempts.c.submission_id == bindparam("submission"), attempts.c.number == bindparam("attempt"))
    .values(
        {
            name: bindparam(name)
            for name in (
                "sent_at_ms",
                "answered_at_ms",
                "outcome",
                "decision",
                "http_status",
                "code",
                "task_id",
                "request_id",
                "vendor_request_id",
                "message",
            )
        }
    )
)

_SETTLE_SUBMISSION = (
    update(submissions)
    .where(submissions.c.id == bindparam("submission"), submissions.c.state == State.SENDING)
    .values(
        {
            name: bindparam(name)
            for name in (
                "state",
                "code",
                "run_id",
                "tries_busy",
                "tries_unknown",
                "tries_doubt",
                "doubted",
                "not_before_ms",
            )
        }
    )
)


async def bind(connection: AsyncConnection, items: Sequence[tuple[int, Place]]) -> list[tuple[int, Place]]:
    """Bind the ledger where it is not bound yet; returns what it is bound to."""
    for app_id, place in items:
        row = {"id": 1, "app_id": app_id, "place": place}
        await connection.execute(upsert(binding).values(row).on_conflict_do_nothing())
    bound = (await connection.execute(select(binding.c.app_id, binding.c.place))).one()
    return [(bound.app_id, Place(bound.place))] * len(items)


async def insert_run(connection: AsyncConnection, items: Sequence[dict[str, Any]]) -> list[int]:
    """Keep new runs; returns their ids."""
    return [
        (await connection.execute(insert(runs).values(row).returning(runs.c.id))).scalar_one()
        for row in items
    ]


async def update_run(connection: AsyncConnection, items: Sequence[dict[str, Any]]) -> list[None]:
    """Keep what is new of runs; ``told`` ones have told of every invalid row so far."""
    for item in items:
        row = {name: value for name, value in item.items() if name not in ("run", "told")}
        if item.get("told"):
            row["invalid_rows_seen"] = select(func.coalesce(func.max(invalid_rows.c.id), 0)).scalar_subquery()
        await connection.execute(update(runs).where(runs.c.id == item["run"]).values(row))
    return [None] * len(items)


async def begin(connection: AsyncConnection, items: Sequence[Begin]) -> list[bool]:
    """Begin attempts of submissions that are open; returns which were."""
    result = await connection.execute(_BEGIN, {"ids": [item.claim.id for item in items]})
    open_ids = set(result.scalars())
    begun = [item for item in items if item.claim.id in open_ids]
    if begun:
        await connection.execute(
            insert(attempts),
            [
                {
                    "submission_id": item.claim.id,
                    "number": item.claim.number,
                    "run_id": item.run_id,
                    "begun_at_ms": item.at_ms,
                }
                for item in begun
            ],
        )
        changes: Counter[Key] = Counter()
        for item in begun:
            changes[State.PENDING, item.claim.code, item.claim.run_id] -= 1
            changes[State.SENDING, item.claim.code, item.claim.run_id] += 1
        await tally(connection, changes)
    return [item.claim.id in open_ids for item in items]


async def settle(connection: AsyncConnection, items: Sequence[Settle]) -> list[None]:
    """Settle attempts and move their submissions on."""
    known = await connection.execute(_SETTLE_ATTEMPT, [_attempt_values(item) for item in items])
    result = await connection.execute(_SETTLE_SUBMISSION, [_submission_values(item) for item in items])
    if known.rowcount != len(items):
        raise IllegalMove(f"{len(items) - known.rowcount} attempts were settled that were never begun")
    if result.rowcount != len(items):
        raise IllegalMove(f"{len(items) - result.rowcount} submissions were settled that were not being sent")
    changes: Counter[Key] = Counter()
    for item in items:
        claim, disposition = item.settlement.claim, item.settlement.disposition
        if disposition.state not in MOVES[State.SENDING]:
            raise IllegalMove(f"a submission cannot move from sending to {disposition.state}")
        changes[State.SENDING, claim.code, claim.run_id] -= 1
        changes[disposition.state, disposition.code, item.run_id] += 1
    await tally(connection, changes)
    return [None] * len(items)


async def move_all(connection: AsyncConnection, items: Sequence[tuple[Any, dict[str, Any]]]) -> list[int]:
    """Move all submissions that a condition chooses; the states it chooses must allow the move."""
    moved = []
    for chosen, values in items:
        counted = await connection.execute(
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
        await tally(connection, changes)
        moved.append((await connection.execute(update(submissions).where(chosen).values(values))).rowcount)
    return moved


def _ms(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1000)


def _attempt_values(item: Settle) -> dict[str, Any]:
    claim, outcome = item.settlement.claim, item.settlement.outcome
    values: dict[str, Any] = {
        "submission": claim.id,
        "attempt": claim.number,
        "sent_at_ms": _ms(item.settlement.sent_at),
        "answered_at_ms": _ms(item.settlement.answered_at),
        "decision": item.settlement.disposition.decision,
        "http_status": None if isinstance(outcome, NotSent) else outcome.http_status,
        "code": None,
        "task_id": None,
        "request_id": None,
        "vendor_request_id": None,
    }
    if isinstance(outcome, Answer):
        return values | {
            "outcome": "answer",
            "code": outcome.code,
            "task_id": outcome.task_id,
            "request_id": outcome.request_id,
            "vendor_request_id": outcome.vendor_request_id,
            "message": outcome.message,
        }
    kind = {ReplyLost: "reply_lost", NotSent: "not_sent"}.get(type(outcome), "http_refusal")
    return values | {"outcome": kind, "message": outcome.detail}


def _submission_values(item: Settle) -> dict[str, Any]:
    disposition = item.settlement.disposition
    return {
        "submission": item.settlement.claim.id,
        "state": disposition.state,
        "code": disposition.code,
        "run_id": item.run_id,
        "tries_busy": disposition.tries.busy,
        "tries_unknown": disposition.tries.unknown,
        "tries_doubt": disposition.tries.doubt,
        "doubted": disposition.doubted,
        "not_before_ms": item.not_before_ms,
    }
