"""A ledger is one file with one name: other names are refused for writing, and a lock belongs to the file."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, Cli, serving, tencent_ids
from support.ledger_sql import query
from support.referee import referee

from batcher import open_ledger, read_ledger
from batcher.errors import LedgerBusy, LedgerError, NotALedger
from batcher.ledger.conditions import REVISIONS
from batcher.ledger.reader import open_for_reading
from batcher.ledger.run_ledger import open_for_writing
from batcher.ledger.sqlite import identity
from batcher.ledger.sqlite.disk import LedgerDisk
from batcher.ledger.sqlite.lock import LedgerLock, lock_holder, take_lock
from batcher.sandbox import SandboxSettings

pytestmark = pytest.mark.about_files

LEDGER = Path(__file__).parents[1] / "ledgers" / f"{REVISIONS[-1]}.db"

WRITERS = {
    "run": ("run", "archive.csv", *PICTURES, *FAST),
    "continue": ("run", *FAST),
    "run --track": ("run", "archive.csv", *PICTURES, *FAST, "--track"),
    "load": ("load", "archive.csv", *PICTURES),
    "retry": ("retry",),
    "track": ("track",),
    "listen": ("listen", "--port", "0"),
    "fetch": ("fetch", "-o", "pictures"),
    "prune": ("ledger", "prune", "--older-than", "90d"),
    "vacuum": ("ledger", "vacuum"),
    "restore": ("ledger", "restore", "copy.db"),
}
READERS = {
    "status": ("status",),
    "export": ("export",),
    "verify": ("ledger", "verify"),
    "info": ("ledger", "info"),
    "backup": ("ledger", "backup", "fresh.db"),
    "dry run": ("run", "archive.csv", *PICTURES, "--dry-run"),
}


def content(ledger: Path) -> list[list[tuple[object, ...]]]:
    """The submissions and attempts of a ledger."""
    return [query(ledger, "SELECT * FROM submissions"), query(ledger, "SELECT * FROM attempts")]


def lock_file(ledger: Path) -> Path:
    """Where a ledger's lock file is."""
    return Path(f"{ledger}.lock")


def hard_linked(folder: Path) -> Path:
    """A ledger with two names."""
    shutil.copy(LEDGER, folder / "batcher.db")
    os.link(folder / "batcher.db", folder / "other.db")
    return folder / "other.db"


def mounted(folder: Path) -> Path:
    """A ledger that is mounted by itself, as ``docker -v FILE:FILE`` mounts it."""
    place = folder / "mounted" / "batcher.db"
    place.parent.mkdir()
    place.touch()
    shutil.copy(LEDGER, folder / "batcher.db")
    done = subprocess.run(
        ["mount", "--bind", folder / "batcher.db", place], capture_output=True, check=False, timeout=20
    )
    if done.returncode:
        pytest.skip(f"this machine allows no file to be mounted: {done.stderr.decode()}")
    return place


@pytest.fixture(params=[hard_linked, mounted])
def other_name(request: pytest.FixtureRequest, cli: Cli) -> Iterator[Path]:
    """A second name of a ledger, of each kind."""
    shutil.copy(LEDGER, cli.folder / "copy.db")
    (cli.folder / "archive.csv").write_text("file_id\n1397757890000000001\n")
    cli.env["BATCHER_CALLBACK_SECRET"] = "c" * 32
    name = request.param(cli.folder)
    yield name
    if request.param is mounted:
        subprocess.run(["umount", name], check=True, timeout=20)


async def test_ledger_with_another_name_is_refused_for_writing(cli: Cli, other_name: Path) -> None:
    """Every command that writes gives exit code 6 and the remedy, sends nothing and leaves nothing behind."""
    async with serving(cli, ledger_made=False) as sandbox:
        before = content(other_name)
        names = sorted(os.listdir(other_name.parent))  # noqa: PTH208 - nothing blocks here
        for what, words in WRITERS.items():
            done = await cli(*words, "-l", str(other_name))
            assert (what, done.code) == (what, 6), done.stderr
            assert done.stderr.startswith(f"batcher: {other_name}: this file ")
            assert f"batcher ledger backup COPY -l {other_name}" in done.stderr
            assert ("Remove the other links" in done.stderr) != ("Mount its folder instead" in done.stderr)
        assert sandbox.log == []
        assert sorted(os.listdir(other_name.parent)) == names  # noqa: PTH208
        assert content(other_name) == before


async def test_ledger_with_another_name_is_read(cli: Cli, other_name: Path) -> None:
    """Commands that read still work, and so does the remedy: a copy."""
    for words in READERS.values():
        done = await cli(*words, "-l", str(other_name))
        assert done.code == 0, done.stderr
    assert (await cli("retry", "-l", "fresh.db")).code == 0


