"""Killed runs, repeated and counted at the server: nothing is lost, every repetition is on record."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import FAST, NO_LIMIT, PICTURES, Cli, serving, tencent_ids, until, write_manifest
from support.ledger_place import is_made
from support.ledger_sql import query
from support.referee import referee

from batcher.sandbox import Sandbox, SandboxSettings

ROWS = 200


async def kill_after(cli: Cli, sandbox: Sandbox, requests: int, *args: str | Path) -> None:
    """Begin a run and kill it once the server has received a number of requests."""
    process = await cli.start("run", *args, "--rate", "400", "--progress", "none")
    await sandbox.wait_for(lambda: len(sandbox.log) >= requests, 20)
    process.kill()
    await process.communicate()
    assert process.returncode == -9


@pytest.mark.parametrize("latency_ms", [0.0, 60.0])
async def test_killed_run_is_completed_by_the_next(
    cli: Cli, manifest: Callable[..., Path], latency_ms: float
) -> None:
    """Every row of a killed run has its task after the next one, and what was sent twice is on record."""
    archive = manifest(tencent_ids(ROWS))
    async with serving(cli, SandboxSettings(rate_per_s=None, latency_ms=latency_ms)) as sandbox:
        await kill_after(cli, sandbox, 80, archive, *PICTURES)
        assert (await cli.status())["last_run"]["exit_code"] is None
        begun = query(cli.folder / "batcher.db", "SELECT count(*) FROM attempts WHERE outcome IS NULL")
        done = await cli.run(archive, *PICTURES)
        assert done.code == 0, done.stderr
        await referee(cli, sandbox)
        rows = await cli.export(archive, *PICTURES)
    accepted = sandbox.accepted()
    assert [row["file_id"] for row in rows] == tencent_ids(ROWS)
    assert {row["status"] for row in rows} == {"submitted"}
    assert all(accepted[row["task_id"]].file_id == row["file_id"] for row in rows)
    assert len(sandbox.log) - ROWS <= begun[0][0]


async def test_run_killed_twice_is_completed_by_the_third(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Every row has its task after the third run."""
    archive = manifest(tencent_ids(ROWS))
    async with serving(cli, SandboxSettings(rate_per_s=None, latency_ms=30)) as sandbox:
        await kill_after(cli, sandbox, 60, archive, *PICTURES)
        await kill_after(cli, sandbox, 130, archive, *PICTURES)
        done = await cli.run(archive, *PICTURES)
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
    assert [row["status"] for row in rows] == ["submitted"] * ROWS


async def test_killed_run_under_hold_leaves_requests_in_flight_in_doubt(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Exactly the unanswered requests are in doubt, and none is sent again."""
    archive = manifest(tencent_ids(30))
    hanging = SandboxSettings(rate_per_s=None, shares={"hang": 1.0})
    async with serving(cli, hanging) as sandbox:
        process = await cli.start("run", archive, *PICTURES, *FAST, "--in-doubt", "hold")
        await sandbox.wait_for(lambda: len(sandbox.log) == 30, 20)
        process.kill()
        await process.communicate()
        done = await cli.run(archive, *PICTURES, "--in-doubt", "hold")
        assert done.code == 1, done.stderr
        rows = await referee(cli, sandbox)
    assert [row["status"] for row in rows] == ["in_doubt"] * 30
    assert len(sandbox.log) == 30


async def test_killed_load_from_a_pipe_is_unfinished(cli: Cli) -> None:
    """Status and a run without the manifest report the load that was killed."""
    ids = tencent_ids(25)
    begin = "file_id\n" + "".join(f"{ids[n % 20]}\n" for n in range(11_000))
    async with serving(cli) as sandbox:
        process = await cli.start("run", "-", *PICTURES, *FAST)
        assert process.stdin is not None
        process.stdin.write(begin.encode())
        await process.stdin.drain()
        await sandbox.wait_for(lambda: len(sandbox.log) == 20, 20)  # sent while the pipe is still open
        process.kill()
        await process.communicate()

        [load] = (await cli.status())["loads"]
        assert load["unfinished"] is True
        done = await cli.run()
        assert done.code == 4, done.stderr
        assert "read to the end" in done.stderr
        everything = begin + "".join(f"{one}\n" for one in ids[20:])
        done = await cli.run("-", *PICTURES, stdin=everything.encode())
        assert done.code == 0, done.stderr
        loads = (await cli.status())["loads"]
        rows = await referee(cli, sandbox)
    assert [load["unfinished"] for load in loads] == [False, False]
    assert [load["finished"] for load in loads] == [False, True]
    assert [row["status"] for row in rows] == ["submitted"] * 25


async def test_killed_load_of_a_file_is_completed_by_the_next(cli: Cli, tmp_path: Path) -> None:
    """The file is read to its end, and the next run has exit code 0."""
    ids = tencent_ids(40)
    last = ids.pop()
    rows = [*(f"{ids[n % 39]}" for n in range(150_000)), last]
    archive = write_manifest(tmp_path / "archive.csv", ([one] for one in rows))
    process = await cli.start("load", archive, *PICTURES)
    ledger = tmp_path / "batcher.db"

    def some_loaded() -> bool:
        return is_made(ledger) and query(ledger, "SELECT 1 FROM loads WHERE rows > 0") != []

    await until(some_loaded)
    process.kill()
    await process.communicate()
    [load] = (await cli.status())["loads"]
    assert load["unfinished"] is True
    assert 0 < load["rows"] < 150_001
    async with serving(cli, NO_LIMIT) as sandbox:
        done = await cli.run()
        assert done.code == 4, done.stderr
        assert "archive.csv" in done.stderr
        assert len(sandbox.log) == 39
        done = await cli.run(archive, *PICTURES)
        assert done.code == 0, done.stderr
        assert len(sandbox.log) == 40
        await referee(cli, sandbox)
        assert (await cli.run()).code == 0


@pytest.mark.about_files
async def test_second_run_on_one_ledger_exits_5(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The second run sends nothing, and the first one continues."""
    archive = manifest(tencent_ids(40))
    async with serving(cli) as sandbox:
        first = await cli.start("run", archive, *PICTURES, "--rate", "40", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.log) >= 3, 20)
        first.send_signal(signal.SIGSTOP)  # it holds the ledger for as long as we like
        sent = len(sandbox.log)
        others = await asyncio.gather(
            cli.run(archive, *PICTURES), cli("load", archive, *PICTURES), cli("retry")
        )
        assert [other.code for other in others] == [5, 5, 5]
        assert all("another run holds this ledger" in other.stderr for other in others)
        assert len(sandbox.log) - sent <= 3  # what had left already and was not read yet
        first.send_signal(signal.SIGCONT)
        done = await cli.finish(first)
        assert done.code == 0, done.stderr
        await referee(cli, sandbox)
    assert len(sandbox.log) == 40
