"""What a ledger needs of its database beside statements: SQLite or PostgreSQL, by the ledger's name.

Called by everything that opens a ledger. Only :func:`database_of` knows which databases there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from batcher.errors import SettingsError
from batcher.ledger.connection import Access, Connection
from batcher.ledger.holding import Hold, Holder, LockClient
from batcher.model.ledger_name import LedgerName
from batcher.model.records import Room
from batcher.requirements import pip_install

FIRST_FINDINGS = 20
"""The number of findings of one kind that are reported one by one."""

Check = Callable[[Connection], Iterator[str]]
"""A check of a ledger: yields each finding as a line."""


class Reserve(Protocol):
    """What is under an open ledger, as far as its writer uses it."""

    def check(self) -> None:
        """Make sure that the ledger is still the one that was opened; raises LedgerError when it is not."""

    def set_room_aside(self) -> None:
        """Reserve room that is freed when no more can be written; raises LedgerError without room."""

    def give_room(self) -> None:
        """Free the reserve: something could not be written."""


class Database(Protocol):
    """The database of one ledger."""

    @property
    def name(self) -> LedgerName:
        """Return the ledger."""

    @property
    def is_shared(self) -> bool:
        """Return whether several runs may send on the ledger at once."""

    def connect(self, access: Access) -> Connection:
        """Open a connection; raises LedgerError when it cannot be opened."""

    def open_existing(self, access: Access = Access.READ) -> Connection:
        """Open a connection to a ledger of any schema.

        Raises:
            LedgerMissing: there is no ledger.
            LedgerError: it is something else, or it cannot be read.
        """

    def is_missing(self) -> bool:
        """Return whether there is no ledger.

        Raises:
            LedgerError: that cannot be seen.
        """

    def check_there(self) -> None:
        """Make sure that there is a ledger.

        Raises:
            LedgerMissing: there is none.
            LedgerError: something else is there.
        """

    def make_room_for_new(self) -> bool:
        """Make the place of a new ledger if there is none; returns whether there was one.

        Raises:
            LedgerError: there is something else, or nothing can be made there.
        """

    def bring_up_to_date(self) -> None:
        """Create the schema in an empty place, or upgrade an older one, in one transaction.

        Raises:
            NotALedger: something else is there.
            LedgerTooNew: a newer batcher has written it.
        """

    def new(self) -> AbstractContextManager[Connection]:
        """Make a ledger without rows where there is none, in one transaction that the block takes part in.

        When the block raises, or the process ends, there is no ledger.

        Raises:
            NotALedger: something else is there.
            LedgerError: nothing can be made there.
        """

    async def take_alone(self, client: LockClient) -> AbstractContextManager[object]:
        """Keep every other process from writing an existing ledger, to send, to track or to fetch.

        Raises:
            LedgerBusy: another process does.
            LedgerError: it cannot be held.
        """

    def check_can_upgrade(self) -> None:
        """Make sure that this process may upgrade the schema; raises LedgerError otherwise."""

    async def take(self, client: LockClient) -> Hold:
        """Hold the ledger for the client's purpose, and wait for another holder if the client waits.

        Raises:
            LedgerBusy: another process holds it.
            LedgerError: it cannot be held.
        """

    async def holder(self) -> Holder | bool:
        """Return who holds the ledger to send: True for a holder without a name, False for no holder."""

    def reserve(self, alone: Callable[[], None] = lambda: None) -> Reserve:
        """Return what is under the ledger, for its writer.

        Args:
            alone: raises LedgerError when another process may write.
        """

    def warnings(self, open_submissions: int, /) -> list[str]:
        """Check the room before a run begins; returns warnings for the user.

        Raises:
            LedgerError: there is no room.
        """

    def check_place(self) -> None:
        """Make sure that a run could write the ledger, or make one; raises LedgerError otherwise."""

    def room(self, open_submissions: int, /) -> Room | None:
        """Return the room on the ledger's disk, and what the open work takes; None where nobody knows."""

    def checks(self) -> Mapping[str, Check]:
        """Return the checks of what is under the tables, by the part of the ledger that they check."""

    def storage(self, connection: Connection) -> tuple[int, int, int]:
        """Return the bytes of the ledger, of its log, and of the room in it that is free."""

    def sizes(self, connection: Connection, rows: Mapping[str, int]) -> tuple[dict[str, int], bool]:
        """Return the bytes of each table with its indexes, and whether they are exact.

        Args:
            connection: to the ledger.
            rows: the number of rows of each table.
        """

    def network_file_system(self) -> str | None:
        """Return the kind of network file system that a file is on; None elsewhere."""


def database_of(name: LedgerName) -> Database:
    """Return the database of a ledger.

    Raises:
        SettingsError: its driver is not installed.
    """
    if isinstance(name, Path):
        from batcher.ledger.sqlite.database import SqliteDatabase

        return SqliteDatabase(name)
    try:
        from batcher.ledger.postgres.database import PostgresDatabase
    except ImportError as exc:
        raise SettingsError(
            f"{name}: a ledger in PostgreSQL needs the package psycopg, which is not installed: "
            f"{pip_install('psycopg')}"
        ) from exc
    return PostgresDatabase(name)
