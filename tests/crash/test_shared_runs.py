"""Runs that share a ledger in PostgreSQL, under faults: killed, stopped, cut off, with a server that dies.

The sandbox's log is the referee. Where a test needs the end of a lease, leases are short.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.cli import NO_LIMIT, Cli, Process, serving, until
from support.postgres_server import PostgresServer
from support.run_fleet import Fleet, judge_fleet
from support.short_leases import GRACE_S, SHORT_LEASES
from support.tcp_proxy import Fate, TcpProxy

from batcher.flowcontrol.pacer import LONGEST_BEGIN_S, places_in_line
from batcher.sandbox import Fault, Sandbox, SandboxSettings

QUICK = ("--rate", "40")
JITTER = 2
"""So many requests more may arrive in a second than have left in any, where the machine is busy."""


@pytest.fixture
def fleet(cli: Cli, postgres: PostgresServer, schema_url: str) -> Fleet:
    """Runs on a ledger of their own."""
    return Fleet(cli, postgres, schema_url.rpartition("=")[2])


@pytest.fixture
def own_fleet(cli: Cli, own_postgres: PostgresServer) -> Fleet:
    """Runs on a ledger whose server is theirs alone."""
    return Fleet(cli, own_postgres, "ledger")


@pytest.fixture
async def proxy(postgres: PostgresServer) -> AsyncIterator[TcpProxy]:
    """A proxy before the session's server."""
    async with TcpProxy(postgres.port).serving() as serving_proxy:
        yield serving_proxy


async def in_flight(fleet: Fleet, sandbox: Sandbox, n: int, run_id: int) -> None:
    """Wait until some requests have arrived, and a run has some whose answers it does not have."""
    await sandbox.wait_for(lambda: len(sandbox.log) >= n)
    await until(lambda: fleet.unsettled(run_id) >= 2)


async def judged(fleet: Fleet, sandbox: Sandbox, *, hold: bool = False) -> list[str]:
    """Let the referee judge; returns what was accepted more than once."""
    verdict = judge_fleet(fleet, sandbox.log, hold=hold)
    assert verdict.faults == {}
    await fleet.verify()
    return verdict.repeated


async def test_three_runs_share_the_limit_and_send_each_submission_once(fleet: Fleet) -> None:
    """In no second more than 20 requests leave, the shares add up to 20, and each run has exit code 0."""
    await fleet.load(120)
    async with serving(fleet.cli, NO_LIMIT, ledger_made=False) as sandbox:
        runs = [await fleet.start() for _ in range(3)]
        shares = "SELECT sum(share) FROM {s}.runs WHERE share > 0 HAVING count(*) = 3"
        await until(lambda: fleet.query(shares) == [(20,)])
        for run in runs:
            await fleet.finish(run, 0)
        assert await judged(fleet, sandbox) == []
    assert len(sandbox.log) == 120
    assert fleet.most_sent_in_a_second() <= 20 + JITTER  # a busy machine notes late when a request left


@pytest.mark.parametrize("policy", ["retry", "hold"])
async def test_killed_run_of_two_is_taken_over_by_the_other(fleet: Fleet, policy: str) -> None:
    """What was on its way is in doubt at once, and is sent again under retry and held under hold."""
    fleet.cli.constants |= SHORT_LEASES
    await fleet.load(120)
    settings = SandboxSettings(rate_per_s=None, latency_ms=300)
    async with serving(fleet.cli, settings, ledger_made=False) as sandbox:
        first = await fleet.start(*QUICK, "--in-doubt", policy)
        await sandbox.wait_for(lambda: len(sandbox.log) > 0)
        second = await fleet.start(*QUICK, "--in-doubt", policy)
        await until(lambda: len(fleet.query("SELECT 1 FROM {s}.attempts WHERE run_id = 2 LIMIT 1")) == 1)
        await in_flight(fleet, sandbox, 20, 1)
        first.kill()
        await first.communicate()
        done = await fleet.finish(second, 0 if policy == "retry" else 1)
        repeated = await judged(fleet, sandbox, hold=policy == "hold")
    assert "took over from a run that is lost" in done.stderr
    assert fleet.query("SELECT reason FROM {s}.runs WHERE id = 1") == [("its process has ended",)]
    in_doubt = fleet.query("SELECT count(*) FROM {s}.submissions WHERE state = 'in_doubt'")[0][0]
    assert (in_doubt > 0) == (policy == "hold")
    assert repeated == [] or policy == "retry"


