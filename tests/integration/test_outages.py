"""Outages: the run waits for the endpoint, no submission fails, and the run resumes."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, Cli, said, serving, tencent_ids, until
from support.ledger_sql import query
from support.referee import referee

from batcher.model.outcome import NO_ANSWERS
from batcher.sandbox import Fault, RequestSeen, Sandbox, SandboxSettings

NOT_SENT = "SELECT count(*) FROM attempts WHERE outcome = 'not_sent'"
TRIES = "SELECT sum(tries_busy + tries_unknown + tries_doubt) FROM submissions"


async def test_refused_connections_are_waited_for_and_use_up_no_tries(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """While no server listens hardly anything is tried; when one does again, everything is submitted."""
    archive = manifest(tencent_ids(60))
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        process = await cli.start("run", archive, *PICTURES, "--rate", "40", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.log) >= 10, 20)
        await sandbox.stop_listening()
        await said(process, "does not answer")
        await sandbox.start_listening()
        done = await cli.finish(process)
        assert done.code == 0, done.stderr
        assert "answers again" in done.stderr
        rows = await referee(cli, sandbox)
    assert [row["status"] for row in rows] == ["submitted"] * 60
    assert query(cli.folder / "batcher.db", NOT_SENT)[0][0] <= 10
    assert query(cli.folder / "batcher.db", TRIES)[0][0] <= 1  # one may have been in flight


async def test_endpoint_that_closes_every_connection_is_probed_by_the_harmless_call(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """After five calls without an answer only probes are sent, which start no task."""
    archive = manifest(tencent_ids(30))
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        sandbox.outage = True
        process = await cli.start(
            *("run", archive, *PICTURES, "--rate", "40", "--progress", "none", "--concurrency", "4")
        )
        await sandbox.wait_for(lambda: _probes(sandbox) >= 2, 20)
        assert len(sandbox.log) - _probes(sandbox) <= 8
        sandbox.outage = False
        done = await cli.finish(process)
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
    assert [row["status"] for row in rows] == ["submitted"] * 30


async def test_run_can_be_stopped_during_an_outage(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A signal ends a run that waits for its endpoint, and nothing is left being sent."""
    archive = manifest(tencent_ids(30))
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        await sandbox.stop_listening()
        process = await cli.start("run", archive, *PICTURES, *FAST)
        await said(process, "does not answer")
        process.send_signal(signal.SIGTERM)
        done = await cli.finish(process)
        assert done.code == 143
        status = await cli.status()
        await sandbox.start_listening()
    assert status["submissions"]["pending"] == 30


@pytest.mark.parametrize(
    ("by", "code", "said"),
    [
        (signal.SIGTERM, 143, "stopped by SIGTERM"),
        (signal.SIGINT, 130, "stopped by SIGINT"),
        (None, 4, "time limit reached"),
    ],
)
async def test_command_that_ends_during_an_outage_names_it(
    cli: Cli, manifest: Callable[..., Path], by: signal.Signals | None, code: int, said: str
) -> None:
    """The start of the outage, the last outcome and the remedy: in words, and for programs."""
    archive = manifest(tencent_ids(30))
    window = () if by else ("--max-duration", "2s")
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        await sandbox.stop_listening()
        process = await cli.start("run", archive, *PICTURES, *FAST, *window, "--json", "--log-format", "json")
        assert process.stderr is not None
        async with asyncio.timeout(90):
            while b"outage_began" not in await process.stderr.readline():
                pass
        if by:
            process.send_signal(by)
        done = await cli.finish(process)
        again = await cli("run", *FAST, "-q", "--max-duration", "1s")
        await sandbox.start_listening()
    assert (done.code, again.code) == (code, 4)
    pattern = (
        r" while the endpoint did not answer \(since (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC, "
        r"last: Connection refused\); 30 submissions left\. Check the network and BATCHER_ENDPOINT, "
        r"then run again to resume"
    )
    event = json.loads(done.stderr.splitlines()[-1])
    assert (event["event"], event["exit_code"]) == ("run_finished", code)
    [since] = re.findall(re.escape(said) + pattern, event["reason"])
    assert done.data["outage"] == event["outage"]
    assert event["outage"]["met"] == "Connection refused"
    assert event["outage"]["since"].replace("T", " ").startswith(since)
    assert re.match("batcher: time limit reached" + pattern + "\n", again.stderr)


