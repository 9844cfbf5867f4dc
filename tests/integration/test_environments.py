"""Locales, limits, time zones, closed streams and full disks: what a machine gives and takes away."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.callbacks import SECRET_GIVEN
from support.cli import FAST, PICTURES, Cli, serving, tencent_ids, write_manifest
from support.environments import in_environment
from support.ledger_place import empty_ledger
from support.terminal import Terminal

from batcher.cli.descriptors import LEAST

ROOT = Path(__file__).parents[2]

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def _latin_1(folder: Path) -> dict[str, str]:
    """Make a locale of ISO 8859-1, and return the variables that choose it."""
    maker = shutil.which("localedef")
    place = folder / "locales"
    place.mkdir()
    command = [maker or "false", "-i", "en_US", "-f", "ISO-8859-1", str(place / "en_US.ISO-8859-1")]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this system cannot make a locale")
    return {"LC_ALL": "en_US.ISO-8859-1", "LOCPATH": str(place), "PYTHONUTF8": "0"}


@pytest.mark.about_files
@pytest.mark.parametrize("locale", ["C", "ISO-8859-1"])
async def test_files_are_utf_8_in_every_locale(cli: Cli, locale: str) -> None:
    """Settings, manifest, metrics and ledger are the same files as in a locale of UTF-8."""
    env = C_LOCALE if locale == "C" else _latin_1(cli.folder)
    write_manifest(cli.folder / "课程é.csv", [(tencent_ids(1)[0], "晨会")], ("file_id", "课程"))
    (cli.folder / "batcher.toml").write_text('# 注释\nledger = "账é.db"\n', "utf-8")
    (cli.folder / ".env").write_text("# 注释\nBATCHER_METRICS_FILE=é课.prom\n", "utf-8")
    async with serving(cli, ledger_made=False):
        for args in (
            ["run", "课程é.csv", *PICTURES, *FAST],
            *(["status"], ["status", "--json"], ["audit"], ["check"], ["--help"], ["codes"]),
            *(["report", "-o", "报告é.html"], ["export", "-o", "结果é.csv"], ["ledger", "verify"]),
        ):
            done = await in_environment(cli, args, env=env)
            assert done.code == 0, (args, done.stderr)
        exported = await in_environment(cli, ["export", "--format", "jsonl"], env=env)
        rows = await cli.export()
    assert [row["课程"] for row in exported.lines] == [row["课程"] for row in rows] == ["晨会"]
    made = {"账é.db", "é课.prom", "报告é.html", "结果é.csv"}
    assert made <= {name.name for name in cli.folder.iterdir()}


@pytest.mark.parametrize("limit", [64, 50])
async def test_few_descriptors_lower_the_concurrency(
    cli: Cli, manifest: Callable[..., Path], limit: int
) -> None:
    """A run stays within them, warns, and leaves nothing in doubt."""
    archive = manifest(tencent_ids(200))
    async with serving(cli) as sandbox:
        done = await in_environment(
            cli, ["run", str(archive), *PICTURES, *FAST, "-l", "batcher.db"], limits=f"ulimit -n {limit}"
        )
    assert done.code == 0, done.stderr
    assert f"--concurrency 64 is {limit - 40} here: this process may have {limit} files open" in done.stderr
    assert len(sandbox.log) == len(sandbox.accepted()) == 200


async def test_too_few_descriptors_are_named_before_anything_is_sent(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Below the least number the message says what to raise."""
    archive = manifest(tencent_ids(2))
    async with serving(cli) as sandbox:
        args = ["run", str(archive), *PICTURES, *FAST, "-l", "batcher.db"]
        done = await in_environment(cli, args, limits="ulimit -n 20")
    assert done.code == 6, done.stderr
    assert "Raise the limit (ulimit -n 1024" in done.stderr or "Raise that (ulimit -n 1024)" in done.stderr
    assert sandbox.log == []


