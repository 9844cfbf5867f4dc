"""What callbacks claim of tasks, within the transaction that keeps them, and what polls say of it.

Stands between callbacks on record and the tables. A claim is never believed: a task that is called ended is
made due for a poll, and one that is named for a submission in doubt settles that only after a poll has
confirmed it. Until then such a submission is held, so that no run sends it a second time meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from batcher.errors import IllegalMove
from batcher.ledger.schema import attempts, callbacks, parameters, submissions, tasks
from batcher.ledger.tallies import Key, tally, tally_tasks
from batcher.model.outcome import Decision
from batcher.model.submission import MOVES, State, Vendor
from batcher.model.task import Effect, TaskState

LOOKS_AFTER_S = (1, 5, 30, 300, 3_600, 6 * 3_600)
"""When a callback about a task that we do not know is looked at again: its answer may still be on its way, or
its attempt not yet found to be in doubt."""

SOONEST_UNSETTLED_S, LATEST_UNSETTLED_S = 1, 60
"""A submission on the wire is looked at again when it has been waited for as long again, within these."""

LONGEST_UNSETTLED_S = 48 * 3_600
"""A submission that a killed run has left on the wire is waited for: the next run finds it in doubt."""

DENIED_AFTER_S = (5, 30, 60, 600)
"""When the service is asked again about a task that it says it does not know; after that it is believed."""

_SETTLED_BY = "its answer was lost; a callback named the task, and the service confirmed it"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a callback on record is about."""

    id: int
    task_id: str
    vendor: Vendor | None
    file_id: str | None
    received_at_ms: int
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Follows:
    """What follows from a callback."""

    effect: Effect
    submission_id: int | None = None
    due_at_ms: int | None = None
    tries: int = 0
    held: bool = False


def conclude(connection: Connection, kept: int, follows: Follows, **more: object) -> None:
    """Keep what follows from a callback."""
    values = {
        "effect": follows.effect,
        "submission_id": follows.submission_id,
        "due_at_ms": follows.due_at_ms,
        "tries": follows.tries,
        "held": follows.held,
        **more,
    }
    connection.execute(update(callbacks).where(callbacks.c.id == kept).values(values))


# -- a task that has ended -----------------------------------------------------------------------------


def claimed(connection: Connection, about: Subject, now_ms: int) -> Follows:
    """A task of ours is due for a poll at once; of one that we do not know more is found out later."""
    task = select(tasks.c.submission_id, tasks.c.state, tasks.c.closed_at_ms).where(
        tasks.c.task_id == about.task_id
    )
    known = connection.execute(task).first()
    if known is None and _follow_untracked(connection, about.task_id, now_ms):
        known = connection.execute(task).first()
    if known is None:
        return Follows(Effect.OPEN, due_at_ms=now_ms)
    if known.closed_at_ms is not None and known.state != TaskState.UNKNOWN:
        return Follows(Effect.NOTED, known.submission_id)
    claim: dict[str, Any] = {"claimed_at_ms": now_ms, "due_at_ms": now_ms, "closed_at_ms": None}
    if known.closed_at_ms is not None:  # it was given up
        claim["state"] = TaskState.WAITING
        tally_tasks(connection, Counter({TaskState.UNKNOWN: -1, TaskState.WAITING: 1}))
    connection.execute(update(tasks).where(tasks.c.submission_id == known.submission_id).values(claim))
    return Follows(Effect.CLAIMED, known.submission_id)


def _follow_untracked(connection: Connection, task_id: str, now_ms: int) -> bool:
    """Follow the submission that has this task, whatever recording was named; False when there is none."""
    query = (
        select(submissions.c.id, _SENT_AT)
        .join_from(attempts, submissions, submissions.c.id == attempts.c.submission_id)
        .where(attempts.c.task_id == task_id, submissions.c.state == State.SUBMITTED)
        .where(~submissions.c.tracked)
    )
    found = connection.execute(query).first()
    if found is not None:
        _follow(connection, found.id, task_id, found.sent_at_ms, now_ms)
    return found is not None


def _follow(connection: Connection, id_: int, task_id: str, submitted_at_ms: int, now_ms: int) -> None:
    """Follow the task of a submission; it is said to have ended, and so is due at once."""
    row = {
        "submission_id": id_,
        "task_id": task_id,
        "state": TaskState.WAITING,
        "submitted_at_ms": submitted_at_ms,
        "due_at_ms": now_ms,
        "claimed_at_ms": now_ms,
    }
    connection.execute(insert(tasks).values(row))
    connection.execute(update(submissions).where(submissions.c.id == id_).values(tracked=True))
    tally_tasks(connection, Counter({TaskState.WAITING: 1}))


_SENT_AT = func.coalesce(attempts.c.answered_at_ms, attempts.c.sent_at_ms, attempts.c.begun_at_ms).label(
    "sent_at_ms"
)


