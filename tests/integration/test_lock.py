"""The lock of a ledger in a file: its holder, waiting for it, and lock files without a holder.

Runs in PostgreSQL share a ledger: ``test_shared_runs.py``.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

import pytest
from support.cli import FAST, PICTURES, Cli, Process, serving, tencent_ids
from support.locked import flocked
from support.referee import referee

from batcher.errors import LedgerBusy
from batcher.ledger.holding import Holder, LockClient
from batcher.ledger.run_ledger import open_for_writing
from batcher.ledger.sqlite.lock import lock_holder, take_lock
from batcher.sandbox import Sandbox

WRITERS = {
    "run": ("run", "archive.csv", *PICTURES, *FAST),
    "load": ("load", "archive.csv", *PICTURES),
    "retry": ("retry",),
    "ledger prune": ("ledger", "prune", "--older-than", "90d"),
    "ledger vacuum": ("ledger", "vacuum"),
}


@asynccontextmanager
async def held(cli: Cli, manifest: Callable[..., Path]) -> AsyncIterator[tuple[Sandbox, Process]]:
    """A sandbox, and a run that holds the ledger for as long as anybody likes."""
    archive = manifest(tencent_ids(40))
    async with serving(cli) as sandbox:
        run = await cli.start("run", f"{archive}", *PICTURES, "--rate", "0.02", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.log) >= 1, 20)
        yield sandbox, run


def lock_text(ledger: Path) -> str:
    """What a lock file says of the holder of a ledger; empty for none."""
    return Path(f"{ledger}.lock").read_text("utf-8")


def write_lock_text(ledger: Path, text: str) -> None:
    """Write a content into a ledger's lock file, as its holder might."""
    Path(f"{ledger}.lock").write_text(text, "utf-8")


def looking_at(ledger: Path) -> TextIO:
    """A ledger's lock file, opened by a stranger."""
    return Path(f"{ledger}.lock").open("r", encoding="utf-8")


async def line_of(process: Process) -> str:
    """The next line of a command."""
    assert process.stderr is not None
    async with asyncio.timeout(90):
        return (await process.stderr.readline()).decode()


