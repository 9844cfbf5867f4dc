"""The order of exit codes where several hold, and the end of a run with a defect."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, Cli, Done, serving, tencent_ids
from support.ledger_sql import query
from support.referee import referee

from batcher.sandbox import SandboxSettings

ROWS = 12_000
"""More than are read before the first request."""


def broken_stream(n: int = ROWS) -> bytes:
    """A manifest that stops being text after its first rows."""
    ids = tencent_ids(20)
    return ("file_id\n" + "".join(f"{ids[row % 20]}\n" for row in range(n))).encode() + b"\xff\xfe broken\n"


async def test_late_manifest_fault_with_the_limit_reached_and_work_left_ends_with_4(cli: Cli) -> None:
    """The limit weighs more than the manifest; the reason names both."""
    async with serving(cli) as sandbox:
        process = await cli.start("run", "-", *PICTURES, *FAST, "--limit", "3", "--json", "-q")
        assert process.stdin is not None
        start, rest = broken_stream()[:-10], broken_stream()[-10:]
        process.stdin.write(start)
        await sandbox.wait_for(lambda: len(sandbox.accepted()) == 3, 30)
        done = await cli.finish(process, rest)
        assert done.code == 4, done.stderr
        assert len(sandbox.log) == 3
        await referee(cli, sandbox)
    reason = done.data["reason"]
    assert "limit of 3; 17 submissions left" in reason
    assert "stdin line" in reason
    assert "stdin line" in done.stderr  # also where only problems are wanted
    assert (await cli.status())["last_run"]["exit_code"] == 4


async def test_late_manifest_fault_alone_ends_with_2(cli: Cli) -> None:
    """Without a limit the manifest is why work is left."""
    async with serving(cli, SandboxSettings(rate_per_s=None, latency_ms=200)):
        done = await cli.run("-", *PICTURES, "--limit", "1000", "--json", stdin=broken_stream())
    assert done.code == 2, done.stderr


async def broken_run(cli: Cli, archive: Path, *args: str) -> Done:
    """A run in which judging an answer is broken."""
    code = (
        "import batcher.submit.worker\n"
        "def decide(outcome, *args, **more):\n"
        "    raise ZeroDivisionError('private words')\n"
        "batcher.submit.worker.decide = decide\n"
        "from batcher.cli import main; main()"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "run", str(archive), *PICTURES, *FAST, *args),
        cwd=cli.folder,
        env={**cli.env, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), cli.deadline_s)
    return Done(process.returncode or 0, out.decode(), err.decode())


async def test_defect_in_a_run_exits_70_and_names_its_line(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The message has file and line; the run is on record with 70, and the next one resumes."""
    archive = manifest(tencent_ids(3))
    async with serving(cli) as sandbox:
        done = await broken_run(cli, archive, "--json", "--concurrency", "1")
        assert done.code == 70, done.stderr
        assert done.data["exit_code"] == 70
        assert "ZeroDivisionError at worker.py:" in done.data["reason"]
        assert "private" not in done.stderr
        assert "Traceback" not in done.stderr
        assert (await cli.status())["last_run"]["exit_code"] == 70
        again = await cli.run()
        assert again.code == 0, again.stderr
        await referee(cli, sandbox)
    assert query(cli.folder / "batcher.db", "SELECT exit_code FROM runs ORDER BY id") == [(70,), (0,)]


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_defect_inside_a_run_under_verbose_shows_where(
    cli: Cli, manifest: Callable[..., Path], log_format: str
) -> None:
    """With -v its whole traceback is there, for a report."""
    archive = manifest(tencent_ids(1))
    async with serving(cli):
        done = await broken_run(cli, archive, "-v", "--log-format", log_format)
    assert done.code == 70, done.stderr
    assert "ZeroDivisionError: private words" in done.stderr
    if log_format == "json":
        [event] = [event for event in map(json.loads, done.stderr.splitlines()) if event["event"] == "defect"]
        assert event["level"] == "error"
        assert event["place"].startswith("worker.py:")