EVERY_COMMAND: list[tuple[str | Path, ...]] = [
    ("load", "archive.csv", *PICTURES, "-l", "new.db"),
    ("run", "archive.csv", *PICTURES, "--dry-run"),
    ("track", "-l", "batcher.db"),
    ("listen", "--port", "0"),
    ("verify-ids", "archive.csv"),
    ("discover", "--vendor", "Tencent", "--since", "30d"),
    ("fetch", "-o", "pictures"),
    ("status",),
    ("export", "-o", "results.csv"),
    ("report", "-o", "report.html"),
    ("retry", "--state", "failed"),
    ("ledger", "backup", "copy.db"),
    ("ledger", "vacuum"),
    ("sandbox", "--port", "0"),
    ("demo",),
]


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=lambda one: " ".join(one[:2]))
async def test_command_with_too_few_descriptors_leaves_nothing_behind(
    cli: Cli, manifest: Callable[..., Path], command: tuple[str, ...]
) -> None:
    """Exit code 6, with the least number and what to raise; nothing is sent or created."""
    manifest(tencent_ids(2))
    async with serving(cli) as sandbox:
        before = sorted(path.name for path in cli.folder.iterdir())
        done = await in_environment(cli, command, env=SECRET_GIVEN, limits="ulimit -n 12")
        assert done.code == 6, done.stderr
        assert "this process may have 12 files open, and this command needs " in done.stderr
        assert "Raise the limit (ulimit -n 1024" in done.stderr
        assert sorted(path.name for path in cli.folder.iterdir()) == before
        assert sandbox.log == []


@pytest.mark.parametrize(
    "command", [command for command in EVERY_COMMAND if command[0] in ("load", "status")]
)
async def test_least_number_of_descriptors_is_enough(
    cli: Cli, manifest: Callable[..., Path], command: tuple[str, ...]
) -> None:
    """The number that messages name."""
    manifest(tencent_ids(2))
    async with serving(cli):
        done = await in_environment(cli, command, limits=f"ulimit -n {LEAST}")
    assert done.code == 0, done.stderr


@pytest.mark.parametrize(("limit", "skipped"), [(12, True), (30, False)])
async def test_check_reports_too_few_descriptors(cli: Cli, limit: int, skipped: bool) -> None:
    """The finding has the remedy; what cannot be checked with so few is skipped."""
    async with serving(cli):
        done = await in_environment(cli, ["check", "--json"], limits=f"ulimit -n {limit}")
    assert done.code == 2, done.stderr
    found = {one["about"]: one for one in done.data["findings"]}
    assert found["open files"]["level"] == "fail"
    assert found["open files"]["text"].startswith(
        f"this process may have {limit} files open, and a run needs 41"
    )
    assert found["open files"]["remedy"].startswith("raise the limit (ulimit -n 1024")
    assert (found["call"]["level"] == "skip") is skipped


NO_REQUEST = """
import asyncio, os, resource, sys
from batcher.errors import SystemFault
from batcher.zego.client import Account, ZegoClient

async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 3,) * 2)
    try:
        async with ZegoClient("http://127.0.0.1:9/", Account(1, "x" * 32), timeout_s=1, connections=1):
            pass
    except SystemFault as exc:
        print(exc)

asyncio.run(main())
"""

NO_BACKUP = """
import os, pathlib, resource, sys
from batcher.errors import BatcherError
from batcher.ledger.sqlite.backup import back_up

ledger, hard = pathlib.Path(sys.argv[1]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
target = pathlib.Path(sys.argv[2]) / "copy.db"
back_up(ledger, target, lambda *_: None)  # everything is imported from here on
target.unlink()
for more in range(12):
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + more, hard))
    try:
        back_up(ledger, target, lambda *_: None, replace=True)
    except (BatcherError, OSError):
        pass
    else:
        break
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if left := os.listdir(sys.argv[2]):
        print(more, left)
else:
    print("never")
"""


async def outcome(program: str, *args: str | Path) -> tuple[str, str]:
    """What a program of the library's users prints, and its stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-c", program, *map(str, args)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    out, err = await process.communicate()
    return out.decode(), err.decode()


async def test_library_without_descriptors_names_them() -> None:
    """A program gets the system's reason, not a fault of the HTTP library."""
    out, err = await outcome(NO_REQUEST)
    assert out.startswith("no request can be sent: too many open files"), err
    assert err == ""


async def test_backup_without_descriptors_leaves_nothing_beside_it(tmp_path: Path) -> None:
    """Whichever of its files cannot be opened any more."""
    ledger = tmp_path / "ledger.db"
    shutil.copy(await empty_ledger(), ledger)
    (folder := tmp_path / "backups").mkdir()
    assert await outcome(NO_BACKUP, ledger, folder) == ("", "")


