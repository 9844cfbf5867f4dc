"""Tasks that were submitted longer ago."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from support.cli import Cli


def write(cli: Cli, *statements: str) -> None:
    """Change the ledger behind the program's back."""
    with closing(sqlite3.connect(cli.folder / "batcher.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def age(cli: Cli, seconds: float) -> None:
    """Let everything have been submitted so long ago."""
    write(
        cli,
        *(
            f"UPDATE {table} SET {column} = {column} - {int(seconds * 1000)}"  # noqa: S608 - names of ours
            for table, column in (
                ("attempts", "answered_at_ms"),
                ("tasks", "submitted_at_ms"),
                ("tasks", "due_at_ms"),
            )
        ),
    )
