"""Connections to a ledger in PostgreSQL: the one place that opens them.

The address of a server may lead through PgBouncer, whose sessions do not last longer than a transaction. All
that a statement depends on is set with the transaction there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar, cast

import psycopg
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.adapt import Loader
from psycopg.pq import TransactionStatus

from batcher.errors import LedgerError, LedgerMissing, LedgerUnreachable
from batcher.ledger.connection import Access, Connection, Cursor
from batcher.ledger.postgres.dialect import in_postgres
from batcher.ledger.postgres.errors import translated
from batcher.model.ledger_name import PostgresName

T = TypeVar("T")

CONNECT_TIMEOUT_S = 10

REPLIES_WITHIN_S = 60.0
"""How long a connection waits for a reply unless it is told otherwise: none of its statements takes so long,
and a peer that accepts everything and never replies must not be waited for."""

_STILL_COMMITTING_S = 0.05
"""Seconds between two looks at a transaction whose session is still there."""

_OUTCOME = """
SELECT CASE WHEN CAST(:id AS xid8) < pg_snapshot_xmax(pg_current_snapshot())
    THEN pg_xact_status(CAST(:id AS xid8)) END
"""
"""How a transaction ended; nothing for a number that a server which has crashed has not given since."""

LOCK_TIMEOUT_S = 6.0
"""The longest wait of a statement for a row of another process: longer than such a process may sleep."""

IDLE_IN_TRANSACTION_S = 5
"""A writer that is stopped within a transaction holds rows that all others need: the server ends it."""

_KEPT_ALIVE = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A connection that is cut without a word ends after about ten seconds."""


class _Number(Loader):
    """Sums and averages, which PostgreSQL returns as exact decimals."""

    def load(self, data: bytes | bytearray | memoryview) -> int | float:
        """Return a whole number, or a fraction."""
        text = bytes(data).decode()
        return float(text) if "." in text else int(text)


class _Driver(psycopg.Connection[Any]):
    """psycopg's connection, with a bound on the wait for a reply.

    A peer that accepts what is sent and never replies, such as a proxy that hangs, is not found by TCP.
    """

    replies_within_s: float | None

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:  # noqa: ANN401 - psycopg's own
        """Wait for a reply; without one in time the connection is closed."""
        if self.replies_within_s is None:
            return super().wait(gen, *args, **kwargs)
        try:
            return super().wait(_bounded(gen, self.replies_within_s), *args, **kwargs)
        except _NoReply as exc:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no reply within {self.replies_within_s:g} s") from exc


class _NoReply(Exception):
    """The server has not replied in time."""


def _bounded(gen: PQGen[T], seconds: float) -> PQGen[T]:
    """Carry on a generator of psycopg, which is sent nothing ten times a second while no reply comes."""
    deadline = time.monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                raise _NoReply
            wanted = gen.send(ready)
    except StopIteration as done:
        return cast("T", done.value)


