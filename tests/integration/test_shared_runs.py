"""Runs that share a ledger in PostgreSQL: ``status``, ``--alone``, and a server that is away."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import PICTURES, Cli, said, serving, tencent_ids
from support.postgres_server import PostgresServer

from batcher.config.ledger_names import ledger_named
from batcher.ledger.conditions import REVISIONS
from batcher.ledger.connection import Access
from batcher.ledger.copy import copy
from batcher.ledger.database import database_of
from batcher.ledger.holding import LockClient, Purpose
from batcher.ledger.postgres.lease import take_duty
from batcher.ledger.shared_runs import NOW_MS
from batcher.model.ledger_name import PostgresName
from batcher.report.command_lines import ledger_option

LEDGERS = Path(__file__).parents[1] / "ledgers"

pytestmark = pytest.mark.about_files


@pytest.fixture
def shared(cli: Cli, schema_url: str) -> str:
    """A ledger with every state, whose last run was killed while requests were in flight."""
    source = Path(shutil.copy(LEDGERS / f"{REVISIONS[-1]}.db", cli.folder / "source.db"))
    copy(source, ledger_named(schema_url), lambda _: None)
    return schema_url


def change(url: str, statement: str) -> None:
    """Do to a ledger what another process would."""
    with database_of(ledger_named(url)).connect(Access.WRITE) as connection:
        connection.run(statement)


def lease(url: str, seconds: int) -> None:
    """Let the lease of the last run end this many seconds from now; it runs on another machine."""
    ends = f"{NOW_MS} + {seconds} * 1000"
    what = f"host = 'web-2', process = '', share = 7, leased_until_ms = {ends}"
    change(url, f"UPDATE runs SET {what} WHERE ended_at_ms IS NULL")  # noqa: S608 - ours


async def test_status_names_live_run_with_its_share(cli: Cli, shared: str) -> None:
    """Host, process, share and when it was last heard of; in JSON, too."""
    lease(shared, 9)
    text = (await cli("status", "-l", shared)).stdout
    assert "Run 6 on web-2 (process " in text
    assert "7 a second, last heard of " in text
    [run] = (await cli("status", "--json", "-l", shared)).data["runs"]
    assert (run["run"], run["host"], run["share_per_s"], run["lost"]) == (6, "web-2", 7.0, False)


async def test_status_names_lost_run_with_its_doubts(cli: Cli, shared: str) -> None:
    """Since when it has not been heard of, and how many of its requests are in doubt."""
    lease(shared, -60)
    [run] = (await cli("status", "--json", "-l", shared)).data["runs"]
    assert run["lost"]
    assert run["unanswered"] > 1
    text = " ".join((await cli("status", "-l", shared)).stdout.split())
    assert "Run 6 on web-2 has not been heard of since " in text
    assert f"; {run['unanswered']} of its requests are in doubt" in text


async def test_status_of_copied_ledger_names_the_run_killed_before(cli: Cli, shared: str) -> None:
    """A run of a file has never been heard of by the server."""
    assert "was killed before this ledger was copied" in (await cli("status", "-l", shared)).stdout
    assert (await cli("status", "--json", "-l", cli.folder / "source.db")).data["runs"] == []


async def test_run_alone_beside_another_run_ends_with_5(cli: Cli, shared: str) -> None:
    """The other run is named; so is one that wants to be alone, too."""
    place = ledger_named(shared)
    assert isinstance(place, PostgresName)
    async with serving(cli):
        lease(shared, 60)
        beside = await cli("run", "--alone", "-l", shared)
        lease(shared, -60)
        with await take_duty(place, LockClient("a run elsewhere")):
            second = await cli("run", "--alone", "-l", shared)
    assert (beside.code, " on web-2" in beside.stderr) == (5, True), beside.stderr
    assert (second.code, "(a run elsewhere)" in second.stderr) == (5, True), second.stderr


async def test_run_alone_without_another_run_sends(
    cli: Cli, schema_url: str, manifest: Callable[..., Path]
) -> None:
    """On an own schema, and on a file, where it changes nothing."""
    archive = manifest(tencent_ids(3))
    async with serving(cli):
        for ledger in (schema_url, "batcher.db"):
            done = await cli("run", archive, *PICTURES, "--alone", "-l", ledger)
            assert done.code == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [("load", "archive.csv", *PICTURES), ("retry",), ("ledger", "prune", "--older-than", "90d")],
    ids=lambda words: " ".join(words[:2]),
)
async def test_command_that_writes_works_beside_a_run(
    cli: Cli, shared: str, manifest: Callable[..., Path], words: tuple[str, ...]
) -> None:
    """On files each of them waits for the run, or ends with 5."""
    manifest(tencent_ids(3))
    lease(shared, 60)
    done = await cli(*words, "-l", shared)
    assert done.code == 0, done.stderr


@pytest.mark.parametrize(("command", "purpose"), [("track", Purpose.TRACKING), ("listen", Purpose.LISTENING)])
async def test_command_with_one_holder_beside_another_one_ends_with_5(
    cli: Cli, shared: str, command: str, purpose: Purpose
) -> None:
    """Tasks are followed and callbacks received by one process at a time, on whichever host."""
    place = ledger_named(shared)
    assert isinstance(place, PostgresName)
    cli.env["BATCHER_CALLBACK_SECRET"] = "secret" * 5
    async with serving(cli):
        cli.env["BATCHER_APP_ID"] = "1234567890"
        with await take_duty(place, LockClient("one elsewhere", purpose=purpose)):
            done = await cli(command, "-l", shared)
    assert (done.code, "(one elsewhere)" in done.stderr) == (5, True), done.stderr


async def test_server_that_is_away_is_waited_for_and_reported_once(
    cli: Cli, own_postgres: PostgresServer, manifest: Callable[..., Path]
) -> None:
    """One message when it is lost, also with -q, one when it is back, and everything is sent."""
    url = own_postgres.url("away")
    async with serving(cli) as sandbox:
        archive = manifest(tencent_ids(30))
        run = await cli.start("run", archive, *PICTURES, "--rate", "10", "-q", "-l", url)
        await sandbox.wait_for(lambda: len(sandbox.log) > 2)
        own_postgres.stop()
        lost = await said(run, "the ledger cannot be reached")
        own_postgres.start()
        back = await said(run, "can be reached again")
        done = await cli.finish(run)
    assert "waiting up to 10 min" in lost
    assert own_postgres.password not in lost + back + done.stderr
    assert "cannot be reached" not in done.stderr
    assert done.code in (0, 1), done.stderr


async def test_server_that_stays_away_ends_the_run_with_6(
    cli: Cli, own_postgres: PostgresServer, manifest: Callable[..., Path]
) -> None:
    """After --ledger-patience; what was answered and not recorded is named."""
    url = own_postgres.url("gone")
    async with serving(cli) as sandbox:
        archive = manifest(tencent_ids(30))
        run = await cli.start(
            "run", archive, *PICTURES, "--rate", "5", "-l", url, env={"BATCHER_LEDGER_PATIENCE": "1s"}
        )
        await sandbox.wait_for(lambda: len(sandbox.log) > 2)
        own_postgres.stop()
        done = await cli.finish(run)
    assert done.code == 6, done.stderr
    assert "waiting up to 1 s" in done.stderr


def test_next_commands_name_the_ledger_without_its_password() -> None:
    """User, server and other parameters stay, so that the command can be pasted."""
    url = (
        "postgresql://shop:hunter22@db/x?schema=a&sslpassword=hunter22&sslmode=verify-full&password=hunter22"
    )
    wanted = "postgresql://shop@db/x?schema=a&sslmode=verify-full"
    assert str(ledger_named(url)) == wanted
    assert ledger_option(url) == f" -l '{wanted}'"
