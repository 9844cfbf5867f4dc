"""``batcher check`` of a ledger in PostgreSQL: server, standbys, encryption, rights and connections."""

from __future__ import annotations

import pytest
from support.cli import Cli, Json, serving
from support.postgres_server import PostgresServer

from batcher.api.check_server import (
    connections_finding,
    encryption_finding,
    standby_finding,
    version_finding,
)
from batcher.ledger.postgres.server_facts import ServerFacts
from batcher.model.check import CheckLevel

FACTS = ServerFacts("16.1", 160001, "", 0, 50, True, True, "verify-full", False)

pytestmark = pytest.mark.about_files


async def check(cli: Cli, url: str, code: int = 0) -> dict[str, Json]:
    """The findings by what they are about; the password is in none of them."""
    done = await cli("check", "--json", "-l", url)
    assert done.code == code, done.stdout + done.stderr
    return {found["about"]: found for found in done.data["findings"]}


async def test_check_describes_the_server(cli: Cli, postgres: PostgresServer, schema_url: str) -> None:
    """Version, standbys, encryption and connections; the password in the URL is a warning, and not shown."""
    async with serving(cli):
        found = await check(cli, schema_url)
    assert found["server"]["version"].startswith("1")
    assert "loses nothing" in found["standby"]["text"]
    assert found["encryption"]["level"] == "ok"
    assert found["connections"]["free_connections"] > 4
    assert found["password"]["level"] == "warn"
    assert postgres.password not in str(found)


async def test_check_with_the_password_elsewhere_has_no_such_warning(
    cli: Cli, postgres: PostgresServer, schema_url: str
) -> None:
    """PGPASSWORD is read by the driver."""
    user, _, rest = schema_url.partition("@")
    cli.env["PGPASSWORD"] = postgres.password
    async with serving(cli):
        found = await check(cli, f"{user.rpartition(':')[0]}@{rest}")
    assert "password" not in found
    assert found["server"]["level"] == "ok"


async def test_check_of_unreachable_server_has_one_problem(cli: Cli) -> None:
    """The lock is skipped: it is the same server."""
    async with serving(cli):
        found = await check(cli, "postgresql://u@127.0.0.1:1/x", code=2)
    assert (found["ledger"]["level"], found["lock"]["level"]) == ("fail", "skip")


async def test_check_of_tables_that_cannot_be_written_fails(
    cli: Cli, postgres: PostgresServer, schema_url: str
) -> None:
    """A user who may only read is told which rights are missing."""
    schema = schema_url.rpartition("=")[2]
    async with serving(cli):
        assert (await cli("ledger", "copy", "batcher.db", schema_url)).code == 0
        postgres.query(f"REVOKE INSERT ON {schema}.submissions FROM batcher")
        found = await check(cli, schema_url, code=2)
    assert f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO USER" in found["ledger"]["text"]


async def test_check_of_server_without_fsync_fails(cli: Cli, own_postgres: PostgresServer) -> None:
    """Such a server may forget what was sent."""
    own_postgres.query("ALTER SYSTEM SET fsync = off")
    own_postgres.restart()
    async with serving(cli):
        found = await check(cli, own_postgres.url("x"), code=2)
    assert "fsync is off on the server" in found["ledger"]["text"]


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        (FACTS, CheckLevel.OK, "the server is verified"),
        (FACTS._replace(verifies=False, sslmode="prefer"), CheckLevel.WARN, "not verified (sslmode=prefer)"),
        (FACTS._replace(is_encrypted=False, sslmode="prefer"), CheckLevel.WARN, "not encrypted"),
        (FACTS._replace(is_encrypted=False, is_local=True), CheckLevel.OK, "on this machine"),
    ],
)
def test_encryption_finding_says_what_is_verified(facts: ServerFacts, level: CheckLevel, words: str) -> None:
    """The default of the driver verifies nothing."""
    found = encryption_finding(facts)
    assert (found.level, words in found.text) == (level, True)


def test_findings_about_old_or_full_servers() -> None:
    """Too old fails, few connections warn, a synchronous standby is named."""
    assert version_finding(FACTS._replace(version_number=140009)).level is CheckLevel.FAIL
    assert connections_finding(FACTS._replace(free_connections=5)).level is CheckLevel.WARN
    assert "loses nothing" in standby_finding(FACTS._replace(standbys="*")).text
    assert "that is behind may" in standby_finding(FACTS).text