async def test_until_says_its_moment_and_zone(cli: Cli, manifest: Callable[..., Path]) -> None:
    """With a zone that the machine has, and with one that it lacks."""
    archive = manifest(tencent_ids(1))
    async with serving(cli):
        run = ["run", str(archive), *PICTURES, *FAST, "--until", "05:30"]
        known = await cli(*run, env={"TZ": "CST-8"})
        unknown = await cli(*run, env={"TZ": "Asia/Nowhere"})
    assert re.search(r"^until 05:30 \(20\d\d-\d\d-\d\d 05:30 UTC\+08:00\)$", known.stderr, re.MULTILINE)
    assert "05:30 UTC+00:00)" in unknown.stderr
    assert "batcher: warning: TZ=Asia/Nowhere: this machine has no such time zone" in unknown.stderr
    assert "TZ=" not in known.stderr


async def test_dotenv_that_others_may_read_is_a_warning(cli: Cli) -> None:
    """One, with the remedy; none when it holds no secret, or only the owner may read it."""
    place = cli.folder / ".env"
    async with serving(cli):
        place.write_text(f"\ufeffBATCHER_SERVER_SECRET={cli.secret}\r\nBATCHER_APP_ID=12\r\n", "utf-8")
        place.chmod(0o640)
        warned = await cli("status")
        checked = await cli("check")
        place.chmod(0o600)
        closed = await cli("status")
        place.write_text("BATCHER_RATE=5\n")
        place.chmod(0o644)
        harmless = await cli("status")
    assert warned.stderr == (
        f"batcher: warning: {place}: other users of this machine may read it, and it holds "
        f"BATCHER_SERVER_SECRET; run `chmod 600 {place}`\n"
    )
    assert "other users of this machine may read it" in checked.stdout
    assert (closed.stderr, harmless.stderr) == ("", "")


@pytest.mark.parametrize("name", [".env", "batcher.toml"])
async def test_settings_in_utf_16_are_named(cli: Cli, name: str) -> None:
    """Windows writes them with a mark; the message says so, and how to convert them."""
    (cli.folder / name).write_text("rate = 3\n", "utf-16")
    done = await cli("status")
    assert done.code == 2
    assert (
        f"{cli.folder}/{name}: the file is in UTF-16, as Windows writes it. Save it as UTF-8" in done.stderr
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty; put one line with the ServerSecret in it"),
        (b"one\ntwo\n", "it holds 2 lines; put one line with the ServerSecret in it"),
        (None, "there is a folder in its place"),
        ("secret".encode("utf-16"), "the file is in UTF-16"),
    ],
)
async def test_file_of_the_secret_is_refused_with_its_fault(cli: Cli, data: bytes | None, words: str) -> None:
    """The message has its absolute path, and nothing of its text."""
    place = cli.folder / "secret"
    if data is None:
        place.mkdir()
    else:
        place.write_bytes(data)
    async with serving(cli):
        done = await cli("run", env={"BATCHER_SERVER_SECRET": "", "BATCHER_SERVER_SECRET_FILE": "secret"})
    assert done.code == 2
    assert f"BATCHER_SERVER_SECRET_FILE: {place}: {words}" in done.stderr


async def test_file_of_the_secret_loses_mark_and_line_end(cli: Cli, manifest: Callable[..., Path]) -> None:
    """As editors of Windows write them."""
    archive = manifest(tencent_ids(1))
    (cli.folder / "secret").write_bytes(b"\xef\xbb\xbf" + cli.secret.encode() + b"\r\n")
    async with serving(cli) as sandbox:
        env = {"BATCHER_SERVER_SECRET": "", "BATCHER_SERVER_SECRET_FILE": "secret"}
        done = await cli("run", archive, *PICTURES, *FAST, env=env)
    assert done.code == 0, done.stderr
    assert len(sandbox.accepted()) == 1


async def test_missing_manifest_is_named_before_missing_credentials(cli: Cli) -> None:
    """All that is missing is reported together; the message says where `.env` was looked for."""
    done = await cli("run", "nosuch.csv", *PICTURES)
    assert done.code == 2
    first, second, third = done.stderr.splitlines()
    assert first == f"batcher: {cli.folder}/nosuch.csv: there is no such file"
    assert f"the environment or in {cli.folder}/.env (there is no such file)" in second
    assert third.startswith("batcher: BATCHER_SERVER_SECRET: the ServerSecret is missing")


