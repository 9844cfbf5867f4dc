"""Folders that must not be searched, places that are read-only, and names that no file system takes."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, Cli, serving, tencent_ids, write_manifest
from support.environments import in_environment, needs_rights_taken
from support.ledger_place import empty_ledger

pytestmark = pytest.mark.about_files

SECRET_FILE = {"BATCHER_SERVER_SECRET": "", "BATCHER_SERVER_SECRET_FILE": "closed/secret"}
LOAD = ("load", *PICTURES)

CLOSED: dict[str, tuple[list[str], dict[str, str], int]] = {
    "ledger to read": (["status", "-l", "closed/l.db"], {}, 6),
    "ledger to write": ([*LOAD, "archive.csv", "-l", "closed/l.db"], {}, 6),
    "ledger of a dry run": (["run", "--dry-run", "archive.csv", *PICTURES, "-l", "closed/l.db"], {}, 6),
    "manifest": ([*LOAD, "closed/a.csv"], {}, 2),
    "manifest below": ([*LOAD, "closed/sub/a.csv"], {}, 2),
    "manifest of an export": (["export", "closed/a.csv"], {}, 2),
    "pattern": ([*LOAD, "closed/*.csv"], {}, 2),
    "output": (["export", "-o", "closed/o.csv"], {}, 2),
    "output of a report": (["report", "-o", "closed/o.html"], {}, 2),
    "output of a discovery": (["discover", "--vendor", "Tencent", "--since", "1d", "-o", "closed/o"], {}, 2),
    "backup": (["ledger", "backup", "closed/b.db"], {}, 2),
    "pictures": (["fetch", "-o", "closed/pictures"], {}, 6),
    "configuration": (["status", "--config", "closed/b.toml"], {}, 2),
    "secret": (["run", *FAST], SECRET_FILE, 2),
}


@pytest.fixture
def places(cli: Cli) -> Iterator[Path]:
    """A folder that the command must not search, next to a manifest; opened again at the end."""
    write_manifest(cli.folder / "archive.csv", [[one] for one in tencent_ids(2)])
    closed = cli.folder / "closed"
    (closed / "sub").mkdir(parents=True)
    shutil.copy(cli.folder / "archive.csv", closed / "a.csv")
    (closed / "secret").write_text(cli.secret)
    closed.chmod(0)
    yield closed
    closed.chmod(0o755)


@needs_rights_taken
@pytest.mark.parametrize("case", CLOSED)
async def test_folder_that_must_not_be_searched_is_named(cli: Cli, places: Path, case: str) -> None:
    """The message names the folder and the remedy, with the exit code of what is in it."""
    args, env, code = CLOSED[case]
    async with serving(cli) as sandbox:
        done = await in_environment(cli, args, env=env)
    assert done.code == code, done.stderr
    remedy = "Change its permissions, or run as its owner"
    assert f"this user may not enter the folder {places}. {remedy}" in done.stderr or (
        case == "pattern" and f"this user may not read it. {remedy}" in done.stderr
    ), done.stderr
    assert sandbox.log == []


@needs_rights_taken
async def test_metrics_file_in_a_closed_folder_is_a_warning(cli: Cli, places: Path) -> None:
    """The run continues without it."""
    async with serving(cli) as sandbox:
        args = ["run", "archive.csv", *PICTURES, *FAST, "--metrics-file", "closed/m.prom"]
        done = await in_environment(cli, args, env={"BATCHER_NEW_LEDGER": "true"})
    assert done.code == 0, done.stderr
    assert f"this user may not enter the folder {places}" in done.stderr
    assert len(sandbox.accepted()) == 2


@needs_rights_taken
@pytest.mark.parametrize("name", [".env", "batcher.toml"])
async def test_settings_that_must_not_be_read_are_named(cli: Cli, name: str) -> None:
    """A file of settings that exists and cannot be read is no missing one."""
    (cli.folder / name).write_text("")
    (cli.folder / name).chmod(0)
    done = await in_environment(cli, ["status"])
    assert done.code == 2, done.stderr
    assert f"{cli.folder}/{name}: this user may not read it" in done.stderr


LONG = "a" * 300
TOO_LONG: dict[str, tuple[list[str], dict[str, str], int]] = {
    "ledger to read": (["status", "-l", LONG], {}, 6),
    "ledger to write": ([*LOAD, "archive.csv", "-l", LONG], {}, 6),
    "ledger whose lock is too long": ([*LOAD, "archive.csv", "-l", "a" * 253], {}, 6),
    "manifest": ([*LOAD, LONG], {}, 2),
    "manifest of an export": (["export", LONG], {}, 2),
    "output": (["export", "-o", LONG], {}, 2),
    "output of a report": (["report", "-o", LONG], {}, 2),
    "output of a discovery": (["discover", "--vendor", "Tencent", "--since", "1d", "-o", LONG], {}, 2),
    "backup": (["ledger", "backup", LONG], {}, 2),
    "restored": (["ledger", "restore", LONG], {}, 6),
    "pictures": (["fetch", "-o", LONG], {}, 6),
    "configuration": (["status", "--config", LONG], {}, 2),
    "secret": (["run", *FAST], {**SECRET_FILE, "BATCHER_SERVER_SECRET_FILE": f"{LONG}/secret"}, 2),
    "log of the sandbox": (["sandbox", "--port", "0", "--log", LONG], {}, 2),
}


@pytest.mark.parametrize("case", TOO_LONG)
async def test_name_that_is_too_long_is_refused_with_a_message(
    cli: Cli, manifest: Callable[..., Path], case: str
) -> None:
    """A name of 300 letters is no defect, wherever a path may be given."""
    args, env, code = TOO_LONG[case]
    manifest(tencent_ids(1))
    async with serving(cli):
        done = await cli(*args, env=env)
    assert done.code == code, done.stderr
    assert "defect" not in done.stderr
    assert "too long" in done.stderr or (case == "restored" and "there is no such file" in done.stderr)


async def test_output_with_the_longest_name_is_written(cli: Cli) -> None:
    """A name that the file system takes is taken, although the temporary file next to it needs one."""
    async with serving(cli):
        done = await cli("export", "-o", "é" * 127)
    assert done.code == 0, done.stderr
    assert (cli.folder / ("é" * 127)).is_file()


READERS = (
    *(["status"], ["status", "--json"], ["export"], ["audit"], ["report", "-o", "r.html"]),
    *(["ledger", "info"], ["ledger", "verify"], ["ledger", "backup", "copy.db"]),
    ["run", "--dry-run", "archive.csv", *PICTURES],
)


@pytest.fixture
async def share(cli: Cli) -> Path:
    """A read-only folder with a ledger."""
    write_manifest(cli.folder / "archive.csv", [[one] for one in tencent_ids(2)])
    folder = cli.folder / "share"
    folder.mkdir()
    shutil.copy(await empty_ledger(), folder / "l.db")
    (folder / "l.db").chmod(0o444)
    (folder / "l.db.lock").touch(0)  # of another user
    folder.chmod(0o555)
    return folder


@needs_rights_taken
async def test_ledger_in_a_read_only_folder_is_read(cli: Cli, share: Path) -> None:
    """Every reading command works on it, and leaves nothing there."""
    async with serving(cli):
        for args in READERS:
            done = await in_environment(cli, [*args, "-l", "share/l.db"])
            assert done.code == 0, (args, done.stderr)
    assert sorted(os.listdir(share)) == ["l.db", "l.db.lock"]  # noqa: PTH208 - an asynchronous test


def _remove_lock(share: Path) -> None:
    share.chmod(0o755)
    (share / "l.db.lock").unlink()
    share.chmod(0o555)


@needs_rights_taken
@pytest.mark.parametrize("command", [["run", *FAST], [*LOAD, "archive.csv"], ["retry", "--state", "failed"]])
async def test_ledger_in_a_read_only_folder_is_not_written(cli: Cli, share: Path, command: list[str]) -> None:
    """What writes ends with 6 and names the folder."""
    _remove_lock(share)
    async with serving(cli) as sandbox:
        done = await in_environment(cli, [*command, "-l", "share/l.db"])
    assert done.code == 6, done.stderr
    assert f"this user may not make files in {share}" in done.stderr
    assert sandbox.log == []


def _with_log(path: Path, *, index: bool) -> None:
    """Copy a ledger to a place as a killed run leaves it, with or without the index of its log."""
    source = path.with_name("source.db")
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE written_last (n)")
        connection.commit()
        for end in ("", "-wal", *(["-shm"] if index else [])):
            shutil.copy(f"{source}{end}", f"{path}{end}")
    source.unlink()


@needs_rights_taken
@pytest.mark.parametrize("index", [True, False])
async def test_log_in_a_read_only_folder_is_read_or_named(cli: Cli, index: bool) -> None:
    """With its index the log is read; without it the message says how the ledger can be read."""
    folder = cli.folder / "share"
    folder.mkdir()
    shutil.copy(await empty_ledger(), folder / "source.db")
    _with_log(folder / "l.db", index=index)
    folder.chmod(0o555)
    done = await in_environment(cli, ["status", "-l", "share/l.db"])
    assert done.code == (0 if index else 6), done.stderr
    if not index:
        assert f"(cp {folder}/l.db {folder}/l.db-wal FOLDER/)" in done.stderr


def _make_older(share: Path) -> None:
    """Let a ledger say that an older version has written it."""
    share.chmod(0o755)
    (share / "l.db").chmod(0o644)
    with closing(sqlite3.connect(share / "l.db")) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.commit()
    share.chmod(0o555)


@needs_rights_taken
async def test_ledger_of_an_older_schema_in_a_read_only_folder_is_named(cli: Cli, share: Path) -> None:
    """It must be upgraded before it is read, and the message says that it must be copied for that."""
    _make_older(share)
    done = await in_environment(cli, ["status", "-l", "share/l.db"])
    assert done.code == 6, done.stderr
    assert "an older batcher has written it" in done.stderr
    assert "Copy it to a folder that can be written" in done.stderr
