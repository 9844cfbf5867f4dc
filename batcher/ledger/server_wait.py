"""Waiting for the server of a ledger while it cannot be reached: for how long, and what is reported.

Shared by the writer and the readers of one flow, so that each outage is reported once, and its end once.
"""

from __future__ import annotations

import time

from batcher.config.defaults import LEDGER_PATIENCE_S
from batcher.model.durations import at_least_a_second
from batcher.model.events import Message, OnEvent, Severity, ignore_event


class ServerWait:
    """How a flow waits for the server of its ledger. Reports are made in the event loop.

    Args:
        patience_s: how long a server that cannot be reached is waited for.
        on_event: called when the wait begins, and when the server is back.

    Attributes:
        patience_s: the same.
        on_event: the same; a flow may set its own.
    """

    def __init__(self, patience_s: float = LEDGER_PATIENCE_S, on_event: OnEvent = ignore_event) -> None:
        self.patience_s = patience_s
        self.on_event = on_event
        self._lost_at: float | None = None

    def lost(self, error: str) -> None:
        """Report that the server cannot be reached, with the error; once until it is back."""
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            text = f"{error}; waiting up to {at_least_a_second(self.patience_s)}"
            self.on_event(Message(text, Severity.WARNING))

    def back(self, name: object) -> None:
        """Report that the server can be reached again, if it was lost."""
        if self._lost_at is not None:
            seconds, self._lost_at = time.monotonic() - self._lost_at, None
            text = f"{name}: the ledger can be reached again, after {at_least_a_second(seconds)}"
            self.on_event(Message(text, Severity.NOTICE))
