"""Ledgers of every schema there has been: opened, gone on with, exported, upgraded or left as they were."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from support.cli import Cli, serving
from support.ledger_sql import query

from batcher.ledger.conditions import REVISIONS

pytestmark = pytest.mark.about_files

LEDGERS = Path(__file__).parents[1] / "ledgers"

DUMP = "SELECT id, file_id, parameters_id, state, code, run_id, attempts, line, extra FROM submissions"


def kept(revision: str, folder: Path) -> Path:
    """A copy of the ledger of a schema, where the command line looks for one."""
    return Path(shutil.copy(LEDGERS / f"{revision}.db", folder / "batcher.db"))


def test_every_schema_has_a_ledger() -> None:
    """Each schema of the program has a file, and the file has that schema."""
    found = {path.stem for path in LEDGERS.glob("*.db")}
    assert set(REVISIONS) == found
    for revision in REVISIONS:
        assert query(LEDGERS / f"{revision}.db", "SELECT version_num FROM alembic_version") == [(revision,)]
        states = {state for (state,) in query(LEDGERS / f"{revision}.db", "SELECT state FROM submissions")}
        assert states == {"pending", "sending", "submitted", "rejected", "failed", "in_doubt"}


@pytest.mark.parametrize("revision", REVISIONS)
async def test_old_ledger_exports_the_same_rows(cli: Cli, revision: str) -> None:
    """The export of an old ledger equals the one of its own program, in the columns that it had."""
    kept(revision, cli.folder)
    expected = [json.loads(line) for line in (LEDGERS / f"{revision}.jsonl").read_text("utf-8").splitlines()]
    columns = expected[0].keys()
    assert expected == [{name: row[name] for name in columns} for row in await cli.export()]


@pytest.mark.parametrize("revision", REVISIONS)
async def test_old_ledger_is_resumed(cli: Cli, revision: str) -> None:
    """A run sends the open submissions once each, leaves ended ones, and the ledger is whole afterwards."""
    ledger = kept(revision, cli.folder)
    before = {row["file_id"]: row for row in await cli.export()}
    open_before = [one for one, row in before.items() if row["status"] in ("pending", "sending")]
    async with serving(cli) as sandbox:
        done = await cli.run()
        assert done.code == 4, done.stderr  # a stream was not read to its end
        sent = Counter(entry.file_id for entry in sandbox.log if entry.file_id)
    after = {row["file_id"]: row for row in await cli.export()}
    assert set(open_before) == set(sent)
    assert {after[one]["status"] for one in open_before} == {"submitted"}
    assert {one: row for one, row in before.items() if one not in open_before} == {
        one: row for one, row in after.items() if one not in open_before
    }
    assert (await cli("ledger", "verify")).code == 0
    assert query(ledger, "SELECT version_num FROM alembic_version") == [(REVISIONS[-1],)]


DYING = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from batcher.ledger.sqlite.database import SqliteDatabase

steps, last = 0, int(sys.argv[2])

@event.listens_for(Engine, "after_cursor_execute")
def die(connection, cursor, statement, *_):
    global steps
    if "PRAGMA" in statement:
        return
    steps += 1
    if steps == last:
        os.kill(os.getpid(), signal.SIGKILL)

SqliteDatabase(Path(sys.argv[1])).bring_up_to_date()
print(steps)
"""
"""Upgrades a ledger and dies by its own hand after so many statements."""


async def upgrade(ledger: Path, last: int) -> tuple[int, str]:
    """Upgrade in a process that dies after statement ``last`` (0: never): its exit code and its words."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DYING, str(ledger), str(last), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode().strip()


async def test_upgrade_happens_whole_or_not_at_all(tmp_path: Path, every_step: bool) -> None:
    """Killed after any of its statements, an upgrade has changed nothing, and the next one completes it."""
    ledger = kept(REVISIONS[0], tmp_path)
    code, steps = await upgrade(ledger, 0)
    assert code == 0
    last = int(steps)
    assert last > 10
    whole = query(ledger, "SELECT name, sql FROM sqlite_master ORDER BY 1")
    for step in range(1, last + 1) if every_step else (last // 2, last):
        ledger = kept(REVISIONS[0], tmp_path)
        before = query(ledger, "SELECT name, sql FROM sqlite_master ORDER BY 1"), query(ledger, DUMP)
        assert (await upgrade(ledger, step))[0] == -9
        with closing(sqlite3.connect(ledger)) as connection:  # recovers what the dead process left beside it
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert before == (
            query(ledger, "SELECT name, sql FROM sqlite_master ORDER BY 1"),
            query(ledger, DUMP),
        )
        assert (await upgrade(ledger, 0))[0] == 0
        assert whole == query(ledger, "SELECT name, sql FROM sqlite_master ORDER BY 1")
        assert before[1] == query(ledger, DUMP)
