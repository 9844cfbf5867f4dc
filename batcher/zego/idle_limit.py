"""How long an idle connection may be and still be used: a limit learned from the server. Pure.

Used by :mod:`batcher.zego.connector`. A server may close an idle connection at the very moment at which a
request leaves, which leaves that request in doubt. The server's own limit is learned from the connections
that it closes, and only half of it is used. The limit doubles with time, because a server that restarts
closes young connections too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

KEEPALIVE_S = 4.0
"""The longest time for which a connection may be idle and still be used."""

SAFE_SHARE = 0.5
"""The share of the server's own limit up to which an idle connection is used."""

IDLE_S = 0.02
"""A server that closes connections sooner keeps no idle ones. A loss that is even sooner has other
reasons."""

NO_TIME_S = 1e-6
"""The limit for a server that keeps no idle connections; above zero, so that it can double."""

REGAIN_S = 300.0
"""The time in which a learned limit doubles."""


class IdleLimit:
    """The learned limit of one server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._learned_s = KEEPALIVE_S
        self._learned_at = clock()

    @property
    def longest_s(self) -> float:
        """The longest time for which a connection may have been idle."""
        doublings = min((self._clock() - self._learned_at) / REGAIN_S, 64.0)
        return min(self._learned_s * 2**doublings, KEEPALIVE_S)

    def server_closed(self, idle_s: float) -> None:
        """Learn from an idle connection that the server closed."""
        if idle_s < KEEPALIVE_S:
            self._learn(idle_s)

    def answer_lost(self, idle_s: float | None) -> None:
        """Learn from a connection that ended in place of an answer."""
        if idle_s is not None and idle_s >= IDLE_S:
            self._learn(idle_s)

    def forbid(self) -> None:
        """Use no connection twice from now on."""
        self._learned_s = 0.0

    def _learn(self, idle_s: float) -> None:
        safe_s = idle_s * SAFE_SHARE if idle_s >= IDLE_S else NO_TIME_S
        self._learned_s = min(safe_s, self.longest_s)
        self._learned_at = self._clock()
