"""The limit of one AppId and Action, shared by all senders and counted at the server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from counted import lateness, moments, most_in_a_second, rate_of
from support.callbacks import callbacks, listening, post, sealed, snapshot
from support.cli import PICTURES, Cli, serving, tencent_ids, until, write_manifest
from support.ledger_place import is_made, name_of
from support.ledger_sql import query
from support.referee import referee
from support.task_ages import age

from batcher import Account, Defaults, ExitCode, LedgerBusy, ReadOptions, RunSettings, open_ledger
from batcher.sandbox import (
    SANDBOX_APP_ID,
    SANDBOX_SERVER_SECRET,
    Fault,
    Sandbox,
    SandboxSettings,
    TaskSettings,
)
from batcher.zego.client import ZegoClient

POLL = "DescribeMediaTask"
LIMIT = 20
ASKED = ReadOptions(Defaults(vendor="Tencent", definition=10, offsets=(1,)))
ACCOUNT = Account(SANDBOX_APP_ID, SANDBOX_SERVER_SECRET)
NO_LIMIT = SandboxSettings(rate_per_s=None)
QUIET = ("--progress", "none")


def archives(folder: Path, *rows: int) -> list[Path]:
    """Manifests without a common recording, with these numbers of rows."""
    ids = iter(tencent_ids(sum(rows), seed=7))
    return [
        write_manifest(folder / f"{n}.csv", ([next(ids)] for _ in range(wanted)))
        for n, wanted in enumerate(rows)
    ]


async def test_two_ledgers_in_one_process_keep_one_limit(tmp_path: Path) -> None:
    """Two runs of one program at 20/s each send 20/s together, and both make progress."""
    manifests, sandbox = archives(tmp_path, 50, 50), Sandbox(NO_LIMIT)
    async with sandbox.serve() as url, lateness() as late, AsyncExitStack() as stack:
        ledgers = [
            await stack.enter_async_context(open_ledger(tmp_path / f"{n}.db")) for n in range(len(manifests))
        ]
        endings = await asyncio.gather(
            *(
                ledger.run(ACCOUNT, manifests=[manifest], how=ASKED, endpoint=url)
                for ledger, manifest in zip(ledgers, manifests, strict=True)
            )
        )
    assert [ending.exit_code for ending in endings] == [ExitCode.DONE] * 2
    assert min(ending.seconds for ending in endings) > 4
    assert most_in_a_second(moments(sandbox.log), late.most_s) <= LIMIT
    assert rate_of(moments(sandbox.log), late.lost_s) >= 18


async def test_second_run_on_the_machine_has_exit_code_5_or_waits(cli: Cli) -> None:
    """It names the other ledger and process, or starts when that has ended: never 21 in a second."""
    first, second = archives(cli.folder, 200, 40)
    async with serving(cli, NO_LIMIT) as sandbox, lateness() as late:
        running = await cli.start("run", first, *PICTURES, *QUIET, "-l", "first.db")
        await sandbox.wait_for(lambda: len(sandbox.log) >= 5, 20)
        refused = await cli("run", second, *PICTURES, *QUIET, "-l", "second.db")
        assert refused.code == 5
        for word in (f"process {running.pid} on", str(cli.folder / "first.db"), "--rate", "--wait-lock"):
            assert word in refused.stderr
        waited = await cli("run", second, *PICTURES, *QUIET, "-l", "second.db", "--wait-lock", "20s")
        assert waited.code == 0, waited.stderr
        assert "waiting up to 20 s" in waited.stderr
        assert (await cli.finish(running)).code == 0
        assert most_in_a_second(moments(sandbox.log), late.most_s) <= LIMIT
    assert len(moments(sandbox.log)) == 240


async def test_runs_whose_rates_add_up_to_the_limit_run_together(cli: Cli) -> None:
    """12/s and 8/s are 20/s together; a third run has no room, a probe of ``check`` has."""
    first, second = archives(cli.folder, 120, 80)
    async with serving(cli, NO_LIMIT) as sandbox, lateness() as late:
        runs = [
            await cli.start("run", manifest, *PICTURES, *QUIET, "-l", f"{rate}.db", "--rate", rate)
            for manifest, rate in ((first, "12"), (second, "8"))
        ]
        await until(lambda: all(sent(cli, f"{rate}.db") >= 3 for rate in ("12", "8")))
        third = await cli("run", first, *PICTURES, *QUIET, "-l", "third.db", "--rate", "0.5")
        assert third.code == 5
        checked = await cli("check", "-l", "12.db", "--json")
        assert checked.code == 0, checked.stdout
        assert [(await cli.finish(run)).code for run in runs] == [0, 0]
        assert most_in_a_second(moments(sandbox.log), late.most_s) <= LIMIT
    assert rate_of(moments(sandbox.log)[:40], late.lost_s) >= 15


def sent(cli: Cli, ledger: str) -> int:
    """The number of attempts in a ledger."""
    if not is_made(cli.folder / ledger):
        return 0
    try:
        return int(query(cli.folder / ledger, "SELECT count(*) FROM attempts")[0][0])
    except Exception:
        return 0


async def test_library_names_another_program_that_uses_the_limit(cli: Cli, tmp_path: Path) -> None:
    """A run of the library next to one of the command line raises, or waits as the ledger was opened."""
    first, second = archives(tmp_path, 160, 20)
    async with serving(cli, NO_LIMIT) as sandbox, lateness() as late:
        running = await cli.start("run", first, *PICTURES, *QUIET, "-l", "first.db")
        await sandbox.wait_for(lambda: len(sandbox.log) >= 1, 20)
        async with open_ledger(tmp_path / "second.db") as ledger:
            with pytest.raises(LedgerBusy, match=re.escape(str(name_of(tmp_path / "first.db")))):
                await ledger.run(ACCOUNT, manifests=[second], how=ASKED, endpoint=sandbox.url)
            slow = RunSettings(rate_per_s=0.5)
            with pytest.raises(LedgerBusy):
                await ledger.run(ACCOUNT, slow, manifests=[second], how=ASKED, endpoint=sandbox.url)
        async with open_ledger(tmp_path / "second.db", wait_s=20.0) as ledger:
            summary = await ledger.run(ACCOUNT, manifests=[second], how=ASKED, endpoint=sandbox.url)
        assert summary.exit_code == ExitCode.DONE
        assert (await cli.finish(running)).code == 0
        assert most_in_a_second(moments(sandbox.log), late.most_s) <= LIMIT


async def test_probe_that_leaves_late_counts_in_the_second_it_leaves(
    tmp_path: Path, manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage whose probe had to wait for its connection, no second holds a 21st request."""
    probe, probes = ZegoClient.probe, 0

    async def slowly(self: ZegoClient, *args: object, **more: object) -> object:
        nonlocal probes
        probes += 1
        sandbox.outage = probes < 2
        await asyncio.sleep(0.9)
        return await probe(self, *args, **more)  # type: ignore[arg-type] # passed on unchanged

    monkeypatch.setattr(ZegoClient, "probe", slowly)
    sandbox = Sandbox(NO_LIMIT)
    async with sandbox.serve() as url, lateness() as late, open_ledger(tmp_path / "batcher.db") as ledger:
        run = asyncio.create_task(
            ledger.run(ACCOUNT, manifests=[manifest(tencent_ids(120))], how=ASKED, endpoint=url)
        )
        await sandbox.wait_for(lambda: len(sandbox.log) >= 40, 20)
        sandbox.outage = True
        summary = await run
    assert summary.exit_code == ExitCode.DONE
    assert probes == 2
    assert most_in_a_second(moments(sandbox.log), late.most_s) <= LIMIT


