"""The window of a run: after so long, or at a moment of the wall's clock, whichever is first, it has to end.

Between the settings and whatever takes time. Its length counts from its making, so that everything a command
does, the reading of its manifests too, is within it. It stops nothing by itself.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime

LOOK_AT_CLOCK_S = 10.0
"""How often the wall clock is looked at while a run has an end in time."""


class Deadline:
    """A window that opens now.

    Args:
        lasts_s: how long it lasts; None without end.
        until: when it closes, with its zone; None for never.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        lasts_s: float | None = None,
        until: datetime | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lasts_s = lasts_s
        self._until = until
        self._clock = clock
        self._opened_at = clock()

    @property
    def left_s(self) -> float:
        """How long it is still open; not above 0 when it is over."""
        left_s = math.inf if self._until is None else (self._until - datetime.now(UTC)).total_seconds()
        if self._lasts_s is not None:
            left_s = min(left_s, self._lasts_s - (self._clock() - self._opened_at))
        return left_s

    async def over(self) -> None:
        """Return when it is over.

        The wall clock is looked at again and again: it may be set, and a machine that slept has not counted.
        """
        while (left_s := self.left_s) > 0:  # noqa: ASYNC110 - clocks tell nobody
            await asyncio.sleep(min(left_s, LOOK_AT_CLOCK_S))
