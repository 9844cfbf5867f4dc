"""Observation of the statements that ledgers run, as SQLite receives them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batcher.ledger.bulk_insert import STAGED
from batcher.ledger.sqlite.connection import SqliteConnection
from batcher.ledger.sqlite.dialect import in_sqlite

Statement = tuple[str, dict[str, object]]
"""A statement with its parameters."""


@contextmanager
def observed(
    before: Callable[[SqliteConnection, Statement], None] = lambda _, __: None,
    after: Callable[[str, sqlite3.Cursor], None] = lambda _, __: None,
) -> Iterator[None]:
    """Call functions before and after each statement of each connection."""
    execute = SqliteConnection._execute

    def executed(connection: SqliteConnection, text: str, values: dict[str, object]) -> sqlite3.Cursor:
        before(connection, in_sqlite(text, values))
        cursor = execute(connection, text, values)
        after(text, cursor)
        return cursor

    SqliteConnection._execute = executed  # type: ignore[method-assign,assignment]  # for the block alone
    try:
        yield
    finally:
        SqliteConnection._execute = execute  # type: ignore[method-assign]  # as above


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
