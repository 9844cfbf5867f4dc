"""The ledger as a file: who may read it, how safely it is written, which schema it has."""

from __future__ import annotations

import re
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Index, create_engine
from support.cli import PICTURES, Cli, serving, tencent_ids
from support.referee import referee

from batcher.config.resources import bundled
from batcher.ledger.conditions import REVISIONS
from batcher.ledger.connection import Connection
from batcher.ledger.run_ledger import open_for_writing
from batcher.ledger.schema import metadata
from batcher.sandbox import SandboxSettings

pytestmark = pytest.mark.about_files


def modes(folder: Path, name: str) -> dict[str, int]:
    """The permissions of a ledger's files."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob(f"{name}*")}


async def test_ledger_is_readable_by_its_owner_only(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The ledger and its companion files have mode 0600 during a run and after it."""
    archive = manifest(tencent_ids(20))
    async with serving(cli, SandboxSettings(rate_per_s=None, latency_ms=20), ledger_made=False) as sandbox:
        process = await cli.start("run", archive, *PICTURES, "--rate", "20", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.accepted()) >= 3, 20)
        during = modes(cli.folder, "batcher.db")
        done = await cli.finish(process)
        assert done.code == 0, done.stderr
        await referee(cli, sandbox)
    assert {"batcher.db", "batcher.db-wal", "batcher.db-shm"} <= set(during)
    assert set(during.values()) == {0o600}
    assert set(modes(cli.folder, "batcher.db").values()) == {0o600}


async def test_writer_syncs_every_commit(tmp_path: Path) -> None:
    """The writer's connection keeps a write-ahead log, syncs every commit and checks foreign keys."""
    seen: dict[str, object] = {}

    def look(connection: Connection, name: str) -> None:
        seen[name] = connection.value(f"PRAGMA {name}")

    async with await open_for_writing(tmp_path / "batcher.db") as ledger:
        for name in ("journal_mode", "synchronous", "foreign_keys"):
            await ledger._writer.record(look, name)
    assert seen == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def head() -> str | None:
    """The newest schema that the migrations make."""
    config = Config()
    config.set_main_option("script_location", str(bundled("migrations")))
    return ScriptDirectory.from_config(config).get_current_head()


def test_newest_schema_is_the_declared_one() -> None:
    """The last revision that the program knows is the migrations' head."""
    assert head() == REVISIONS[-1]


async def test_migrations_make_the_declared_tables(tmp_path: Path) -> None:
    """From an empty file to head there is nothing that the declarations lack or have too much."""
    path = tmp_path / "batcher.db"
    async with await open_for_writing(path):
        pass
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": _is_of_sqlite}
        )
        assert context.get_current_revision() == REVISIONS[-1]
        assert compare_metadata(context, metadata) == []
        made = _schema(connection.connection.driver_connection)
    engine.dispose()
    with closing(sqlite3.connect(":memory:")) as declared:
        declaring = create_engine("sqlite://", creator=lambda: declared)
        metadata.create_all(declaring)
        assert _schema(declared) == made
        declaring.dispose()


def _is_of_sqlite(item: object, *_: object) -> bool:
    """Whether a part of the schema is made in SQLite."""
    return not isinstance(item, Index) or item.info.get("only_in", "sqlite") == "sqlite"


def _schema(connection: object) -> dict[str, list[str]]:
    """Tables and indexes as SQLite keeps their text, so that checks and conditions are compared as well."""
    assert isinstance(connection, sqlite3.Connection)
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' "
        "AND name <> 'alembic_version'"
    )
    plain = {name: " ".join(sql.replace('"', "").split()) for name, sql in rows}
    # The order of constraints means nothing.
    return {
        name: sorted(re.split(r", (?=CONSTRAINT)| ?\)(?=$| WITHOUT)", sql)) for name, sql in plain.items()
    }


async def test_opening_again_changes_nothing(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A ledger of today's schema is opened as it is."""
    archive = manifest(tencent_ids(3))
    assert (await cli("load", archive, *PICTURES)).code == 0
    before = (cli.folder / "batcher.db").read_bytes()
    assert (await cli.status())["submissions"]["total"] == 3
    assert len(await cli.export()) == 3
    assert (await cli("retry")).code == 0
    assert (cli.folder / "batcher.db").read_bytes() == before