async def test_attempt_that_waits_for_its_turn_does_not_leave_after_a_takeover(fleet: Fleet) -> None:
    """The run that slept holds it back, and says that it was not sent, which takes the doubt off."""
    fleet.cli.constants |= SHORT_LEASES
    await fleet.load(100)
    async with serving(fleet.cli, NO_LIMIT, ledger_made=False) as sandbox:
        sleeper = await fleet.start("--rate", "0.3", "--timeout", "1", "--limit", "3")
        one_of_two = "SELECT count(*), count(outcome) FROM {s}.attempts"
        await until(lambda: fleet.query(one_of_two) == [(2, 1)])  # the second has begun, and waits
        other = await fleet.start("--rate", "18", "--timeout", "1")
        sleeper.send_signal(signal.SIGSTOP)
        lost = """SELECT file_id FROM {s}.submissions JOIN {s}.history ON id = submission_id
            WHERE decision = 'in_doubt'"""
        await until(lambda: fleet.query(lost) != [])
        sent = len(sandbox.requests_for(fleet.query(lost)[0][0]))
        sleeper.send_signal(signal.SIGCONT)
        await fleet.finish(sleeper, 0, 4)
        await fleet.finish(other, 0)
        assert await judged(fleet, sandbox) == []
    assert sent == 0
    ends = "SELECT decision FROM {s}.history WHERE run_id = 1 AND outcome = 'not_sent'"
    assert len(fleet.query(ends)) >= 1


async def test_late_answers_of_a_run_that_was_taken_over_are_evidence(fleet: Fleet) -> None:
    """A run that wakes after its lease gets it again, and what it has been answered counts."""
    fleet.cli.constants |= SHORT_LEASES | {"batcher.submit.sharing:SPARE_S": GRACE_S - 30}
    await fleet.load(250)
    settings = SandboxSettings(rate_per_s=None, latency_ms=300)
    async with serving(fleet.cli, settings, ledger_made=False) as sandbox:
        first = await fleet.start(*QUICK)
        await sandbox.wait_for(lambda: len(sandbox.log) > 0)
        second = await fleet.start(*QUICK)
        await in_flight(fleet, sandbox, 20, 1)
        first.send_signal(signal.SIGSTOP)
        await until(lambda: fleet.query("SELECT lost_at_ms IS NULL FROM {s}.runs WHERE id = 1") == [(False,)])
        first.send_signal(signal.SIGCONT)
        for run in (first, second):
            await fleet.finish(run, 0)
        await judged(fleet, sandbox)
    evidence = fleet.query(
        """SELECT count(*) FROM {s}.history AS before JOIN {s}.history AS late USING (submission_id, number)
        WHERE before.decision = 'in_doubt' AND late.decision = 'submitted' AND late.at_s > before.at_s"""
    )
    assert evidence[0][0] > 0
    assert fleet.query("SELECT exit_code, lost_at_ms FROM {s}.runs WHERE id = 1") == [(0, None)]


@pytest.mark.parametrize("fate", [Fate.LOSE_COMMIT, Fate.LOSE_ANSWER, Fate.CUT_AT_ONCE])
async def test_run_that_loses_every_second_commit_leaves_no_doubt(
    fleet: Fleet, proxy: TcpProxy, fate: Fate
) -> None:
    """Each COMMIT or its answer is lost once: nothing is in doubt, and each submission is sent once."""
    await fleet.load(5)
    async with serving(fleet.cli, NO_LIMIT, ledger_made=False) as sandbox:
        proxy.fate_of = lambda n: fate if n % 2 else Fate.FORWARD
        run = await fleet.start(proxy=proxy)
        await fleet.finish(run, 0)
        await judged(fleet, sandbox)
    assert proxy.commits > 10
    assert len(sandbox.log) == 5
    assert fleet.query("SELECT count(*) FROM {s}.history WHERE decision = 'in_doubt'") == [(0,)]


async def test_submission_refused_as_busy_after_a_doubt_is_sent_again(fleet: Fleet) -> None:
    """What waits for its time and was in doubt before keeps no run waiting for more than that time."""
    await fleet.load(1)
    settings = SandboxSettings(
        rate_per_s=None, script={1: Fault.parse("drop-after"), 2: Fault.parse("code:1")}
    )
    async with serving(fleet.cli, settings, ledger_made=False) as sandbox:
        await fleet.finish(await fleet.start(), 0)
        await judged(fleet, sandbox)
    assert len(sandbox.log) == 3


async def test_run_stopped_within_a_transaction_holds_up_the_others_for_seconds_only(
    fleet: Fleet, proxy: TcpProxy
) -> None:
    """The server ends the transaction, the other run continues, and the sleeper sends nothing of it."""
    fleet.cli.constants |= SHORT_LEASES
    await fleet.load(150)
    settings = SandboxSettings(rate_per_s=None, latency_ms=100)
    async with serving(fleet.cli, settings, ledger_made=False) as sandbox:
        first = await fleet.start(*QUICK, "--timeout", "1", proxy=proxy)
        await sandbox.wait_for(lambda: len(sandbox.log) > 0)
        second = await fleet.start(*QUICK, "--timeout", "1")
        await in_flight(fleet, sandbox, 20, 1)
        proxy.fate_of = _stopping(first)
        await until(lambda: fleet.query("SELECT lost_at_ms IS NULL FROM {s}.runs WHERE id = 1") == [(False,)])
        proxy.fate_of = lambda _: Fate.FORWARD
        first.send_signal(signal.SIGCONT)
        for run in (first, second):
            await fleet.finish(run, 0)
        await judged(fleet, sandbox)


