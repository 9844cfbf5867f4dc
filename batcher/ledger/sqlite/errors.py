"""SQLite's errors as errors of the ledger, with the remedy.

Called by everything that touches a ledger's file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batcher.errors import IllegalMove, LedgerError, LedgerLocked, NotALedger
from batcher.files import reason_of
from batcher.ledger.sqlite.disk_faults import disk_fault

_REMEDIES = {
    "SQLITE_FULL": "the disk is full; free some space, then run again",
    "SQLITE_READONLY": "it is read-only; make the file and its folder writable, then run again",
    "SQLITE_BUSY": "another program has locked the file; close it, then run again",
    "SQLITE_LOCKED": "another program has locked the file; close it, then run again",
    "SQLITE_CANTOPEN": "it cannot be opened; check that its folder exists and is writable",
    "SQLITE_PERM": "it cannot be opened; check its permissions",
    "SQLITE_IOERR": "the disk reports an input/output error; check the disk, then run again",
    "SQLITE_CORRUPT": "the file is damaged; go back to the last backup (batcher ledger restore FILE), or "
    "name another --ledger",
}

_HIDES_ERRNO = frozenset({"SQLITE_IOERR", "SQLITE_CANTOPEN"})
"""Results for many errors of the operating system, a full disk among them: SQLite does not say which."""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's exceptions into a :class:`LedgerError` that says what to do."""
    try:
        yield
    except sqlite3.IntegrityError as exc:
        raise IllegalMove(f"{path}: {exc}") from exc
    except sqlite3.Error as exc:
        raise _translated(path, exc) from exc


def _translated(path: Path, error: sqlite3.Error) -> LedgerError:
    name = str(getattr(error, "sqlite_errorname", ""))
    if name == "SQLITE_NOTADB":
        return NotALedger(f"{path}: this is not a ledger; choose another --ledger")
    error_shown = unusable(path, why_of(path, error))
    return LedgerLocked(str(error_shown)) if _base(error) in ("SQLITE_BUSY", "SQLITE_LOCKED") else error_shown


def why_of(path: Path, error: sqlite3.Error) -> str:
    """Return why SQLite cannot use a file, and what to do, without its name."""
    base = _base(error)
    fault = disk_fault(path) if base in _HIDES_ERRNO else None
    why = reason_of(fault, path, to="write") if fault else _REMEDIES.get(base)
    return why or f"{type(error).__name__}: {error}"


def _base(error: sqlite3.Error) -> str:
    """Return the name of an error without its details: ``SQLITE_IOERR`` of ``SQLITE_IOERR_WRITE``."""
    name = getattr(error, "sqlite_errorname", None) or _NAMES.get(str(error), "")
    return "_".join(name.split("_")[:2])


_NAMES = {
    "database or disk is full": "SQLITE_FULL",
    "disk I/O error": "SQLITE_IOERR",
    "unable to open database file": "SQLITE_CANTOPEN",
    "attempt to write a readonly database": "SQLITE_READONLY",
}
"""The names of errors that Python raises with a text alone: those of a copy."""


def unusable(path: Path, why: str) -> LedgerError:
    """Return the error of a ledger that cannot be used."""
    return LedgerError(f"{path}: the ledger cannot be used: {why}")
