"""Holding a ledger: for what, by whom, and the words for another holder.

Called by the locks of both databases, and by everything that asks for one.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Protocol, Self

from batcher.model.durations import at_least_a_second
from batcher.model.ledger_name import LedgerName


class Purpose(Enum):
    """The purpose of a lock. Each has a file of its own, so that tracking works next to sending."""

    SENDING = "lock"
    TRACKING = "track.lock"
    FETCHING = "fetch.lock"
    LISTENING = "listen.lock"
    """For databases on a server alone: callbacks for a file arrive at one address of its machine."""

    @property
    def byte(self) -> int:
        """Which byte of the ledger's own file is locked for it."""
        return list(Purpose).index(self)


OF_FILES = (Purpose.SENDING, Purpose.TRACKING, Purpose.FETCHING)
"""The purposes for which a file is locked."""

_HELD = {
    Purpose.SENDING: "another run holds this ledger",
    Purpose.TRACKING: "another process is tracking this ledger's tasks",
    Purpose.FETCHING: "another process is fetching this ledger's pictures",
    Purpose.LISTENING: "another process is receiving this ledger's callbacks",
}
_WAITED_FOR = {
    Purpose.SENDING: "another run",
    Purpose.TRACKING: "another `batcher track`",
    Purpose.FETCHING: "another `batcher fetch`",
    Purpose.LISTENING: "another `batcher listen`",
}


@dataclass(frozen=True, slots=True)
class LockClient:
    """The command that asks for a lock."""

    command: str = "batcher"
    wait_s: float | None = None
    """The longest time to wait for another holder; None for a command that has no such option."""
    on_wait: Callable[[str], None] = field(default=lambda _: None)
    """Called once, when another holder is waited for."""
    purpose: Purpose = Purpose.SENDING
    alone: bool = False
    """Whether no other run may be sending, also where several may."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a ledger's lock."""

    command: str
    """The command's name, without its arguments: those may contain signed URLs."""
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=platform.node)
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S} UTC ({self.command})"

    @property
    def is_here(self) -> bool:
        """Whether the process belongs to this machine."""
        return self.host == platform.node()

    @property
    def lives(self) -> bool:
        """Whether this machine has such a process."""
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            return True
        return True


class Hold(Protocol):
    """A ledger that is held for a purpose, until released or until the process ends.

    Attributes:
        is_first: nothing shows that there has been a ledger before.
    """

    is_first: bool

    def cover(self) -> None:
        """Hold what was created or replaced since, too; raises LedgerBusy if another process holds it."""

    def check(self) -> None:
        """Make sure that no second process can hold it; raises LedgerError otherwise."""

    def release(self) -> None:
        """Release it; a second time does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def named(holder: Holder | None, purpose: Purpose) -> str:
    """Return who is waited for."""
    who = _WAITED_FOR[purpose]
    return f"{who}: {holder}" if holder else f"{who}, whose process is unknown"


def busy_text(ledger: LedgerName, holder: Holder | None, client: LockClient) -> str:
    """Return the message for a client that found another holder, with the remedy."""
    who, held = f": {holder}" if holder else "; its process is unknown", _HELD[client.purpose]
    if client.wait_s:
        waited = f"still after {at_least_a_second(client.wait_s)}"
        return f"{ledger}: {held}, {waited}{who}. Wait longer"
    if client.wait_s is None:
        return f"{ledger}: {held}{who}. Wait until it has ended"
    return f"{ledger}: {held}{who}. Wait for it, or use --wait-lock"
