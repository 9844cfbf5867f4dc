"""The clock of the tasks: monotonic, and tests can advance it.

`tasks` reads it, `callback_sender` waits on it. It is separate from the clocks of the service, so that
advancing it affects neither the rate limit nor the check of timestamps.
"""

from __future__ import annotations

from collections.abc import Callable


class TaskClock:
    """Seconds since some moment, plus the seconds by which it was advanced."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._ahead_s = 0.0
        self.on_advance: Callable[[], None] | None = None
        """Called after it was advanced."""

    def now_s(self) -> float:
        """Read the clock."""
        return self.at_s(self._monotonic())

    def at_s(self, monotonic_s: float) -> float:
        """Return the reading of the clock at a monotonic time."""
        return monotonic_s + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Advance the clock.

        Raises:
            ValueError: the seconds are negative.
        """
        if seconds < 0:
            raise ValueError(f"advance {seconds}: give 0 or more seconds.")
        self._ahead_s += seconds
        if self.on_advance is not None:
            self.on_advance()
