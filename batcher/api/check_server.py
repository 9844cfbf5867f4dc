"""The checks of the server under a ledger in PostgreSQL: standbys, encryption, connections, password.

Called by :func:`batcher.api.check.check_ledger`. What makes a server unusable the ledger itself refuses.
"""

from __future__ import annotations

from collections.abc import Iterator

from batcher.errors import LedgerError
from batcher.ledger.postgres.database import OLDEST
from batcher.ledger.postgres.server_facts import ServerFacts, server_facts
from batcher.model.check import CheckFinding, fail, ok, warn
from batcher.model.ledger_name import PostgresName
from batcher.report.formatting import count

MOST_CONNECTIONS = 6
"""A run takes two connections, three more with --track, and one more with --alone."""


def server_findings(name: PostgresName) -> Iterator[CheckFinding]:
    """Ask the server about itself, and yield what a user should know."""
    if name.parameters.get("password"):
        yield warn(
            "password",
            "the URL of the ledger holds its password, which other users may read in a list of processes",
            "set PGPASSWORD, or write ~/.pgpass (chmod 600), and leave the password out of the URL",
        )
    try:
        facts = server_facts(name)
    except LedgerError:
        return  # the finding about the ledger says why
    yield version_finding(facts)
    yield standby_finding(facts)
    yield encryption_finding(facts)
    yield connections_finding(facts)


def version_finding(facts: ServerFacts) -> CheckFinding:
    """Report the version of the server."""
    text = f"PostgreSQL {facts.version}; synchronous_commit is on for every connection of batcher"
    known = {"version": facts.version}
    if facts.version_number < OLDEST * 10_000:
        return fail("server", f"PostgreSQL {facts.version}", f"use PostgreSQL {OLDEST} or later", **known)
    return ok("server", text, **known)


def standby_finding(facts: ServerFacts) -> CheckFinding:
    """Report what a failover to a standby may lose."""
    known = {"synchronous_standby_names": facts.standbys or None, "synchronous_standbys": facts.synchronous}
    if facts.standbys:
        text = (
            f"commits wait for a standby (synchronous_standby_names = {facts.standbys}): a failover to it "
            "loses nothing"
        )
        return ok("standby", text, **known)
    text = (
        "commits wait for no standby: a restart or a crash of the server loses nothing, a failover to a "
        "standby that is behind may. A run notices that, and ends with 6. Set synchronous_standby_names "
        "against it"
    )
    return ok("standby", text, **known)


def encryption_finding(facts: ServerFacts) -> CheckFinding:
    """Report whether the connection is encrypted, and whether the server is the one that is meant."""
    known = {"encrypted": facts.is_encrypted, "sslmode": facts.sslmode}
    if facts.is_local:
        return ok("encryption", "the server is on this machine", **known)
    if not facts.is_encrypted:
        return warn(
            "encryption",
            f"the connection to the server is not encrypted (sslmode={facts.sslmode})",
            "turn TLS on at the server, and add sslmode=verify-full to the URL",
            **known,
        )
    if not facts.verifies:
        return warn(
            "encryption",
            f"encrypted, but the server's certificate and name are not verified (sslmode={facts.sslmode})",
            "add sslmode=verify-full to the URL, and sslrootcert=FILE if a private authority has signed it",
            **known,
        )
    return ok("encryption", "encrypted, and the server is verified", **known)


def connections_finding(facts: ServerFacts) -> CheckFinding:
    """Report how many connections are free."""
    free = max(facts.free_connections, 0)
    text = f"{count(free, 'connection')} free; a run takes 2 to {MOST_CONNECTIONS}"
    if free < MOST_CONNECTIONS:
        remedy = "raise max_connections or the limit of this user, or close other connections"
        return warn("connections", text, remedy, free_connections=free)
    return ok("connections", text, free_connections=free)
