"""``batcher ledger restore``: a backup in the ledger's place, whole, with the old ledger kept."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, Cli, serving, tencent_ids
from support.ledger_sql import query
from support.locked import flocked
from support.referee import referee

from batcher.errors import LedgerError
from batcher.ledger.conditions import REVISIONS
from batcher.ledger.sqlite import backup as copying
from batcher.ledger.sqlite.backup import restore
from batcher.ledger.sqlite.files import is_missing
from batcher.sandbox import SandboxSettings

pytestmark = pytest.mark.about_files

LEDGERS = Path(__file__).parents[1] / "ledgers"
NOW = datetime(2026, 11, 30, 9, 12, 32, tzinfo=UTC)


@pytest.fixture
def ledger(cli: Cli) -> Path:
    """A ledger with everything in it, where the command line looks for one."""
    return Path(shutil.copy(LEDGERS / f"{REVISIONS[-1]}.db", cli.folder / "batcher.db"))


def kept(folder: Path) -> list[Path]:
    """Old ledgers that a restoration has kept, without their logs."""
    return [one for one in folder.glob("*.before-restore-*") if not one.name.endswith("-wal")]


def total(ledger: Path) -> int:
    """How many submissions a ledger has."""
    return int(query(ledger, "SELECT count(*) FROM submissions")[0][0])


def mode(path: Path) -> int:
    """The permissions of a file."""
    return path.stat().st_mode & 0o777


def bytes_of(path: Path) -> bytes:
    """All that is in a file."""
    return path.read_bytes()


def leave_log(ledger: Path, marker: str) -> None:
    """Write to a ledger and die, so that what was written is only in the log beside it."""
    program = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('PRAGMA journal_mode = WAL'); c.execute('PRAGMA wal_autocheckpoint = 0'); "
        "c.execute('UPDATE attempts SET message = ?', (sys.argv[2],)); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(ledger), marker], check=False, timeout=20)
    assert ledger.with_name(ledger.name + "-wal").stat().st_size > 0


async def test_restore_after_killed_run_gives_backup_whole_and_keeps_the_old_ledger(
    cli: Cli, ledger: Path
) -> None:
    """The log that a killed process left is not applied to the backup; it stays with its own ledger."""
    assert (await cli("ledger", "backup", "monday.db")).code == 0
    backup = (cli.folder / "monday.db").read_bytes()
    rows = total(ledger)
    leave_log(ledger, "after the backup")
    done = await cli("ledger", "restore", "monday.db")
    assert done.code == 0, done.stderr
    assert f"{ledger}: restored from {cli.folder}/monday.db" in done.stderr
    assert not (cli.folder / "batcher.db-wal").exists()
    assert (await cli("ledger", "verify")).code == 0
    assert total(ledger) == rows
    assert query(ledger, "SELECT count(*) FROM attempts WHERE message = 'after the backup'") == [(0,)]
    assert (cli.folder / "monday.db").read_bytes() == backup
    assert mode(ledger) == 0o600
    (old,) = kept(cli.folder)
    assert str(old) in done.stderr
    changed = query(old, "SELECT count(*) FROM attempts WHERE message = 'after the backup'")
    assert changed == query(ledger, "SELECT count(*) FROM attempts")


@pytest.mark.usefixtures("ledger")
async def test_restore_onto_damaged_ledger_works(cli: Cli) -> None:
    """The reason for restoring is often that the ledger cannot be read at all."""
    assert (await cli("ledger", "backup", "monday.db")).code == 0
    (cli.folder / "batcher.db").write_bytes(os.urandom(100_000))
    assert (await cli("status")).code == 6
    done = await cli("ledger", "restore", "monday.db")
    assert done.code == 0, done.stderr
    assert (await cli("status")).code == 0


async def test_restore_of_deleted_ledger_with_its_log_left_works(cli: Cli, ledger: Path) -> None:
    """A ledger that is gone while its log remains is refused by all, and restored."""
    assert (await cli("ledger", "backup", "monday.db")).code == 0
    leave_log(ledger, "x")
    os.unlink(ledger)  # noqa: PTH108 - nothing blocks here
    for words in (("run", "none.csv", *PICTURES), ("status",), ("load", "none.csv", *PICTURES)):
        (cli.folder / "none.csv").write_text("file_id\n1397757890000000001\n")
        async with serving(cli, ledger_made=False) as sandbox:
            refused = await cli(*words)
            assert sandbox.log == []
        assert (refused.code, "its log batcher.db-wal is still here" in refused.stderr) == (6, True)
        assert "batcher ledger restore FILE" in refused.stderr
    assert not (cli.folder / "batcher.db").exists()
    assert (await cli("ledger", "restore", "monday.db")).code == 0
    assert (await cli("ledger", "verify")).code == 0


async def test_restored_ledger_is_resumed(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The next run sends the submissions that the backup lacks, and nothing else."""
    archive = manifest(tencent_ids(20))
    async with serving(cli) as sandbox:
        assert (await cli.run(archive, *PICTURES, "--limit", "5")).code == 4
        assert (await cli("ledger", "backup", "monday.db")).code == 0
        assert (await cli("ledger", "restore", "monday.db")).code == 0
        assert (await cli.run(archive, *PICTURES)).code == 0
        assert len(sandbox.accepted()) == 20
        await referee(cli, sandbox)


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (lambda _: None, 6, "there is no such file"),
        (lambda backup: backup.write_bytes(b""), 6, "empty"),
        (lambda backup: backup.write_text("file_id\n1\n"), 6, "not a ledger"),
        (lambda backup: backup.mkdir(), 6, "a folder"),
        (lambda backup: os.mkfifo(backup), 6, "not"),
        (
            lambda backup: _spoilt(backup, "UPDATE submissions SET state = 'lost' WHERE id = 20"),
            6,
            "not whole",
        ),
        (lambda backup: _spoilt(backup, "UPDATE tallies SET n = n + 1"), 6, "not whole"),
        (lambda backup: _spoilt(backup, "UPDATE alembic_version SET version_num = '9999'"), 6, "newer"),
        (lambda backup: _torn(backup), 6, ""),
        (lambda backup: backup.symlink_to("batcher.db"), 2, "the ledger itself"),
        (lambda backup: os.link(backup.with_name("batcher.db"), backup), 6, "hard links"),
    ],
    ids=["none", "empty", "text", "folder", "pipe", "state", "tally", "newer", "torn", "link", "hard-link"],
)
async def test_restore_of_unusable_file_changes_nothing(
    cli: Cli, ledger: Path, make: Callable[[Path], object], code: int, said: str
) -> None:
    """A file that is not a whole ledger is refused; the ledger and its folder stay as they were."""
    make(cli.folder / "bad.db")
    before, names = bytes_of(ledger), sorted(os.listdir(cli.folder))  # noqa: PTH208 - nothing blocks here
    done = await cli("ledger", "restore", "bad.db")
    assert done.code == code, done.stderr
    assert said in done.stderr
    assert bytes_of(ledger) == before
    after = [name for name in os.listdir(cli.folder) if not name.endswith("lock")]  # noqa: PTH208
    assert sorted(after) == names


