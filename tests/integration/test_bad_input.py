"""Input that cannot be used, through the command line: one clear message, the right code, nothing sent."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.cli import PICTURES, Cli, serving, tencent_ids, write_manifest
from support.ledger_place import is_there
from support.ledger_sql import query
from support.referee import referee

ROW = tencent_ids(1)[0]


def text(content: str, encoding: str = "utf-8") -> Callable[[Path], object]:
    """Makes a file of some text."""
    return lambda path: path.write_bytes(content.encode(encoding))


MANIFESTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "no such file": (lambda path: path.exists(), ["no such file"]),
    "no header": (text(f"{ROW}\n{int(ROW) + 3}\n"), ["file_id"]),
    "no file_id column": (text("name,room\na,b\n"), ["file_id"]),
    "two file_id columns": (text(f"file_id,FileId\n{ROW},{ROW}\n"), ["file_id"]),
    "a workbook": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(range(256)) * 9), ["CSV"]),
    "a program": (lambda path: path.write_bytes(b"\x7fELF\x02\x01" + bytes(range(256)) * 9), ["archive.csv"]),
    "a NUL": (text(f"file_id\n{ROW}\n139775\x0089\n"), ["line 3", "NUL"]),
    "a directory": (lambda path: path.mkdir(), ["directory"]),
    "GBK": (
        text(f"file_id,room\n{ROW},晨会\n{int(ROW) + 3},数学一班\n", "gbk"),
        ["line 2", "晨会", "line 3", "数学一班", "--encoding gb18030"],
    ),
    "a line of 10 MB": (text("file_id\n" + "1" * 10_000_000 + "\n"), ["line 2"]),
    "a line of 10 MB after the first rows": (
        text("file_id\n" + f"{ROW}\n" * 10 + "1" * 10_000_000 + "\n"),
        ["line 12"],
    ),
}


@pytest.mark.parametrize("case", MANIFESTS)
async def test_manifest_that_cannot_be_used(cli: Cli, tmp_path: Path, case: str) -> None:
    """It is refused with 2 and one message that names the file and what is wrong; nothing is sent."""
    make, words = MANIFESTS[case]
    make(tmp_path / "archive.csv")
    async with serving(cli, ledger_made=False) as sandbox:
        done = await cli.run("archive.csv", *PICTURES)
    assert done.code == 2, done.stderr
    assert done.stdout == ""
    assert "archive.csv" in done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert done.stderr.count("archive.csv") <= 2
    assert len(done.stderr) < 2000
    assert sandbox.log == []
    assert not is_there(tmp_path / "batcher.db")


async def test_gbk_is_read_when_it_is_named(cli: Cli, tmp_path: Path) -> None:
    """The encoding that the message names accepts the file, and the export has its text."""
    text(f"file_id,room\n{ROW},晨会\n", "gbk")(tmp_path / "archive.csv")
    async with serving(cli, ledger_made=False) as sandbox:
        done = await cli.run("archive.csv", *PICTURES, "--encoding", "gb18030")
        assert done.code == 0, done.stderr
        [row] = await referee(cli, sandbox)
    assert row["room"] == "晨会"


def other_database(path: Path) -> None:
    """A database of something else."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")


async def newer_ledger(cli: Cli, archive: Path, path: Path) -> None:
    """A ledger whose schema this program does not know."""
    assert (await cli("load", archive, *PICTURES, "-l", path)).code == 0
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


LEDGERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("file_id\n1\n"), "not a ledger"),
    "another database": (other_database, "not a ledger"),
    "a folder": (lambda path: path.mkdir(), "folder"),
}


@pytest.mark.about_files
@pytest.mark.parametrize("case", [*LEDGERS, "a newer one"])
async def test_file_that_is_no_ledger(cli: Cli, manifest: Callable[..., Path], case: str) -> None:
    """Every command refuses it with 6, in one message, and leaves it as it is."""
    archive, path = manifest(tencent_ids(3)), cli.folder / "old.db"
    if case == "a newer one":
        await newer_ledger(cli, archive, path)
        word = "newer"
    else:
        make, word = LEDGERS[case]
        make(path)
    before = path.read_bytes() if path.is_file() else b""
    commands = [["run", str(archive), *PICTURES], ["status"]]
    async with serving(cli, ledger_made=False) as sandbox:
        for command in commands:
            done = await cli(*command, "-l", "old.db")
            assert done.code == 6, (command, done.stderr)
            assert done.stdout == ""
            assert "old.db" in done.stderr
            assert word in done.stderr
            assert done.stderr.count("\n") == 1
    assert sandbox.log == []
    assert (path.read_bytes() if path.is_file() else b"") == before


@pytest.mark.about_files
@pytest.mark.parametrize(
    "place",
    [
        "nowhere/batcher.db",
        pytest.param(
            "/proc/batcher.db",
            marks=pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc"),
        ),
    ],
)
async def test_folder_in_which_no_ledger_can_be_created_exits_6(
    cli: Cli, manifest: Callable[..., Path], place: str
) -> None:
    """A folder that is missing or cannot be written gives exit code 6 before anything is sent."""
    archive = manifest(tencent_ids(3))
    async with serving(cli, ledger_made=False) as sandbox:
        for command in (["run", str(archive), *PICTURES], ["status"]):
            done = await cli(*command, "-l", place)
            assert done.code == 6, done.stderr
            assert place in done.stderr
            assert done.stderr.count("\n") == 1
    assert sandbox.log == []


