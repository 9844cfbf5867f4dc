"""``batcher ledger copy``: a ledger in another place, row for row, or none at all."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.cli import PICTURES, Cli, said, serving, tencent_ids, until
from support.ledger_sql import query
from support.locked import flocked
from support.postgres_server import PostgresServer

from batcher.config.ledger_names import ledger_named
from batcher.errors import LedgerError
from batcher.ledger.conditions import REVISIONS
from batcher.ledger.connection import Access
from batcher.ledger.copy import copy
from batcher.ledger.database import database_of
from batcher.ledger.schema import metadata
from batcher.ledger.shared_attempts import left_to_share
from batcher.ledger.shared_runs import declare_lost
from batcher.model.submission import RunId

LEDGERS = Path(__file__).parents[1] / "ledgers"
pytestmark = pytest.mark.about_files


@pytest.fixture
def source(cli: Cli) -> Path:
    """A ledger with every state, every kind of attempt, and a run that was killed."""
    return Path(shutil.copy(LEDGERS / f"{REVISIONS[-1]}.db", cli.folder / "source.db"))


def content(ledger: str | Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows of a ledger, as both databases give them, without the leases of runs."""
    found = {}
    with database_of(ledger_named(ledger)).open_existing() as connection:
        for table in metadata.sorted_tables:
            names = [f'"{column.name}"' for column in table.columns if column.name != "leased_until_ms"]
            rows = connection.rows(f"SELECT {', '.join(names)} FROM {table.name}")  # noqa: S608 - ours
            found[table.name] = sorted((tuple(map(_plain, row)) for row in rows), key=repr)
    return found


def _plain(value: object) -> object:
    return bytes(value) if isinstance(value, memoryview) else int(value) if isinstance(value, bool) else value


async def test_copy_to_postgres_and_back_has_every_row(cli: Cli, source: Path, schema_url: str) -> None:
    """Both copies have the same rows, and the ledger commands find them whole."""
    there = await cli("ledger", "copy", source, schema_url)
    assert (there.code, "compared and whole" in there.stderr) == (0, True), there.stderr
    assert content(schema_url) == content(source)
    assert (await cli("ledger", "verify", "-l", schema_url)).code == 0
    back = await cli("ledger", "copy", schema_url, "back.db")
    assert back.code == 0, back.stderr
    assert content(cli.folder / "back.db") == content(source)
    assert (await cli("ledger", "verify", "-l", "back.db")).code == 0
    assert [path.name for path in cli.folder.glob("*back*")] == ["back.db", "back.db.lock"]


async def test_copy_within_one_kind_has_every_row(
    cli: Cli, source: Path, schema_url: str, postgres: PostgresServer
) -> None:
    """From file to file, and from schema to schema of one server."""
    assert (await cli("ledger", "copy", source, "copy.db")).code == 0
    assert content(cli.folder / "copy.db") == content(source)
    assert (await cli("ledger", "copy", source, schema_url)).code == 0
    second = postgres.url(f"second_{schema_url.rpartition(chr(61))[2]}")
    try:
        done = await cli("ledger", "copy", schema_url, second)
        assert done.code == 0, done.stderr
        assert content(second) == content(source)
    finally:
        postgres.drop_schema(second.rpartition("=")[2])


async def test_copied_ledger_takes_new_rows_and_its_killed_run_is_lost(
    cli: Cli, source: Path, schema_url: str, manifest: Callable[..., Path]
) -> None:
    """New rows get new ids, and another run may take over what a killed run of the file had begun."""
    begun = "SELECT count(*) FROM submissions WHERE state = 'sending'"
    newest, killed = query(source, "SELECT (SELECT max(id) FROM submissions), max(id) FROM runs")[0]
    assert query(source, begun) != [(0,)]
    assert (await cli("ledger", "copy", source, schema_url)).code == 0
    loaded = await cli("load", manifest(tencent_ids(5, seed=9)), *PICTURES, "-l", schema_url)
    assert loaded.code == 0, loaded.stderr
    with database_of(ledger_named(schema_url)).connect(Access.WRITE) as connection, connection.transaction():
        assert connection.value("SELECT max(id) FROM submissions") == newest + 5
        assert declare_lost(connection, RunId(0), 40_000) == [killed]
        left = left_to_share(connection, RunId(0))
    assert left.orphaned
    assert left.doubtful


async def test_doubtful_submission_that_is_overdue_holds_nothing_up(source: Path, schema_url: str) -> None:
    """A run waits for those that were never in doubt, and then sends the doubtful ones, due or not."""
    overdue = "not_before_ms IS NOT NULL AND tries_doubt > 0"
    assert query(source, f"SELECT count(*) FROM submissions WHERE {overdue}") != [(0,)]  # noqa: S608
    copy(source, ledger_named(schema_url), lambda _: None)
    with database_of(ledger_named(schema_url)).connect(Access.WRITE) as connection, connection.transaction():
        connection.run("UPDATE submissions SET not_before_ms = NULL WHERE tries_doubt = 0")
        assert left_to_share(connection, RunId(0)).next_due_ms is None