def _spoilt(backup: Path, statement: str) -> None:
    shutil.copy(backup.with_name("batcher.db"), backup)
    with closing(sqlite3.connect(backup, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement)


def _torn(backup: Path) -> None:
    whole = backup.with_name("batcher.db").read_bytes()
    backup.write_bytes(whole[: len(whole) // 2])


async def test_restore_during_a_run_is_refused(cli: Cli, manifest: Callable[..., Path]) -> None:
    """While a run holds the ledger, restoring gives exit code 5, and the run continues."""
    archive = manifest(tencent_ids(10))
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        assert (await cli("ledger", "backup", "monday.db")).code == 0
        run = await cli.start("run", archive, *PICTURES, "--rate", "2", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.accepted()) >= 1, 20)
        done = await cli("ledger", "restore", "monday.db")
        assert (done.code, "another run holds this ledger" in done.stderr) == (5, True)
        assert (await cli.finish(run)).code == 0
        await referee(cli, sandbox)


@pytest.mark.parametrize("lock", ["track.lock", "fetch.lock"])
async def test_restore_beside_tracking_or_fetching_is_refused(cli: Cli, ledger: Path, lock: str) -> None:
    """These write to the ledger as well."""
    assert (await cli("ledger", "backup", "monday.db")).code == 0
    with flocked(f"{ledger}.{lock}"):
        assert (await cli("ledger", "restore", "monday.db")).code == 5


async def test_restore_of_older_schema_is_upgraded_by_the_next_command(cli: Cli) -> None:
    """A backup of an older version is as good as a new one; the ledger may be gone altogether."""
    shutil.copy(LEDGERS / "0001.db", cli.folder / "old.db")
    assert (await cli("ledger", "restore", "old.db")).code == 0
    assert (await cli("status")).code == 0


@pytest.mark.parametrize("step", ["rename", "synced"])
async def test_restore_cut_off_between_its_steps_is_noticed(
    cli: Cli, ledger: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is cut off there is the old ledger, the new one, or a refusal that says what to do."""
    backup = Path(shutil.copy(ledger, cli.folder / "monday.db"))
    for left in range(6):
        leave_log(ledger, f"x{left}")
        _cut_off_after(monkeypatch, left, step)
        cut = True
        try:
            restore(ledger, backup, lambda _: None, now=NOW)
            cut = False
        except KeyboardInterrupt:
            pass
        monkeypatch.undo()
        if (cli.folder / "batcher.db").exists():
            assert (await cli("ledger", "verify")).code == 0
        else:
            with pytest.raises(LedgerError, match="was interrupted"):
                is_missing(ledger)
            async with serving(cli, ledger_made=False):
                assert (await cli("run", "monday.csv", *PICTURES, *FAST, "--new-ledger")).code == 6
            assert (await cli("ledger", "restore", "monday.db")).code == 0
        assert (await cli("ledger", "verify")).code == 0
        for old in (*kept(cli.folder), *cli.folder.glob("*.before-restore-*-wal")):
            old.unlink()
        if not cut:
            break


def _cut_off_after(monkeypatch: pytest.MonkeyPatch, left: int, step: str) -> None:
    """Have a step fail as a kill would, once it was carried out so often."""
    target = Path if step == "rename" else copying
    real: Callable[..., object] = getattr(target, step)
    counted = iter(range(left))

    def counting(*args: object) -> object:
        if next(counted, None) is None:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(target, step, counting)


async def test_messages_that_name_a_backup_name_the_command(cli: Cli, ledger: Path) -> None:
    """Every message that recommends a backup has the command to restore it."""
    _spoilt(ledger.with_name("bad.db"), "UPDATE submissions SET state = 'lost' WHERE id = 20")
    done = await cli("ledger", "verify", "-l", "bad.db")
    assert (done.code, "batcher ledger restore -l bad.db FILE" in done.stderr) == (6, True)


def test_restore_leaves_other_locks_alone(tmp_path: Path) -> None:
    """No descriptor of the new ledger stays open, whose closing would end SQLite's locks."""
    ledger = Path(shutil.copy(LEDGERS / f"{REVISIONS[-1]}.db", tmp_path / "batcher.db"))
    backup = Path(shutil.copy(ledger, tmp_path / "monday.db"))
    restored = restore(ledger, backup, lambda _: None, now=NOW)
    assert restored.kept == tmp_path / "batcher.db.before-restore-20261130T091232Z"
    with ledger.open("rb+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
