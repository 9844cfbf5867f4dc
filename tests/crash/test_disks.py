"""The disk and the file under a run: full, locked, deleted, replaced. Nothing is sent unrecorded."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.cli import PICTURES, Cli, Done, serving, tencent_ids
from support.ledger_sql import locked, query
from support.referee import referee

from batcher.flowcontrol.pacer import places_in_line
from batcher.sandbox import Sandbox, SandboxSettings

SLOW = ("--rate", "100", "--progress", "none")
IN_LINE = places_in_line(100, 0.1)
"""Attempts that had begun when the ledger failed, on a disk that takes so long to commit one."""
LATENCY = SandboxSettings(rate_per_s=None, latency_ms=100)


async def _spoil(
    cli: Cli, sandbox: Sandbox, archive: Path, spoil: Callable[[], None], *more: str
) -> tuple[Done, int]:
    """Run, and spoil the ledger after some requests; return the end of the run and the requests by then."""
    process = await cli.start("run", archive, *PICTURES, *SLOW, *more)
    await sandbox.wait_for(lambda: len(sandbox.log) >= 20, 20)
    spoil()
    seen = len(sandbox.log)
    return await cli.finish(process), seen


@pytest.mark.about_files
@pytest.mark.parametrize("replaced", [False, True])
async def test_deleted_or_replaced_ledger_stops_the_run(
    cli: Cli, manifest: Callable[..., Path], replaced: bool
) -> None:
    """The run sends no more, reports the loss, and lists the task ids that it still received."""
    archive = manifest(tencent_ids(300))
    ledger, moved = cli.folder / "batcher.db", cli.folder / "moved.db"

    def spoil() -> None:
        ledger.rename(moved)
        if replaced:
            shutil.copyfile(moved, ledger)

    async with serving(cli, LATENCY) as sandbox:
        done, seen = await _spoil(cli, sandbox, archive, spoil)
        assert done.code == 6
        assert "deleted or replaced" in " ".join(done.stderr.split())
        assert len(sandbox.log) <= seen + IN_LINE + 4
        moved.replace(ledger)  # what the run wrote last is still beside it
        reported = {task_id for task_id in sandbox.accepted() if task_id in done.stderr}
        recorded = {row[0] for row in query(ledger, "SELECT task_id FROM attempts WHERE task_id <> ''")}
        assert reported | recorded == set(sandbox.accepted())
        done = await cli.run(archive, *PICTURES)
        assert done.code == 0, done.stderr


async def test_foreign_lock_that_stays_stops_the_run(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A program that keeps the ledger locked stops the run with exit code 6; the next run resumes."""
    archive = manifest(tencent_ids(60))
    async with serving(cli, LATENCY) as sandbox:
        with contextlib.ExitStack() as other:

            def lock() -> None:
                other.enter_context(locked(cli.folder / "batcher.db"))

            cli.env["BATCHER_LEDGER_PATIENCE"] = (
                "1s"  # a server is waited for; a file for some seconds anyway
            )
            done, seen = await _spoil(cli, sandbox, archive, lock)
        assert done.code == 6
        assert "locked" in done.stderr
        assert len(sandbox.log) <= seen + IN_LINE + 4
        done = await cli.run(archive, *PICTURES)
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
    assert [row["status"] for row in rows] == ["submitted"] * 60


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine allows no small file system to be mounted")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.about_files
async def test_full_disk_stops_the_run_and_answers_in_flight_are_recorded(
    cli: Cli, manifest: Callable[..., Path], small_disk: Path
) -> None:
    """With room again the next run resumes."""
    archive = manifest(tencent_ids(400))
    ballast = small_disk / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                return

    async with serving(cli, LATENCY) as sandbox:
        done, seen = await _spoil(cli, sandbox, archive, fill, "-l", str(small_disk / "batcher.db"))
        assert done.code == 6
        assert "full" in done.stderr
        assert "not recorded" not in done.stderr
        assert len(sandbox.log) < 400
        unsettled = query(small_disk / "batcher.db", "SELECT count(*) FROM attempts WHERE outcome IS NULL")
        assert unsettled == [(0,)]
        ballast.unlink()
        done = await cli.run(archive, *PICTURES, "-l", str(small_disk / "batcher.db"))
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox, ledger="small/batcher.db")
    assert [row["status"] for row in rows] == ["submitted"] * 400
    assert seen < 400


@pytest.mark.about_files
async def test_run_without_room_on_the_disk_exits_6(
    cli: Cli, manifest: Callable[..., Path], small_disk: Path
) -> None:
    """With hardly any free space the run ends before its first request."""
    archive = manifest(tencent_ids(4))
    (small_disk / "ballast").write_bytes(b"x" * (12 << 20))
    async with serving(cli) as sandbox:
        done = await cli.run(archive, *PICTURES, "-l", str(small_disk / "batcher.db"))
    assert done.code == 6
    assert "MiB are free" in done.stderr
    assert sandbox.log == []
