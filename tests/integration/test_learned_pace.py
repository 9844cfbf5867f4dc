"""The pace that a run learns: kept for the next run as a share of its rate, and reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from counted import lateness, moments, rate_of
from support.cli import PICTURES, Cli, serving, tencent_ids

from batcher import Account, Defaults, ReadOptions, RunSettings, open_ledger
from batcher.sandbox import SANDBOX_APP_ID, SANDBOX_SERVER_SECRET, Fault, Sandbox, SandboxSettings

ASKED = ReadOptions(Defaults(vendor="Tencent", definition=10, offsets=(1,)))
ACCOUNT = Account(SANDBOX_APP_ID, SANDBOX_SERVER_SECRET)


async def test_pace_learned_at_a_low_rate_does_not_slow_a_later_run(
    tmp_path: Path, manifest: Callable[..., Path]
) -> None:
    """A run at 20/s after one at 1/s that was refused begins near 20/s."""
    ids = tencent_ids(63)
    refused = {n: Fault.parse("code:6") for n in range(1, 4)}
    sandbox = Sandbox(SandboxSettings(rate_per_s=None, script=refused))
    async with sandbox.serve() as url, lateness() as late, open_ledger(tmp_path / "batcher.db") as ledger:
        slow = RunSettings(rate_per_s=1)
        await ledger.run(ACCOUNT, slow, manifests=[manifest(ids[:3], "few.csv")], how=ASKED, endpoint=url)
        before = len(sandbox.log)
        await ledger.run(ACCOUNT, manifests=[manifest(ids[3:])], how=ASKED, endpoint=url)
    later = moments(sandbox.log[before:])
    assert len(later) == 60
    assert rate_of(later, late.lost_s) >= 14


async def test_busy_gateway_is_not_reported_as_throttling(cli: Cli, manifest: Callable[..., Path]) -> None:
    """HTTP 503s are named as such, not as calls that are too frequent."""
    busy = {n: Fault.parse("http:503:1") for n in range(10, 20)}
    async with serving(cli, SandboxSettings(rate_per_s=None, script=busy)):
        archive = manifest(tencent_ids(20))
        done = await cli("run", archive, *PICTURES, "--progress", "none", "--log-format", "json")
        assert done.code == 0, done.stderr
        last = (await cli.status())["last_run"]
    assert "HTTP 503" in last["why_slow"]
    assert "too frequent" not in last["why_slow"]
