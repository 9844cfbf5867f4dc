"""Wall clocks that jump, alone or because the machine slept: nothing is lost and nothing waits for them."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import PICTURES, Cli, serving, tencent_ids, until, write_manifest
from support.ledger_sql import query, writing
from support.library_run import run_here
from support.referee import referee

from batcher.exit_codes import ExitCode
from batcher.sandbox import Fate, SandboxSettings, TaskSettings

HOUR_S = 3600.0
ROWS = 30


class Jumping:
    """A wall clock that jumps after a number of readings."""

    def __init__(self, after: int, *by_s: float) -> None:
        self.after = after
        self.by_s = by_s
        self.read = 0

    def __call__(self) -> float:
        """Unix seconds, as far as anybody knows."""
        self.read += 1
        jumps = min(self.read // self.after, len(self.by_s))
        return time.time() + sum(self.by_s[:jumps])


@pytest.mark.parametrize("jumps", [(HOUR_S,), (-HOUR_S,), (HOUR_S, -HOUR_S), (-HOUR_S, 2 * HOUR_S)])
async def test_clock_that_jumps_by_an_hour_delays_and_loses_nothing(
    cli: Cli, tmp_path: Path, jumps: tuple[float, ...]
) -> None:
    """A run ends in its usual time with all submitted, in whichever direction its wall clock jumps."""
    manifest = write_manifest(tmp_path / "rows.csv", ([one] for one in tencent_ids(ROWS)))
    settings = SandboxSettings(rate_per_s=None, shares={"code:1": 0.2}, seed=3)
    async with serving(cli, settings) as sandbox:
        ending = await run_here(
            tmp_path / "batcher.db", str(sandbox.url), [manifest], wall_clock=Jumping(40, *jumps)
        )
        assert ending.exit == ExitCode.DONE, ending.reason
        assert ending.seconds < 20
        rows = await referee(cli, sandbox)
    assert [row["status"] for row in rows] == ["submitted"] * ROWS


SLEEPING = """
import os, time
wall = time.time
time.time = lambda: wall() + (7200.0 if os.path.exists({slept!r}) else 0.0)
"""
"""A suspend as a process meets it: the monotonic clock has not moved, the wall's clock is two hours ahead."""


def sleepless(cli: Cli) -> Callable[[], None]:
    """Start commands as processes of their own; what is returned suspends their machine for two hours."""
    slept = cli.folder / "slept"
    (cli.folder / "site").mkdir()
    (cli.folder / "site" / "sitecustomize.py").write_text(SLEEPING.format(slept=str(slept)))
    cli.env["PYTHONPATH"] = str(cli.folder / "site")
    # Another name for the same interpreter: a process that is forked from the tests has imported all already.
    cli.python = f"{Path(sys.executable).parent}/./{Path(sys.executable).name}"
    return slept.touch


async def test_run_with_a_time_limit_on_a_machine_that_slept_ends(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """A limit of an hour is reached when the machine has slept for two."""
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        sleep = sleepless(cli)
        run = await cli.start(
            "run", manifest(tencent_ids(400)), *PICTURES, "--rate", "5", "--max-duration", "1h", "--json"
        )
        await sandbox.wait_for(lambda: len(sandbox.log) >= 3, 20)
        sleep()
        done = await cli.finish(run)
        assert done.code == 4, done.stderr
        assert done.data["reason"].startswith("time limit reached")
        assert len(sandbox.log) < 60


async def test_track_on_a_machine_that_slept_polls_on_waking(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A poll that is due in ten minutes is made immediately after a sleep of two hours."""
    ids = tencent_ids(3)
    tasks = TaskSettings(fates=dict.fromkeys(ids, Fate.ENDLESS))
    async with serving(cli, SandboxSettings(rate_per_s=None, tasks=tasks)) as sandbox:
        assert (await cli.run(manifest(ids), *PICTURES, "--track", "--track-timeout", "1s")).code == 4
        with writing(cli.folder / "batcher.db") as connection:
            connection.execute("UPDATE tasks SET polls = 30, due_at_ms = due_at_ms - 60000")
            connection.commit()
        sleep = sleepless(cli)

        def polls() -> int:
            return len(sandbox.requests_of("DescribeMediaTask"))

        def noted() -> bool:
            return query(cli.folder / "batcher.db", "SELECT count(*) FROM tasks WHERE polls = 31") == [(3,)]

        before = polls()
        track = await cli.start("track", "--max-duration", "3h")
        await until(noted)
        assert polls() == before + 3
        sleep()
        await sandbox.wait_for(lambda: polls() == before + 6, 20)
        track.send_signal(signal.SIGTERM)
        assert (await cli.finish(track)).code == 143
