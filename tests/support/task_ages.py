"""Tasks that were submitted longer ago."""

from __future__ import annotations

from support.cli import Cli
from support.ledger_sql import writing


def write(cli: Cli, *statements: str) -> None:
    """Change the ledger without the program."""
    with writing(cli.folder / "batcher.db") as connection:
        for statement in statements:
            connection.execute(statement)


def age(cli: Cli, seconds: float) -> None:
    """Make everything look submitted this long ago."""
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
