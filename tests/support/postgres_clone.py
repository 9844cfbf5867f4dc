"""A copy of an empty ledger in PostgreSQL: its statements, replayed under another name in one round trip.

A test that wants a new ledger need not wait for batcher to make one. pg_dump reads the statements once in
each process, with the rows that a new ledger has.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from support.postgres_server import PostgresServer

if TYPE_CHECKING:
    import psycopg


def clone_schema(server: PostgresServer, template: str, target: str) -> None:
    """Copy a small schema, its rows and its owner's rights; the target must not exist.

    Args:
        server: of both.
        template: a schema made by batcher. Its name occurs in nothing but names: let it be long and odd.
        target: the name of the copy.
    """
    server.at_once(_statements(server, template).replace(template, target), user="batcher")


def copy_schema(server: PostgresServer, source: str, target: str) -> None:
    """Copy a small schema with the rows that it has at this moment; the target must not exist."""
    server.at_once(_dump(server, source).replace(source, target), user="batcher")


def fill_schema(server: PostgresServer, schema: str, file: Path) -> None:
    """Replace the rows of an empty ledger by those of a file with the same tables."""
    import psycopg
    import sqlalchemy as sa

    from batcher.ledger.schema import metadata

    with (
        closing(sqlite3.connect(file)) as source,
        psycopg.connect(**server.conninfo(), options=f"-c search_path={schema}") as target,
    ):
        for table in metadata.sorted_tables:
            if table.info.get("only_in", "sqlite") != "sqlite" or not _has(source, table.name):
                continue
            columns = list(table.columns)
            names = ", ".join(f'"{column.name}"' for column in columns)
            signs = ", ".join(
                "%s::int::boolean" if isinstance(column.type, sa.Boolean) else "%s" for column in columns
            )
            rows = source.execute(f'SELECT {names} FROM "{table.name}"').fetchall()  # noqa: S608 - our tables
            target.execute(f'DELETE FROM "{table.name}"'.encode())  # noqa: S608 - as above
            with target.cursor() as cursor:
                cursor.executemany(
                    f'INSERT INTO "{table.name}" ({names}) VALUES ({signs})'.encode(),  # noqa: S608 - as above
                    rows,
                )
            _go_on_counting(target, table.name)


def _has(source: sqlite3.Connection, table: str) -> bool:
    return bool(source.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchall())


def _go_on_counting(target: psycopg.Connection, table: str) -> None:
    """Let the ids of new rows follow those that are there."""
    counted = target.execute(
        "SELECT pg_get_serial_sequence(%(table)s, 'id') FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name = %(table)s AND column_name = 'id'",
        {"table": table},
    ).fetchone()
    if counted and counted[0]:
        target.execute(
            f"SELECT setval('{counted[0]}', (SELECT coalesce(max(id), 0) + 1 FROM {table}), false)".encode()  # noqa: S608 - as above
        )


@cache
def _statements(server: PostgresServer, template: str) -> str:
    return _dump(server, template)


def _dump(server: PostgresServer, template: str) -> str:
    dump = subprocess.run(
        [
            *(server.bin / "pg_dump", "--schema", template, "--inserts", "--rows-per-insert=1000"),
            *("--no-owner", "--no-privileges", "--no-comments"),
            *("--host", "127.0.0.1", "--port", f"{server.port}", "--username", "batcher", "batcher"),
        ],
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "PGPASSWORD": server.password},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    lines = (line for line in dump.splitlines() if line and not line.startswith(("--", "\\")))
    return "\n".join(lines)