async def test_polls_and_confirmations_of_track_keep_one_limit(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Polls leave room for the checks of doubts."""
    doubts, tasks = 14, 70
    settings = callbacks(
        script={2 * n: Fault.parse("drop-after") for n in range(1, doubts + 1)},  # no outage: others succeed
        tasks=TaskSettings(time_s=3600),
    )
    async with serving(cli, settings) as sandbox, lateness() as late:
        left_out = dict.fromkeys(("BATCHER_APP_ID", "BATCHER_SERVER_SECRET"), "")
        async with listening(cli, env=left_out) as listener:
            sandbox.callback_url = listener.url
            archive = manifest(tencent_ids(doubts + tasks))
            assert (await cli.run(archive, *PICTURES, "--in-doubt", "hold", "--concurrency", "1")).code == 1
            sandbox.advance(3600)
            checked = "SELECT count(*) FROM callbacks WHERE effect = 'checked'"
            await until(lambda: query(cli.folder / "batcher.db", checked) == [(doubts,)])
        age(cli, 10)
        done = await cli("track", *QUIET)
        assert done.code == 0, done.stderr
        assert len(sandbox.requests_of(POLL)) >= tasks + doubts
        assert most_in_a_second(moments(sandbox.log, POLL), late.most_s) <= LIMIT
        await referee(cli, sandbox)


async def test_listen_and_track_together_keep_one_limit(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Two processes that poll at 20/s each poll at 20/s together."""
    settings = SandboxSettings(rate_per_s=None, tasks=TaskSettings(time_s=3600))
    async with serving(cli, settings) as sandbox, lateness() as late:
        done = await cli.run(manifest(tencent_ids(120)), *PICTURES)
        assert done.code == 0, done.stderr
        age(cli, 10)
        async with listening(cli) as listener:
            for task_id in sandbox.accepted():
                status, _ = await post(listener.url, sealed(snapshot(task_id)))
                assert status == 200
            await sandbox.wait_for(lambda: len(sandbox.requests_of(POLL)) >= 10, 20)
            before = len(sandbox.requests_of(POLL))
            tracked = await cli("track", *QUIET, "--max-duration", "4s", "--json")
            assert tracked.code == 4
            polls = len(sandbox.requests_of(POLL)) - before
        assert 10 <= tracked.data["tracking"]["polls"] <= polls - 10
        assert polls >= 60
        assert most_in_a_second(moments(sandbox.log, POLL), late.most_s) <= LIMIT
