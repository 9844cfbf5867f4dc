"""A copy of an empty ledger in PostgreSQL: its statements, replayed under another name in one round trip.

A test that wants a new ledger need not wait for batcher to make one. pg_dump reads the statements once in
each process, with the rows that a new ledger has.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache

from support.postgres_server import PostgresServer


def clone_schema(server: PostgresServer, template: str, target: str) -> None:
    """Copy a small schema, its rows and its owner's rights; the target must not exist.

    Args:
        server: of both.
        template: a schema made by batcher. Its name occurs in nothing but names: let it be long and odd.
        target: the name of the copy.
    """
    server.at_once(_statements(server, template).replace(template, target), user="batcher")


@cache
def _statements(server: PostgresServer, template: str) -> str:
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
