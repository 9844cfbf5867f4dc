"""``batcher audit``: one page over a real ledger, which balances or says what does not."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, Cli, serving, tencent_ids

from batcher.ledger.conditions import REVISIONS
from batcher.sandbox import Fate, Fault, SandboxSettings, TaskSettings

Manifest = Callable[..., Path]
LEDGERS = Path(__file__).parents[1] / "ledgers"


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_ledger_of_every_schema_balances(cli: Cli, revision: str) -> None:
    """An older one is upgraded first; every kind of submission is in it, and each is counted once."""
    shutil.copy(LEDGERS / f"{revision}.db", cli.folder / "batcher.db")
    done = await cli("audit")
    assert done.code == 0, done.stdout + done.stderr
    assert "It balances: " in done.stdout
    figures = (await cli("audit", "--json")).data
    status = await cli.status()
    parts = figures["submissions"]
    assert parts["total"] == status["submissions"]["total"]
    assert parts["submitted_once"] + parts["possibly_twice"] == status["submissions"]["submitted"]
    assert parts["in_doubt"] == status["submissions"]["in_doubt"] > 0
    assert len(figures["cases"]["in_doubt"]["named"]) == parts["in_doubt"]


async def test_it_tells_what_became_of_the_tasks(cli: Cli, manifest: Manifest) -> None:
    """Sent twice, failed, forgotten, finished: each in its line, with what the support asks for."""
    [twice, failed, forgotten, finished] = tencent_ids(4)
    fates = {failed: Fate.FAIL, forgotten: Fate.FORGOTTEN}
    tasks = TaskSettings(fates=fates, messages={failed: "the media cannot be decoded"})
    settings = SandboxSettings(rate_per_s=None, script={1: Fault.parse("drop-after")}, tasks=tasks)
    async with serving(cli, settings):
        ids = manifest([twice, failed, forgotten, finished])
        assert (await cli.run(ids, *PICTURES, "--concurrency", "1")).code == 0
        assert (await cli("track", *FAST, "--max-duration", "4s")).code in (1, 4)
    figures = (await cli("audit", "--json")).data
    assert figures["balances"] is True
    assert figures["requests"] == 5
    parts, tasks_now = figures["submissions"], figures["tasks"]
    assert (parts["submitted_once"], parts["possibly_twice"]) == (3, 1)
    assert (tasks_now["finished"], tasks_now["task_failed"], tasks_now["total"]) == (2, 1, 4)
    [case] = figures["cases"]["task_failed"]["named"]
    assert case["file_id"] == failed
    assert case["said"] == "FAIL: the media cannot be decoded"
    assert len(case["request_ids"]) == 2
    [doubled] = figures["cases"]["possibly_twice"]["named"]
    assert doubled["file_id"] == twice


async def test_what_does_not_balance_ends_with_1(cli: Cli) -> None:
    """The page says what, and the file is written all the same."""
    ledger = cli.folder / "batcher.db"
    shutil.copy(LEDGERS / f"{REVISIONS[-1]}.db", ledger)
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("UPDATE tallies SET n = n + 1 WHERE state = 'rejected'")
    done = await cli("audit", "-o", "audit.txt")
    assert (done.code, done.stdout) == (1, "")
    assert "audit.txt: it does not balance" in done.stderr
    text = (cli.folder / "audit.txt").read_text("utf-8")
    assert "submissions are rejected, and the figures kept beside them say" in text
    assert (await cli("audit", "--json")).data["problems"] != []


async def test_cases_are_capped_and_the_rest_is_said(cli: Cli, manifest: Manifest) -> None:
    """Of many in doubt the first are named; with 0 none is."""
    async with serving(cli, SandboxSettings(rate_per_s=None, choose=lambda _: Fault.parse("drop-after"))):
        assert (await cli.run(manifest(tencent_ids(12)), *PICTURES, "--in-doubt", "hold")).code == 1
    assert "In doubt, the first 10 of 12" in (await cli("audit")).stdout
    assert "In doubt, the first 0 of 12" in (await cli("audit", "--cases", "0")).stdout


async def test_a_hostile_message_steers_no_terminal(cli: Cli) -> None:
    """What the service said is shown with its control characters escaped."""
    ledger = cli.folder / "batcher.db"
    shutil.copy(LEDGERS / f"{REVISIONS[-1]}.db", ledger)
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("UPDATE attempts SET message = char(27) || '[2J' WHERE message IS NOT NULL")
    done = await cli("audit")
    assert "\x1b" not in done.stdout
    assert "\\x1b[2J" in done.stdout


async def test_without_a_ledger(cli: Cli) -> None:
    """There is nothing to add up."""
    done = await cli("audit")
    assert done.code == 6
    assert "there is no ledger here" in done.stderr


async def test_a_place_that_cannot_be_written(cli: Cli) -> None:
    """It says so, and leaves nothing half written."""
    shutil.copy(LEDGERS / f"{REVISIONS[-1]}.db", cli.folder / "batcher.db")
    done = await cli("audit", "-o", "nowhere/audit.txt")
    assert done.code == 2
    assert "--output nowhere/audit.txt: cannot be written" in done.stderr
