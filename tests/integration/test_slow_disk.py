"""A disk that takes long to sync does not set the pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from counted import lateness, moments, most_in_a_second, rate_of
from support.cli import tencent_ids
from support.ledger_sql import query

from batcher import Account, Defaults, ExitCode, ReadOptions, open_ledger
from batcher.ledger.sqlite.connection import SqliteConnection
from batcher.ledger.transactor import Transactor
from batcher.sandbox import SANDBOX_APP_ID, SANDBOX_SERVER_SECRET, Sandbox, SandboxSettings

PICTURES = ReadOptions(Defaults(vendor="Tencent", definition=10, offsets=(1,)))
ACCOUNT = Account(SANDBOX_APP_ID, SANDBOX_SERVER_SECRET)
ROWS = 120
ONSET_S = 1.5
"""The time that a run may take to learn how slow its disk is."""


@pytest.mark.about_files
@pytest.mark.parametrize("sync_s", [0.06, 0.1])
async def test_run_on_slow_disk_keeps_pace_and_begins_little_ahead(
    tmp_path: Path, manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, sync_s: float
) -> None:
    """Commits of 60 or 100 ms leave 19/s and more, and few attempts wait for their turn."""
    transact = Transactor.transact

    def slowly(self: Transactor, connection: SqliteConnection, group: object) -> object:
        done = transact(self, connection, group)  # type: ignore[arg-type] # handed on as it came
        time.sleep(sync_s)
        return done

    path, ahead = tmp_path / "batcher.db", list[int]()
    sandbox = Sandbox(SandboxSettings(rate_per_s=None))

    async def look() -> None:
        while True:
            begun = await asyncio.to_thread(query, path, "SELECT count(*) FROM attempts")
            ahead.append(begun[0][0] - len(sandbox.log))
            await asyncio.sleep(0.05)

    async with open_ledger(path) as ledger, sandbox.serve() as url, lateness() as late:
        await ledger.load(manifest(tencent_ids(ROWS)), how=PICTURES)
        monkeypatch.setattr(Transactor, "transact", slowly)
        looking = asyncio.create_task(look())
        summary = await ledger.run(ACCOUNT, endpoint=url)
        looking.cancel()
    arrived = moments(sandbox.log)
    assert summary.exit_code == ExitCode.DONE
    assert len(arrived) == ROWS
    assert rate_of([at for at in arrived if at > arrived[0] + ONSET_S], late.lost_s) >= 19
    assert most_in_a_second(arrived, late.most_s) <= 20
    assert max(ahead) <= 8
