"""Observation of the statements that ledgers run, as SQLite receives them, or as the program writes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batcher.ledger.bulk_insert import STAGED
from batcher.ledger.connection import Access, Connection, Cursor
from batcher.ledger.postgres.connection import PostgresConnection
from batcher.ledger.sqlite.connection import SqliteConnection
from batcher.ledger.sqlite.dialect import in_sqlite
from support.ledger_place import the_server

Statement = tuple[str, dict[str, object]]
"""A statement with its parameters."""


@contextmanager
def observed(
    before: Callable[[Connection, Statement], None] = lambda _, __: None,
    after: Callable[[str, int], None] = lambda _, __: None,
) -> Iterator[None]:
    """Call functions before and after each statement of each connection; afterwards with the rows written."""
    kind = PostgresConnection if the_server() else SqliteConnection
    execute = kind._execute

    def executed(connection: Connection, text: str, values: dict[str, object]) -> Cursor:
        before(connection, in_sqlite(text, values) if kind is SqliteConnection else (text, values))
        cursor = execute(connection, text, values)  # type: ignore[arg-type]  # its own method
        after(text, cursor.rowcount)
        return cursor

    transaction = {"_begin": "BEGIN", "_commit": "COMMIT"} if kind is PostgresConnection else {}
    own = {method: getattr(kind, method) for method in transaction}

    def bracket(method: str, word: str) -> Callable[[Connection], None]:
        def bracketed(connection: Connection) -> None:
            with connection._translated():
                before(connection, (word, {}))
            own[method](connection)
            after(word, 0)

        return bracketed

    for method, word in transaction.items():  # they do not go the way of other statements
        setattr(kind, method, bracket(method, word))
    kind._execute = executed  # type: ignore[method-assign,assignment]  # for the block alone
    try:
        yield
    finally:
        kind._execute = execute  # type: ignore[method-assign]  # as above
        for method, original in own.items():
            setattr(kind, method, original)


def writes(connection: Connection) -> bool:
    """Whether a connection is a writer's."""
    return getattr(connection, "_access", None) is Access.WRITE or (
        isinstance(connection, SqliteConnection) and connection._beginning == "BEGIN IMMEDIATE"
    )


def driver_error(kind: str) -> Exception:
    """What the driver raises: ``full``, ``broken`` or ``busy``."""
    if the_server() is None:
        error = sqlite3.OperationalError("made to fail")
        names = {"full": "SQLITE_FULL", "broken": "SQLITE_IOERR_WRITE", "busy": "SQLITE_BUSY"}
        error.sqlite_errorname = names[kind]
        return error
    from psycopg import errors

    kinds = {"full": errors.DiskFull, "broken": errors.IoError, "busy": errors.LockNotAvailable}
    return kinds[kind]("made to fail")


@contextmanager
def statements_of() -> Iterator[list[Statement]]:
    """Collect the statements of all connections."""
    found: list[Statement] = []
    with observed(lambda _, statement: found.append(statement)):
        yield found


def plans_of(ledger: object, statements: list[Statement]) -> list[str]:
    """Return each step of SQLite's plans for statements that read or write rows."""
    connection = sqlite3.connect(str(ledger))
    try:
        connection.execute(
            f"CREATE TEMP TABLE staged (place INTEGER PRIMARY KEY, {STAGED})"
        )  # it is there in the writer's connection
        return [
            str(step[3])
            for text, values in statements
            if text.split()[0] in ("SELECT", "UPDATE", "INSERT", "DELETE", "WITH")
            for step in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)
        ]
    finally:
        connection.close()
