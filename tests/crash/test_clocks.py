"""A wall clock that jumps: the signature follows the service's time, and nothing else notices."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.cli import Cli, serving, tencent_ids, write_manifest
from support.library_run import run_here
from support.referee import referee

from batcher.exit_codes import ExitCode
from batcher.sandbox import SandboxSettings

HOUR_S = 3600.0
ROWS = 30


class Jumping:
    """A wall clock that jumps after it was read so often."""

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
async def test_a_clock_that_jumps_by_an_hour_delays_and_loses_nothing(
    cli: Cli, tmp_path: Path, jumps: tuple[float, ...]
) -> None:
    """Whichever way the wall clock jumps during a run, the run ends in its usual time with all submitted."""
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
