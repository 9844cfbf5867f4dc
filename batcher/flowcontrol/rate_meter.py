"""The rate that a run has reached, measured over the last minutes."""

from __future__ import annotations

from dataclasses import dataclass

METER_S = 10
"""Over how many seconds the rate now is measured."""


@dataclass(frozen=True, slots=True)
class CurrentRate:
    """How fast a run goes at this moment."""

    now_per_s: float
    """Requests sent per second, over the last ten seconds."""
    pace_per_s: float
    """What the pacer allows just now."""
    cap_per_s: float
    why_slow: str | None
    """Why the pace is below the cap."""
    sent: int
    seconds: float
    """Since the run began to send."""
    waiting: bool = False
    """Nothing is sent at all just now, for the reason that ``why_slow`` gives."""