@pytest.mark.parametrize(
    "statement", ["import batcher", "from batcher.cli import main", "import batcher.api"]
)
def test_windows_gets_one_message(statement: str) -> None:
    """The first import says where batcher runs, before any module is imported that Windows lacks."""
    code = f"import sys; sys.platform = 'win32'; sys.modules['fcntl'] = None\n{statement}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=90
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "batcher: runs on Linux and macOS; on Windows use WSL 2\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("args", [["status"], ["export"], ["load", "archive.csv", *PICTURES]], ids=" ".join)
async def test_closed_streams_end_no_command(
    cli: Cli, manifest: Callable[..., Path], args: list[str], closed: str
) -> None:
    """They are opened on the null device."""
    manifest(tencent_ids(1))
    async with serving(cli):
        done = await in_environment(cli, args, redirected=closed)
    assert done.code == 0, done.stderr


@pytest.mark.parametrize(
    "args",
    [
        *(["export", "-o", "o.csv"], ["export", "--format", "jsonl", "-o", "o.jsonl"]),
        pytest.param(["ledger", "backup", "o.db"], marks=pytest.mark.about_files),
    ],
    ids=" ".join,
)
async def test_full_disk_leaves_no_output(cli: Cli, args: list[str]) -> None:
    """A limit for the size of a file is a full disk: exit code 6, and nothing is left of the output."""
    write_manifest(
        cli.folder / "archive.csv", ([one, "x" * 200] for one in tencent_ids(600)), ("file_id", "text")
    )
    async with serving(cli):
        assert (await cli("load", "archive.csv", *PICTURES)).code == 0
        before = sorted(os.listdir(cli.folder))  # noqa: PTH208 - an asynchronous test
        done = await in_environment(cli, args, limits="ulimit -f 80")
        after = sorted(os.listdir(cli.folder))  # noqa: PTH208
    assert done.code == 6, done.stderr
    assert "the disk is full" in done.stderr
    assert after == before


@pytest.mark.about_files
async def test_full_disk_of_the_ledger_is_named(cli: Cli) -> None:
    """SQLite calls it an input/output error; the message does not."""
    write_manifest(cli.folder / "archive.csv", [[one] for one in tencent_ids(20_000)])
    done = await in_environment(cli, ["load", "archive.csv", *PICTURES], limits="ulimit -f 400")
    assert done.code == 6, done.stderr
    assert "the ledger cannot be used: the disk is full for this process" in done.stderr


async def test_missing_temporary_folder_matters_only_where_it_is_needed(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """A run and an export need none."""
    archive = manifest(tencent_ids(1))
    env = {"TMPDIR": "/none", "TEMP": "/none", "TMP": "/none"}
    async with serving(cli):
        for args in (["run", archive, *PICTURES, *FAST], ["export", "-o", "o.csv"], ["status"]):
            done = await cli(*args, env=env)
            assert done.code == 0, done.stderr


async def test_manifest_from_a_terminal_says_how_to_end_it(cli: Cli) -> None:
    """Otherwise the command seems to hang."""

    def typed() -> str:
        terminal = Terminal(cli, ["load", "-", *PICTURES], 200, {})
        terminal.read("End it with Ctrl-D")
        terminal.type(f"file_id\n{tencent_ids(1)[0]}\n\x04")
        terminal.end()
        return terminal.text

    assert "1 new submission" in await asyncio.to_thread(typed)


async def test_sandbox_prints_its_lines_whole(cli: Cli) -> None:
    """Lines for people and variables for a shell go to one terminal, and none is within another."""

    def started() -> list[str]:
        terminal = Terminal(cli, ["sandbox", "--port", "0"], 200, {})
        terminal.read("CALLBACK_SECRET=fedcba9876543210fedcba9876543210")
        terminal.interrupt()
        terminal.end()
        return terminal.text.splitlines()

    lines = await asyncio.to_thread(started)
    assert lines[0].startswith("Serving (seed ")
    assert lines[1] == "Set these where batcher runs, and give it a ledger of its own:"
    assert [line.partition("=")[0] for line in lines[2:7]] == [
        f"export BATCHER_{name}"
        for name in ("ENDPOINT", "APP_ID", "SERVER_SECRET", "LEDGER", "CALLBACK_SECRET")
    ]
