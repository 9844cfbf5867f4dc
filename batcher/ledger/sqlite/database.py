"""A ledger in a file: what it needs of SQLite and of the disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

from batcher.ledger.connection import Access, Connection
from batcher.ledger.database import Check
from batcher.ledger.holding import OF_FILES, Hold, Holder, LockClient
from batcher.ledger.schema_version import create, is_up_to_date, upgrade
from batcher.ledger.sqlite.connection import SqliteConnection, connect, open_existing
from batcher.ledger.sqlite.disk import LedgerDisk, check_room, network_file_system, room
from batcher.ledger.sqlite.errors import translated
from batcher.ledger.sqlite.files import check_file, check_place, exists, is_missing
from batcher.ledger.sqlite.integrity import file_findings, reference_findings, sizes, storage
from batcher.ledger.sqlite.lock import lock_holder, take_lock
from batcher.ledger.sqlite.new_file import new_file
from batcher.ledger.sqlite.read_only import check_can_upgrade
from batcher.model.records import Room


class SqliteDatabase:
    """The file of one ledger; the methods are those of :class:`batcher.ledger.database.Database`."""

    def __init__(self, path: Path) -> None:
        self.name = path

    is_shared = False

    def connect(self, access: Access) -> SqliteConnection:
        """Open a connection to the existing file."""
        return connect(self.name, access)

    def open_existing(self, access: Access = Access.READ) -> SqliteConnection:
        """Open a connection to a ledger of any schema."""
        return open_existing(self.name, access)

    def is_missing(self) -> bool:
        """Return whether there is no ledger: no file, or an empty one, which becomes a ledger."""
        return is_missing(self.name)

    def check_there(self) -> None:
        """Make sure that there is a ledger."""
        check_file(self.name)

    def make_room_for_new(self) -> bool:
        """Make an empty file if there is none; returns whether there was one."""
        return exists(self.name)

    def bring_up_to_date(self) -> None:
        """Create the schema in an empty file, or upgrade an older one."""
        from sqlalchemy import StaticPool, create_engine

        with self.connect(Access.WRITE) as connection:
            if not connection.table_names():
                create(connection, "sqlite")
            elif not is_up_to_date(connection):
                engine = create_engine("sqlite://", creator=lambda: connection.driver, poolclass=StaticPool)
                with translated(self.name):
                    upgrade(connection, engine)

    def new(self) -> AbstractContextManager[Connection]:
        """Make a ledger without rows, which takes its name once it is whole."""
        return new_file(self.name)

    async def take_alone(self, client: LockClient) -> ExitStack:
        """Take the locks of all purposes."""
        with ExitStack() as held:
            for purpose in OF_FILES:
                held.enter_context(await take_lock(self.name, replace(client, purpose=purpose)))
            return held.pop_all()

    def check_can_upgrade(self) -> None:
        """Make sure that this process may upgrade the schema."""
        check_can_upgrade(self.name)

    async def take(self, client: LockClient) -> Hold:
        """Take the lock for the client's purpose."""
        return await take_lock(self.name, client)

    async def holder(self) -> Holder | bool:
        """Return who holds the lock of sending."""
        return await lock_holder(self.name)

    def reserve(self, alone: Callable[[], None] = lambda: None) -> LedgerDisk:
        """Return the disk under the ledger."""
        return LedgerDisk(self.name, alone)

    def warnings(self, open_submissions: int) -> list[str]:
        """Check the free space before a run begins, and the kind of file system."""
        found = [check_room(self.name, open_submissions)]
        if kind := network_file_system(self.name):
            found.append(
                f"{self.name}: it is on a network file system ({kind}), where locks and syncs are not "
                "reliable; keep the ledger on a local disk"
            )
        return [warning for warning in found if warning]

    def check_place(self) -> None:
        """Make sure that a run could write the file, or make one."""
        check_place(self.name)

    def room(self, open_submissions: int) -> Room:
        """Return the room on the disk of the file."""
        return room(self.name, open_submissions)

    def checks(self) -> Mapping[str, Check]:
        """Return SQLite's own checks."""
        return {"the file": file_findings, "references": reference_findings}

    def storage(self, connection: Connection) -> tuple[int, int, int]:
        """Return the bytes of the file, of its log, and of its free pages."""
        assert isinstance(connection, SqliteConnection), "it was opened here"
        return storage(connection)

    def sizes(self, connection: Connection, rows: Mapping[str, int]) -> tuple[dict[str, int], bool]:
        """Return the bytes of each table with its indexes; estimated where SQLite cannot tell."""
        return sizes(connection, rows)

    def network_file_system(self) -> str | None:
        """Return the kind of network file system the file is on; None on a local disk."""
        return network_file_system(self.name)
