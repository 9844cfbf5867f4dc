"""The rules of callbacks, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batcher.ledger.callback_effects import (
    DENIED_AFTER_S,
    LONGEST_UNSETTLED_S,
    LOOKS_AFTER_S,
    SENDING_AGAIN_MS,
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
from batcher.model.submission import State, Vendor
from batcher.model.task import Effect, TaskState

NOW = 1_000_000
CALLBACK = CallbackRecord(1, "t", Vendor.TENCENT, "7", NOW - 10_000)
HELD = replace(CALLBACK, submission_id=5, held=True)
LOST = LostAttempt(1, NOW - 20_000)
LAST_LOOK = len(LOOKS_AFTER_S)


def candidate(state: State, id_: int = 5, lost: LostAttempt | None = LOST) -> Candidate:
    """A submission of the recording."""
    return Candidate(id_, state, None, None, 0, lost)


@pytest.mark.parametrize(
    ("task", "follows"),
    [
        (KnownTask(5, None, submitted_at_ms=1), Follows(Effect.CLAIMED, 5, steps=(Step.CLAIM,))),
        (KnownTask(5, TaskState.WAITING), Follows(Effect.CLAIMED, 5, steps=(Step.CLAIM,))),
        (KnownTask(5, TaskState.UNKNOWN), Follows(Effect.CLAIMED, 5, steps=(Step.CLAIM,))),
        (KnownTask(5, TaskState.FINISHED), Follows(Effect.NOTED, 5)),
        (KnownTask(5, TaskState.FAILED), Follows(Effect.NOTED, 5)),
        (None, Follows(Effect.OPEN, due_at_ms=NOW)),
    ],
)
def test_reported_end_of_known_task_makes_it_due(task: KnownTask | None, follows: Follows) -> None:
    """A task is polled unless a poll has reported its end; an unknown one is looked up later."""
    assert effect_of(CALLBACK, task, None, NOW) == follows


@pytest.mark.parametrize(
    ("candidates", "follows"),
    [
        ([candidate(State.IN_DOUBT)], Follows(Effect.CHECKED, 5, NOW)),
        ([candidate(State.PENDING)], Follows(Effect.CHECKED, 5, NOW, held=True, steps=(Step.HOLD,))),
        ([candidate(State.IN_DOUBT), candidate(State.PENDING, 6)], Follows(Effect.AMBIGUOUS)),
        ([candidate(State.SENDING)], Follows(Effect.OPEN, due_at_ms=NOW + 10_000)),
        ([candidate(State.SUBMITTED)], Follows(Effect.CHECKED, 5, NOW)),
        ([candidate(State.SUBMITTED), candidate(State.SUBMITTED, 6)], Follows(Effect.AMBIGUOUS)),
        ([candidate(State.SUBMITTED, lost=None)], Follows(Effect.OPEN, due_at_ms=NOW + 1000, tries=1)),
        ([candidate(State.REJECTED)], Follows(Effect.OPEN, due_at_ms=NOW + 1000, tries=1)),
        ([], Follows(Effect.OPEN, due_at_ms=NOW + 1000, tries=1)),
    ],
)
def test_unknown_task_is_checked_for_the_one_submission_that_may_have_it(
    candidates: list[Candidate], follows: Follows
) -> None:
    """One submission with a lost attempt is checked, several are ambiguous, none is looked for again."""
    assert effect_of(CALLBACK, None, candidates, NOW) == follows


@pytest.mark.parametrize(
    ("waited_s", "tries", "follows"),
    [
        (0, 0, Follows(Effect.OPEN, due_at_ms=NOW + 1_000)),
        (30, 2, Follows(Effect.OPEN, due_at_ms=NOW + 30_000, tries=2)),
        (3_600, 2, Follows(Effect.OPEN, due_at_ms=NOW + 60_000, tries=2)),
        (LONGEST_UNSETTLED_S, LAST_LOOK, Follows(Effect.STRANGER)),
    ],
)
def test_submission_in_flight_is_waited_for_within_limits(
    waited_s: int, tries: int, follows: Follows
) -> None:
    """The wait doubles between a second and a minute, costs no check, and ends after two days."""
    callback = replace(CALLBACK, received_at_ms=NOW - waited_s * 1000, tries=tries)
    assert effect_of(callback, None, [candidate(State.SENDING)], NOW) == follows


def test_task_that_stays_unknown_is_a_stranger() -> None:
    """After the last check no more are due."""
    for tries, delay_s in enumerate(LOOKS_AFTER_S):
        follows = effect_of(replace(CALLBACK, tries=tries), None, [], NOW)
        assert follows == Follows(Effect.OPEN, due_at_ms=NOW + delay_s * 1000, tries=tries + 1)
    assert effect_of(replace(CALLBACK, tries=LAST_LOOK), None, [], NOW) == Follows(Effect.STRANGER)


@pytest.mark.parametrize(
    ("task", "state", "lost", "follows"),
    [
        (None, State.IN_DOUBT, LOST, Follows(Effect.SETTLED, 5, steps=(Step.SETTLE,))),
        (None, State.PENDING, LOST, Follows(Effect.SETTLED, 5, steps=(Step.SETTLE,))),
        (None, State.IN_DOUBT, None, Follows(Effect.AMBIGUOUS, 5)),
        (None, State.REJECTED, LOST, Follows(Effect.AMBIGUOUS, 5)),
        (None, State.SUBMITTED, LOST, Follows(Effect.DOUBLE, 5)),
        (None, State.SENDING, LOST, Follows(Effect.CHECKED, 5, NOW + SENDING_AGAIN_MS, held=True)),
        (
            KnownTask(5, TaskState.WAITING),
            State.SUBMITTED,
            None,
            Follows(Effect.CLAIMED, 5, steps=(Step.CLAIM,)),
        ),
        (
            KnownTask(6, TaskState.WAITING),
            State.IN_DOUBT,
            LOST,
            Follows(Effect.CLAIMED, 6, steps=(Step.CLAIM, Step.RELEASE)),
        ),
    ],
)
def test_confirmed_task_settles_the_doubt_or_proves_a_double(
    task: KnownTask | None, state: State, lost: LostAttempt | None, follows: Follows
) -> None:
    """The effect depends on the submission's state by then, and on whether the task is known by then."""
    assert effect_of_poll(HELD, task, candidate(state, lost=lost), PollVerdict.CONFIRMED, NOW) == follows


