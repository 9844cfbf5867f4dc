"""Whether a run could use a ledger: what it is, whose it is, what is open, and the room beside it.

Looks from outside, before anything is opened for writing. It leaves no file behind and changes nothing,
whatever state a killed run has left the ledger in.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from batcher.errors import LedgerError
from batcher.ledger.reader import asked_of
from batcher.ledger.schema import REVISIONS
from batcher.ledger.sqlite.connection import BUSY_TIMEOUT_S, check_file, translated
from batcher.ledger.sqlite.disk import BYTES_PER_ATTEMPT, LEAST_FREE_BYTES
from batcher.ledger.sqlite.verify import revision_of
from batcher.model.records import AskedFor
from batcher.model.submission import EndpointKind, FileId, Parameters, State


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a run would meet in a ledger."""

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
    """Look into a ledger.

    Raises:
        LedgerMissing: there is none yet.
        LedgerError: it cannot be used.
    """
    check_file(path)
    with translated(path), _untouched(path) as connection:
        revision = revision_of(connection, path)
        bound = connection.execute("SELECT app_id, place FROM binding").fetchone()
        left = connection.execute(
            "SELECT coalesce(sum(n), 0) FROM tallies WHERE state IN (?, ?)",
            (State.PENDING.value, State.SENDING.value),
        ).fetchone()[0]
    return Readiness(
        revision, REVISIONS[-1], (int(bound[0]), EndpointKind(bound[1])) if bound else None, int(left)
    )


_OPEN = (
    "SELECT parameters_id, count(*) AS n FROM submissions WHERE state IN ('pending', 'sending') GROUP BY 1"
)

_LACKING = """
SELECT s.parameters_id, count(*) AS n FROM submissions AS s
JOIN parameters AS p ON p.id = s.parameters_id
LEFT JOIN other.parameters AS q ON q.vendor = p.vendor AND q.type = p.type AND q.definition = p.definition
    AND q.interval = p.interval AND q.offsets = p.offsets
LEFT JOIN other.submissions AS r ON r.file_id = s.file_id AND r.parameters_id = q.id
WHERE r.id IS NULL GROUP BY 1
"""

_ALL = "SELECT parameters_id, count(*) AS n FROM submissions GROUP BY 1"

_LARGEST = """
SELECT vendor, type, definition, interval, offsets, n, sum(n) OVER (), count(*) OVER ()
FROM ({groups}) JOIN parameters ON parameters.id = parameters_id ORDER BY n DESC, parameters_id LIMIT ?
"""


def asked_open(path: Path, groups: int) -> AskedFor:
    """What the open submissions of a ledger ask for, the largest groups first.

    Raises:
        LedgerError: it cannot be read.
    """
    with translated(path), _untouched(path) as connection:
        return _largest(connection, _OPEN, groups)


def asked_lacking(path: Path | None, scratch: Path, groups: int) -> AskedFor:
    """What another ledger asks for that a ledger lacks, the largest groups first.

    Args:
        path: the ledger; None when there is none yet.
        scratch: the other one.
        groups: so many are named.

    Raises:
        LedgerError: one of them cannot be read.
    """
    with translated(path or scratch), _untouched(scratch) as connection:
        if path is None:
            return _largest(connection, _ALL, groups)
        connection.execute("ATTACH ? AS other", (_place_of(path),))
        return _largest(connection, _LACKING, groups)


def _largest(connection: sqlite3.Connection, groups: str, most: int) -> AskedFor:
    rows = connection.execute(_LARGEST.format(groups=groups), (most,)).fetchall()
    if not rows:
        return AskedFor()
    return AskedFor(tuple((asked_of(*row[:5]), row[5]) for row in rows), rows[0][6], rows[0][7])


class Bystander:
    """What a ledger knows, looked up from outside."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def asked_before(self, file_ids: Iterable[FileId]) -> dict[FileId, set[Parameters]]:
        """Under which parameters recordings are in the ledger already; unknown ones are left out."""
        known: dict[FileId, set[Parameters]] = {}
        with translated(self._path), _untouched(self._path) as connection:
            for file_id, *asked in connection.execute(
                "SELECT file_id, vendor, type, definition, interval, offsets FROM submissions "
                "JOIN parameters ON parameters.id = parameters_id "
                "WHERE file_id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(file_ids)),),
            ):
                known.setdefault(FileId(file_id), set()).add(asked_of(*asked))
        return known


@contextmanager
def _untouched(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that leaves the file and its folder as they are.

    A ledger without a log beside it is at rest, and is read as it lies there: else the library would make
    one, and could not take it away again. With one, it is read as every other reader would, without the
    right to write.
    """
    connection = sqlite3.connect(_place_of(path), uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    with closing(connection):
        yield connection


def _place_of(path: Path) -> str:
    """The URI by which a ledger is opened without a trace."""
    path = path.resolve()  # the log lies beside the file itself, not beside a link to it
    at_rest = not path.with_name(path.name + "-wal").exists()
    return f"file:{quote(os.fsencode(path))}?{'immutable=1' if at_rest else 'mode=ro'}"


def check_place(path: Path) -> None:
    """Make sure that a run could write the ledger, or make one.

    Raises:
        LedgerError: it could not.
    """
    folder = path.resolve().parent
    if not folder.is_dir():
        why = "its folder does not exist; make it, or name another --ledger"
    elif not os.access(folder, os.W_OK | os.X_OK):
        why = "its folder cannot be written; make it writable, or name another --ledger"
    elif path.exists() and not os.access(path, os.R_OK | os.W_OK):
        why = "it is read-only; make the file writable"
    else:
        return
    raise LedgerError(f"{path}: the ledger cannot be used: {why}")


def room(path: Path, open_submissions: int) -> Room:
    """The room on the disk of a ledger, and what the open work takes.

    Raises:
        OSError: its folder cannot be looked at.
    """
    free = shutil.disk_usage(path.resolve().parent).free
    return Room(free, open_submissions * BYTES_PER_ATTEMPT, LEAST_FREE_BYTES)