async def test_read_only_folder_exits_6(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A read-only folder gives exit code 6."""
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    archive, folder = manifest(tencent_ids(3)), cli.folder / "closed"
    folder.mkdir(mode=0o500)
    done = await cli("load", archive, *PICTURES, "-l", "closed/batcher.db")
    assert done.code == 6, done.stderr
    assert "closed/batcher.db" in done.stderr


@pytest.mark.parametrize("command", ["run", "status", "export", "retry", "show"])
async def test_command_without_a_ledger_exits_6(cli: Cli, command: str) -> None:
    """A command that needs an existing ledger gives exit code 6 and creates none."""
    async with serving(cli, ledger_made=False):
        done = await cli(command, *([ROW] if command == "show" else []))
    assert done.code == 6, done.stderr
    assert "batcher.db" in done.stderr
    assert not is_there(cli.folder / "batcher.db")


SETTINGS: dict[str, tuple[list[str], dict[str, str], list[str]]] = {
    "no account": ([], {"BATCHER_APP_ID": "", "BATCHER_SERVER_SECRET": ""}, ["APP_ID", "SERVER_SECRET"]),
    "no AppId": ([], {"BATCHER_APP_ID": ""}, ["BATCHER_APP_ID"]),
    "AppId in words": ([], {"BATCHER_APP_ID": "mine"}, ["BATCHER_APP_ID"]),
    "AppId too large": ([], {"BATCHER_APP_ID": str(2**32)}, ["BATCHER_APP_ID"]),
    "no secret": ([], {"BATCHER_SERVER_SECRET": ""}, ["BATCHER_SERVER_SECRET"]),
    "secret of two words": ([], {"BATCHER_SERVER_SECRET": "hush hush"}, ["BATCHER_SERVER_SECRET"]),
    "no file of the secret": (
        [],
        {"BATCHER_SERVER_SECRET": "", "BATCHER_SERVER_SECRET_FILE": "nowhere"},
        ["BATCHER_SERVER_SECRET_FILE", "nowhere"],
    ),
    "unknown policy": (["--in-doubt", "maybe"], {}, ["--in-doubt", "retry", "hold"]),
    "unknown option": (["--colour", "red"], {}, ["--colour"]),
    "unknown vendor": (["--vendor", "Acme"], {}, ["Acme", "Tencent"]),
    "plain http elsewhere": ([], {"BATCHER_ENDPOINT": "http://example.com/"}, ["BATCHER_ENDPOINT", "https"]),
    "no URL": ([], {"BATCHER_ENDPOINT": "example"}, ["BATCHER_ENDPOINT"]),
    "variable out of range": ([], {"BATCHER_RATE": "-1"}, ["BATCHER_RATE"]),
    "several at once": (
        ["--rate", "0", "--concurrency", "0", "--limit", "0", "--timeout", "soon"],
        {"BATCHER_APP_ID": "x"},
        ["--rate", "--concurrency", "--limit", "--timeout", "BATCHER_APP_ID"],
    ),
    "no such config": (["--config", "mine.toml"], {}, ["mine.toml"]),
    "unknown encoding": (["--encoding", "klingon"], {}, ["klingon"]),
}


@pytest.mark.parametrize("case", SETTINGS)
async def test_settings_that_cannot_be(cli: Cli, manifest: Callable[..., Path], case: str) -> None:
    """They are refused with 2, each named as it was given, before anything is made or sent."""
    args, env, words = SETTINGS[case]
    archive = manifest(tencent_ids(3))
    async with serving(cli, ledger_made=False) as sandbox:
        done = await cli("run", archive, *PICTURES, *args, env=env)
    assert done.code == 2, done.stderr
    assert done.stdout == ""
    assert all(word in done.stderr for word in words), done.stderr
    assert "hush" not in done.stderr
    assert sandbox.log == []
    assert not is_there(cli.folder / "batcher.db")


async def test_file_of_settings_that_is_not_toml_is_refused_with_an_example(cli: Cli) -> None:
    """The message names the place, and how a setting is written."""
    (cli.folder / "batcher.toml").write_text('vendor = "Tencent\n')
    done = await cli("status")
    assert done.code == 2
    assert "batcher.toml: is not TOML: " in done.stderr
    assert 'vendor = "Tencent"' in done.stderr


async def test_secret_in_the_file_of_settings_is_refused(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A secret in ``batcher.toml`` is refused, and not repeated."""
    archive = manifest(tencent_ids(1))
    (cli.folder / "batcher.toml").write_text('server_secret = "hush"\n')
    async with serving(cli, ledger_made=False):
        done = await cli("run", archive, *PICTURES)
    assert done.code == 2
    assert "batcher.toml" in done.stderr
    assert "hush" not in done.stderr


@pytest.mark.parametrize("flag", ["-v", "-q", "--json"])
async def test_secret_never_shows(cli: Cli, manifest: Callable[..., Path], flag: str) -> None:
    """From a file or the environment, verbose or not: it is in no output and no file (every test checks)."""
    archive = manifest(tencent_ids(5))
    async with serving(cli, ledger_made=False) as sandbox:
        (cli.folder / "secret.txt").write_text(cli.env.pop("BATCHER_SERVER_SECRET") + "\n")
        cli.env["BATCHER_SERVER_SECRET_FILE"] = "secret.txt"  # noqa: S105 - its place
        done = await cli.run(archive, *PICTURES, flag)
        assert done.code == 0, done.stderr
        await referee(cli, sandbox)
    assert "Signature" not in done.stdout + done.stderr


async def test_ledger_belongs_to_one_account(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Another AppId or another kind of endpoint on a bound ledger is refused with 2, and nothing is sent."""
    archive = manifest(ids := tencent_ids(8))
    async with serving(cli, ledger_made=False) as sandbox:
        assert (await cli.run(archive, *PICTURES, "--limit", "4")).code == 4
        bound = cli.env["BATCHER_APP_ID"]
        other = await cli("run", manifest(ids, "more.csv"), *PICTURES, env={"BATCHER_APP_ID": "4711"})
        assert other.code == 2
        assert bound in other.stderr
        assert "4711" in other.stderr
        real = await cli("run", env={"BATCHER_ENDPOINT": "https://rtc-api.zego.im/"})
        assert real.code == 2
        assert "endpoint" in real.stderr
        assert len(sandbox.log) == 4
        await referee(cli, sandbox)
    assert query(cli.folder / "batcher.db", "SELECT app_id, place FROM binding") == [(int(bound), "other")]
    assert len(await cli.export()) == 8


async def test_rounded_ids_are_refused(cli: Cli, tmp_path: Path) -> None:
    """Ids with the last digits of a spreadsheet are refused with 2 unless they are trusted."""
    rounded = [[f"{one[:15]}0000"] for one in tencent_ids(40)]
    archive = write_manifest(tmp_path / "archive.csv", rounded)
    async with serving(cli, ledger_made=False) as sandbox:
        done = await cli.run(archive, *PICTURES)
        assert done.code == 2
        assert "archive.csv" in done.stderr
        assert "--trust-ids" in done.stderr
        assert sandbox.log == []
        assert not is_there(tmp_path / "batcher.db")
        trusted = await cli.run(archive, *PICTURES, "--trust-ids")
        assert trusted.code == 0, trusted.stderr
        rows = await referee(cli, sandbox)
    assert len(rows) == len({row[0] for row in rounded})


MANY = 10_500
"""More rows than are read before the first request: a fault after them is a late one."""

LATE_FAULTS = {
    "bytes that are no text": (b"\xff\xfe broken\n", f"stdin line {MANY + 2}"),
    "a cut end": (b'"1397', f"stdin line {MANY + 2}"),
}


def long_stream(ids: list[str], end: bytes) -> bytes:
    """A CSV with these recordings again and again, and an end of its own."""
    return b"file_id\n" + "".join(f"{ids[n % len(ids)]}\n" for n in range(MANY)).encode() + end


@pytest.mark.parametrize("fault", LATE_FAULTS)
async def test_late_manifest_fault_with_work_left_exits_4(cli: Cli, fault: str) -> None:
    """Loading and sending stop, the load stays unfinished, and the message says what is wrong and left."""
    end, place = LATE_FAULTS[fault]
    stream = long_stream(tencent_ids(20), end)
    async with serving(cli, ledger_made=False) as sandbox:
        done = await cli("run", "-", *PICTURES, "--rate", "0.01", "-q", "--limit", "100", stdin=stream)
        assert done.code == 4, done.stderr
        assert "a manifest cannot be used; " in done.stderr
        assert "submissions left" in done.stderr
        assert place in done.stderr
        status = await cli.status()
        await referee(cli, sandbox)
    assert status["loads"][0]["unfinished"] is True
    assert status["submissions"]["pending"] > 0


@pytest.mark.parametrize("fault", LATE_FAULTS)
async def test_late_manifest_fault_with_nothing_left_exits_2(cli: Cli, fault: str) -> None:
    """All its recordings were sent by a run before, so the fault alone decides."""
    end, place = LATE_FAULTS[fault]
    ids = tencent_ids(20)
    async with serving(cli, ledger_made=False) as sandbox:
        assert (await cli.run("-", *PICTURES, stdin=long_stream(ids, b""))).code == 0
        done = await cli.run("-", *PICTURES, stdin=long_stream(ids, end))
        assert done.code == 2, done.stderr
        assert place in done.stderr
        assert len(sandbox.accepted()) == len(ids)


@pytest.mark.parametrize(
    "args", [["load"], ["show"], ["frobnicate"], ["codes", "many"], ["retry", "--state", "x"]]
)
async def test_wrong_command_line_exits_2(cli: Cli, args: list[str]) -> None:
    """Impossible usage is refused with exit code 2 and a message on stderr."""
    done = await cli(*args)
    assert done.code == 2
    assert done.stderr
    assert done.stdout == ""
