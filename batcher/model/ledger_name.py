"""The name of a ledger: the path of a file, or a schema in PostgreSQL.

A name prints without its password, in messages and in every other text, and can be given as it prints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PostgresName:
    """A ledger in a PostgreSQL database; each schema of a database may hold one.

    Attributes:
        address: the user, the server and the database, as messages show them: without password.
        schema: the schema that holds the ledger's tables.
        parameters: what libpq connects with; may hold the password.
        options: the other parameters of the URL, as messages show them after the schema; no secrets.
        through_pgbouncer: connections go through PgBouncer, which has no prepared statements to offer.
    """

    address: str
    schema: str
    parameters: dict[str, Any] = field(repr=False, hash=False)
    through_pgbouncer: bool = False
    options: str = ""

    def __str__(self) -> str:
        return f"{self.address}?schema={self.schema}{self.options}"

    @property
    def name(self) -> str:
        """The shortest name of the ledger."""
        return self.schema

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        host = str(self.parameters.get("host", ""))
        return host in ("", "localhost", "127.0.0.1", "::1") or host.startswith("/")


LedgerName = Path | PostgresName
"""The file of a ledger, or its place in PostgreSQL."""
