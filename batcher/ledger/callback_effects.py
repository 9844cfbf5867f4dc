"""The rules of callbacks: what follows from one for the ledger. Pure.

Called inside the writer's transaction by :mod:`batcher.ledger.callback_events`, which looks up the facts and
carries out the effect. A callback proves nothing: a task that it reports as ended becomes due for a poll,
and a task that it names for a submission in doubt settles that submission only after a poll has confirmed
the task. Until then the submission is held, so that no run sends it a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from batcher.model.submission import State, Vendor
from batcher.model.task import Effect, TaskState

LOOKS_AFTER_S = (1, 5, 30, 300, 3_600, 6 * 3_600)
"""When a callback about an unknown task is checked again: its answer may still be on its way, or its attempt
may not have been found in doubt yet."""

SOONEST_UNSETTLED_S, LATEST_UNSETTLED_S = 1, 60
"""A callback about a recording in flight is checked again after the time it has waited already, within
these."""

LONGEST_UNSETTLED_S = 48 * 3_600
"""A submission that a killed run has left in flight is waited for: the next run finds it in doubt."""

DENIED_AFTER_S = (5, 30, 60, 600)
"""When the service is asked again about a task that it does not know; after the last time it is believed."""

SENDING_AGAIN_MS = 5_000
"""When a confirmed task is checked again whose submission is just being sent."""

IN_QUESTION = (State.IN_DOUBT, State.PENDING)
"""States of a submission whose lost attempt may have started the task."""


@dataclass(frozen=True, slots=True)
class CallbackRecord:
    """A callback on record, about one task."""

    id: int
    task_id: str
    vendor: Vendor | None
    file_id: str | None
    received_at_ms: int
    tries: int = 0
    submission_id: int | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class KnownTask:
    """The submission that has a task id, and its task if that is tracked."""

    submission_id: int
    state: TaskState | None
    """None if the task is not tracked yet."""
    submitted_at_ms: int = 0
    """Of a task that is not tracked yet."""


@dataclass(frozen=True, slots=True)
class LostAttempt:
    """The first attempt without a definite answer that began before a callback was received."""

    number: int
    sent_at_ms: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A submission of the recording that a callback names."""

    id: int
    state: State
    code: int | None
    run_id: int | None
    pruned: int
    lost: LostAttempt | None


class PollVerdict(Enum):
    """The service's answer to a poll of a task that a callback has named."""

    CONFIRMED = "the service knows the task"
    UNKNOWN = "the service does not know the task"
    FOREIGN = "the task belongs to another recording"


class Step(Enum):
    """A change that an effect makes."""

    CLAIM = "make the task due for a poll: track it, or open it again if it was closed as unknown"
    HOLD = "take the submission out of the queue"
    RELEASE = "put the submission back into the queue"
    SETTLE = "record the lost attempt as the accepted one"


@dataclass(frozen=True, slots=True)
class Follows:
    """The effect of a callback, as it is kept with it, and the steps that carry it out."""

    effect: Effect
    submission_id: int | None = None
    due_at_ms: int | None = None
    """When the callback is checked again; None for never."""
    tries: int = 0
    held: bool = False
    steps: tuple[Step, ...] = ()


def effect_of(
    callback: CallbackRecord, task: KnownTask | None, candidates: Sequence[Candidate] | None, now_ms: int
) -> Follows:
    """Return what follows from a callback that reports the end of a task.

    Args:
        callback: the callback.
        task: the task, if the ledger knows it.
        candidates: the submissions of its recording; None when they are not looked up yet.
        now_ms: the time.
    """
    if task is not None:
        return _of_known(task)
    if candidates is None:
        return Follows(Effect.OPEN, due_at_ms=now_ms)
    doubted = [one for one in candidates if one.state in IN_QUESTION and one.lost]
    if len(doubted) == 1:
        held = doubted[0].state is State.PENDING
        steps = (Step.HOLD,) if held else ()
        return Follows(Effect.CHECKED, doubted[0].id, due_at_ms=now_ms, held=held, steps=steps)
    if doubted:
        return Follows(Effect.AMBIGUOUS)
    waited_ms = now_ms - callback.received_at_ms
    sending = any(one.state is State.SENDING for one in candidates)
    if sending and waited_ms < LONGEST_UNSETTLED_S * 1000:
        # Most often the answer follows in a moment; the answer to a killed run follows with the next run.
        delay_ms = max(SOONEST_UNSETTLED_S * 1000, min(waited_ms, LATEST_UNSETTLED_S * 1000))
        return Follows(Effect.OPEN, due_at_ms=now_ms + delay_ms, tries=callback.tries)
    twice = [one for one in candidates if one.state is State.SUBMITTED and one.lost]
    if len(twice) == 1:
        return Follows(Effect.CHECKED, twice[0].id, due_at_ms=now_ms)
    if twice:
        return Follows(Effect.AMBIGUOUS)
    if callback.tries >= len(LOOKS_AFTER_S):
        return Follows(Effect.STRANGER)
    later_ms = now_ms + LOOKS_AFTER_S[callback.tries] * 1000
    return Follows(Effect.OPEN, due_at_ms=later_ms, tries=callback.tries + 1)


def _of_known(task: KnownTask) -> Follows:
    """Make the task due for a poll, unless a poll has reported its end already."""
    if task.state in (TaskState.FINISHED, TaskState.FAILED):
        return Follows(Effect.NOTED, task.submission_id)
    return Follows(Effect.CLAIMED, task.submission_id, steps=(Step.CLAIM,))


def effect_of_poll(
    callback: CallbackRecord, task: KnownTask | None, submission: Candidate, verdict: PollVerdict, now_ms: int
) -> Follows:
    """Return what follows from the poll of a task that a callback has named for a submission.

    Args:
        callback: the callback, which is being checked.
        task: the task, if the ledger knows it by now.
        submission: the submission that it may belong to.
        verdict: the service's answer.
        now_ms: the time.
    """
    if verdict is PollVerdict.CONFIRMED:
        return _of_confirmed(callback, task, submission, now_ms)
    if verdict is PollVerdict.UNKNOWN and callback.tries < len(DENIED_AFTER_S):
        due_at_ms = now_ms + DENIED_AFTER_S[callback.tries] * 1000
        return Follows(Effect.CHECKED, submission.id, due_at_ms, callback.tries + 1, callback.held)
    return Follows(Effect.DENIED, submission.id, steps=_release(callback, submission))


def _of_confirmed(
    callback: CallbackRecord, task: KnownTask | None, submission: Candidate, now_ms: int
) -> Follows:
    if task is not None:  # its answer was recorded after all
        follows = _of_known(task)
        if task.submission_id == submission.id:
            return follows
        return replace(follows, steps=follows.steps + _release(callback, submission))
    if submission.state is State.SENDING:
        due_at_ms = now_ms + SENDING_AGAIN_MS
        return Follows(Effect.CHECKED, submission.id, due_at_ms, callback.tries, callback.held)
    if submission.state is State.SUBMITTED:
        return Follows(Effect.DOUBLE, submission.id)
    if submission.state in IN_QUESTION and submission.lost:
        return Follows(Effect.SETTLED, submission.id, steps=(Step.SETTLE,))
    return Follows(Effect.AMBIGUOUS, submission.id)


def _release(callback: CallbackRecord, submission: Candidate) -> tuple[Step, ...]:
    return (Step.RELEASE,) if callback.held and submission.state is State.IN_DOUBT else ()