async def test_ledger_with_another_name_is_refused_by_the_library(tmp_path: Path) -> None:
    """A program meets the same refusal as the command line, and may read."""
    name = hard_linked(tmp_path)
    with pytest.raises(LedgerError, match="hard links"):
        async with open_ledger(name):
            pass
    async with read_ledger(name):
        pass


async def test_ledger_without_its_other_name_is_written_again(cli: Cli) -> None:
    """The remedy in the message works."""
    name = hard_linked(cli.folder)
    assert (await cli("retry")).code == 6
    os.unlink(name)  # noqa: PTH108 - nothing blocks here
    assert (await cli("retry")).code == 0


async def test_symbolic_link_is_resolved(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A link and its file are one ledger: companion files are next to the file, and one run holds both."""
    archive = manifest(tencent_ids(40))
    real, link = cli.folder / "disk" / "real.db", cli.folder / "links" / "link.db"
    for path in (real, link):
        path.parent.mkdir()
    link.symlink_to(real)  # there is no ledger yet
    async with serving(cli, ledger_made=False) as sandbox:
        done = await cli.run(archive, *PICTURES, "-l", str(link), "--limit", "1")
        assert done.code == 4, done.stderr
        assert f"new ledger {real}\n" in done.stderr
        run = await cli.start("run", "-l", str(link), "--rate", "2", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.accepted()) >= 2, 20)
        for name in (link, real):
            assert (await cli("run", "-l", str(name))).code == 5
        assert {path.name for path in real.parent.iterdir()} >= {"real.db-wal", "real.db.lock"}
        assert [path.name for path in link.parent.iterdir()] == ["link.db"]
        run.kill()
        await run.communicate()
        await referee(cli, sandbox, ledger="disk/real.db")


# -- the lock ------------------------------------------------------------------------------------------


def _replaced(lock: Path) -> None:
    lock.with_name("fresh").touch()
    lock.with_name("fresh").rename(lock)


@pytest.mark.skipif(not identity._has_lock(), reason="this system has no lock of an open file")
@pytest.mark.parametrize("spoil", [Path.unlink, _replaced])
async def test_removed_lock_file_admits_no_second_run(
    cli: Cli, manifest: Callable[..., Path], spoil: Callable[[Path], object]
) -> None:
    """The ledger's own file is locked too; the first run continues, and nothing is sent twice."""
    archive = manifest(tencent_ids(30))
    async with serving(cli, SandboxSettings(rate_per_s=None, latency_ms=200)) as sandbox:
        first = await cli.start("run", archive, *PICTURES, "--rate", "0.05", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.log) >= 1, 20)
        spoil(cli.folder / "batcher.db.lock")
        checked = await cli("check")
        second = await cli("run", "archive.csv", *PICTURES, *FAST)
        assert (second.code, "another run holds this ledger" in second.stderr) == (5, True)
        assert "warn  lock" in checked.stdout
        assert first.returncode is None
        first.send_signal(signal.SIGTERM)
        assert (await cli.finish(first)).code == 143
        assert (await cli.run()).code == 0
        assert len([entry for entry in sandbox.log if entry.file_id]) == 30
        await referee(cli, sandbox)


async def test_without_a_lock_on_the_file_a_removed_lock_file_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system has no such lock nothing more is begun once a second run may have been let in."""
    monkeypatch.setattr(identity, "_has_lock", lambda: False)
    path = tmp_path / "batcher.db"
    async with await open_for_writing(path) as ledger:
        run = await ledger.start_run(20.0, "test")
        os.unlink(lock_file(path))  # noqa: PTH108 - nothing blocks here
        with pytest.raises(LedgerError, match="the lock file was removed or replaced while in use"):
            await ledger.note_pace(run, 1.0, None)


async def test_lock_of_a_new_ledger_covers_its_file(tmp_path: Path) -> None:
    """It is taken before there is a file, and on the file as soon as there is one."""
    path = tmp_path / "batcher.db"
    async with await open_for_writing(path):
        os.unlink(lock_file(path))  # noqa: PTH108 - nothing blocks here
        with pytest.raises(LedgerBusy):
            await take_lock(path)
        assert await lock_holder(path) is True
    (await take_lock(path)).release()
    assert await lock_holder(path) is False


async def test_released_lock_leaves_the_locks_of_sqlite_alone(tmp_path: Path) -> None:
    """Closing any descriptor of a file ends a process's locks on it, so ours waits for SQLite's."""
    path = tmp_path / "batcher.db"
    async with await open_for_writing(path):
        pass
    async with await open_for_reading(path) as reader:
        await reader.tallies()
        assert _held_by_sqlite(path)
        lock = await take_lock(path)
        assert isinstance(lock, LedgerLock)
        lock.release()
        assert await lock_holder(path) is False
        assert _held_by_sqlite(path)
        (await take_lock(path)).release()
    assert not _held_by_sqlite(path)
    assert identity._parked == {}


def _held_by_sqlite(path: Path) -> bool:
    """Whether another process finds SQLite's lock of readers on a file."""
    program = (
        "import fcntl, sys; f = open(sys.argv[1], 'rb+')\n"
        "try: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)\n"
        "except OSError: sys.exit(1)"
    )
    return subprocess.run([sys.executable, "-c", program, path], check=False, timeout=20).returncode == 1


