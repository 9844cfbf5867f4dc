"""The events of callbacks, as the writer records them: facts are looked up, the rules decide, SQL carries it
out.

Called by the writer inside its transaction. What a reported end of a task means is decided in
:mod:`batcher.ledger.callback_effects`; duplicates and new recordings are decided here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from batcher.errors import IllegalMove
from batcher.ledger.bulk_insert import Batch, json_of
from batcher.ledger.callback_effects import (
    CallbackRecord,
    Candidate,
    Follows,
    KnownTask,
    LostAttempt,
    PollVerdict,
    Step,
    effect_of,
    effect_of_poll,
)
from batcher.ledger.connection import Connection, ResultRow
from batcher.ledger.loads import add, parameter_ids
from batcher.ledger.tallies import Key, tally, tally_tasks
from batcher.model.callbacks import Callback, Composed, Recorded, Snapshot, event_of
from batcher.model.submission import MOVES, FileId, InvalidRow, LoadId, Row, State, Vendor
from batcher.model.task import Effect, Picture, TaskState
from batcher.zego.evidence import contradict

SOURCE = "callbacks"
"""The manifest that submissions added by callbacks name as their source."""

_SETTLED_BY = "its answer was lost; a callback named the task, and the service confirmed it"

_BEFORE = """
SELECT event, task_id, file_id, effect FROM callbacks WHERE nonce = :nonce AND timestamp = :timestamp
"""

_INSERT = """
INSERT INTO callbacks (received_at_ms, event, nonce, timestamp, vendor, task_id, file_id, effect)
VALUES (:received_at_ms, :event, :nonce, :timestamp, :vendor, :task_id, :file_id, 'noted') RETURNING id
"""

_CONCLUDE = """
UPDATE callbacks SET effect = :effect, submission_id = :submission_id, due_at_ms = :due_at_ms, tries = :tries,
    held = :held
WHERE id = :id
"""

_RECORD = "SELECT id, task_id, vendor, file_id, received_at_ms, tries, submission_id, held FROM callbacks"

_OPEN_DUE = f"""{_RECORD}
WHERE due_at_ms IS NOT NULL AND due_at_ms <= :now_ms AND effect = 'open' ORDER BY due_at_ms LIMIT :limit
"""

_TRACKED = "SELECT submission_id, state FROM tasks WHERE task_id = :task_id"

_SENT_AT = "coalesce(a.answered_at_ms, a.sent_at_ms, a.begun_at_ms) AS sent_at_ms"

_UNTRACKED = f"""
SELECT s.id, {_SENT_AT} FROM attempts AS a JOIN submissions AS s ON s.id = a.submission_id
WHERE a.task_id = :task_id AND s.state = 'submitted' AND NOT s.tracked
"""  # noqa: S608 - ours

_SUBMISSION = "SELECT s.id, s.state, s.code, s.run_id, s.pruned FROM submissions AS s"

_OF_RECORDING = f"""{_SUBMISSION} JOIN parameters AS p ON p.id = s.parameters_id
WHERE s.file_id = :file_id AND p.vendor = :vendor
"""

_LOST = f"""
SELECT a.number, {_SENT_AT} FROM attempts AS a
WHERE a.submission_id = :id AND a.decision = 'in_doubt' AND a.begun_at_ms <= :received_at_ms
ORDER BY a.number LIMIT 1
"""  # noqa: S608 - ours

_CLAIM = """
INSERT INTO tasks (submission_id, task_id, state, submitted_at_ms, due_at_ms, claimed_at_ms)
VALUES (:submission_id, :task_id, :state, :submitted_at_ms, :now_ms, :now_ms)
ON CONFLICT (submission_id) DO UPDATE SET state = excluded.state, due_at_ms = excluded.due_at_ms,
    claimed_at_ms = excluded.claimed_at_ms, closed_at_ms = NULL
"""

_SETTLE_ATTEMPT = """
UPDATE attempts SET decision = 'submitted', task_id = :task_id, code = 0, message = :message
WHERE submission_id = :submission_id AND number = :number
"""

_COUNT_DOUBTS = "SELECT count(*) FROM attempts WHERE submission_id = :id AND decision = 'in_doubt'"

_MOVE = """
UPDATE submissions SET state = :state, code = :code, not_before_ms = NULL,
    doubted = coalesce(:doubted, doubted)