@pytest.mark.parametrize("state", State)
def test_foreign_task_releases_a_held_submission(state: State) -> None:
    """Only a submission that the callback took out of the queue, and that is still out, is put back."""
    steps = (Step.RELEASE,) if state is State.IN_DOUBT else ()
    follows = effect_of_poll(HELD, None, candidate(state), PollVerdict.FOREIGN, NOW)
    assert follows == Follows(Effect.DENIED, 5, steps=steps)
    not_held = replace(HELD, held=False)
    assert effect_of_poll(not_held, None, candidate(state), PollVerdict.FOREIGN, NOW).steps == ()


def test_task_unknown_to_the_service_is_asked_about_again() -> None:
    """The service is believed after the last of several polls."""
    submission = candidate(State.IN_DOUBT)
    for tries, delay_s in enumerate(DENIED_AFTER_S):
        follows = effect_of_poll(replace(HELD, tries=tries), None, submission, PollVerdict.UNKNOWN, NOW)
        assert follows == Follows(Effect.CHECKED, 5, NOW + delay_s * 1000, tries + 1, held=True)
    last = replace(HELD, tries=len(DENIED_AFTER_S))
    follows = effect_of_poll(last, None, submission, PollVerdict.UNKNOWN, NOW)
    assert follows == Follows(Effect.DENIED, 5, steps=(Step.RELEASE,))
