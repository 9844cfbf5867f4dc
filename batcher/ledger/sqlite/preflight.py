"""The state of a ledger before a run: its schema, its account, the open work, and the room on the disk.

Called by ``check`` and by dry runs, before anything is opened for writing. It creates no file and changes
nothing, also in a ledger that a killed run has left.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batcher.errors import LedgerError
from batcher.files import exists, is_folder
from batcher.ledger.conditions import REVISIONS
from batcher.ledger.queries import counts, manifests, open_work
from batcher.ledger.sqlite.connection import Access, connect, open_existing, untouched_uri
from batcher.ledger.sqlite.disk import BYTES_PER_ATTEMPT, LEAST_FREE_BYTES
from batcher.ledger.sqlite.files import is_missing
from batcher.ledger.sqlite.schema_version import is_up_to_date, revision_of
from batcher.model.records import AskedFor
from batcher.model.submission import EndpointKind, FileId, Parameters


@dataclass(frozen=True, slots=True)
class Readiness:
    """The state in which a run would find a ledger."""

    revision: str
    newest: str
    """The schema that this program writes."""
    bound: tuple[int, EndpointKind] | None
    open: int
    """Submissions still to be sent."""


@dataclass(frozen=True, slots=True)
class Room:
    """The disk under a ledger."""

    free_bytes: int
    needed_bytes: int
    """By the open submissions."""
    least_bytes: int
    """With less, no run begins."""

    @property
    def is_enough(self) -> bool:
        """Whether the open work fits."""
        return self.free_bytes >= self.needed_bytes + self.least_bytes


def readiness(path: Path) -> Readiness:
    """Return what a run would find in a ledger.

    Raises:
        LedgerMissing: there is no ledger yet.
        LedgerError: it cannot be used.
    """
    with open_existing(path, Access.INSPECT) as connection:
        revision = revision_of(connection, path)
        left = connection.value(_COUNT_OPEN)
        return Readiness(revision, REVISIONS[-1], counts.bound_to(connection), int(left))


_COUNT_OPEN = "SELECT coalesce(sum(n), 0) FROM tallies WHERE state IN ('pending', 'sending')"

_OPEN = "submissions AS s WHERE s.state IN ('pending', 'sending')"

_LACKING = """
submissions AS s JOIN parameters AS p ON p.id = s.parameters_id
LEFT JOIN other.parameters AS q ON q.vendor = p.vendor AND q.type = p.type AND q.definition = p.definition
    AND q.interval = p.interval AND q.offsets = p.offsets
LEFT JOIN other.submissions AS r ON r.file_id = s.file_id AND r.parameters_id = q.id
WHERE r.id IS NULL
"""


def asked_open(path: Path, groups: int) -> AskedFor:
    """Return what the open submissions of a ledger ask for, the largest groups first.

    Raises:
        LedgerError: it cannot be read.
    """
    with connect(path, Access.INSPECT) as connection:
        return open_work.asked_for(connection, _OPEN, groups)


def asked_lacking(path: Path | None, scratch: Path, groups: int) -> AskedFor:
    """Return what another ledger asks for and this one lacks, the largest groups first.

    Args:
        path: the ledger, or None yet.
        scratch: the other one.
        groups: how many groups to return.

    Raises:
        LedgerError: one of them cannot be read.
    """
    with connect(scratch, Access.INSPECT) as connection:
        if path is None:
            return open_work.asked_for(connection, "submissions AS s", groups)
        connection.run("ATTACH :uri AS other", uri=untouched_uri(path))
        return open_work.asked_for(connection, _LACKING, groups)


def last_options(ledger: Path, path: str) -> dict[str, Any]:
    """Return the options by which a manifest was last read; empty if the ledger does not say.

    A ledger that is missing or older does not say.

    Args:
        ledger: the ledger.
        path: the name of the manifest in it.

    Raises:
        LedgerError: it cannot be read.
    """
    if path == "-" or is_missing(ledger):
        return {}
    with open_existing(ledger, Access.INSPECT) as connection:
        known = is_up_to_date(connection, ledger)
        return manifests.last_options(connection, path) if known else {}


class Bystander:
    """The recordings of a ledger, for a command that must leave it untouched."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def asked_before(self, file_ids: Iterable[FileId]) -> dict[FileId, set[Parameters]]:
        """Under which parameters recordings are in the ledger already; unknown ones are left out."""
        with connect(self._path, Access.INSPECT) as connection:
            return open_work.asked_before(connection, file_ids)


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
    elif exists(path) and not os.access(path, os.R_OK | os.W_OK):
        why = "it is read-only; make the file writable"
    else:
        return
    raise LedgerError(f"{path}: the ledger cannot be used: {why}")


def room(path: Path, open_submissions: int) -> Room:
    """The room on the disk of a ledger, and what the open work takes.

    Raises:
        OSError: its folder cannot be inspected.
    """
    free = shutil.disk_usage(path.resolve().parent).free
    return Room(free, open_submissions * BYTES_PER_ATTEMPT, LEAST_FREE_BYTES)
