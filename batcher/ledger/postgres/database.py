"""A ledger in PostgreSQL: what it needs of its schema and of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from batcher.errors import LedgerError, NotALedger
from batcher.ledger.connection import Access, Connection
from batcher.ledger.database import Check
from batcher.ledger.holding import Hold, Holder, LockClient, Purpose
from batcher.ledger.postgres.alone import take_alone, take_unjoined
from batcher.ledger.postgres.connection import (
    PostgresConnection,
    connect,
    has_ledger,
    no_right,
    open_existing,
)
from batcher.ledger.postgres.errors import READ_ONLY, translated
from batcher.ledger.postgres.lease import SharedHold, take_duty
from batcher.ledger.schema_version import create, create_tables, is_up_to_date, upgrade
from batcher.ledger.shared_runs import sender
from batcher.model.ledger_name import PostgresName

OLDEST = 15
"""The oldest major version of PostgreSQL that is supported."""

_UNSAFE = {
    "fsync": "a crash of the server may lose what was sent",
    "full_page_writes": "a crash of the server may damage the ledger",
}
"""Settings of a server that must be on, and why."""


class PostgresDatabase:
    """The schema of one ledger; the methods are those of :class:`batcher.ledger.database.Database`."""

    def __init__(self, name: PostgresName) -> None:
        self.name = name

    is_shared = True

    def connect(self, access: Access) -> PostgresConnection:
        """Open a connection."""
        return connect(self.name, access)

    def open_existing(self, access: Access = Access.READ) -> PostgresConnection:
        """Open a connection to a ledger of any schema."""
        return open_existing(self.name, access)

    def is_missing(self) -> bool:
        """Return whether the schema has no tables."""
        with connect(self.name, Access.READ) as connection:
            return not has_ledger(connection)

    def check_there(self) -> None:
        """Make sure that there is a ledger."""
        open_existing(self.name).close()

    def make_room_for_new(self) -> bool:
        """Check the server, which keeps the room; returns whether there is a ledger."""
        with connect(self.name, Access.WRITE) as connection:
            _check_server(connection)
            return has_ledger(connection)

    def bring_up_to_date(self) -> None:
        """Create the tables in an empty schema, or upgrade an older one."""
        with connect(self.name, Access.WRITE) as connection:
            _check_server(connection)
            if not has_ledger(connection):
                _make(connection)
            elif not is_up_to_date(connection):
                from sqlalchemy import StaticPool, create_engine

                engine = create_engine(
                    "postgresql+psycopg://", creator=lambda: connection.driver, poolclass=StaticPool
                )
                with translated(self.name):
                    connection.expect_replies_within(None)
                    upgrade(connection, engine)

    @contextmanager
    def new(self) -> Iterator[Connection]:
        """Make a ledger without rows, in one transaction."""
        with connect(self.name, Access.WRITE) as connection:
            _check_server(connection)
            with connection.transaction():
                connection.run("SET LOCAL idle_in_transaction_session_timeout = 0")
                connection.alone_in("making the ledger")
                _check_empty(connection)
                _create(connection)
                yield connection
                connection.run(f"ANALYZE {', '.join(sorted(connection.table_names()))}")

    async def take_alone(self, client: LockClient) -> PostgresConnection:
        """Keep every other process from writing."""
        return await take_alone(self.name, client)

    def check_can_upgrade(self) -> None:
        """Make sure that this process may upgrade the schema: the server knows."""

    async def take(self, client: LockClient) -> Hold:
        """Take the duty of the client's purpose; several processes may send and load at once."""
        await asyncio.to_thread(self._make_duties)
        if client.purpose is not Purpose.SENDING:
            return await take_duty(self.name, client)
        return await take_unjoined(self.name, client) if client.alone else SharedHold()

    async def holder(self) -> Holder | bool:
        """Return who has the duty of sending."""
        return await asyncio.to_thread(self._holder)

    def reserve(self, alone: Callable[[], None] = lambda: None) -> _Server:
        """Return what is under the ledger: a server that keeps room itself."""
        return _Server(alone)

    def warnings(self, _open_submissions: int, /) -> list[str]:
        """Return no warnings: the room is the server's."""
        return []

    def check_place(self) -> None:
        """Make sure that a run could write the schema, or make it."""
        with connect(self.name, Access.READ) as connection:
            _check_server(connection)
            row = connection.row(_RIGHTS, schema=self.name.schema)
            if row is not None and row.is_there and row.may_use and not row.may_write:
                raise LedgerError(
                    f"{self.name}: the ledger cannot be used: this user may not write its tables; let their "
                    f"owner run: GRANT ALL ON ALL TABLES IN SCHEMA {self.name.schema} TO USER; GRANT ALL ON "
                    f"ALL SEQUENCES IN SCHEMA {self.name.schema} TO USER"
                )
            if row is not None and not (row.may_use if row.is_there else row.may_create):
                if row.is_there:
                    raise no_right(self.name)
                raise LedgerError(
                    f"{self.name}: the ledger cannot be used: this user may not create a schema here; let "
                    f"the owner of the database run: CREATE SCHEMA {self.name.schema} AUTHORIZATION USER"
                )

    def room(self, _open_submissions: int, /) -> None:
        """Return nothing: only the server knows its disk."""

    def checks(self) -> Mapping[str, Check]:
        """Return no checks: those of PostgreSQL's files are its own programs'."""
        return {}

    def storage(self, connection: Connection) -> tuple[int, int, int]:
        """Return the bytes of all tables and indexes."""
        query = """
            SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class AS c
            JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = :schema AND c.relkind = 'r'
        """
        return int(connection.value(query, schema=self.name.schema)), 0, 0

    def sizes(self, connection: Connection, rows: Mapping[str, int]) -> tuple[dict[str, int], bool]:
        """Return the bytes of each table with its indexes."""
        query = "SELECT pg_total_relation_size(CAST(:table AS regclass))"
        return {name: int(connection.value(query, table=f"{self.name.schema}.{name}")) for name in rows}, True

    def network_file_system(self) -> None:
        """Return nothing: the files are the server's."""

    def _make_duties(self) -> None:
        """Make the schema with the table of duties, so that the first run can hold the ledger."""
        with connect(self.name, Access.WRITE) as connection:
            _check_server(connection)
            if _has_duties(connection):
                return
            with connection.transaction():
                connection.alone_in("making the ledger")
                if not _has_duties(connection):  # another process may have made it meanwhile
                    _make_schema(connection)
                    create_tables(connection, "postgresql", ["duties"])

    def _holder(self) -> Holder | bool:
        """Return the oldest of the living runs."""
        with connect(self.name, Access.READ) as connection:
            if not has_ledger(connection):
                return False
            return sender(connection) or False


