"""A ledger with very many loads: a run and a load look up the few that concern them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.cli import tencent_ids, write_manifest
from support.ledger_place import copy_ledger, empty_ledger
from support.ledger_sql import writing
from support.statements import Statement, observed

from batcher import Account, ReadOptions, RunSettings, open_ledger
from batcher.ledger.connection import Connection
from batcher.ledger.sqlite.connection import SqliteConnection
from batcher.manifest.parameters import Defaults
from batcher.sandbox import SANDBOX_APP_ID, SANDBOX_SERVER_SECRET, Sandbox, SandboxSettings

FEW, MANY = 50, 100_000

HOW = ReadOptions(Defaults("Tencent", None, "10", None, ("1",)))

_LOADS = """
INSERT INTO loads (source, path, columns, started_at_ms, ended_at_ms, counted_by)
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)
SELECT 'nightly.csv', {path}, '["file_id"]', n, {ended}, 'line' FROM numbers
"""

HISTORIES = {
    "of the same file": ("?2", "n"),
    "of files of their own": ("?2 || n", "n"),
    "of the same file, every second one broken off": ("?2", "CASE WHEN n % 2 = 0 OR n = ?1 THEN n END"),
}
"""Loads that an earlier time has left, each as its path and the time of its end."""

EACH_UNFINISHED = 100
"""Steps of the database for each load that was broken off: a later one that made up for it is looked up."""


@contextmanager
def steps_counted() -> Iterator[Callable[[], int]]:
    """Count the steps that the database takes, on every connection that is opened meanwhile."""
    steps = 0
    each = 100

    def step() -> int:
        nonlocal steps
        steps += each
        return 0

    def count(connection: Connection, _: Statement) -> None:
        assert isinstance(connection, SqliteConnection)
        connection.driver.set_progress_handler(step, each)

    with observed(count):
        yield lambda: steps


def with_loads(empty: Path, folder: Path, n: int, history: str) -> tuple[Path, Path]:
    """Make a ledger of so many loads and a manifest beside it."""
    folder.mkdir()
    manifest = write_manifest(folder / "nightly.csv", ([one] for one in tencent_ids(3)))
    ledger = copy_ledger(empty, folder / "batcher.db")
    path, ended = HISTORIES[history]
    with writing(ledger) as connection:
        connection.execute(_LOADS.format(path=path, ended=ended), (n, str(manifest.resolve())))
        connection.commit()
    return manifest, ledger


async def steps_of_a_night(folder: Path, n: int, history: str) -> int:
    """Load a manifest and run it after a change, in a ledger of so many loads; the steps of all of it."""
    manifest, ledger = with_loads(await empty_ledger(), folder, n, history)
    sandbox = Sandbox(SandboxSettings(rate_per_s=None))
    async with sandbox.serve() as url:
        with steps_counted() as steps:
            async with open_ledger(ledger) as opened:
                await opened.load(manifest, how=HOW)
                write_manifest(manifest, ([one] for one in tencent_ids(4)))
                account = Account(SANDBOX_APP_ID, SANDBOX_SERVER_SECRET)
                summary = await opened.run(
                    account, RunSettings(rate_per_s=1000), manifests=[manifest], how=HOW, endpoint=url
                )
    assert (summary.exit_code, len(sandbox.accepted()), summary.unfinished) == (0, 4, ())
    return steps()


@pytest.mark.about_files
@pytest.mark.parametrize("history", HISTORIES)
async def test_run_among_many_loads_reads_no_more_than_among_few(tmp_path: Path, history: str) -> None:
    """The database's steps for a load and a run hardly grow with the loads on record."""
    few = await steps_of_a_night(tmp_path / "few", FEW, history)
    many = await steps_of_a_night(tmp_path / "many", MANY, history)
    broken_off = MANY // 2 if "broken off" in history else 0
    assert many < 2 * few + EACH_UNFINISHED * broken_off