@pytest.mark.about_files
async def test_message_names_the_other_runs_process_host_and_start(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """The message names the holder of the ledger and its start; the holder's arguments are not shown."""
    async with held(cli, manifest) as (sandbox, run):
        sent = len(sandbox.log)
        since = (
            json.loads(lock_text(cli.folder / "batcher.db"))["since"].replace("T", " ").removesuffix("+00:00")
        )
        for words in WRITERS.values():
            done = await cli(*words)
            assert done.code == 5
            assert done.stderr == (
                f"batcher: {cli.folder}/batcher.db: another run holds this ledger: process {run.pid} on "
                f"{platform.node()}, since {since} UTC (batcher run). Wait for it, or use --wait-lock\n"
            )
        assert len(sandbox.log) == sent
        run.kill()
        await run.communicate()


@pytest.mark.about_files
@pytest.mark.parametrize("command", WRITERS)
async def test_command_waits_for_the_other_run(cli: Cli, manifest: Callable[..., Path], command: str) -> None:
    """With --wait-lock each writer says once for whom it waits, and does its work when that run has ended."""
    async with held(cli, manifest) as (sandbox, run):
        waiting = await cli.start(*WRITERS[command], "--wait-lock", "1m")
        said = await line_of(waiting)
        assert said.startswith(
            f"{cli.folder}/batcher.db: waiting up to 1 min for another run: process {run.pid} on "
        )
        run.send_signal(signal.SIGTERM)
        assert (await cli.finish(run)).code == 143
        done = await cli.finish(waiting)
        assert done.code == 0, done.stderr
        assert "waiting" not in done.stderr
        assert lock_text(cli.folder / "batcher.db") == "", "whose lock it was is taken away"
        await referee(cli, sandbox)
        if command == "run":
            assert len(sandbox.log) == 40


@pytest.mark.about_files
async def test_killed_holder_is_waited_for_no_longer(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The lock is gone with its process, however that ended."""
    async with held(cli, manifest) as (_, run):
        waiting = await cli.start("retry", env={"BATCHER_WAIT_LOCK": "1m"})
        assert "waiting" in await line_of(waiting)
        run.kill()
        await run.communicate()
        assert (await cli.finish(waiting)).code == 0


@pytest.mark.about_files
async def test_wait_for_the_lock_ends_with_exit_code_5(cli: Cli, manifest: Callable[..., Path]) -> None:
    """After the given time the command names the holder; with -q it says that alone."""
    async with held(cli, manifest) as (_, run):
        loud, quiet = await asyncio.gather(
            cli("retry", "--wait-lock", "500ms"), cli("retry", "--wait-lock", "0.5", "-q")
        )
        assert (loud.code, quiet.code) == (5, 5)
        assert [line.split(" ")[1] for line in loud.stderr.splitlines()] == [
            "waiting",
            f"{cli.folder}/batcher.db:",
        ]
        assert quiet.stderr.startswith(
            f"batcher: {cli.folder}/batcher.db: another run holds this ledger, still after less than 1 s: "
            f"process {run.pid} on "
        )
        assert len(quiet.stderr.splitlines()) == 1
        run.kill()
        await run.communicate()


@pytest.mark.about_files
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["run", "load", "ledger vacuum"])
async def test_signal_ends_the_wait_immediately(
    cli: Cli, manifest: Callable[..., Path], number: signal.Signals, command: str
) -> None:
    """The command has the signal's exit code, and nothing was done."""
    async with held(cli, manifest) as (_, run):
        waiting = await cli.start(*WRITERS[command], "--wait-lock", "1h")
        assert "waiting up to 1 h" in await line_of(waiting)
        waiting.send_signal(number)
        async with asyncio.timeout(5):
            done = await cli.finish(waiting)
        assert done.code == 128 + number
        assert done.stderr == f"batcher: {cli.folder}/batcher.db: stopped while waiting for another run\n"
        assert run.returncode is None
        run.kill()
        await run.communicate()


@pytest.mark.parametrize("duration", ["soon", "-1", "10 weeks", "inf"])
async def test_text_that_is_not_a_duration_is_refused(cli: Cli, duration: str) -> None:
    """Exit code 2 and the name of the option."""
    done = await cli("retry", f"--wait-lock={duration}")
    assert done.code == 2
    assert f"--wait-lock {duration}: " in done.stderr


def _ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _holder(**others: object) -> str:
    holder_fields = {"pid": os.getpid(), "host": platform.node(), "since": "2026-11-22T18:00:03+00:00"}
    return json.dumps(holder_fields | {"command": "batcher run"} | others) + "\n"


@pytest.mark.about_files
@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "{}\n",
        "[1]\n",
        _holder(pid="many"),
        _holder(pid=0),
        _holder(pid=-1),
        _holder(pid=10**30),
        _holder(since="yesterday"),
        _holder(since="0001-01-01T00:00:00+12:00"),
        _holder(command="x" * 2000),
        "\udcff\udcfe".encode("utf-8", "surrogateescape").decode("latin-1"),
        f"{_holder(pid=_ended_process())}",
    ],
    ids=range(13),
)
async def test_lock_file_without_a_holder_names_no_process(tmp_path: Path, text: str) -> None:
    """An empty or damaged lock file, and one that a killed process has left, name no process."""
    ledger = tmp_path / "l.db"
    with flocked(f"{ledger}.lock"):
        write_lock_text(ledger, text)
        assert await lock_holder(ledger) is True
        with pytest.raises(LedgerBusy, match="another run holds this ledger; its process is unknown"):
            await take_lock(ledger)
    async with await open_for_writing(ledger):
        holder = await lock_holder(ledger)
        assert isinstance(holder, Holder)
        assert (holder.pid, holder.host) == (os.getpid(), platform.node())
    assert await lock_holder(ledger) is False


@pytest.mark.about_files
async def test_holder_on_another_machine_is_named(tmp_path: Path) -> None:
    """Its process cannot be checked; its name is reported, safe for a terminal."""
    ledger = tmp_path / "l.db"
    with flocked(f"{ledger}.lock"):
        write_lock_text(ledger, _holder(pid=4711, host="night\x1b[31mly-1"))
        with pytest.raises(LedgerBusy) as caught:
            await take_lock(ledger, LockClient("batcher run", 0.0))
    assert str(caught.value) == (
        f"{ledger}: another run holds this ledger: process 4711 on night[31mly-1, "
        "since 2026-11-22 18:00:03 UTC (batcher run). Wait for it, or use --wait-lock"
    )


@pytest.mark.about_files
async def test_check_of_the_lock_keeps_no_run_out(tmp_path: Path) -> None:
    """A run that starts at the moment of a check tries again, and gets the ledger."""
    ledger = tmp_path / "l.db"
    write_lock_text(ledger, _holder(pid=_ended_process()))
    with looking_at(ledger) as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        taking = asyncio.create_task(take_lock(ledger))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not taking.done()
    (await taking).release()


@pytest.mark.about_files
async def test_check_of_the_lock_leaves_no_file(tmp_path: Path) -> None:
    """A missing lock file is not created."""
    assert await lock_holder(tmp_path / "l.db") is False
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - where nothing is, nothing blocks


@pytest.mark.about_files
async def test_reader_that_must_upgrade_reports_the_run(cli: Cli, tmp_path: Path) -> None:
    """The message does not mention --wait-lock, which a reading command does not have."""
    ledger = tmp_path / "batcher.db"
    ledger.write_bytes((Path(__file__).parents[1] / "ledgers" / "0001.db").read_bytes())
    with flocked(f"{ledger}.lock"):
        done = await cli("status")
    assert done.code == 5
    assert "another run holds this ledger" in done.stderr
    assert "--wait-lock" not in done.stderr
    assert (await cli("status")).code == 0
    assert lock_text(ledger) == ""