# -- a task that we do not know ------------------------------------------------------------------------


def open_due(now_ms: int, limit: int) -> Select[Any]:
    """Open callbacks that are due."""
    return (
        select(
            callbacks.c.id,
            callbacks.c.task_id,
            callbacks.c.vendor,
            callbacks.c.file_id,
            callbacks.c.received_at_ms,
            callbacks.c.tries,
        )
        .where(callbacks.c.due_at_ms.is_not(None), callbacks.c.due_at_ms <= now_ms)
        .where(callbacks.c.effect == Effect.OPEN)
        .order_by(callbacks.c.due_at_ms)
        .limit(limit)
    )


def look_again(connection: Connection, items: Sequence[tuple[int, int]]) -> list[int]:
    """Look at open callbacks that are due: by now their task, or a submission in doubt, may be known."""
    return [_look_again(connection, now_ms, limit) for now_ms, limit in items]


def _look_again(connection: Connection, now_ms: int, limit: int) -> int:
    due = connection.execute(open_due(now_ms, limit)).all()
    for row in due:
        about = Subject(*row)
        follows = claimed(connection, about, now_ms)
        if follows.effect is Effect.OPEN:
            follows = _matched(connection, about, now_ms)
        conclude(connection, about.id, follows)
    return len(due)


def _matched(connection: Connection, about: Subject, now_ms: int) -> Follows:
    """Find the submission in doubt that may have started the task, and hold it until that is known."""
    of_recording = _of_recording(connection, about)
    doubted = [row for row in of_recording if row.state in _IN_QUESTION and _lost(connection, row, about)]
    if len(doubted) == 1:
        return _hold(connection, doubted[0], now_ms)
    if len(doubted) > 1:
        return Follows(Effect.AMBIGUOUS)
    waited_ms = now_ms - about.received_at_ms
    if any(row.state == State.SENDING for row in of_recording) and waited_ms < LONGEST_UNSETTLED_S * 1000:
        # Most often its answer is but a moment behind; a killed run's comes with the next run.
        delay_ms = max(SOONEST_UNSETTLED_S * 1000, min(waited_ms, LATEST_UNSETTLED_S * 1000))
        return Follows(Effect.OPEN, due_at_ms=now_ms + delay_ms, tries=about.tries)
    twice = [row for row in of_recording if row.state == State.SUBMITTED and _lost(connection, row, about)]
    if len(twice) == 1:
        return Follows(Effect.CHECKED, twice[0].id, due_at_ms=now_ms)
    if len(twice) > 1:
        return Follows(Effect.AMBIGUOUS)
    if about.tries >= len(LOOKS_AFTER_S):
        return Follows(Effect.STRANGER)
    later = now_ms + LOOKS_AFTER_S[about.tries] * 1000
    return Follows(Effect.OPEN, due_at_ms=later, tries=about.tries + 1)


_IN_QUESTION = (State.IN_DOUBT, State.PENDING)


def _of_recording(connection: Connection, about: Subject) -> Sequence[Row[Any]]:
    if about.file_id is None:
        return []
    query: Select[Any] = (
        _SUBMISSION.join(parameters, parameters.c.id == submissions.c.parameters_id)
        .where(submissions.c.file_id == about.file_id)
        .where(parameters.c.vendor == (about.vendor or Vendor.TENCENT))
    )
    return connection.execute(query).all()


_SUBMISSION: Select[Any] = select(
    submissions.c.id,
    submissions.c.state,
    submissions.c.code,
    submissions.c.run_id,
    submissions.c.pruned,
).select_from(submissions)


def _lost(connection: Connection, submission: Row[Any], about: Subject) -> Row[Any] | None:
    """The first attempt without a definite answer that was begun before the callback came."""
    query: Select[Any] = (
        select(attempts.c.number, _SENT_AT)
        .where(attempts.c.submission_id == submission.id, attempts.c.decision == Decision.IN_DOUBT)
        .where(attempts.c.begun_at_ms <= about.received_at_ms)
        .order_by(attempts.c.number)
        .limit(1)
    )
    return connection.execute(query).one_or_none()


def _hold(connection: Connection, submission: Row[Any], now_ms: int) -> Follows:
    """Take a submission out of the queue while its task is asked about."""
    held = submission.state == State.PENDING
    if held:
        _move(connection, submission, State.IN_DOUBT, not_before_ms=None)
    return Follows(Effect.CHECKED, submission.id, due_at_ms=now_ms, held=held)


def _move(connection: Connection, submission: Row[Any], to: State, **values: Any) -> None:  # noqa: ANN401
    """Move a submission from where it was found, tallies included."""
    of = State(submission.state)
    if to not in MOVES[of]:
        raise IllegalMove(f"a submission cannot move from {of} to {to}")
    statement = update(submissions).where(submissions.c.id == submission.id, submissions.c.state == of)
    connection.execute(statement.values(state=to, **values))
    code = values.get("code", submission.code)
    changes: Counter[Key] = Counter({(of, submission.code, submission.run_id): -1})
    changes[to, code, submission.run_id] += 1
    tally(connection, changes)