@pytest.mark.parametrize("kind", ["hard link", "folder", "pipe"])
async def test_lock_file_that_is_something_else_is_not_written(tmp_path: Path, kind: str) -> None:
    """A file of another kind under the lock file's name stays as it is."""
    victim, lock = tmp_path / "victim.txt", tmp_path / "batcher.db.lock"
    victim.write_text("mine")
    if kind == "hard link":
        os.link(victim, lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        os.mkfifo(lock)
    with pytest.raises(LedgerError):
        await take_lock(tmp_path / "batcher.db")
    assert victim.read_text() == "mine"


# -- the reserve, and what is no ledger -----------------------------------------------------------------


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_reserve_does_not_follow_links(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    """Room is reserved in a new file, never through an existing link."""
    path, victim = Path(shutil.copy(LEDGER, tmp_path / "batcher.db")), tmp_path / "victim.txt"
    victim.write_text("mine")
    link(victim, tmp_path / "batcher.db.reserve")
    disk = LedgerDisk(path)
    disk.set_room_aside()
    reserve = tmp_path / "batcher.db.reserve"
    assert not reserve.is_symlink()
    assert reserve.stat().st_mode & 0o777 == 0o600
    assert victim.read_text() == "mine"
    disk.give_room()
    assert victim.read_text() == "mine"
    assert not reserve.exists()


def test_reserve_that_is_a_folder_is_an_error_with_its_name(tmp_path: Path) -> None:
    """It is not removed, and the message names it."""
    path = Path(shutil.copy(LEDGER, tmp_path / "batcher.db"))
    (tmp_path / "batcher.db.reserve").mkdir()
    with pytest.raises(LedgerError, match=r"batcher\.db\.reserve: "):
        LedgerDisk(path).set_room_aside()


async def test_pipe_as_a_ledger_is_refused(tmp_path: Path) -> None:
    """A pipe under the ledger's name is refused immediately, without waiting for its other end."""
    path = tmp_path / "batcher.db"
    os.mkfifo(path)
    async with asyncio.timeout(90):
        with pytest.raises(NotALedger):
            await open_for_reading(path)
        with pytest.raises(NotALedger):
            await open_for_writing(path)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("36 35 98:0 /a /data/batcher.db rw - ext4 /dev/sda rw", "/data/batcher.db"),
        (r"36 35 98:0 /a /my\040disk/a\134b.db rw shared:1 - ext4 /dev/sda rw", "/my disk/a\\b.db"),
        ("36 35 98:0 /a /\udce9t\udce9/batcher.db rw - fuse.sshfs x rw", "/\udce9t\udce9/batcher.db"),
    ],
)
def test_mount_points_are_read_as_linux_writes_them(
    monkeypatch: pytest.MonkeyPatch, line: str, place: str
) -> None:
    """Blanks and backslashes are escaped there, and names need not be UTF-8."""
    written = line.encode("utf-8", "surrogateescape") + b"\n"
    monkeypatch.setattr(Path, "read_bytes", lambda _: written)
    assert [mounted for mounted, _ in identity.mounts()] == [os.fsencode(place)]
    assert identity.is_mount_point(Path(place))
    assert not identity.is_mount_point(Path(place).parent)


def test_descriptor_that_waits_is_closed_with_the_last_connection(tmp_path: Path) -> None:
    """It is neither forgotten nor closed too early."""
    path = Path(shutil.copy(LEDGER, tmp_path / "batcher.db"))
    over = [identity.connecting(path), identity.connecting(path)]
    lock = identity.lock_inode(path, 0)
    assert lock is not None
    descriptor = lock._descriptor
    lock.release()
    lock.release()
    over.pop()()
    os.fstat(descriptor)
    over.pop()()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
