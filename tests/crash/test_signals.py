"""Runs stopped by a signal or a limit: requests in flight finish and are recorded, the rest waits."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, Cli, said, serving, tencent_ids
from support.ledger_sql import locked
from support.referee import referee

from batcher.sandbox import SandboxSettings


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_first_signal_drains_the_run(
    cli: Cli, manifest: Callable[..., Path], number: signal.Signals, code: int
) -> None:
    """Requests in flight are recorded with their answers, and the next run sends the rest."""
    archive = manifest(tencent_ids(60))
    async with serving(cli, SandboxSettings(rate_per_s=None, latency_ms=300)) as sandbox:
        process = await cli.start("run", archive, *PICTURES, "--rate", "60", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.log) >= 15, 20)
        process.send_signal(number)
        done = await cli.finish(process)
        assert done.code == code, done.stderr
        sent = len(sandbox.log)
        counts = (await cli.status())["submissions"]
        assert counts["submitted"] == sent < 60
        assert counts["sending"] == counts["in_doubt"] == 0
        assert counts["pending"] == 60 - sent
        done = await cli.run()
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
    assert len(sandbox.log) == 60
    assert {row["status"] for row in rows} == {"submitted"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_second_signal_ends_the_run_immediately(
    cli: Cli, manifest: Callable[..., Path], number: signal.Signals, code: int
) -> None:
    """Submissions without an answer are in doubt."""
    archive = manifest(tencent_ids(8))
    async with serving(cli, SandboxSettings(rate_per_s=None, shares={"hang": 1.0})) as sandbox:
        process = await cli.start("run", archive, *PICTURES, *FAST, "--in-doubt", "hold")
        await sandbox.wait_for(lambda: len(sandbox.log) == 8, 20)
        process.send_signal(number)
        await said(process, "Stopping")
        process.send_signal(number)
        async with asyncio.timeout(8):
            done = await cli.finish(process)
        assert done.code == code, done.stderr
        done = await cli.run(archive, *PICTURES, "--in-doubt", "hold")
        assert done.code == 1, done.stderr
        rows = await referee(cli, sandbox)
    assert [row["status"] for row in rows] == ["in_doubt"] * 8
    assert len(sandbox.log) == 8


async def test_signal_while_a_pipe_is_held_open_ends_the_run(cli: Cli) -> None:
    """A manifest that sends no more rows cannot keep a run from stopping."""
    ids = tencent_ids(20)
    async with serving(cli) as sandbox:
        process = await cli.start("run", "-", *PICTURES, *FAST)
        assert process.stdin is not None
        process.stdin.write(("file_id\n" + "".join(f"{ids[n % 20]}\n" for n in range(11_000))).encode())
        await process.stdin.drain()
        await sandbox.wait_for(lambda: len(sandbox.accepted()) == 20, 20)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(90):
            assert await process.wait() == 143
        await process.communicate()
        assert (await cli.status())["loads"][0]["unfinished"] is True
        await referee(cli, sandbox)


async def test_limit_counts_submissions(cli: Cli, manifest: Callable[..., Path]) -> None:
    """``--limit 7`` of 20 rows sends exactly 7 with exit code 4; the next run sends the other 13."""
    archive = manifest(tencent_ids(20))
    async with serving(cli) as sandbox:
        done = await cli.run(archive, *PICTURES, "--limit", "7")
        assert done.code == 4, done.stderr
        assert len(sandbox.log) == 7
        assert (await cli.status())["submissions"]["pending"] == 13
        done = await cli.run()
        assert done.code == 0, done.stderr
        assert len(sandbox.log) == 20
        await referee(cli, sandbox)


async def test_grace_period_is_not_exceeded(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Answers that do not arrive within the grace period are given up; no submission is left in flight."""
    archive = manifest(tencent_ids(8))
    async with serving(cli, SandboxSettings(rate_per_s=None, shares={"hang": 1.0})) as sandbox:
        process = await cli.start(
            *("run", archive, *PICTURES, *FAST, "--in-doubt", "hold"), env={"BATCHER_GRACE": "300ms"}
        )
        await sandbox.wait_for(lambda: len(sandbox.log) == 8, 20)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):  # --timeout is 30 s
            done = await cli.finish(process)
        assert done.code == 143, done.stderr
        rows = await referee(cli, sandbox)
    assert [row["status"] for row in rows] == ["in_doubt"] * 8


async def test_run_continues_after_hangup_and_closed_streams(cli: Cli, manifest: Callable[..., Path]) -> None:
    """After SIGHUP, and with closed readers of its output, a run continues to its end."""
    archive = manifest(tencent_ids(40))
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        with (cli.folder / "gone").open("wb") as closed_reader:
            process = await asyncio.create_subprocess_exec(
                *(cli.python, "-m", "batcher", "run", str(archive), *PICTURES, "--rate", "40", "-v"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=closed_reader,
                stderr=asyncio.subprocess.PIPE,
                cwd=cli.folder,
                env=cli.env,
            )
        await sandbox.wait_for(lambda: len(sandbox.log) >= 5, 20)
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        process._transport.get_pipe_transport(2).close()  # type: ignore[attr-defined] # the reader goes away
        async with asyncio.timeout(90):
            assert await process.wait() == 0
        rows = await referee(cli, sandbox)
    assert [row["status"] for row in rows] == ["submitted"] * 40


async def test_suspended_process_sends_no_burst(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Requests that could not be sent during the suspension are not made up for afterwards."""
    archive = manifest(tencent_ids(50))
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        process = await cli.start("run", archive, *PICTURES, "--rate", "20", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.log) >= 10, 20)
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.2)  # as long as it stands still, there is nothing to wait for
        process.send_signal(signal.SIGCONT)
        done = await cli.finish(process)
        assert done.code == 0, done.stderr
        await referee(cli, sandbox)
    arrived = [entry.arrived_s for entry in sandbox.log]
    after = max(range(1, len(arrived)), key=lambda n: arrived[n] - arrived[n - 1])
    assert arrived[after] - arrived[after - 1] >= 1.0
    assert sum(at - arrived[after] < 0.2 for at in arrived[after:]) <= 6


async def test_unrecorded_answers_are_reported_by_a_run_cut_off_on_a_locked_ledger(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Task ids received while another program held the ledger are in the summary; exit code 6."""
    archive = manifest(tencent_ids(4))
    async with serving(cli, SandboxSettings(rate_per_s=None, latency_ms=700)) as sandbox:
        process = await cli.start(
            "run", archive, *PICTURES, "--rate", "50", "--concurrency", "4", "--progress", "none"
        )
        await sandbox.wait_for(lambda: len(sandbox.log) == 4, 20)
        with locked(cli.folder / "batcher.db"):
            await sandbox.wait_for(lambda: all(entry.answered for entry in sandbox.log), 20)
            process.send_signal(signal.SIGINT)
            await said(process, "Stopping")
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(90):
                done = await cli.finish(process)
    assert done.code == 6, done.stderr
    assert done.stderr.count("not recorded") == 4
