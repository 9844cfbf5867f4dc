"""The state of a ledger before a run: its schema, its account, the open work, and the room on the disk.

Called by ``check`` and by dry runs, before anything is opened for writing. It creates no file and changes
nothing, also in a ledger that a killed run has left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batcher.ledger.conditions import REVISIONS
from batcher.ledger.connection import Access, Connection
from batcher.ledger.database import database_of
from batcher.ledger.queries import counts, manifests, open_work
from batcher.ledger.row_values import PARAMETERS, parameters_of
from batcher.ledger.schema_version import is_up_to_date, revision_of
from batcher.model.ledger_name import LedgerName
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


def readiness(ledger: LedgerName) -> Readiness:
    """Return what a run would find in a ledger.

    Raises:
        LedgerMissing: there is no ledger yet.
        LedgerError: it cannot be used.
    """
    with database_of(ledger).open_existing(Access.INSPECT) as connection:
        revision = revision_of(connection)
        left = connection.value(_COUNT_OPEN)
        return Readiness(revision, REVISIONS[-1], counts.bound_to(connection), int(left))


_COUNT_OPEN = "SELECT coalesce(sum(n), 0) FROM tallies WHERE state IN ('pending', 'sending')"

_OPEN = "submissions AS s WHERE s.state IN ('pending', 'sending')"

_SCRATCHED = f"""
SELECT s.id, s.file_id, {PARAMETERS} FROM submissions AS s JOIN parameters AS p ON p.id = s.parameters_id
WHERE s.id > :after_id ORDER BY s.id LIMIT :limit
"""  # noqa: S608 - ours

_TOGETHER = 5_000
"""Submissions that are looked up together."""


def asked_open(ledger: LedgerName, groups: int) -> AskedFor:
    """Return what the open submissions of a ledger ask for, the largest groups first.

    Raises:
        LedgerError: it cannot be read.
    """
    with database_of(ledger).connect(Access.INSPECT) as connection:
        return open_work.asked_for(connection, _OPEN, groups)


def asked_lacking(ledger: LedgerName | None, scratch: Path, groups: int) -> AskedFor:
    """Return what another ledger asks for and this one lacks, the largest groups first.

    Args:
        ledger: the ledger, or None yet.
        scratch: the other one.
        groups: how many groups to return.

    Raises:
        LedgerError: one of them cannot be read.
    """
    with database_of(scratch).connect(Access.INSPECT) as connection:
        if ledger is None:
            return open_work.asked_for(connection, "submissions AS s", groups)
        with database_of(ledger).connect(Access.INSPECT) as other:
            lacking = _lacking(connection, other)
    largest = lacking.most_common(groups)
    return AskedFor(tuple(largest), lacking.total(), len(lacking))


def _lacking(scratch: Connection, ledger: Connection) -> Counter[Parameters]:
    """Count the submissions of one ledger that another one lacks, by what they ask for."""
    lacking: Counter[Parameters] = Counter()
    for page in _pages(scratch):
        known = open_work.asked_before(ledger, [file_id for file_id, _ in page])
        lacking.update(asked for file_id, asked in page if asked not in known.get(file_id, ()))
    return lacking


def _pages(connection: Connection) -> Iterator[list[tuple[FileId, Parameters]]]:
    last = 0
    while rows := connection.rows(_SCRATCHED, after_id=last, limit=_TOGETHER):
        last = rows[-1].id
        yield [(FileId(row.file_id), parameters_of(row)) for row in rows]


def last_options(ledger: LedgerName, path: str) -> dict[str, Any]:
    """Return the options by which a manifest was last read; empty if the ledger does not say.

    A ledger that is missing or older does not say.

    Args:
        ledger: the ledger.
        path: the name of the manifest in it.

    Raises:
        LedgerError: it cannot be read.
    """
    database = database_of(ledger)
    if path == "-" or database.is_missing():
        return {}
    with database.open_existing(Access.INSPECT) as connection:
        known = is_up_to_date(connection)
        return manifests.last_options(connection, path) if known else {}


class Bystander:
    """The recordings of a ledger, for a command that must leave it untouched."""

    def __init__(self, ledger: LedgerName) -> None:
        self._ledger = ledger

    async def asked_before(self, file_ids: Iterable[FileId]) -> dict[FileId, set[Parameters]]:
        """Under which parameters recordings are in the ledger already; unknown ones are left out."""
        with database_of(self._ledger).connect(Access.INSPECT) as connection:
            return open_work.asked_before(connection, file_ids)