class PostgresConnection(Connection):
    """A connection to a schema, used by one thread at a time.

    Attributes:
        driver: psycopg's own connection, for what only PostgreSQL has.
    """

    def __init__(self, name: PostgresName, driver: _Driver, access: Access) -> None:
        super().__init__(name)
        self.schema = name.schema
        self.driver = driver
        self.postgres_name = name
        self._access = access
        self._beginning = _beginning(name, access)
        self._transaction_id: int | None = None
        """The server's number of the last transaction of a writer."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.driver.info.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)

    @property
    def is_shared(self) -> bool:
        """Whether several runs may send on the ledger at once: the server keeps them apart."""
        return True

    def reconnect(self) -> None:
        """Connect again; what was open before is lost."""
        self.driver.close()
        driver = _connected(self.postgres_name, self._access)
        driver.replies_within_s = self.driver.replies_within_s
        self.driver = driver

    def was_committed(self) -> bool:
        """Return whether the last transaction has been committed, after connecting again.

        The old session may still be committing: its outcome is waited for, never guessed.
        """
        asked = self._transaction_id
        while asked is not None:
            status = self.value(_OUTCOME, id=str(asked))
            if status != "in progress":
                return bool(status == "committed")
            self._transaction_id = asked  # the question may have been a transaction, too
            time.sleep(_STILL_COMMITTING_S)
        return False

    def expect_replies_within(self, seconds: float | None) -> None:
        """Give the connection up when the server has not replied to a statement for so long."""
        self.driver.replies_within_s = seconds

    def lock(self, query: str, /, **values: object) -> None:
        """Lock rows in the order of a query, until the commit."""
        self.rows(query, **values)

    def alone_in(self, what: str) -> None:
        """Wait until no other transaction of this ledger does this; none begins it before the commit."""
        self.rows("SELECT pg_advisory_xact_lock(hashtext(:what))", what=f"{self.schema}: {what}")

    def make_scratch(self, table: str, columns: str) -> None:
        """Make an empty temporary table whose column ``place`` numbers the rows from 1."""
        identity = "place INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"
        self.run(f"DROP TABLE IF EXISTS pg_temp.{table}")
        self.run(f"CREATE TEMP TABLE {table} ({identity}, {columns}) ON COMMIT DROP")

    def insert_rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Insert many rows as they are."""
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(self.schema, table), names)
        with self._translated(), self.driver.cursor().copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def count_on(self, tables: Sequence[str]) -> None:
        """Let the sequence of each table continue after its largest id."""
        for table in tables:
            place = f"pg_get_serial_sequence('{self.schema}.{table}', 'id')"
            self.run(f"SELECT setval({place}, max(id)) FROM {table} HAVING max(id) IS NOT NULL")  # noqa: S608

    def table_names(self) -> set[str]:
        """Return the names of all tables of the schema."""
        query = "SELECT tablename AS name FROM pg_tables WHERE schemaname = :schema"
        return {row.name for row in self.rows(query, schema=self.schema)}

    def column_names(self, table: str) -> set[str]:
        """Return the names of a table's columns."""
        query = """
            SELECT column_name AS name FROM information_schema.columns
            WHERE table_schema = :schema AND table_name = :table
        """
        return {row.name for row in self.rows(query, schema=self.schema, table=table)}

    def watched(self, report: Callable[[], None]) -> AbstractContextManager[None]:
        """Report once: the server does not tell how far a query is."""
        report()
        return nullcontext()

    def wait_for_locks(self, seconds: float) -> None:
        """Set how long the next statements wait for a lock of another session."""
        if not self.postgres_name.through_pgbouncer:
            self.run(f"SET lock_timeout = '{int(min(seconds, LOCK_TIMEOUT_S) * 1000)}ms'")

    def interrupt(self) -> None:
        """End the statement that another thread is running."""
        self.driver.cancel_safe(timeout=CONNECT_TIMEOUT_S)

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        self.driver.close()

    def _execute(self, statement: str, values: dict[str, object]) -> Cursor:
        if self.postgres_name.through_pgbouncer and not self.in_transaction:
            with self.transaction():
                return self._execute(statement, values)
        text, parameters = in_postgres(statement, values)
        # Without parameters the text goes as it is; psycopg reads % only where there are some.
        if not parameters:
            return cast("Cursor", self.driver.execute(statement.encode()))
        return cast("Cursor", self.driver.execute(text.encode(), parameters))

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self.postgres_name)

    def _begin(self) -> None:
        self._transaction_id = None
        with self._translated():
            cursor = self.driver.execute(self._beginning)
            if self._access is Access.WRITE:
                cursor.set_result(-1)
                row = cursor.fetchone()
                self._transaction_id = None if row is None else int(row[0])

    def _commit(self) -> None:
        with self._translated():
            self.driver.execute("COMMIT")

    def _roll_back(self) -> None:
        try:
            with self._translated():
                self.driver.execute("ROLLBACK")
        except LedgerUnreachable:
            pass  # the server has rolled it back


