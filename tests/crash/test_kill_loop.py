"""Repeated kills, at random moments and at named points: the sandbox's log and the ledger always agree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from support.cli import PICTURES, Cli, serving, tencent_ids, until
from support.ledger_place import is_made
from support.ledger_sql import locked, query
from support.referee import referee

from batcher.flowcontrol.pacer import places_in_line
from batcher.sandbox import Fault, Sandbox, SandboxSettings

RATE = 400
IN_LINE = places_in_line(RATE, 0.1)
"""So many attempts at most have begun and wait for their turn, if a commit takes a tenth of a second."""
NEVER_SETTLED = "SELECT count(*) FROM attempts WHERE outcome IS NULL"
IN_DOUBT = "SELECT count(*) FROM attempts WHERE outcome IS NULL OR outcome = 'reply_lost'"


async def test_run_killed_many_times_loses_nothing_and_records_every_repetition(
    cli: Cli, manifest: Callable[..., Path], kill_rounds: int
) -> None:
    """After kills at random moments every request that the server accepted is on record or in doubt."""
    seed = Random().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    rng = Random(seed)
    archive = manifest(tencent_ids(kill_rounds * 40, seed))
    faults = {"drop-after": 0.01, "drop-before": 0.01, "code:1": 0.01, "code:6": 0.01}
    settings = SandboxSettings(rate_per_s=None, latency_ms=20, shares=faults, seed=seed)
    async with serving(cli, settings) as sandbox:
        for _ in range(kill_rounds):
            await _kill_somewhere(cli, sandbox, archive, rng)
            unsettled = query(cli.folder / "batcher.db", NEVER_SETTLED)[0][0] if _has_ledger(cli) else 0
            assert unsettled <= _in_flight(sandbox) + IN_LINE
        done = await cli("run", archive, *PICTURES, "--rate", "2000", "--progress", "none")
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
    assert [row["status"] for row in rows] == ["submitted"] * len(rows)
    assert len(rows) == kill_rounds * 40


async def _kill_somewhere(cli: Cli, sandbox: Sandbox, archive: Path, rng: Random) -> None:
    """Begin a run and kill it after some requests, or some time into its start."""
    seen = len(sandbox.log)
    process = await cli.start("run", archive, *PICTURES, "--rate", str(RATE), "--progress", "none")
    ended = asyncio.ensure_future(process.communicate())
    try:
        wanted = seen + rng.choice([0, 1, 2, rng.randrange(3, 40)])
        reached = asyncio.ensure_future(sandbox.wait_for(lambda: len(sandbox.log) > wanted, 20))
        await asyncio.wait((ended, reached), return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()
        await asyncio.sleep(rng.uniform(0, 0.02))  # anywhere between two requests
    finally:
        if process.returncode is None:
            process.kill()
        _, stderr = await ended
    assert b"Traceback" not in stderr, stderr.decode()


def _in_flight(sandbox: Sandbox) -> int:
    """Requests that had no answer, or one so fresh that it may not have been recorded."""
    fresh = sandbox.log[-1].arrived_s - 0.25 if sandbox.log else 0.0
    return sum(not entry.answered or entry.arrived_s >= fresh for entry in sandbox.log[-200:])


def _has_ledger(cli: Cli) -> bool:
    return is_made(cli.folder / "batcher.db")


async def test_attempt_killed_before_its_first_byte_is_in_doubt(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """An attempt that was begun and never sent is sent by the next run."""
    archive = manifest(tencent_ids(3))
    ledger = cli.folder / "batcher.db"
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        process = await cli.start("run", archive, *PICTURES, "--rate", "0.05", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.log) == 1, 20)
        one_of_two = "SELECT count(*), count(outcome) FROM attempts"
        await until(lambda: tuple(query(ledger, one_of_two)[0]) == (2, 1))
        process.kill()
        await process.communicate()
        assert len(sandbox.log) == 1
        assert query(ledger, NEVER_SETTLED)[0][0] == 1
        done = await cli.run(archive, *PICTURES)
        assert done.code == 0, done.stderr
        await referee(cli, sandbox)
    assert len(sandbox.log) == 3
    assert query(ledger, IN_DOUBT)[0][0] == 1


@pytest.mark.parametrize("fault", ["hang", "hang-before"])
async def test_attempt_killed_in_flight_is_in_doubt(
    cli: Cli, manifest: Callable[..., Path], fault: str
) -> None:
    """An attempt in flight at a kill is in doubt, accepted or not, and is sent again last."""
    ids = tencent_ids(10)
    archive = manifest(ids)
    settings = SandboxSettings(rate_per_s=None, script={3: Fault.parse(fault)})
    async with serving(cli, settings) as sandbox:
        process = await cli.start(
            *("run", archive, *PICTURES, "--rate", "400", "--progress", "none", "--concurrency", "1")
        )
        await sandbox.wait_for(lambda: len(sandbox.log) == 3, 20)
        process.kill()
        await process.communicate()
        done = await cli.run(archive, *PICTURES)
        assert done.code == 0, done.stderr
        await referee(cli, sandbox)
        again = sandbox.log[2].file_id
    assert sandbox.log[-1].file_id == again
    assert len(sandbox.requests_for(again)) == 2
    assert query(cli.folder / "batcher.db", IN_DOUBT)[0][0] == 1


async def test_attempt_killed_before_its_answer_is_recorded_is_in_doubt(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """An answer that could not be recorded before a kill leaves its submission in doubt."""
    archive = manifest(tencent_ids(2))
    ledger = cli.folder / "batcher.db"
    async with serving(cli, SandboxSettings(rate_per_s=None, latency_ms=300)) as sandbox:
        process = await cli.start(
            *("run", archive, *PICTURES, "--rate", "400", "--progress", "none", "--concurrency", "1")
        )
        await sandbox.wait_for(lambda: len(sandbox.log) == 1, 20)
        with locked(ledger):  # from here the run can record nothing
            await sandbox.wait_for(lambda: sandbox.log[0].answered, 20)
            await asyncio.sleep(0.05)  # for the answer to be read; there is nothing to see from outside
            process.kill()
            await process.communicate()
        assert query(ledger, NEVER_SETTLED)[0][0] == 1
        done = await cli.run(archive, *PICTURES)
        assert done.code == 0, done.stderr
        await referee(cli, sandbox)
    assert len(sandbox.log) == 3
    assert sandbox.log[-1].file_id == sandbox.log[0].file_id
