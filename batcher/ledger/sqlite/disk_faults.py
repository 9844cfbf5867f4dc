"""The fault of a disk behind an error of SQLite, which names only one of them: a full disk without a quota.

Called when SQLite reports an input/output error or a file that it cannot open. SQLite keeps the number of the
error to itself, so the same is tried again: a file is opened, and some bytes are written next to the ledger.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from pathlib import Path

from batcher.files import Place, exists

TRIED_BYTES = 1 << 16
"""The bytes written to see whether the disk takes any."""


def disk_fault(ledger: Path) -> OSError | None:
    """Return the error that the system gives for a write next to a ledger; None when it gives no error."""
    with contextlib.suppress(OSError):
        ledger = ledger.resolve()
    beside = ledger.with_name(f".batcher-{os.getpid()}.probe")
    return _at_size_limit(ledger) or _open_fault(ledger) or _write_fault(beside)


def _at_size_limit(ledger: Path) -> OSError | None:
    """Return an error when a file of the ledger is as large as this process may make one (``ulimit -f``)."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    sizes = [_size(f"{ledger}{end}") for end in ("", "-wal", "-journal", "-shm")]
    return OSError(errno.EFBIG, os.strerror(errno.EFBIG)) if max(sizes) + TRIED_BYTES > limit else None


def _size(path: Place) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - a companion of a path
    except OSError:
        return 0


def _open_fault(ledger: Path) -> OSError | None:
    try:
        os.close(os.open(ledger.parent, os.O_RDONLY))  # of the ledger itself it would end SQLite's locks
        if exists(ledger) and not os.access(ledger, os.R_OK):
            return PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as exc:
        return exc
    return None


def _write_fault(beside: Path) -> OSError | None:
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            data = os.urandom(TRIED_BYTES)
            while data:  # a short write is followed by the error
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            beside.unlink(missing_ok=True)
    except OSError as exc:
        return exc
    return None
