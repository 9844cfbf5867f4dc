"""The lifecycle of a run: its phases, the legal moves between them, and the stop requests that cause moves.

The runner owns one :class:`Lifecycle` and hands every reason to stop to :meth:`Lifecycle.take`, the only
place where a run is stopped: signals, the program, the deadline, halts, faults of the ledger and defects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from batcher.exit_codes import ExitCode


class Phase(Enum):
    """The stage of a run."""

    READY = "ready"
    """Nothing has been sent yet."""
    SENDING = "sending"
    """Workers send, and manifests are loaded meanwhile."""
    STOPPED = "stopped"
    """Nothing more is sent; requests in flight finish, and loading continues to the end of the manifests."""
    DRAINING = "draining"
    """Nothing more is sent or read; requests in flight have the grace period to finish."""
    CUT_OFF = "cut_off"
    """Workers are cancelled; requests that are still in flight are in doubt."""
    ENDED = "ended"
    """All that could be recorded is recorded."""


MOVES: dict[Phase, frozenset[Phase]] = {
    Phase.READY: frozenset({Phase.SENDING, Phase.STOPPED, Phase.DRAINING}),
    Phase.SENDING: frozenset({Phase.STOPPED, Phase.DRAINING, Phase.ENDED}),
    Phase.STOPPED: frozenset({Phase.DRAINING, Phase.ENDED}),
    Phase.DRAINING: frozenset({Phase.CUT_OFF, Phase.ENDED}),
    Phase.CUT_OFF: frozenset({Phase.ENDED}),
    Phase.ENDED: frozenset(),
}
"""The legal moves of a run. It never goes back to sending."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A reason to stop a run."""

    code: ExitCode
    """The exit code that follows from it. ``WORK_LEFT`` ends the run early on purpose."""
    reason: str
    phase: Phase = Phase.STOPPED
    """The phase that it asks for: ``STOPPED`` or ``DRAINING``."""
    asked: bool = False
    """The user or the program asks. A second request of theirs cuts the run off."""


def phase_after(phase: Phase, stop: Stop, *, asked_before: bool) -> Phase:
    """Return the phase that a stop request leads to; the present one when it changes nothing.

    Args:
        phase: the present one.
        stop: the request.
        asked_before: the user or the program has asked for a stop before.
    """
    if phase is Phase.DRAINING and stop.asked and asked_before:
        return Phase.CUT_OFF
    return stop.phase if stop.phase in MOVES[phase] else phase


class Lifecycle:
    """The phase of a run, and the reasons to stop that it was given.

    Args:
        entered: called with each new phase, to carry out what it means.

    Attributes:
        phase: the present one.
        reasons: the first reason to stop for each exit code.
    """

    def __init__(self, entered: Callable[[Phase], None]) -> None:
        self.phase = Phase.READY
        self.reasons: dict[ExitCode, str] = {}
        self._entered = entered
        self._asked = False

    def take(self, stop: Stop) -> None:
        """Take in a stop request. A repeated request of the user adds no reason."""
        phase = phase_after(self.phase, stop, asked_before=self._asked)
        repeated = stop.asked and self._asked
        if not repeated and self.phase is not Phase.ENDED:
            self.reasons.setdefault(stop.code, stop.reason)
        self._asked = self._asked or stop.asked
        if phase is not self.phase:
            self.move(phase)

    def move(self, phase: Phase) -> None:
        """Enter another phase.

        Raises:
            RuntimeError: the move is not legal.
        """
        if phase not in MOVES[self.phase]:
            raise RuntimeError(f"a run cannot move from {self.phase.value} to {phase.value}")
        self.phase = phase
        self._entered(phase)