WHERE id = :id AND state = :before
"""


class Taken(NamedTuple):
    """The result of keeping a callback."""

    effect: Effect
    again: bool = False
    """The same callback was received before."""


# -- a callback that was received ----------------------------------------------------------------------


def take(
    connection: Connection,
    callback: Callback,
    content: str,
    at_ms: int,
    row: Row | InvalidRow | None,
    intake: LoadId | None,
) -> Taken | None:
    """Keep a callback once.

    Args:
        connection: within a transaction.
        callback: its signature was checked.
        content: its content, without its signature.
        at_ms: the time.
        row: the new submission that follows from it, or the reason why there is no submission.
        intake: the load under which a new submission is kept.

    Returns:
        None if it contradicts an earlier one under its nonce.
    """
    named = {
        "event": event_of(callback),
        "task_id": getattr(callback, "task_id", None),
        "file_id": getattr(callback, "file_id", None),
    }
    seal = {"nonce": callback.seal.nonce, "timestamp": callback.seal.timestamp}
    if before := connection.row(_BEFORE, **seal):
        same = {"event": before.event, "task_id": before.task_id, "file_id": before.file_id} == named
        return Taken(Effect(before.effect), again=True) if same else None
    vendor = getattr(callback, "vendor", None)
    kept: int = connection.value(_INSERT, received_at_ms=at_ms, vendor=vendor, **seal, **named)
    match callback:
        case Snapshot():
            record = CallbackRecord(kept, callback.task_id, vendor, callback.file_id, at_ms)
            task = _task(connection, record.task_id)
            follows = effect_of(record, task, None, at_ms)
            _carry_out(connection, record, follows, task, None, at_ms)
        case Recorded() | Composed():
            follows = _add_submission(connection, kept, at_ms, row, intake)
        case _:
            follows = Follows(Effect.NOTED)
    _conclude(connection, kept, follows)
    if follows.effect not in _KEPT_ELSEWHERE:
        connection.run("UPDATE callbacks SET content = :content WHERE id = :id", id=kept, content=content)
    return Taken(follows.effect)


_KEPT_ELSEWHERE = {Effect.CLAIMED, Effect.ADDED, Effect.KNOWN}
"""Effects whose content is not kept: the service is asked for it, or the submission has it."""


def _add_submission(
    connection: Connection, kept: int, at_ms: int, row: Row | InvalidRow | None, intake: LoadId | None
) -> Follows:
    """Keep the submission that follows from a callback, or why none does."""
    if row is None or intake is None:
        return Follows(Effect.NOTED)
    row = row._replace(line=kept)
    if isinstance(row, InvalidRow):
        add(connection, Batch(intake, SOURCE, 0, json_of((), {}), True, [row]))
        follows = Follows(Effect.UNUSABLE)
    else:
        ids = parameter_ids(connection, [row.parameters])
        text = json_of([row], {id(row.parameters): ids[row.parameters]})
        added = add(connection, Batch(intake, SOURCE, 1, text, True, ()))
        follows = Follows(Effect.ADDED if added.added.new else Effect.KNOWN, added.ids[0])
    connection.run("UPDATE loads SET ended_at_ms = :at_ms WHERE id = :id", id=intake, at_ms=at_ms)
    return follows


# -- a callback that is checked again ------------------------------------------------------------------


def look_again(connection: Connection, now_ms: int, limit: int) -> int:
    """Check open callbacks that are due; return how many they were."""
    due = connection.rows(_OPEN_DUE, now_ms=now_ms, limit=limit)
    for callback in map(_record, due):
        task = _task(connection, callback.task_id)
        candidates = _candidates(connection, callback) if task is None else ()
        follows = effect_of(callback, task, candidates, now_ms)
        found = next((one for one in candidates if one.id == follows.submission_id), None)
        _carry_out(connection, callback, follows, task, found, now_ms)
        _conclude(connection, callback.id, follows)
    return len(due)


def poll(connection: Connection, id_: int, verdict: PollVerdict, at_ms: int) -> Effect:
    """Keep the result of a poll of a task that a callback has named."""
    row = connection.row(f"{_RECORD} WHERE id = :id AND effect = 'checked'", id=id_)
    if row is None:
        return Effect.NOTED
    callback = _record(row)
    [submission] = connection.rows(f"{_SUBMISSION} WHERE s.id = :id", id=callback.submission_id)
    candidate = _candidate(connection, submission, callback)
    task = _task(connection, callback.task_id) if verdict is PollVerdict.CONFIRMED else None
    follows = effect_of_poll(callback, task, candidate, verdict, at_ms)
    _carry_out(connection, callback, follows, task, candidate, at_ms)
    _conclude(connection, callback.id, follows)
    return follows.effect


def put_off(connection: Connection, id_: int, due_at_ms: int) -> None:
    """Check a callback later."""
    statement = "UPDATE callbacks SET due_at_ms = :due_at_ms WHERE id = :id AND due_at_ms IS NOT NULL"
    connection.run(statement, id=id_, due_at_ms=due_at_ms)


# -- the facts -----------------------------------------------------------------------------------------


def _record(row: ResultRow) -> CallbackRecord:
    id_, task_id, vendor, *others = row
    return CallbackRecord(id_, task_id, Vendor(vendor) if vendor else None, *others)


def _task(connection: Connection, task_id: str) -> KnownTask | None:
    """Return the submission that has a task, of any recording."""
    if tracked := connection.row(_TRACKED, task_id=task_id):
        return KnownTask(tracked.submission_id, TaskState(tracked.state))
    if untracked := connection.row(_UNTRACKED, task_id=task_id):
        return KnownTask(untracked.id, None, submitted_at_ms=untracked.sent_at_ms)
    return None


def _candidates(connection: Connection, callback: CallbackRecord) -> list[Candidate]:
    """Return the submissions of the recording that a callback names; none if its pictures contradict it."""
    if callback.file_id is None:
        return []
    vendor = callback.vendor or Vendor.TENCENT
    rows = connection.rows(_OF_RECORDING, file_id=callback.file_id, vendor=vendor)
    if rows and contradict(_pictures(connection, callback.id), FileId(callback.file_id), vendor):
        return []
    return [_candidate(connection, row, callback) for row in rows]


def _pictures(connection: Connection, id_: int) -> Iterator[Picture]:
    """Yield the pictures that a callback lists, from its content."""
    try:
        content = json.loads(connection.value("SELECT content FROM callbacks WHERE id = :id", id=id_) or "")
    except ValueError:
        return
    for listed in content.get("pictures", ()) if isinstance(content, dict) else ():
        yield Picture(listed["url"])


def _candidate(connection: Connection, row: ResultRow, callback: CallbackRecord) -> Candidate:
    lost = connection.row(_LOST, id=row.id, received_at_ms=callback.received_at_ms)
    id_, state, code, run_id, pruned = row
    return Candidate(id_, State(state), code, run_id, pruned, LostAttempt(*lost) if lost else None)


# -- the steps -----------------------------------------------------------------------------------------


def _conclude(connection: Connection, id_: int, follows: Follows) -> None:
    connection.run(
        _CONCLUDE,
        id=id_,
        effect=follows.effect,
        submission_id=follows.submission_id,
        due_at_ms=follows.due_at_ms,
        tries=follows.tries,
        held=follows.held,
    )


def _carry_out(
    connection: Connection,
    callback: CallbackRecord,
    follows: Follows,
    task: KnownTask | None,
    found: Candidate | None,
    now_ms: int,
) -> None:
    """Carry out the steps of an effect, each on the task or on the submission that was found."""
    for step in follows.steps:
        if step is Step.CLAIM:
            assert task is not None, "such a step follows from a task"
            _claim(connection, task, callback.task_id, now_ms)
            continue
        assert found is not None, "such a step follows from a submission"
        match step:
            case Step.HOLD:
                _move(connection, found, State.IN_DOUBT)
            case Step.RELEASE:
                _move(connection, found, State.PENDING)
            case Step.SETTLE:
                _settle(connection, callback.task_id, found, now_ms)


def _claim(connection: Connection, task: KnownTask, task_id: str, now_ms: int) -> None:
    """Make a task due immediately, since a callback has reported its end; track it if it is not tracked."""
    id_, state = task.submission_id, task.state
    if state in (None, TaskState.UNKNOWN):
        tally_tasks(connection, Counter({TaskState.UNKNOWN: -(state is not None), TaskState.WAITING: 1}))
        state = TaskState.WAITING
    values = {"submission_id": id_, "task_id": task_id, "state": state, "now_ms": now_ms}
    connection.run(_CLAIM, submitted_at_ms=task.submitted_at_ms, **values)
    connection.run("UPDATE submissions SET tracked = true WHERE id = :id AND NOT tracked", id=id_)


def _settle(connection: Connection, task_id: str, found: Candidate, now_ms: int) -> None:
    """Record the lost attempt of a submission as the one that started a task, and track that task."""
    lost = found.lost
    assert lost is not None, "only a lost attempt is settled by a callback"
    attempt = {"submission_id": found.id, "number": lost.number}
    connection.run(_SETTLE_ATTEMPT, task_id=task_id, message=_SETTLED_BY, **attempt)
    # After _SETTLE_ATTEMPT, or the settled attempt would count as a doubt.
    doubted = bool(found.pruned or connection.value(_COUNT_DOUBTS, id=found.id))
    _move(connection, found, State.SUBMITTED, 0, doubted)
    _claim(connection, KnownTask(found.id, None, lost.sent_at_ms), task_id, now_ms)


def _move(
    connection: Connection, found: Candidate, to: State, code: int | None = None, doubted: bool | None = None
) -> None:
    """Move a submission from the state it was found in, tallies included; None leaves a value as it is."""
    if to not in MOVES[found.state]:
        raise IllegalMove(f"a submission cannot move from {found.state} to {to}")
    code = found.code if code is None else code
    connection.run(_MOVE, id=found.id, before=found.state, state=to, code=code, doubted=doubted)
    changes: Counter[Key] = Counter({(found.state, found.code, found.run_id): -1})
    changes[to, code, found.run_id] += 1
    tally(connection, changes)