async def test_run_whose_connection_is_swallowed_connects_again(fleet: Fleet, proxy: TcpProxy) -> None:
    """A connection that takes everything and answers nothing is given up, and the run ends well."""
    fleet.cli.constants |= SHORT_LEASES
    await fleet.load(60)
    async with serving(fleet.cli, NO_LIMIT, ledger_made=False) as sandbox:
        run = await fleet.start(proxy=proxy)
        await sandbox.wait_for(lambda: len(sandbox.log) > 10)
        proxy.forget_connections()
        await fleet.finish(run, 0)
        assert await judged(fleet, sandbox) == []
    assert fleet.query("SELECT count(*) FROM {s}.history WHERE decision = 'in_doubt'") == [(0,)]


async def test_run_whose_first_connection_is_swallowed_begins_all_the_same(
    fleet: Fleet, proxy: TcpProxy
) -> None:
    """A connection that hangs before the run has joined the others is given up, too."""
    fleet.cli.constants |= SHORT_LEASES
    await fleet.load(3)
    async with serving(fleet.cli, NO_LIMIT, ledger_made=False) as sandbox:
        proxy.fate_of = lambda n: Fate.HOLD if n == 1 else Fate.FORWARD
        await fleet.finish(await fleet.start(proxy=proxy), 0)
        assert await judged(fleet, sandbox) == []
    assert len(sandbox.log) == 3


async def test_server_that_crashes_under_two_runs_is_waited_for(own_fleet: Fleet) -> None:
    """No run is declared lost, nothing is in doubt, and both go on."""
    fleet = own_fleet
    await fleet.load(150)
    async with serving(fleet.cli, NO_LIMIT, ledger_made=False) as sandbox:
        runs = [await fleet.start(*QUICK) for _ in range(2)]
        await sandbox.wait_for(lambda: len(sandbox.log) > 30)
        fleet.server.restart("immediate")
        for run in runs:
            await fleet.finish(run, 0)
        assert await judged(fleet, sandbox) == []
    assert len(sandbox.log) == 150
    assert fleet.query("SELECT count(*) FROM {s}.history WHERE decision = 'in_doubt'") == [(0,)]
    assert fleet.query("SELECT count(*) FROM {s}.runs WHERE lost_at_ms IS NOT NULL OR exit_code <> 0") == [
        (0,)
    ]


async def test_stopped_run_whose_server_is_gone_ends_within_the_patience_of_a_close(own_fleet: Fleet) -> None:
    """It does not wait for ten minutes, has exit code 6, and names what it could not record."""
    fleet = own_fleet
    fleet.cli.constants |= {
        "batcher.ledger.writer:CLOSING_PATIENCE_S": 1.0,
        "batcher.ledger.read_thread:CLOSING_PATIENCE_S": 1.0,
    }
    await fleet.load(400)
    async with serving(
        fleet.cli, SandboxSettings(rate_per_s=None, latency_ms=300), ledger_made=False
    ) as sandbox:
        run = await fleet.start()
        await in_flight(fleet, sandbox, 10, 1)
        fleet.server.stop("immediate")
        run.send_signal(signal.SIGTERM)
        done = await fleet.finish(run, 6)
    assert "not recorded: 139775789" in done.stderr


async def test_server_that_has_forgotten_stops_the_run_and_shows_what_was_begun(own_fleet: Fleet) -> None:
    """With exit code 6; nothing is sent after, and each attempt that the server has forgotten is listed."""
    fleet, plan = own_fleet, own_fleet.server.plan
    await fleet.load(400)
    async with serving(fleet.cli, NO_LIMIT, ledger_made=False) as sandbox:
        run = await fleet.start()
        await sandbox.wait_for(lambda: len(sandbox.log) > 5)
        fleet.server.stop()
        older = plan.data.with_name("older")
        copy_owned(plan.data, older)
        fleet.server.start()
        remembered = {
            file_id for (file_id,) in fleet.query("SELECT file_id FROM {s}.submissions WHERE attempts > 0")
        }
        await sandbox.wait_for(lambda: len(sandbox.log) > len(remembered) + 10)
        fleet.server.stop("immediate")
        shutil.rmtree(plan.data)
        older.rename(plan.data)
        sent = len(sandbox.log)
        fleet.server.start()
        done = await fleet.finish(run, 6)
        assert "forgotten" in done.stderr
        begun = places_in_line(20, LONGEST_BEGIN_S)  # at most, before the server was stopped
        assert len(sandbox.log) <= sent + begun
        forgotten = {entry.file_id for entry in sandbox.log} - remembered
    assert len(forgotten) > 5
    assert [one for one in forgotten if one not in done.stderr] == []


def _stopping(process: Process) -> Callable[[int], Fate]:
    def stop(_: int) -> Fate:
        os.kill(process.pid, signal.SIGSTOP)
        return Fate.HOLD

    return stop


def copy_owned(folder: Path, to: Path) -> None:
    """Copy a folder with the owners of its files: the server runs as another user than root."""
    subprocess.run(["cp", "-a", folder, to], check=True)
