"""The lifecycle of a run: which stop request leads to which phase."""

from __future__ import annotations

from itertools import product

import pytest

from batcher.exit_codes import ExitCode
from batcher.submit.lifecycle import MOVES, Lifecycle, Phase, Stop, phase_after

READY, SENDING, STOPPED, DRAINING, CUT_OFF, ENDED = Phase
HALT = Stop(ExitCode.HALTED, "refused")
TIME = Stop(ExitCode.WORK_LEFT, "time limit", DRAINING)
ASKED = Stop(ExitCode.SIGINT, "stopped by SIGINT", DRAINING, asked=True)


@pytest.mark.parametrize(
    ("phase", "stop", "asked_before", "expected"),
    [
        (READY, HALT, False, STOPPED),
        (READY, TIME, False, DRAINING),
        (READY, ASKED, False, DRAINING),
        (SENDING, HALT, False, STOPPED),
        (SENDING, TIME, False, DRAINING),
        (SENDING, ASKED, False, DRAINING),
        (STOPPED, HALT, False, STOPPED),
        (STOPPED, TIME, False, DRAINING),
        (STOPPED, ASKED, False, DRAINING),
        (DRAINING, HALT, True, DRAINING),
        (DRAINING, TIME, True, DRAINING),
        (DRAINING, ASKED, False, DRAINING),  # the deadline drained it: this is the first request
        (DRAINING, ASKED, True, CUT_OFF),
        (CUT_OFF, ASKED, True, CUT_OFF),
        (CUT_OFF, HALT, True, CUT_OFF),
        (ENDED, ASKED, True, ENDED),
        (ENDED, HALT, False, ENDED),
    ],
)
def test_phase_after_a_stop_request(phase: Phase, stop: Stop, asked_before: bool, expected: Phase) -> None:
    """A run never goes back to sending, and only a second request of the user cuts it off."""
    assert phase_after(phase, stop, asked_before=asked_before) is expected


@pytest.mark.parametrize(("phase", "stop", "asked"), [*product(Phase, (HALT, TIME, ASKED), (False, True))])
def test_phase_after_a_stop_request_is_legal(phase: Phase, stop: Stop, asked: bool) -> None:
    """No request in any phase leads to an illegal move."""
    after = phase_after(phase, stop, asked_before=asked)
    assert after is phase or after in MOVES[phase]


def test_lifecycle_keeps_the_first_reason_of_each_exit_code() -> None:
    """A second halt does not replace the first; a request that cuts off adds no reason."""
    entered: list[Phase] = []
    life = Lifecycle(entered.append)
    life.move(SENDING)
    for stop in (
        HALT,
        Stop(ExitCode.HALTED, "again"),
        ASKED,
        Stop(ExitCode.SIGTERM, "x", DRAINING, asked=True),
    ):
        life.take(stop)
    assert entered == [SENDING, STOPPED, DRAINING, CUT_OFF]
    assert life.reasons == {ExitCode.HALTED: "refused", ExitCode.SIGINT: "stopped by SIGINT"}


def test_fault_after_the_cut_off_is_a_reason() -> None:
    """A ledger that fails while the run is cut off decides its exit code."""
    life = Lifecycle(lambda _: None)
    life.move(SENDING)
    for stop in (ASKED, ASKED, Stop(ExitCode.LEDGER, "disk full")):
        life.take(stop)
    assert life.phase is CUT_OFF
    assert life.reasons == {ExitCode.SIGINT: "stopped by SIGINT", ExitCode.LEDGER: "disk full"}


def test_lifecycle_that_has_ended_takes_no_reason() -> None:
    """A signal after the end changes nothing."""
    life = Lifecycle(lambda _: None)
    for phase in (SENDING, ENDED):
        life.move(phase)
    life.take(ASKED)
    assert (life.phase, life.reasons) == (ENDED, {})


@pytest.mark.parametrize(("phase", "then"), [(READY, ENDED), (SENDING, CUT_OFF), (SENDING, READY)])
def test_illegal_move_is_refused(phase: Phase, then: Phase) -> None:
    """It would be a defect."""
    life = Lifecycle(lambda _: None)
    if phase is SENDING:
        life.move(SENDING)
    with pytest.raises(RuntimeError, match=f"from {phase.value} to {then.value}"):
        life.move(then)
