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

RESERVED = 40
"""What a command opens apart from its connections: the ledger, its log and locks, manifests, streams."""


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
        given: its arguments; a command without ``--concurrency`` has no such flows.

    Raises:
        SystemFault: there is no room for a single connection.
    """
    if "concurrency" not in given or given.get("dry_run"):
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
        raise SystemFault(
            f"this process may have {limit} files open, and this command needs {RESERVED + flows} at least. "
            "Raise the limit (ulimit -n 1024; LimitNOFILE= in a systemd unit), then run again"
        )
    return settings.model_copy(update={"concurrency": fits}), (
        f"--concurrency {wanted} is {fits} here: this process may have {limit} files open. "
        "Raise the limit (ulimit -n 1024; LimitNOFILE= in a systemd unit)"
    )


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
