"""The file of a ledger: the path that names it, and whether it is a ledger at all.

Called before SQLite touches the file. The checks read nothing but the first bytes.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from batcher.errors import LedgerError, LedgerMissing, NotALedger
from batcher.files import exists as is_there
from batcher.files import is_file, is_folder, is_link, reason_of
from batcher.ledger.sqlite.errors import unusable
from batcher.ledger.sqlite.identity import first_bytes

RESTORING = ".restoring"
"""The suffix of the copy that is about to become the ledger."""

_MAGIC = b"SQLite format 3\0"


def is_missing(path: Path) -> bool:
    """Return whether there is no ledger: no file, or an empty one, which becomes a ledger.

    Raises:
        LedgerError: its log or an unfinished restoration is still here, or the path cannot be seen.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return not is_link(path) and _nothing_left_behind(path)
    except OSError as exc:  # there may be one, which must not be taken for missing
        raise unusable(path, reason_of(exc, path)) from exc
    return stat.S_ISREG(status.st_mode) and not status.st_size and _nothing_left_behind(path)


def _nothing_left_behind(path: Path) -> bool:
    """Make sure that the path has no remains of a ledger that is still needed.

    Raises:
        LedgerError: its log, or an interrupted restoration, is here.
    """
    place = path.resolve()
    if is_there(place.with_name(place.name + RESTORING)):
        raise LedgerError(f"{path}: a `batcher ledger restore` was interrupted; run that command again")
    for log in ("-wal", "-journal"):
        left = place.with_name(place.name + log)
        if is_file(left) and left.stat().st_size:
            raise LedgerError(
                f"{path}: the ledger is gone, but its log {left.name} is still here, with what was sent "
                "last. Put the ledger or a backup back: batcher ledger restore FILE. To start a new ledger, "
                "remove the log"
            )
    return True


def exists(path: Path) -> bool:
    """Return whether there is a ledger; if not, create an empty file that only its owner can read.

    Raises:
        LedgerError: there is something else, or nothing can be made there.
    """
    if not is_missing(path):
        check_file(path)
        return True
    try:
        os.close(os.open(path.resolve(), os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    except OSError as exc:
        raise unusable(path, reason_of(exc, path, to="write")) from exc
    return False


def check_file(path: Path) -> None:
    """Refuse a file that cannot be a ledger before a database library touches it.

    Raises:
        LedgerMissing: there is no ledger, or it is empty.
        NotALedger: it is a folder or some other kind of file.
    """
    try:
        magic = first_bytes(path, len(_MAGIC))
    except FileNotFoundError as exc:
        _nothing_left_behind(path)
        raise LedgerMissing(
            f"{path}: there is no ledger here. Make one with `batcher load MANIFEST`, which sends nothing, "
            "or with `batcher run MANIFEST`; --ledger names another place"
        ) from exc
    except IsADirectoryError as exc:
        raise NotALedger(f"{path}: this is a folder; --ledger takes the path of a file") from exc
    except OSError as exc:
        raise unusable(path, reason_of(exc, path, to="read")) from exc
    if magic is None:
        return
    if not magic and is_file(path):
        _nothing_left_behind(path)
        raise LedgerMissing(f"{path}: the file is empty; `batcher load` or `batcher run` makes it a ledger")
    if magic != _MAGIC:
        raise NotALedger(
            f"{path}: this is not a ledger; --ledger names the ledger, manifests are given without an option"
        )


def check_place(path: Path) -> None:
    """Make sure that a run could write the ledger, or make one.

    Raises:
        LedgerError: it could not.
    """
    folder = path.resolve().parent
    if not is_folder(folder):
        why = "its folder does not exist; make it, or name another --ledger"
    elif not os.access(folder, os.W_OK | os.X_OK):
        why = "its folder cannot be written; make it writable, or name another --ledger"
    elif is_there(path) and not os.access(path, os.R_OK | os.W_OK):
        why = "it is read-only; make the file writable"
    else:
        return
    raise LedgerError(f"{path}: the ledger cannot be used: {why}")
