"""Looks into ledgers, and changes of them, without the program's code: by SQL that both databases read."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

from batcher.model.ledger_name import PostgresName
from support.ledger_place import AnyPath, name_of, the_server

if TYPE_CHECKING:
    import psycopg


class Sql(Protocol):
    """A connection, as both drivers have it; parameters are written ``?``."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Any:  # noqa: ANN401 - the driver's cursor
        """Run a statement; returns its rows."""

    def executemany(self, sql: str, values: Iterable[Sequence[Any]], /) -> Any:  # noqa: ANN401 - as above
        """Run a statement for each set of values."""

    def commit(self) -> None:
        """Commit what was written."""

    def rollback(self) -> None:
        """Take back what was written."""


class SqlRow(tuple[Any, ...]):
    """A row of PostgreSQL that also has its columns by name, as rows of SQLite do."""

    names: Sequence[str]

    def __getitem__(self, column: Any) -> Any:  # noqa: ANN401 - a name, a number or a slice
        return super().__getitem__(self.names.index(column) if isinstance(column, str) else column)

    def keys(self) -> Sequence[str]:
        """The names of the columns."""
        return self.names


@contextmanager
def reading(ledger: AnyPath) -> Iterator[Sql]:
    """A connection that reads; its rows have their columns by name too."""
    name = name_of(ledger)
    if isinstance(name, PostgresName):
        with _connected(name, autocommit=True) as connection:
            yield connection
        return
    with closing(sqlite3.connect(f"file:{name}?mode=ro", uri=True, timeout=10)) as file:
        file.row_factory = sqlite3.Row
        yield file


@contextmanager
def writing(ledger: AnyPath, *, checked: bool = False) -> Iterator[Sql]:
    """A connection that writes; what the block has written is committed at its end.

    Args:
        ledger: its path, or its name.
        checked: SQLite checks references too, as PostgreSQL always does.
    """
    name = name_of(ledger)
    if isinstance(name, PostgresName):
        with _connected(name, autocommit=False) as connection:
            yield connection
            connection.commit()
        return
    with closing(sqlite3.connect(name, timeout=10)) as file, file:
        file.execute(f"PRAGMA foreign_keys = {checked:d}")
        yield file


@contextmanager
def locked(ledger: AnyPath) -> Iterator[Sql]:
    """Another program keeps the ledger from being written, as long as the block takes or until it commits."""
    name = name_of(ledger)
    if isinstance(name, PostgresName):
        with _connected(name, autocommit=False) as connection:
            tables = ("submissions", "attempts", "loads", "runs", "tallies", "tasks", "callbacks")
            connection.execute(f"LOCK TABLE {', '.join(tables)} IN EXCLUSIVE MODE")
            yield connection
        return
    with closing(sqlite3.connect(name, timeout=10, isolation_level=None, check_same_thread=False)) as file:
        file.execute("BEGIN IMMEDIATE")
        yield file


def query(ledger: AnyPath, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows of a query, as tuples."""
    with reading(ledger) as connection:
        return [tuple(row) for row in connection.execute(sql, values)]


def write(ledger: AnyPath, *statements: str) -> None:
    """Change a ledger."""
    with writing(ledger) as connection:
        for statement in statements:
            connection.execute(statement)


def storable(texts: Iterable[str]) -> list[str]:
    """Those of the texts that the database can keep: PostgreSQL keeps no NUL."""
    return [text for text in texts if the_server() is None or "\0" not in text]


def broken_constraint() -> type[Exception]:
    """What the driver raises for a row that the tables do not allow."""
    if the_server() is None:
        return sqlite3.IntegrityError
    import psycopg

    return psycopg.IntegrityError


class _PostgresSql:
    """A connection of psycopg that is spoken to as one of sqlite3."""

    def __init__(self, driver: psycopg.Connection[SqlRow]) -> None:
        self._driver = driver
        self.commit, self.rollback = driver.commit, driver.rollback

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> psycopg.Cursor[SqlRow]:
        """Run a statement."""
        return self._driver.execute(_in_postgres(sql), values or None)

    def executemany(self, sql: str, values: Iterable[Sequence[Any]], /) -> None:
        """Run a statement for each set of values."""
        with self._driver.cursor() as cursor:
            cursor.executemany(_in_postgres(sql), list(values))


def _in_postgres(sql: str) -> bytes:
    return (sql.replace("%", "%%").replace("?", "%s") if "?" in sql else sql).encode()


@contextmanager
def _connected(name: PostgresName, *, autocommit: bool) -> Iterator[_PostgresSql]:
    import psycopg
    from psycopg.adapt import Loader

    class Number(Loader):
        """Sums, which PostgreSQL returns as exact decimals."""

        def load(self, data: bytes | bytearray | memoryview) -> int | float:
            text = bytes(data).decode()
            return float(text) if "." in text else int(text)

    options = f"-c search_path={name.schema} -c lock_timeout=10s"
    with psycopg.connect(
        **name.parameters, options=options, autocommit=autocommit, row_factory=_rows
    ) as driver:
        driver.adapters.register_loader("numeric", Number)
        yield _PostgresSql(driver)


def _rows(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], SqlRow]:
    names = tuple(column.name for column in cursor.description or ())
    return cast("Callable[[Sequence[Any]], SqlRow]", type("Row", (SqlRow,), {"names": names}))
