"""What a PostgreSQL server says about itself, as far as a ledger depends on it. Called by ``check``."""

from __future__ import annotations

from typing import NamedTuple

from batcher.ledger.connection import Access
from batcher.ledger.postgres.connection import connect
from batcher.model.ledger_name import PostgresName

_FACTS = """
SELECT current_setting('server_version') AS version,
    current_setting('server_version_num')::int AS version_number,
    current_setting('synchronous_standby_names') AS standbys,
    (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) AS synchronous,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        AS most_connections,
    (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role_limit,
    (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user) AS role_connections
"""


class ServerFacts(NamedTuple):
    """The state of a server, as one connection to it sees it."""

    version: str
    version_number: int
    standbys: str
    """Which standbys a commit waits for; empty for none."""
    synchronous: int
    """Standbys that a commit waits for and that are connected, as far as this user may see them."""
    free_connections: int
    is_encrypted: bool
    verifies: bool
    """The name and the certificate of the server are verified (sslmode=verify-full)."""
    sslmode: str
    is_local: bool
    """The server is on this machine."""


def server_facts(name: PostgresName) -> ServerFacts:
    """Ask a server about itself.

    Raises:
        LedgerError: it cannot be reached.
    """
    with connect(name, Access.READ) as connection:
        [row] = connection.rows(_FACTS)
        pgconn = connection.driver.pgconn
        options = {option.keyword: option.val for option in pgconn.info}
        sslmode = (options.get(b"sslmode") or b"prefer").decode()
        free = row.most_connections - row.connections
        if row.role_limit >= 0:
            free = min(free, row.role_limit - row.role_connections)
        return ServerFacts(
            row.version,
            row.version_number,
            row.standbys,
            row.synchronous,
            free,
            bool(pgconn.ssl_in_use),
            sslmode == "verify-full",
            sslmode,
            name.is_local,
        )
