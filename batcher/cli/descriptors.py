"""The files and connections that a process may have open (``ulimit -n``), and a concurrency within them.

Called when the settings of a command are read. Without room for another connection requests would fail that
have nothing wrong with them, and the ledger could not be opened again.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Mapping
from typing import Any

from batcher.config.defaults import FETCH_CONCURRENCY
from batcher.config.settings import Settings
from batcher.errors import SystemFault
from batcher.model.check import CheckFinding, fail

RESERVED = 40
"""What a command opens apart from its connections: the ledger, its log and locks, manifests, streams."""

LEAST = 24
"""What a command without a ``--concurrency`` may open; with fewer, libraries fail in words of their own."""

LEAST_WITH_SANDBOX = 64
"""For a command that is a server of the sandbox too, with both ends of every connection."""

_RAISE_IT = "Raise the limit (ulimit -n 1024; LimitNOFILE= in a systemd unit)"


def fitted(concurrency: int, flows: int, limit: int) -> int:
    """Return how many connections each of some flows may have; 0 when there is no room.

    Args:
        concurrency: how many are wanted.
        flows: how many flows have so many connections.
        limit: how many descriptors the process may have.
    """
    return max(min(concurrency, (limit - RESERVED) // flows), 0)


def within_descriptors(
    command: str, settings: Settings, given: Mapping[str, Any]
) -> tuple[Settings, str | None]:
    """Return the settings with a concurrency that fits, and a warning if it is smaller than the one set.

    Args:
        command: the name of the command.
        settings: its settings.
        given: its arguments; a command without ``--concurrency`` needs only what every command opens.

    Raises:
        SystemFault: there is no room for a single connection, or for the command itself.
    """
    if "concurrency" not in given or given.get("dry_run"):
        check_room(LEAST)
        return settings, None
    wanted = settings.concurrency
    if command == "fetch" and "concurrency" not in settings.model_fields_set:
        wanted = FETCH_CONCURRENCY
    flows = 2 if settings.track and "track" in given else 1
    limit = _raised(RESERVED + wanted * flows)
    fits = fitted(wanted, flows, limit)
    if fits == wanted:
        return settings, None
    if not fits:
        check_room(RESERVED + flows)
    return settings.model_copy(update={"concurrency": fits}), (
        f"--concurrency {wanted} is {fits} here: this process may have {limit} files open. {_RAISE_IT}"
    )


def descriptor_findings(settings: Settings) -> list[CheckFinding]:
    """Return what ``batcher check`` reports of the limit: nothing when it is high enough for a run."""
    least = RESERVED + (2 if settings.track else 1)
    if (limit := _raised(least)) >= least:
        return []
    remedy = f"{_RAISE_IT[0].lower()}{_RAISE_IT[1:]}"
    return [fail("open files", _too_few(limit, least, "a run"), remedy, limit=limit)]


def check_room(least: int) -> None:
    """Refuse a command that may not have as many files open as it needs.

    Raises:
        SystemFault: the limit is lower, and cannot be raised.
    """
    if (limit := _raised(least)) < least:
        raise SystemFault(f"{_too_few(limit, least, 'this command')}. {_RAISE_IT}, then run again")


def has_room() -> bool:
    """Whether the limit is high enough for any command."""
    return _raised(LEAST) >= LEAST


def _too_few(limit: int, least: int, what: str) -> str:
    return f"this process may have {limit} files open, and {what} needs {least} at least"


def _raised(needed: int) -> int:
    """Raise the limit as far as this user may and as it is needed; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited:
        return needed
    if soft < needed:
        wanted = needed if hard == unlimited else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):  # macOS has a limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, soft), hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return soft