# -- what a poll says of it ----------------------------------------------------------------------------


def confirm(connection: Connection, items: Sequence[tuple[int, int]]) -> list[Effect]:
    """Tasks that callbacks have named are there."""
    return [_confirm(connection, id_, now_ms) for id_, now_ms in items]


def _confirm(connection: Connection, id_: int, now_ms: int) -> Effect:
    about, submission, held = _checked(connection, id_)
    if about is None or submission is None:
        return Effect.NOTED
    follows = claimed(connection, about, now_ms)  # known by now: its answer came after all
    if follows.effect is not Effect.OPEN:
        if follows.submission_id != submission.id:
            _release(connection, submission, held)
    elif submission.state == State.SENDING:
        follows = Follows(Effect.CHECKED, submission.id, now_ms + 5_000, about.tries, held)
    else:
        lost = _lost(connection, submission, about)
        if submission.state == State.SUBMITTED:
            follows = Follows(Effect.DOUBLE, submission.id)
        elif submission.state in _IN_QUESTION and lost is not None:
            _settle(connection, submission, lost, about, now_ms)
            follows = Follows(Effect.SETTLED, submission.id)
        else:
            follows = Follows(Effect.AMBIGUOUS, submission.id)
    conclude(connection, id_, follows)
    return follows.effect


def _settle(
    connection: Connection, submission: Row[Any], lost: Row[Any], about: Subject, now_ms: int
) -> None:
    """The attempt without an answer is the one that was accepted."""
    which = (attempts.c.submission_id == submission.id) & (attempts.c.number == lost.number)
    said = {
        "decision": Decision.SUBMITTED,
        "task_id": about.task_id,
        "code": 0,
        "message": _SETTLED_BY,
    }
    connection.execute(update(attempts).where(which).values(said))
    others = select(func.count()).where(
        attempts.c.submission_id == submission.id, attempts.c.decision == Decision.IN_DOUBT
    )
    doubted = bool(submission.pruned or connection.execute(others).scalar_one())
    _move(connection, submission, State.SUBMITTED, code=0, not_before_ms=None, doubted=doubted)
    _follow(connection, submission.id, about.task_id, lost.sent_at_ms, now_ms)


def deny(connection: Connection, items: Sequence[tuple[int, int]]) -> list[Effect]:
    """The service does not know tasks that callbacks have named."""
    return [_deny(connection, id_, now_ms) for id_, now_ms in items]


def _deny(connection: Connection, id_: int, now_ms: int) -> Effect:
    about, submission, held = _checked(connection, id_)
    if about is None or submission is None:
        return Effect.NOTED
    if about.tries < len(DENIED_AFTER_S):
        due = now_ms + DENIED_AFTER_S[about.tries] * 1000
        follows = Follows(Effect.CHECKED, submission.id, due, about.tries + 1, held)
    else:
        _release(connection, submission, held)
        follows = Follows(Effect.DENIED, submission.id)
    conclude(connection, id_, follows)
    return follows.effect


def disprove(connection: Connection, items: Sequence[int]) -> list[Effect]:
    """The service says that tasks belong to other recordings than callbacks have named."""
    return [_disprove(connection, id_) for id_ in items]


def _disprove(connection: Connection, id_: int) -> Effect:
    about, submission, held = _checked(connection, id_)
    if about is None or submission is None:
        return Effect.NOTED
    _release(connection, submission, held)
    conclude(connection, id_, Follows(Effect.DENIED, submission.id))
    return Effect.DENIED


def _release(connection: Connection, submission: Row[Any], held: bool) -> None:
    """Put a submission back in the queue that was taken out for a callback."""
    if held and submission.state == State.IN_DOUBT:
        _move(connection, submission, State.PENDING)


def put_off(connection: Connection, items: Sequence[tuple[int, int]]) -> list[None]:
    """Ask later."""
    for id_, due_at_ms in items:
        due = callbacks.c.due_at_ms.is_not(None)
        connection.execute(update(callbacks).where(callbacks.c.id == id_, due).values(due_at_ms=due_at_ms))
    return [None] * len(items)


def _checked(connection: Connection, id_: int) -> tuple[Subject | None, Row[Any] | None, bool]:
    """A callback that is being checked, its submission as it stands now, and whether that was held."""
    query = select(callbacks).where(callbacks.c.id == id_, callbacks.c.effect == Effect.CHECKED)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None, None, False
    about = Subject(row.id, row.task_id, row.vendor, row.file_id, row.received_at_ms, row.tries)
    of = _SUBMISSION.where(submissions.c.id == row.submission_id)
    return about, connection.execute(of).one(), bool(row.held)
