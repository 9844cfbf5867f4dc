"""The clock of the tasks: monotonic, and a test can put it forward.

Where it stands: `tasks` reads it, `callback_sender` waits on it. It stands apart from the clocks of the
service, so that putting it forward moves neither the rate limit nor the check of timestamps.
"""

from __future__ import annotations

from collections.abc import Callable


class TaskClock:
    """Seconds since some moment, plus what it was put forward."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._ahead_s = 0.0
        self.on_advance: Callable[[], None] | None = None
        """Called when it was put forward."""

    def now_s(self) -> float:
        """Read the clock."""
        return self.at_s(self._monotonic())

    def at_s(self, monotonic_s: float) -> float:
        """Give what the clock shows at a monotonic time."""
        return monotonic_s + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Put it forward.

        Raises:
            ValueError: by less than nothing.
        """
        if seconds < 0:
            raise ValueError(f"advance {seconds}: a clock goes forward only. Give 0 or more seconds.")
        self._ahead_s += seconds
        if self.on_advance is not None:
            self.on_advance()