def _settings(name: PostgresName, access: Access) -> dict[str, str]:
    """Return the settings that every statement of a ledger depends on."""
    found = {"search_path": name.schema, "synchronous_commit": "on"}
    found["lock_timeout"] = f"{int(LOCK_TIMEOUT_S * 1000)}ms"
    if access is Access.WRITE:
        found["idle_in_transaction_session_timeout"] = f"{IDLE_IN_TRANSACTION_S}s"
    return found


def _set(settings: dict[str, str], *, local: bool) -> sql.Composed:
    word = sql.SQL("SET LOCAL" if local else "SET")
    each = (
        sql.SQL("{} {} TO {};").format(word, sql.Identifier(setting), sql.Literal(value))
        for setting, value in settings.items()
    )
    return sql.SQL("").join(each)


def _beginning(name: PostgresName, access: Access) -> sql.Composed:
    """Return what begins a transaction: a reader sees one moment, a writer what is committed."""
    parts: list[sql.Composable] = [sql.SQL("BEGIN;")]
    if access is not Access.WRITE:
        parts = [sql.SQL("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;")]
    if name.through_pgbouncer:
        parts += [_set(_settings(name, access), local=True)]
    if access is Access.WRITE:
        parts += [sql.SQL("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")]
    return sql.Composed(parts)


@contextmanager
def _connecting(name: PostgresName) -> Iterator[None]:
    try:
        with translated(name):
            yield
    except ValueError as exc:  # a parameter of the URL that libpq cannot read
        raise LedgerUnreachable(f"{name}: the URL cannot be used: {exc}") from exc


def writing(name: PostgresName) -> str:
    """Return how the sessions that write a ledger name themselves: others see by it that they are there."""
    return f"batcher writes {name.schema}"[:63]


def _connected(name: PostgresName, access: Access) -> _Driver:
    with _connecting(name):
        driver = _Driver.connect(
            **{
                "connect_timeout": CONNECT_TIMEOUT_S,
                "application_name": writing(name) if access is Access.WRITE else "batcher",
                "client_encoding": "UTF8",
                **_KEPT_ALIVE,
                **name.parameters,
            },
            autocommit=True,  # transactions begin when we say so, not when the driver decides
            prepare_threshold=None if name.through_pgbouncer else 5,
        )
        driver.replies_within_s = REPLIES_WITHIN_S
        try:
            driver.adapters.register_loader("numeric", _Number)
            if not name.through_pgbouncer:
                driver.execute(_set(_settings(name, access), local=False))
        except BaseException:
            driver.close()
            raise
    return driver


def connect(name: PostgresName, access: Access) -> PostgresConnection:
    """Open a connection; whether the schema holds a ledger is not looked at.

    Raises:
        LedgerUnreachable: the server cannot be reached.
        LedgerError: it does not let this user in.
    """
    return PostgresConnection(name, _connected(name, access), access)


def has_ledger(connection: PostgresConnection) -> bool:
    """Return whether the schema holds a ledger.

    Raises:
        LedgerError: it does, and this user may not use it.
    """
    if "submissions" not in connection.table_names():
        return False
    if not connection.value("SELECT has_schema_privilege(:schema, 'USAGE')", schema=connection.schema):
        raise no_right(connection.postgres_name)
    return True


def no_right(name: PostgresName) -> LedgerError:
    """Return the error of a user who may not use an existing schema."""
    return LedgerError(
        f"{name}: the ledger cannot be used: this user may not use the schema; let its owner run: GRANT "
        f"USAGE ON SCHEMA {name.schema} TO USER, and grant the rights on its tables and sequences"
    )


def open_existing(name: PostgresName, access: Access = Access.READ) -> PostgresConnection:
    """Open a connection to a ledger of any schema.

    Raises:
        LedgerMissing: there is no ledger.
        LedgerError: the server cannot be reached.
    """
    connection = connect(name, access)
    try:
        if not has_ledger(connection):
            raise LedgerMissing(
                f"{name}: there is no ledger here. Make one with `batcher load MANIFEST`, which sends "
                "nothing, or with `batcher run MANIFEST`; ?schema= names another schema"
            )
    except BaseException:
        connection.close()
        raise
    return connection
