"""An unread stderr: the run continues, needed lines wait for the reader, and the end does not."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, Cli, serving, tencent_ids

from batcher.cli.terminal.stderr_writer import Outlet
from batcher.sandbox import Fault, SandboxSettings

IDS = tencent_ids(60)
ONE_MISSING = SandboxSettings(rate_per_s=None, by_file={IDS[0]: Fault.parse("code:41003")})

OFTEN = """
import sys
from batcher.cli import main
from batcher.cli.terminal import progress, stderr_writer
from batcher.submit import progress_reporter

progress.PLAIN_EVERY_S = progress.REFRESH_S = progress_reporter.REPORT_S = 0.02
stderr_writer.END_S = 0.3
sys.argv = ["batcher", *sys.argv[1:]]
main()
"""


def fill(descriptor: int) -> int:
    """Write until nothing more goes in; how much that was."""
    os.set_blocking(descriptor, False)
    filled = 0
    try:
        while True:
            filled += os.write(descriptor, b"x" * 512)
    except BlockingIOError:
        pass
    while True:
        try:
            filled += os.write(descriptor, b"x")
        except BlockingIOError:
            break
    os.set_blocking(descriptor, True)
    return filled


@contextmanager
def full_pipe() -> Iterator[tuple[int, int, int]]:
    """A pipe into which nothing goes any more: where it is read and written, and how much is in it."""
    ours, theirs = os.pipe()
    try:
        yield ours, theirs, fill(theirs)
    finally:
        os.close(ours)


@contextmanager
def halted_terminal() -> Iterator[tuple[int, int, int]]:
    """A terminal that shows nothing any more, as after Ctrl-S or when the line to it is gone."""
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs, fill(theirs)
    finally:
        os.close(ours)


async def start(cli: Cli, archive: Path, stderr: int, *args: str) -> asyncio.subprocess.Process:
    """A run that says fifty times a second how far it is."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OFTEN, "run", str(archive), *PICTURES, "--rate", "60", *args),
        cwd=cli.folder,
        env={**cli.env, "TERM": "xterm", "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
    )
    os.close(stderr)
    return process


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("stalled", [full_pipe, halted_terminal])
async def test_unread_stderr_delays_neither_the_run_nor_its_end(
    cli: Cli,
    manifest: Callable[..., Path],
    stalled: Callable[[], AbstractContextManager[tuple[int, int, int]]],
    log_format: str,
) -> None:
    """All is submitted, stdout and the exit code are the run's, and the process ends without a reader."""
    async with serving(cli, ONE_MISSING) as sandbox:
        with stalled() as (_, stderr, _):
            process = await start(cli, manifest(IDS), stderr, "--json", "--log-format", log_format, "-v")
            out, _ = await asyncio.wait_for(process.communicate(), cli.deadline_s)
        assert len(sandbox.accepted()) == 59
    assert process.returncode == 1
    assert json.loads(out)["submissions"]["submitted"] == 59


async def test_lines_written_before_the_reader_returns_are_complete(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """In its order and whole, down to the last line, although the work was done before the reader came."""
    async with serving(cli, ONE_MISSING) as sandbox:
        with full_pipe() as (ours, stderr, filled):
            process = await start(cli, manifest(IDS), stderr, "--log-format", "json")
            await sandbox.wait_for(lambda: len(sandbox.log) == 60, 20)
            said = await asyncio.to_thread(read_all, ours)
            assert await asyncio.wait_for(process.wait(), cli.deadline_s) == 1
    found = [json.loads(line) for line in said[filled:].decode().splitlines()]
    needed = [event["event"] for event in found if event["event"] != "progress"]
    assert [needed[0], needed[-1], found[-1]["event"]] == ["run_started", "run_finished", "run_finished"]
    assert [event["timestamp"] for event in found] == sorted(event["timestamp"] for event in found)
    assert sum(event["event"] == "progress" for event in found) > 3


def read_all(descriptor: int) -> bytes:
    """Everything until the other side is closed."""
    return b"".join(iter(lambda: os.read(descriptor, 65536), b""))


async def test_waiting_lines_are_bounded_and_problems_are_never_dropped() -> None:
    """With many lines waiting those that are not needed are counted instead of kept."""
    with full_pipe() as (ours, theirs, filled):
        outlet = Outlet(theirs, most_waiting=3)
        for n in range(10):
            outlet.write(b"how far %d\n" % n, needed=False)
        for n in range(10):
            outlet.write(b"problem %d\n" % n, needed=True)
        assert outlet.behind
        outlet.settle(0.01)
        assert outlet.behind
        assert outlet.left_out in (6, 7)  # one may be on its way already
        reading = asyncio.create_task(asyncio.to_thread(read_all, ours))
        await asyncio.to_thread(outlet.settle, 10)
        assert not outlet.behind
        os.close(theirs)
        said = (await reading)[filled:].decode().splitlines()
    assert said[-10:] == [f"problem {n}" for n in range(10)]
    assert said[0] == "how far 0"
    assert len(said) == 20 - outlet.left_out


async def test_pipe_that_others_have_made_non_blocking_loses_nothing() -> None:
    """Text that the pipe does not accept now is written once it can be read."""
    ours, theirs = os.pipe()
    filled = fill(theirs)
    os.set_blocking(theirs, False)
    outlet = Outlet(theirs)
    outlet.write(b"kept\n", needed=True)
    reading = asyncio.create_task(asyncio.to_thread(read_all, ours))
    await asyncio.to_thread(outlet.settle, 10)
    os.close(theirs)
    assert (await reading)[filled:] == b"kept\n"
    os.close(ours)


async def test_run_with_a_reader_writes_everything_before_its_end(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Everything is written when the process has ended, also on its quick ends."""
    async with serving(cli):
        done = await cli("run", manifest(IDS), *PICTURES, *FAST)
        wrong = await cli("status", "--log-format", "xml")
    assert done.stderr.endswith("-o results.csv\n")
    assert "give text or json" in wrong.stderr