class _Server:
    """A server under a ledger: there is no reserve to keep."""

    def __init__(self, alone: Callable[[], None]) -> None:
        self.check = alone

    def set_room_aside(self) -> None:
        """Reserve nothing: the server's disk is not ours."""

    def give_room(self) -> None:
        """Free nothing."""


_IN_RECOVERY = "SELECT pg_is_in_recovery()"

_RIGHTS = """
SELECT n.oid IS NOT NULL AS is_there, coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AS may_use,
    has_database_privilege(current_database(), 'CREATE') AS may_create,
    (SELECT coalesce(bool_and(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
        AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')), true)
        FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relname IN ('runs', 'submissions')) AS may_write
FROM (SELECT 1) AS one LEFT JOIN pg_namespace AS n ON n.nspname = :schema
"""


def _check_server(connection: PostgresConnection) -> None:
    """Refuse a server that is too old, or that may forget what it has confirmed."""
    unusable = f"{connection.name}: the ledger cannot be used:"
    if connection.driver.info.server_version < OLDEST * 10_000:
        raise LedgerError(f"{unusable} the server is older than PostgreSQL {OLDEST}; upgrade it")
    if connection.value("SHOW default_transaction_read_only") == "on" or connection.value(_IN_RECOVERY):
        raise LedgerError(f"{unusable} {READ_ONLY}")
    for setting, why in _UNSAFE.items():
        if connection.value(f"SHOW {setting}") == "off":
            raise LedgerError(
                f"{unusable} {setting} is off on the server, so that {why}. "
                f"Set {setting} = on in its configuration"
            )


def _has_duties(connection: PostgresConnection) -> bool:
    return "duties" in connection.table_names()


def _make(connection: PostgresConnection) -> None:
    """Create the tables, unless another process has; all or nothing."""
    with connection.transaction():
        connection.alone_in("making the ledger")
        if not has_ledger(connection):
            _create(connection)


def _create(connection: PostgresConnection) -> None:
    _make_schema(connection)
    create(connection, "postgresql")
    for statement in _TUNED:
        connection.run(statement)


def _check_empty(connection: PostgresConnection) -> None:
    """Refuse a schema that has tables of another program's under the names of ours."""
    from batcher.ledger.schema import metadata  # slow to import

    if others := connection.table_names() & {"alembic_version", *metadata.tables} - {"duties"}:
        raise NotALedger(
            f"{connection.name}: this schema has tables of another program ({', '.join(sorted(others))}); "
            "choose another schema"
        )


def _make_schema(connection: PostgresConnection) -> None:
    """Create the schema if it is not there: a user who may not create one may use one."""
    if connection.row("SELECT 1 FROM pg_namespace WHERE nspname = :name", name=connection.schema) is None:
        connection.run(f'CREATE SCHEMA "{connection.schema}"')


_TUNED = (
    "ALTER TABLE runs SET (fillfactor = 50)",
    "ALTER TABLE tallies SET (fillfactor = 50)",
    "ALTER TABLE submissions SET (autovacuum_vacuum_scale_factor = 0.01)",
)
"""The rows of runs and tallies are updated with every group; that needs room in their pages."""