@pytest.mark.parametrize("kind", ["file", "schema"])
async def test_copy_onto_a_ledger_is_refused(cli: Cli, source: Path, schema_url: str, kind: str) -> None:
    """A copy replaces no ledger, and says so."""
    target = str(cli.folder / "copy.db") if kind == "file" else schema_url
    assert (await cli("ledger", "copy", source, target)).code == 0
    before = content(target)
    again = await cli("ledger", "copy", source, target)
    assert (again.code, "there is a ledger already" in again.stderr) == (2, True), again.stderr
    assert content(target) == before


async def test_copy_of_a_missing_ledger_or_onto_other_files_is_refused(
    cli: Cli, source: Path, schema_url: str
) -> None:
    """The source must be there, and what is at the target must not be something else."""
    assert (await cli("ledger", "copy", "none.db", schema_url)).code == 6
    assert (await cli("ledger", "copy", schema_url, "copy.db")).code == 6
    notes = cli.folder / "notes.txt"
    notes.write_text("mine")
    refused = await cli("ledger", "copy", source, notes)
    assert refused.code in (2, 6)
    assert notes.read_text() == "mine"


async def test_copy_onto_itself_is_refused(cli: Cli, source: Path) -> None:
    """The ledger stays as it is."""
    before = query(source, "SELECT count(*), max(id) FROM submissions")
    done = await cli("ledger", "copy", source, source)
    assert done.code == 2
    assert "are the same ledger" in done.stderr
    assert query(source, "SELECT count(*), max(id) FROM submissions") == before


@pytest.mark.parametrize("lock", ["lock", "track.lock", "fetch.lock"])
async def test_copy_of_a_file_in_use_is_refused(cli: Cli, source: Path, schema_url: str, lock: str) -> None:
    """A run, a tracking or a fetch holds the file."""
    with flocked(f"{source}.{lock}"):
        done = await cli("ledger", "copy", source, schema_url)
    assert done.code == 5, done.stderr
    assert database_of(ledger_named(schema_url)).is_missing()


async def test_copy_of_a_schema_in_use_is_refused(
    cli: Cli, schema_url: str, manifest: Callable[..., Path]
) -> None:
    """A run that lives is named; so is any other session that writes."""
    async with serving(cli):
        archive = manifest(tencent_ids(40))
        run = await cli.start("run", archive, *PICTURES, "--rate", "1", "-l", schema_url)
        await said(run, "archive.csv")
        await until(lambda: live(schema_url))
        during = await cli("ledger", "copy", schema_url, "copy.db")
        run.send_signal(15)
        await cli.finish(run)
    assert during.code == 5, during.stderr
    assert "another run holds this ledger: process " in during.stderr
    with database_of(ledger_named(schema_url)).connect(Access.WRITE):
        beside = await cli("ledger", "copy", schema_url, "copy.db")
    assert (beside.code, "a session of the server" in beside.stderr) == (5, True), beside.stderr
    assert (await cli("ledger", "copy", schema_url, "copy.db")).code == 0


def live(url: str) -> bool:
    """Whether a run has a lease."""
    with database_of(ledger_named(url)).open_existing() as connection:
        return bool(connection.value("SELECT count(*) FROM runs WHERE leased_until_ms > 0"))


@pytest.mark.parametrize("kind", ["file", "schema"])
def test_copy_that_is_interrupted_leaves_no_ledger(source: Path, schema_url: str, kind: str) -> None:
    """Stopped at any of its steps, it leaves nothing."""
    target = ledger_named(source.with_name("copy.db") if kind == "file" else schema_url)
    steps: list[str] = []
    copied = source.with_name("other.db")
    copy(source, copied, steps.append)
    for step in (0, len(steps) // 2, len(steps) - 1):
        said: list[str] = []

        def stop(text: str, said: list[str] = said, step: int = step) -> None:
            said.append(text)
            if len(said) > step:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            copy(source, target, stop)
        assert database_of(target).is_missing()
        assert list(source.parent.glob(".copy*")) == []


def test_copy_of_a_ledger_that_is_not_whole_is_refused(source: Path, schema_url: str) -> None:
    """Wrong tallies are a finding, and nothing is copied."""
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("UPDATE tallies SET n = n + 1")
    for target in (ledger_named(schema_url), source.with_name("copy.db")):
        with pytest.raises(LedgerError, match="not whole, and so not copied"):
            copy(source, target, lambda _: None)
        assert database_of(target).is_missing()


def test_text_that_postgres_cannot_keep_arrives_escaped(source: Path, schema_url: str) -> None:
    """A NUL in a message becomes an escape, as in every other record."""
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("UPDATE runs SET reason = 'a' || char(0) || 'b' WHERE id = 1")
    copy(source, ledger_named(schema_url), lambda _: None)
    with database_of(ledger_named(schema_url)).open_existing() as there:
        assert there.value("SELECT reason FROM runs WHERE id = 1") == "a\\x00b"


async def test_password_of_a_target_is_never_shown(
    cli: Cli, source: Path, schema_url: str, postgres: PostgresServer
) -> None:
    """Neither when it works nor when the server refuses it."""
    done = await cli("ledger", "copy", source, schema_url, "-v")
    wrong = await cli(
        "ledger", "copy", source, f"postgresql://batcher:hunter22@127.0.0.1:{postgres.port}/batcher"
    )
    assert (done.code, wrong.code) == (0, 6)
    shown = done.stdout + done.stderr + wrong.stdout + wrong.stderr
    assert postgres.password not in shown
    assert "hunter22" not in shown