async def test_ended_outage_is_not_named(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A run that is stopped after its endpoint answers again was stopped by a signal, and nothing else."""
    archive = manifest(tencent_ids(60))
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        await sandbox.stop_listening()
        process = await cli.start("run", archive, *PICTURES, "--rate", "20", "--progress", "none", "--json")
        await until(lambda: query(cli.folder / "batcher.db", NOT_SENT)[0][0] >= NO_ANSWERS)
        await sandbox.start_listening()
        await sandbox.wait_for(lambda: len(sandbox.accepted()) >= 3, 20)
        process.send_signal(signal.SIGTERM)
        done = await cli.finish(process)
    assert done.code == 143
    assert (done.data["reason"], done.data["outage"]) == ("stopped by SIGTERM", None)


def _probes(sandbox: Sandbox) -> int:
    return sum(not entry.file_id for entry in sandbox.log)


async def test_code_7_after_successes_that_a_probe_confirms_halts(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Credentials that stop working halt the run after one probe, with the submissions still to be sent."""
    archive = manifest(tencent_ids(40))
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        process = await cli.start(
            *("run", archive, *PICTURES, "--rate", "40", "--progress", "none", "--concurrency", "2")
        )
        await sandbox.wait_for(lambda: len(sandbox.log) >= 5, 20)
        sandbox.account_code = 7
        done = await cli.finish(process)
        assert done.code == 3
        assert "code 7" in done.stderr
        assert _probes(sandbox) == 1
        rows = await referee(cli, sandbox)
    assert {row["status"] for row in rows} == {"submitted", "pending"}


async def test_code_7_after_successes_without_a_confirming_probe_counts_as_throttling(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """A single code 7 among successes costs a pause and a probe, and nothing else."""
    archive = manifest(tencent_ids(20))
    settings = SandboxSettings(rate_per_s=None, script={6: Fault.parse("code:7")})
    async with serving(cli, settings) as sandbox:
        done = await cli("run", archive, *PICTURES, "--rate", "40", "--progress", "none")
        assert done.code == 0, done.stderr
        assert _probes(sandbox) == 1
        rows = await referee(cli, sandbox)
    assert [row["status"] for row in rows] == ["submitted"] * 20


async def test_too_many_failures_halt_and_loading_finishes(cli: Cli, manifest: Callable[..., Path]) -> None:
    """At --max-failures the run halts with exit 3, and the whole manifest is in the ledger all the same."""
    archive = manifest(tencent_ids(3000))
    settings = SandboxSettings(rate_per_s=None, shares={"code:41003": 1.0})
    async with serving(cli, settings) as sandbox:
        done = await cli.run(archive, *PICTURES, "--max-failures", "10", "--concurrency", "1")
        assert done.code == 3
        assert "Too many failures: 10" in done.stderr
        rows = await referee(cli, sandbox)
    assert len(rows) == 3000
    assert sum(row["status"] == "rejected" for row in rows) == 10


async def test_share_of_failures_is_of_the_last_200_and_can_be_turned_off(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Half of the last 200 rejected halts a run by default; fewer than 200 do not; off never halts."""
    archive = manifest(tencent_ids(450))
    half = SandboxSettings(rate_per_s=None, choose=_every_second)
    async with serving(cli, half) as sandbox:
        done = await cli.run(archive, *PICTURES, "--limit", "190", "--concurrency", "1")
        assert done.code == 4, done.stderr
        done = await cli.run(*PICTURES, "--concurrency", "1")
        assert done.code == 3
        assert "of the last 200" in done.stderr
        done = await cli.run(*PICTURES, "--max-failures", "off")
        assert done.code == 1
        rows = await referee(cli, sandbox)
    assert sum(row["status"] == "rejected" for row in rows) == 225


def _every_second(seen: RequestSeen) -> Fault | None:
    return Fault.parse("code:41003") if seen.number % 2 else None


async def test_retry_after_holds_every_turn_back(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A 503 that asks for a second of silence gets it from the whole run."""
    archive = manifest(tencent_ids(12))
    settings = SandboxSettings(rate_per_s=None, script={4: Fault.parse("http:503:1")})
    async with serving(cli, settings) as sandbox:
        done = await cli("run", archive, *PICTURES, "--rate", "40", "--progress", "none")
        assert done.code == 0, done.stderr
        await referee(cli, sandbox)
    arrived = [entry.arrived_s for entry in sandbox.log]
    gaps = [after - before for before, after in pairwise(arrived)]
    assert max(gaps[3:]) >= 0.95
