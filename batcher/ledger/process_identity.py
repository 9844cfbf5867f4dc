"""Which process this is, so that another process of the same machine can tell whether it has ended.

Called where a lease is taken or taken over. A lease of another machine only ends with its time. One of this
machine ends with its process: a process number alone is used again, so the moment when the process began, the
boot of the machine and the namespace of its numbers belong to the identity.
"""

from __future__ import annotations

import os
from pathlib import Path


def identity_of(pid: int) -> str | None:
    """Return the identity of a process of this machine; None when there is none, or it cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.stat(f"/proc/{pid}/ns/pid").st_ino  # noqa: PTH116 - follows the link
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    state, began = status[0], status[19]
    return None if state in "ZX" else f"{boot} {namespace} {pid} {began}"


def this_process() -> str:
    """Return the identity of this process; empty where it cannot be told."""
    return identity_of(os.getpid()) or ""


def has_surely_ended(process: str | None) -> bool:
    """Return whether a process has ended; False for one that this process cannot see."""
    ours, theirs = this_process().split(), (process or "").split()
    if not ours or len(theirs) != len(ours) or theirs[:2] != ours[:2]:
        return False
    return identity_of(int(theirs[2])) != process
