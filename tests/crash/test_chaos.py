"""Chaos over runs that share a ledger: nothing is lost, and nothing is sent twice unknowingly.

``make chaos`` makes it long. The sandbox's log and a history of all attempts are the referee.
"""

from __future__ import annotations

from random import Random

import pytest
from support.chaos import Chaos
from support.cli import Cli
from support.postgres_server import PostgresServer
from support.run_fleet import Fleet, judge_fleet


@pytest.mark.parametrize("policy", ["retry", "hold"])
async def test_runs_under_faults_lose_nothing_and_repeat_only_what_is_in_doubt(
    cli: Cli, own_postgres: PostgresServer, policy: str, chaos_faults: int, chaos_seed: int | None
) -> None:
    """After faults of all kinds each request that arrived is on record, and each repetition was in doubt."""
    seed = Random().randrange(2**32) if chaos_seed is None else chaos_seed
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails, and by make chaos
    rng = Random(seed)
    fleet = Fleet(cli, own_postgres, "ledger")
    runs = 2 if chaos_faults < 20 else rng.randrange(2, 9)
    chaos = Chaos(fleet, rng, runs, chaos_faults, away_s=min(20.0, chaos_faults / 5), policy=policy)
    sandbox = await chaos.carry_out(max(200, 25 * chaos_faults))
    verdict = judge_fleet(fleet, sandbox.log, hold=policy == "hold")
    doubts = fleet.query("SELECT count(*) FROM {s}.history WHERE decision = 'in_doubt'")[0][0]
    print(  # noqa: T201
        f"{runs} runs, {len(fleet.ids)} submissions, {len(sandbox.log)} requests, {dict(chaos.done)}, "
        f"exits {dict(chaos.ends)}, {doubts} doubts, {len(verdict.repeated)} accepted twice, "
        f"faults {[(name, len(found)) for name, found in verdict.faults.items()]}"
    )
    assert chaos.errors == []
    assert {name: found[:5] for name, found in verdict.faults.items()} == {}
    if policy == "hold":
        assert verdict.repeated == []
    await fleet.verify()
