"""``batcher audit``: one page about a real ledger, which balances or states what does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, Cli, serving, tencent_ids
from support.ledger_place import copy_ledger
from support.ledger_sql import writing

from batcher.ledger.conditions import REVISIONS
from batcher.sandbox import Fate, Fault, SandboxSettings, TaskSettings

Manifest = Callable[..., Path]
LEDGERS = Path(__file__).parents[1] / "ledgers"


@pytest.mark.parametrize("revision", REVISIONS)
async def test_ledger_of_every_schema_balances(cli: Cli, revision: str) -> None:
    """An older ledger is upgraded first; every kind of submission is counted once."""
    copy_ledger(LEDGERS / f"{revision}.db", cli.folder / "batcher.db")
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


async def test_audit_shows_results_of_tasks(cli: Cli, manifest: Manifest) -> None:
    """Sent twice, failed, forgotten and finished tasks have lines with the details for technical support."""
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


async def test_imbalance_exits_with_1(cli: Cli) -> None:
    """The page names the contradiction, and the output file is written anyway."""
    ledger = cli.folder / "batcher.db"
    copy_ledger(LEDGERS / f"{REVISIONS[-1]}.db", ledger)
    with writing(ledger) as connection:
        connection.execute("UPDATE tallies SET n = n + 1 WHERE state = 'rejected'")
    done = await cli("audit", "-o", "audit.txt")
    assert (done.code, done.stdout) == (1, "")
    assert "audit.txt: it does not balance" in done.stderr
    text = (cli.folder / "audit.txt").read_text("utf-8")
    assert "submissions are rejected, and the tallies say" in text
    assert (await cli("audit", "--json")).data["problems"] != []


async def test_cases_are_capped_with_total(cli: Cli, manifest: Manifest) -> None:
    """The first cases in doubt are named; with 0 no case is named."""
    async with serving(cli, SandboxSettings(rate_per_s=None, choose=lambda _: Fault.parse("drop-after"))):
        assert (await cli.run(manifest(tencent_ids(12)), *PICTURES, "--in-doubt", "hold")).code == 1
    assert "In doubt, the first 10 of 12" in (await cli("audit")).stdout
    assert "In doubt, the first 0 of 12" in (await cli("audit", "--cases", "0")).stdout


async def test_hostile_message_is_escaped(cli: Cli) -> None:
    """Control characters in the service's message are escaped."""
    ledger = cli.folder / "batcher.db"
    copy_ledger(LEDGERS / f"{REVISIONS[-1]}.db", ledger)
    with writing(ledger) as connection:
        connection.execute("UPDATE attempts SET message = ? WHERE message IS NOT NULL", ("\x1b[2J",))
    done = await cli("audit")
    assert "\x1b" not in done.stdout
    assert "\\x1b[2J" in done.stdout


async def test_audit_without_ledger_is_refused(cli: Cli) -> None:
    """The exit code is 6, and the message says that there is no ledger."""
    done = await cli("audit")
    assert done.code == 6
    assert "there is no ledger here" in done.stderr


async def test_unwritable_output_is_refused(cli: Cli) -> None:
    """The message names the place, and no incomplete file is left."""
    copy_ledger(LEDGERS / f"{REVISIONS[-1]}.db", cli.folder / "batcher.db")
    done = await cli("audit", "-o", "nowhere/audit.txt")
    assert done.code == 2
    assert "nowhere/audit.txt: cannot be written" in done.stderr
