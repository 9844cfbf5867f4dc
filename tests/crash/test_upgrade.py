"""The upgrade of a long ledger of the first schema, in one piece, killed or not."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from support.cli import Cli, until
from support.ledger_sql import query

from batcher.ledger.conditions import REVISIONS

pytestmark = pytest.mark.about_files

FIRST = Path(__file__).parents[1] / "ledgers" / f"{REVISIONS[0]}.db"

ROWS_FOR_EACH = 50
"""Submissions for each recording of the soak: a million with ``make soak``."""

SUMS = (
    "SELECT count(*), sum(id), sum(length(file_id)), sum(attempts), count(code) FROM submissions",
    "SELECT count(*), sum(submission_id), sum(begun_at_ms), count(task_id) FROM attempts",
)


def lengthened(ledger: Path, rows: int) -> Path:
    """A ledger of the first schema with a number of further submissions, half of them submitted."""
    shutil.copy(FIRST, ledger)
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?) "
            "INSERT INTO submissions (file_id, parameters_id, load_id, line, state, code, run_id, attempts) "
            "SELECT 1500000000000000000 + n * 7919, 1, 1, n, iif(n % 2, 'submitted', 'pending'), "
            "iif(n % 2, 0, NULL), iif(n % 2, 1, NULL), n % 2 FROM n",
            (rows,),
        )
        connection.execute(
            "INSERT INTO attempts SELECT id, 1, 1, 1, 1, 2, 'answer', 'submitted', 200, 0, 'task-' || id, "
            "NULL, NULL, '' FROM submissions WHERE state = 'submitted' AND attempts = 1 AND id NOT IN "
            "(SELECT submission_id FROM attempts)"
        )
        connection.execute("DELETE FROM tallies")
        connection.execute(
            "INSERT INTO tallies SELECT state, coalesce(code, -1), coalesce(run_id, 0), count(*) "
            "FROM submissions GROUP BY 1, 2, 3"
        )
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return ledger


def sums(ledger: Path) -> list[list[tuple[object, ...]]]:
    """The sums that must be the same before and after."""
    return [query(ledger, sql) for sql in SUMS]


def log_bytes(ledger: Path) -> int:
    """The length of the log next to a ledger."""
    try:
        return ledger.with_name(ledger.name + "-wal").stat().st_size
    except FileNotFoundError:
        return 0


async def test_long_ledger_is_upgraded_in_one_piece(cli: Cli, soak_rows: int) -> None:
    """After a kill at its first write an upgrade has happened or has not; the next opening completes it."""
    ledger = lengthened(cli.folder / "batcher.db", soak_rows * ROWS_FOR_EACH)
    before = sums(ledger)
    process = await cli.start("status")
    await until(lambda: log_bytes(ledger) > 0 or process.returncode is not None)
    process.kill()
    await process.wait()
    assert query(ledger, "SELECT version_num FROM alembic_version")[0][0] in REVISIONS
    assert sums(ledger) == before
    began = time.monotonic()
    done = await cli("status")
    took = time.monotonic() - began
    assert done.code == 0, done.stderr
    assert query(ledger, "SELECT version_num FROM alembic_version") == [(REVISIONS[-1],)]
    assert sums(ledger) == before
    assert (await cli("ledger", "verify")).code == 0
    print(f"{before[0][0][0]:,} submissions: opened {took:.1f} s after the kill")  # noqa: T201 - the proof's figures
    assert took < 30 + soak_rows * ROWS_FOR_EACH / 50_000
