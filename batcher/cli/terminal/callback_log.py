"""The messages of ``listen``: every callback for programs, and for users the refusals, once a minute at most.

Called by the command ``listen`` with each event. Anybody who reaches the port can cause refusals, so they
must never become a line each.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter

from batcher.cli.terminal.console import Console
from batcher.cli.terminal.text import Volume
from batcher.model.events import (
    CallbackRefused,
    CallbackTaken,
    ClaimChecked,
    Event,
    ListeningStarted,
    MalformedRequest,
)
from batcher.report.formatting import count, one_line

WARN_EVERY_S = 60.0
"""Seconds between two reports of refusals, at least."""


class CallbackLog:
    """Writes the events of a listener to a console.

    Args:
        console: the console of the command.
        host: the address on which it listens, for a warning.
    """

    def __init__(self, console: Console, host: str) -> None:
        self._console = console
        self._host = host
        self._refused: Counter[str] = Counter()
        self._n_taken = self._n_refused = 0
        self._next: asyncio.TimerHandle | None = None

    def on_event(self, event: Event) -> None:
        """Write or count an event."""
        match event:
            case ListeningStarted():
                self._introduce(event)
                return
            case MalformedRequest():
                self._count(event.words)
                return
            case CallbackRefused():
                self._count(event.why)
            case CallbackTaken():
                self._n_taken += 1
        single = isinstance(event, CallbackTaken | CallbackRefused | ClaimChecked)
        if not single or self._console.for_programs:
            self._console.on_event(event)
        elif isinstance(event, ClaimChecked):
            self._console.say(event.words)
        elif self._console.volume is Volume.VERBOSE:
            self._console.write(one_line(event.words), needed=False)

    def close(self, code: int) -> None:
        """Report the refusals that were not reported yet, and the totals.

        Args:
            code: the exit code of the signal that stopped the listener.
        """
        if self._next is not None:
            self._next.cancel()
        self._report()
        taken, refused = count(self._n_taken, "callback"), count(self._n_refused, "request")
        self._console.say(f"Stopped by {signal.Signals(code - 128).name}: {taken} taken, {refused} refused.")

    def _introduce(self, event: ListeningStarted) -> None:
        self._console.say(event.words)
        if event.unprotected:
            self._console.warn(
                f"--host {self._host}: other machines can connect without TLS, and callbacks can be read and "
                "changed in transit. Give --cert, or put a TLS proxy on this machine in front of it"
            )
        if not event.confirms:
            self._console.say("No account given: nothing is confirmed here; run batcher track for that.")
        for reason in event.not_submitted:
            self._console.detail(f"--submit-new: recordings of {reason}. They are recorded and not submitted")

    def _count(self, reason: str) -> None:
        self._refused[reason] += 1
        self._n_refused += 1
        if self._next is None:
            self._report()
            self._next = asyncio.get_running_loop().call_later(WARN_EVERY_S, self._report_again)

    def _report_again(self) -> None:
        self._next = None
        if self._refused:
            self._report()
            self._next = asyncio.get_running_loop().call_later(WARN_EVERY_S, self._report_again)

    def _report(self) -> None:
        if self._refused:
            reasons = "; ".join(f"{n:,} × {reason}" for reason, n in self._refused.most_common(5))
            self._console.warn(f"{count(self._refused.total(), 'request')} refused: {reasons}")
            self._refused.clear()
