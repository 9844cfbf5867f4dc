"""Outputs named by mistake: the ledger, its companion files, inputs and databases are refused."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.cli import PICTURES, Cli, serving, tencent_ids, write_manifest

from batcher.ledger.conditions import REVISIONS

pytestmark = pytest.mark.about_files

LEDGERS = Path(__file__).parents[1] / "ledgers"

WRITERS: dict[str, tuple[str, ...]] = {
    "export": ("export", "-o"),
    "export as jsonl": ("export", "--format", "jsonl", "-o"),
    "export of a manifest": ("export", "archive.csv", *PICTURES, "-o"),
    "report": ("report", "-o"),
    "audit": ("audit", "-o"),
    "audit as json": ("audit", "--json", "-o"),
    "discover": ("discover", "--vendor", "Tencent", "--since", "24h", "-o"),
    "verify-ids": ("verify-ids", "archive.csv", "--known", "known.csv", "-o"),
    "run": ("run", "arch*.csv", *PICTURES, "--metrics-file"),
    "backup": ("ledger", "backup", "--force"),
}
"""Commands that write a file; its name is the last word."""

READ = {
    "export of a manifest": ("archive.csv",),
    "verify-ids": ("archive.csv", "known.csv"),
    "run": ("archive.csv", "arch-2.csv"),
}
"""What some of them read besides."""

KEPT = (
    *("batcher.db", "link.db", "hard.db", "sub/../batcher.db"),
    *("batcher.db-wal", "batcher.db-shm", "batcher.db-journal", "batcher.db.lock", "batcher.db.reserve"),
    *("batcher.toml", "link.toml", ".env", "my.secret", "other.db-wal"),
)
"""What none of them may write over."""


def furnish(folder: Path) -> None:
    """A folder with a ledger, links to it, another database, and everything that commands read."""
    shutil.copy(LEDGERS / f"{REVISIONS[-1]}.db", folder / "batcher.db")
    (folder / "sub").mkdir()
    (folder / "link.db").symlink_to(folder / "batcher.db")
    os.link(folder / "batcher.db", folder / "hard.db")
    with closing(sqlite3.connect(folder / "other.db")) as other:
        other.execute("CREATE TABLE other (x)")
    (folder / "batcher.toml").write_text("rate = 10\n", "utf-8")
    (folder / "link.toml").symlink_to(folder / "batcher.toml")
    (folder / ".env").write_text("BATCHER_CONCURRENCY=3\n", "utf-8")
    (folder / "my.secret").write_text("a" * 32 + "\n", "utf-8")
    for name in ("archive.csv", "arch-2.csv", "known.csv"):
        write_manifest(folder / name, ([one] for one in tencent_ids(3)))


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, with what it holds; a lock's holder does not count."""
    found = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if not name.endswith(".lock")}


@pytest.mark.parametrize("command", WRITERS)
async def test_output_over_a_kept_file_is_refused(cli: Cli, command: str) -> None:
    """Each wrong place gives exit code 2, is named, and leaves every file as it was."""
    furnish(cli.folder)
    cli.env |= {"BATCHER_SERVER_SECRET_FILE": "my.secret", "BATCHER_APP_ID": "1234567890"}
    others = () if command == "backup" else ("other.db",)
    before = files(cli.folder)
    for target in (*KEPT, *others, *READ.get(command, ())):
        done = await cli(*WRITERS[command], target)
        assert (target, done.code) == (target, 2), done.stderr
        assert target in done.stderr
        assert "name another file" in done.stderr
        assert files(cli.folder) == before, target


@pytest.mark.parametrize("command", ["export", "report", "audit", "backup"])
async def test_output_elsewhere_is_written(cli: Cli, command: str) -> None:
    """A new file, an older one, and one through a link are written as ever."""
    furnish(cli.folder)
    (cli.folder / "older").write_text("older", "utf-8")
    (cli.folder / "link").symlink_to(cli.folder / "older")
    for target in ("new", "older", "link"):
        done = await cli(*WRITERS[command], target)
        assert done.code == 0, done.stderr
        assert (cli.folder / target).stat().st_size > 10


async def test_log_of_sandbox_over_ledger_is_refused(cli: Cli) -> None:
    """A sandbox that would append its log to a ledger does not start."""
    furnish(cli.folder)
    before = files(cli.folder)
    for target in ("batcher.db", "link.db", "hard.db", "batcher.db-wal"):
        done = await cli("sandbox", "--port", "0", "--log", target)
        assert (done.code, target in done.stderr) == (2, True)
    assert files(cli.folder) == before


async def test_unfinished_list_over_ledger_is_refused(cli: Cli) -> None:
    """The parts that `discover` keeps next to FILE are compared with the ledger, too."""
    async with serving(cli):
        ledger = cli.folder / "batcher.db"
        before = ledger.read_bytes()
        for part in ("new.csv.part", "new.csv.part.json"):
            (cli.folder / part).hardlink_to(ledger)
            done = await cli("discover", "--vendor", "Tencent", "--since", "24h", "-o", "new.csv")
            assert (done.code, part in done.stderr) == (2, True), done.stderr
            (cli.folder / part).unlink()
        assert ledger.read_bytes() == before


async def test_index_of_pictures_that_is_a_link_to_ledger_leaves_the_ledger(cli: Cli) -> None:
    """The index that `fetch` writes into its folder does not go through a link."""
    async with serving(cli):
        ledger, folder = cli.folder / "batcher.db", cli.folder / "pictures"
        folder.mkdir()
        (folder / "pictures.csv").symlink_to(ledger)
        done = await cli("fetch", "-o", "pictures")
        assert done.code == 0, done.stderr
        assert ledger.read_bytes().startswith(b"SQLite format 3")
        assert (await cli("ledger", "verify")).code == 0


@pytest.mark.parametrize("kept", ["batcher.db", "archive.csv", "batcher.toml"])
async def test_stdout_into_a_kept_file_is_refused(cli: Cli, kept: str) -> None:
    """A shell's `>>` into the ledger or an input adds nothing to it."""
    furnish(cli.folder)
    before = files(cli.folder)
    with (cli.folder / kept).open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "batcher", "export", "archive.csv", *PICTURES),
            cwd=cli.folder,
            env=cli.env,
            stdout=file,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
    assert (process.returncode, b"stdout" in err) == (2, True), err.decode()
    assert files(cli.folder) == before


@pytest.mark.parametrize("name", ['"out.csv"', "out.csv\r", " out.csv"])
async def test_output_with_stray_characters_in_its_name_is_refused(cli: Cli, name: str) -> None:
    """Quotation marks, a line end or a blank around the name create no file."""
    furnish(cli.folder)
    before = files(cli.folder)
    done = await cli("export", "-o", name)
    assert (done.code, "--output" in done.stderr) == (2, True), done.stderr
    assert files(cli.folder) == before
