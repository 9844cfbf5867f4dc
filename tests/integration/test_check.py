"""``batcher check``: reports every fault that a run would meet, and changes nothing."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.certificates import certificate, needs_openssl
from support.cli import FAST, NO_LIMIT, PICTURES, Cli, Done, Json, serving, tencent_ids

from batcher.api.check import disk_finding
from batcher.api.check_service import clock_ahead_s
from batcher.ledger.preflight import Readiness
from batcher.model.check import CheckLevel
from batcher.model.records import Room
from batcher.model.submission import EndpointKind
from batcher.sandbox import SANDBOX_APP_ID, SandboxSettings

ABOUT = ["DNS", "connection", "TLS", "clock", "call", "ledger", "lock", "disk"]
"""The checks after the settings, in this order."""

LEDGERS = Path(__file__).parents[1] / "ledgers"

MIB = 1 << 20


async def check(cli: Cli, *args: str, code: int) -> Json:
    """``batcher check --json``, by what each finding is about; of several, the worst."""
    done = await cli("check", "--json", *args)
    assert done.code == code, done.stdout + done.stderr
    assert done.data["ready"] is (code == 0)
    worst = ["ok", "skip", "warn", "fail"]
    findings = sorted(done.data["findings"], key=lambda one: worst.index(one["level"]))
    return {one["about"]: one for one in findings} | {"all": done.data}


def levels(found: Json) -> dict[str, str]:
    """How each thing is that is not well; no ledger yet is no matter here."""
    return {
        about: one["level"]
        for about, one in found.items()
        if about != "all" and one["level"] != "ok" and not one["text"].endswith("there is no ledger")
    }


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its bytes and the time of its last change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.about_files
async def test_check_without_faults_passes(cli: Cli) -> None:
    """Everything is checked, with one call that can start no task, and nothing in the folder changes."""
    async with serving(cli) as sandbox:
        before = tree(cli.folder)
        done = await cli("check")
        assert done.code == 0, done.stdout
        assert done.stderr == "A run can begin.\n"
        lines = [line for line in done.stdout.splitlines() if line[0] != " "]
        assert [line.split()[0] for line in lines] == ["ok"] * len(lines)
        assert [line.split()[1] for line in lines][-len(ABOUT) :] == ABOUT
        assert tree(cli.folder) == before
        assert [(entry.file_id, entry.accepted) for entry in sandbox.log] == [("", False)]


async def test_distribution_of_the_former_name_is_a_warning(cli: Cli) -> None:
    """It owns the same files, so that it has to be uninstalled first."""
    former = cli.folder / "site" / "batcher-1.0.dist-info"
    former.mkdir(parents=True)
    (former / "METADATA").write_text("Metadata-Version: 2.1\nName: batcher\nVersion: 1.0\n")
    async with serving(cli):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "batcher", "check"),
            stdout=asyncio.subprocess.PIPE,
            cwd=cli.folder,
            env={**cli.env, "PYTHONPATH": str(former.parent)},
        )
        out, _ = await process.communicate()
    [line] = [line for line in out.decode().splitlines() if "installation" in line]
    assert line.startswith("warn")
    assert "pip uninstall batcher" in out.decode()
    assert process.returncode == 0


@pytest.mark.about_files
async def test_check_without_a_ledger_creates_none(cli: Cli) -> None:
    """Before the first run there is no ledger, and none after the check."""
    async with serving(cli, ledger_made=False):
        found = await check(cli, code=0)
        assert found["ledger"]["level"] == "warn"
        assert found["ledger"]["text"] == f"{cli.folder}/batcher.db: there is no ledger"
        assert "--new-ledger" in found["ledger"]["remedy"]
        named = await check(cli, "-l", "batcher.db", code=0)
        assert (named["ledger"]["level"], "--new-ledger" in named["ledger"]["remedy"]) == ("warn", False)
        assert tree(cli.folder) == {}


@pytest.mark.about_files
async def test_check_with_several_faults_reports_all(cli: Cli) -> None:
    """Wrong settings, a missing secret, a wrong clock and a file of another kind appear in one report."""
    async with serving(cli, SandboxSettings(clock_offset_s=400), ledger_made=False) as sandbox:
        (cli.folder / "batcher.db").write_text("file_id\n1\n")
        (cli.folder / "batcher.toml").write_text("concurrency = 0\nspeed = 3\n")
        cli.env |= {"BATCHER_RATE": "fast", "BATCHER_SERVER_SECRET": ""}
        done = await cli("check", env={"COLUMNS": "80"})
        assert done.code == 2
        failing = [" ".join(line.split()[1:3]) for line in done.stdout.splitlines() if line[:4] == "fail"]
        assert failing == [
            "settings batcher.toml:",
            "settings BATCHER_RATE",
            "settings batcher.toml:",
            "credentials BATCHER_SERVER_SECRET:",
            f"ledger {cli.folder}/batcher.db:",
        ]
        assert "warn  clock        our clock is 400 s behind the service's" in done.stdout
        assert "skip  call " in done.stdout
        assert "5 problems must be fixed before running, 1 warning." in done.stderr
        lines = done.stdout.splitlines()
        assert max(len(line) for line in lines if str(cli.folder) not in line) <= 80
        quiet = await cli("check", "-q")
        assert {line[:4] for line in quiet.stdout.splitlines() if line[0] != " "} == {"fail", "warn"}
        assert [entry.file_id for entry in sandbox.log] == ["", ""]


@pytest.mark.about_files
async def test_check_reports_the_source_of_each_setting(cli: Cli) -> None:
    """A flag, a variable, .env, the file of settings, or the default; all of them with -v."""
    async with serving(cli):
        (cli.folder / ".env").write_text("BATCHER_TIMEOUT=7s\nBATCHER_OFFSET=1;2\nBATCHER_GRACE=1\n")
        (cli.folder / "mine.toml").write_text('grace = 3\nin-doubt = "hold"\n')
        cli.env |= {"BATCHER_RATE": "5", "BATCHER_GRACE": ""}
        args = ("check", "--config", "mine.toml", "-l", "other.db")
        said = [" ".join(line.split()[2:]) for line in (await cli(*args)).stdout.splitlines()]
        assert {
            "ledger: other.db (--ledger)",
            "rate: 5 (BATCHER_RATE)",
            "timeout: 7 (BATCHER_TIMEOUT in .env)",
            "grace: 1 (BATCHER_GRACE in .env)",
            "offset: 1;2 (BATCHER_OFFSET in .env)",
            "in_doubt: hold (mine.toml)",
            "the ServerSecret is set (BATCHER_SERVER_SECRET)",
        } <= set(said)
        assert "concurrency: 64 (default)" not in said
        loud = await cli(*args, "-v")
        assert "concurrency: 64 (default)" in " ".join(loud.stdout.split())
        found = (await cli(*args, "--json")).data["settings"]
        assert found["rate"] == {"value": "5", "from": "environment"}
        assert found["server_secret"] == {"value": "set", "from": "environment"}


@pytest.mark.parametrize("place", ["env", "file", ".env"])
async def test_check_reports_the_source_of_the_secret_and_never_shows_it(cli: Cli, place: str) -> None:
    """Neither the text of the secret nor that of a wrong one is shown."""
    async with serving(cli):
        secret = cli.env.pop("BATCHER_SERVER_SECRET")
        if place == "file":
            (cli.folder / "secret").write_text(secret + "\n")
            cli.env |= {"BATCHER_SERVER_SECRET_FILE": "secret"}
        elif place == ".env":
            (cli.folder / ".env").write_text(f"BATCHER_SERVER_SECRET={secret}\n")
        else:
            cli.env["BATCHER_SERVER_SECRET"] = secret
        found = await check(cli, "-v", code=0)
        source = {"env": "SECRET)", "file": "SECRET_FILE secret)", ".env": "SECRET in .env)"}[place]
        assert found["credentials"]["text"] == f"the ServerSecret is set (BATCHER_SERVER_{source}"
        (cli.folder / ".env").unlink(missing_ok=True)


async def test_wrong_secret_is_found(cli: Cli) -> None:
    """The signed call says that the credentials are no good, and what to look at."""
    async with serving(cli):
        cli.secret = cli.env["BATCHER_SERVER_SECRET"] = "f" * 32
        found = await check(cli, code=2)
        assert levels(found) == {"call": "fail"}
        assert found["call"]["code"] == 100000005
        assert "ServerSecret" in found["call"]["remedy"]


async def test_secret_given_as_the_name_of_its_file_is_not_shown(cli: Cli) -> None:
    """A mix-up of the two variables is reported without the secret."""
    async with serving(cli):
        cli.env["BATCHER_SERVER_SECRET_FILE"] = cli.env.pop("BATCHER_SERVER_SECRET")
        found = await check(cli, "-v", code=2)
        assert levels(found) == {"credentials": "fail", "call": "skip"}


@pytest.mark.parametrize(
    ("account_code", "level", "words"),
    [
        (3, "fail", "the permission is not enabled"),
        (5, "fail", "a configuration error at the vendor"),
        (7, "fail", "authentication failed"),
        (6, "fail", "3 times: nothing is proven"),
        (777, "fail", "code 777"),
    ],
)
async def test_check_reports_a_fault_of_the_account(
    cli: Cli, account_code: int, level: str, words: str
) -> None:
    """A code other than 2 is reported with its meaning; one about the rate only after three calls."""
    async with serving(cli, SandboxSettings(rate_per_s=None, account_code=account_code)) as sandbox:
        found = await check(cli, code=2)
        assert levels(found) == {"call": level}
        assert words in found["call"]["text"]
        assert len(sandbox.log) == (3 if account_code == 6 else 1)


@pytest.mark.parametrize(
    ("offset_s", "level", "words"),
    [
        (0, "ok", "within 1 s"),
        (30, "ok", "our clock is 30 s behind"),
        (-300, "warn", "our clock is 300 s ahead of"),
        (3600, "warn", "our clock is 3600 s behind"),
    ],
)
async def test_check_reports_the_error_of_the_clock(cli: Cli, offset_s: int, level: str, words: str) -> None:
    """The credentials are proven despite a wrong clock, as a run would do."""
    async with serving(cli, SandboxSettings(rate_per_s=None, clock_offset_s=offset_s)):
        found = await check(cli, code=0)
        assert found["clock"]["level"] == level
        assert found["clock"]["text"].startswith(words)
        assert abs(found["clock"]["ahead_s"] + offset_s) <= 1
        assert found["call"]["code"] == 2


@pytest.mark.parametrize(
    ("sent_at", "answered_at", "server_time", "ahead"),
    [
        (100.0, 100.1, 100, 0.0),
        (100.9, 101.0, 100, 0.0),
        (101.5, 101.6, 100, 1.05),
        (99.8, 99.9, 100, -0.65),
        (100.0, 105.0, 100, 0.0),
        (412.0, 412.2, 100, 311.6),
        (100.0, 100.2, 412, -312.4),
    ],
)
def test_date_cut_to_seconds_says_no_more_than_it_can(
    sent_at: float, answered_at: float, server_time: float, ahead: float
) -> None:
    """Within the second that was cut off, and the time the answer took, nothing is off."""
    assert clock_ahead_s(sent_at, answered_at, server_time) == pytest.approx(ahead)


async def test_check_of_a_service_without_an_answer_fails(cli: Cli) -> None:
    """A closed connection and a missing answer are distinguished; the other checks are made."""
    async with serving(cli) as sandbox:
        sandbox.outage = True
        found = await check(cli, code=2)
        assert levels(found) == {"clock": "skip", "call": "fail"}
    found = await check(cli, code=2)
    assert levels(found) == {"connection": "fail", "clock": "skip", "call": "skip"}
    assert "refused" in found["connection"]["text"]


async def test_check_of_an_unknown_host_fails(cli: Cli) -> None:
    """An unknown host name fails alone; the ledger is checked all the same."""
    cli.use("https://nobody.invalid/")
    found = await check(cli, code=2)
    skipped = dict.fromkeys(("connection", "TLS", "clock", "call"), "skip")
    assert levels(found) == skipped | {"DNS": "fail"}
    assert found["DNS"]["text"].startswith("nobody.invalid: ")


@pytest.mark.about_files
@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "batcher.toml").write_text("rate = \n"),
        lambda folder: (folder / "batcher.toml").write_bytes(b"\xff"),
        lambda folder: (folder / ".env").write_bytes(b"BATCHER_RATE=\xff\n"),
    ],
    ids=["syntax", "bytes", ".env"],
)
async def test_check_with_an_unreadable_file_of_settings_calls_nothing(
    cli: Cli, spoil: Callable[[Path], object]
) -> None:
    """No default replaces the endpoint that the unreadable file may set."""
    async with serving(cli, ledger_made=False) as sandbox:
        spoil(cli.folder)
        found = await check(cli, code=2)
        assert found["settings"]["level"] == "fail"
        assert levels(found).keys() == {"settings", "ledger", "lock", "disk"}
        del cli.env["BATCHER_ENDPOINT"]
        sent = len(sandbox.log)
        found = await check(cli, code=2)
        assert {about: levels(found)[about] for about in ABOUT} == dict.fromkeys(ABOUT, "skip")
        assert len(sandbox.log) == sent == 1


async def test_variable_that_is_no_setting_is_named(cli: Cli) -> None:
    """A mistyped variable has no effect and says so; what is shown of a value is safe for a terminal."""
    async with serving(cli):
        (cli.folder / ".env").write_text("BATCHER_CONCURENCY=3\nOTHERS=1\n")
        cli.env |= {"BATCHER_RAET": "3", "BATCHER_PROGRESS": "\x1b[31mred"}
        done = await cli("check")
        assert done.code == 2
        said = " ".join(done.stdout.split())
        assert "BATCHER_RAET: there is no such setting, and it has no effect. Perhaps BATCHER_RATE is" in said
        assert "BATCHER_CONCURENCY: there is no such setting" in said
        assert "OTHERS" not in said
        assert "fail settings BATCHER_PROGRESS ?[31mred: " in said


async def test_rate_above_the_documented_one_is_a_warning(cli: Cli) -> None:
    """At the service itself more than 20 a second is more than it takes; elsewhere it may be any."""
    cli.env["BATCHER_RATE"] = "50"
    async with serving(cli):
        assert levels(await check(cli, code=0)) == {}
    async with proxying(None) as proxy:  # so that nothing leaves this machine
        cli.use("https://rtc-api.zego.im/")
        cli.env["HTTPS_PROXY"] = f"http://127.0.0.1:{proxy}"
        assert levels(await check(cli, code=2))["settings"] == "warn"


@asynccontextmanager
async def serving_tls(made: Path, key: Path) -> AsyncIterator[int]:
    """Something that answers every call with code 2, at a port of this machine, with a certificate."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"Code": 2, "Message": "no FileId"})

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    await web.TCPSite(runner, "localhost", 0, ssl_context=context).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@asynccontextmanager
async def proxying(to: int | None) -> AsyncIterator[int]:
    """A proxy that connects every client to one port, or refuses every client."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if to is None:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.close()
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", to)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pipe(reader, inner_writer), pipe(inner_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


@needs_openssl
@pytest.mark.parametrize(("days", "level"), [(400, "ok"), (3, "warn")])
async def test_check_reports_the_certificate(cli: Cli, tmp_path: Path, days: int, level: str) -> None:
    """The owner, the issuer and the end of validity; an end that is near is a warning."""
    made, key = certificate(tmp_path, "localhost", days)
    async with serving_tls(made, key) as port:
        cli.use(f"https://localhost:{port}/")
        cli.env["SSL_CERT_FILE"] = str(made)
        cli.python = shutil.which("python3", path=str(Path(cli.python).parent)) or cli.python
        found = await check(cli, code=0)
        assert levels(found) == ({} if level == "ok" else {"TLS": level})
        assert found["TLS"]["text"].startswith(
            "verified: localhost (Archive), signed by localhost (Archive), "
        )
        assert found["TLS"]["days_left"] in (days - 1, days)
        assert found["DNS"]["addresses"]
        assert found["connection"]["address"] in found["DNS"]["addresses"]
        assert found["call"]["code"] == 2


@needs_openssl
@pytest.mark.parametrize("host", ["localhost", "elsewhere.example"])
async def test_check_of_a_wrong_certificate_fails(cli: Cli, tmp_path: Path, host: str) -> None:
    """A self-signed certificate and one of another host: nothing is sent, and the remedy is given."""
    made, key = certificate(tmp_path, host, 400)
    async with serving_tls(made, key) as port:
        cli.use(f"https://localhost:{port}/")
        if host != "localhost":
            cli.env["SSL_CERT_FILE"] = str(made)
        cli.python = shutil.which("python3", path=str(Path(cli.python).parent)) or cli.python
        found = await check(cli, code=2)
        assert levels(found) == {"TLS": "fail", "clock": "skip", "call": "skip"}
        assert "TLS failed" in found["TLS"]["text"]
        assert "SSL_CERT_FILE" in found["TLS"]["remedy"]


@needs_openssl
async def test_check_through_a_proxy_reports_the_certificate_of_the_service(cli: Cli, tmp_path: Path) -> None:
    """The proxy passes the service's own certificate; its password is not shown."""
    made, key = certificate(tmp_path, "zego.example", 400)
    async with serving_tls(made, key) as port, proxying(port) as proxy:
        cli.use("https://zego.example/")
        cli.env |= {"SSL_CERT_FILE": str(made), "HTTPS_PROXY": f"http://me:hidden@127.0.0.1:{proxy}"}
        cli.python = shutil.which("python3", path=str(Path(cli.python).parent)) or cli.python
        found = await check(cli, code=0)
        assert levels(found) == {}
        assert f"through the proxy 127.0.0.1:{proxy}" in found["connection"]["text"]
        assert "the proxy; it looks up zego.example itself" in found["DNS"]["text"]
        assert found["TLS"]["subject"] == "zego.example (Archive)"
        assert found["TLS"]["text"].endswith("days), seen through the proxy")
        assert "hidden" not in str(found)


async def test_check_through_a_refusing_proxy_fails(cli: Cli) -> None:
    """The message says that the connection ends at the proxy."""
    async with proxying(None) as proxy:
        cli.use("https://zego.example/")
        cli.env["HTTPS_PROXY"] = f"http://127.0.0.1:{proxy}"
        found = await check(cli, code=2)
        assert levels(found) == {"connection": "fail", "TLS": "skip", "clock": "skip", "call": "skip"}
        assert "HTTP 407" in found["connection"]["text"]


# -- the ledger, its lock, the disk -------------------------------------------------------------------


async def test_ledger_of_others_is_found(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A ledger bound to another AppId, or another kind of endpoint, fails as a run would."""
    archive = manifest(tencent_ids(3))
    async with serving(cli) as sandbox:
        assert (await cli("run", archive, *PICTURES, *FAST)).code == 0
        found = await check(cli, code=0)
        assert found["ledger"]["app_id"] == SANDBOX_APP_ID
        assert (
            f"belongs to AppId {SANDBOX_APP_ID} and an endpoint outside the ZEGO cloud"
            in found["ledger"]["text"]
        )
        cli.env["BATCHER_APP_ID"] = "7"
        found = await check(cli, code=2)
        assert levels(found)["ledger"] == "fail"
        assert "a run now to AppId 7" in found["ledger"]["text"]
        assert len(sandbox.log) == 5
    async with proxying(None) as proxy:  # so that nothing leaves this machine
        cli.use("https://rtc-api.zego.im/")
        cli.env["HTTPS_PROXY"] = f"http://127.0.0.1:{proxy}"
        found = await check(cli, code=2)
        assert levels(found)["ledger"] == "fail"
        assert f"a run now to AppId {SANDBOX_APP_ID} and the ZEGO cloud" in found["ledger"]["text"]


@pytest.mark.about_files
async def test_check_of_an_older_schema_reports_it_and_leaves_it(cli: Cli) -> None:
    """The next run would upgrade the ledger; the check does not."""
    async with serving(cli, ledger_made=False):
        shutil.copy(LEDGERS / "0001.db", cli.folder / "batcher.db")
        with closing(sqlite3.connect(cli.folder / "batcher.db")) as connection, connection:
            connection.execute("DELETE FROM binding")
        before = tree(cli.folder)
        found = await check(cli, code=0)
        assert found["ledger"]["schema"] == "0001"
        assert "which the next run makes" in found["ledger"]["text"]
        assert tree(cli.folder) == before


def _newer(path: Path) -> None:
    shutil.copy(LEDGERS / "0002.db", path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE others (n)")


def _damaged(path: Path) -> None:
    whole = (LEDGERS / "0002.db").read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))


@pytest.mark.about_files
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_newer, "upgrade batcher"),
        (_foreign, "not a ledger"),
        (_damaged, "the ledger cannot be used: "),
        (lambda path: path.mkdir(), "this is a folder"),
    ],
    ids=["newer", "foreign", "damaged", "folder"],
)
async def test_check_of_an_unusable_ledger_fails(
    cli: Cli, make: Callable[[Path], object], words: str
) -> None:
    """A foreign database, one from a newer version and damaged files are reported and not changed."""
    async with serving(cli, ledger_made=False):
        make(cli.folder / "batcher.db")
        before = tree(cli.folder)
        found = await check(cli, code=2)
        assert levels(found) == {"ledger": "fail"}
        assert words in found["ledger"]["text"]
        assert tree(cli.folder) == before


@pytest.mark.about_files
@pytest.mark.parametrize(
    ("ledger", "about"), [("gone/batcher.db", "ledger"), ("postgresql://u:hidden@h/d", "ledger")]
)
async def test_place_that_cannot_be_one_is_found(cli: Cli, ledger: str, about: str) -> None:
    """A folder that is not there, and a database that is no file, without its password."""
    async with serving(cli):
        found = await check(cli, "-l", ledger, code=2)
        assert levels(found)[about] == "fail"
        assert "hidden" not in str(found)


@pytest.mark.about_files
async def test_check_after_a_killed_run_reads_its_log(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The log that a killed run has left counts, and stays for the next run."""
    archive = manifest(tencent_ids(40))
    async with serving(cli) as sandbox:
        run = await cli.start("run", archive, *PICTURES, "--rate", "0.05", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.log) >= 1, 20)
        found = await check(cli, code=0)
        assert levels(found) == {"lock": "warn"}
        assert (found["lock"]["pid"], found["lock"]["command"]) == (run.pid, "batcher run")
        assert f"held by process {run.pid} on " in found["lock"]["text"]
        assert "a run now would have exit code 5" in found["lock"]["remedy"]
        run.kill()
        await run.communicate()
        before = {name: one[0] for name, one in tree(cli.folder).items() if not name.endswith("-shm")}
        assert before["batcher.db-wal"]
        found = await check(cli, code=0)
        assert levels(found) == {}
        assert found["ledger"]["open"] >= 39
        assert {name: one[0] for name, one in tree(cli.folder).items() if not name.endswith("-shm")} == before


@pytest.mark.parametrize(
    ("free", "open_submissions", "level"),
    [
        (10 * MIB, 0, CheckLevel.FAIL),
        (17 * MIB, 0, CheckLevel.OK),
        (1000 * MIB, 1_000_000, CheckLevel.OK),
        (100 * MIB, 1_000_000, CheckLevel.FAIL),
    ],
)
def test_disk_is_held_against_the_open_work(free: int, open_submissions: int, level: CheckLevel) -> None:
    """Too little for a run to begin, or for what is open to be recorded, fails."""
    found = Readiness("0002", "0002", (1, EndpointKind.ZEGO), open_submissions)
    room = Room(free, open_submissions * 250, 16 * MIB)
    assert disk_finding(room, found).level is level
    assert (disk_finding(room, None).level is CheckLevel.FAIL) == (free < 16 * MIB), "before the first run"


@pytest.mark.about_files
async def test_open_work_is_counted(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The disk must have room for the submissions that are loaded and not sent."""
    assert (await cli("load", manifest(tencent_ids(30)), *PICTURES)).code == 0
    async with serving(cli):
        found = await check(cli, code=0)
        assert found["ledger"]["open"] == 30
        assert found["disk"]["needed_bytes"] == 30 * 250 + 16 * MIB
        assert found["disk"]["free_bytes"] > 0
        assert "30 submissions to send" in found["disk"]["text"]


async def test_help_may_be_pasted_into_a_crontab(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The exit code alone says whether a run could begin."""
    archive = manifest(tencent_ids(2))
    async with serving(cli, NO_LIMIT) as sandbox:
        checked: Done = await cli("check", "-q")
        assert (checked.code, checked.stdout, checked.stderr) == (0, "", "")
        assert (await cli("run", archive, *PICTURES, *FAST)).code == 0
        assert len([entry for entry in sandbox.log if entry.accepted]) == 2


TOKEN = "T0K3N-of-a-channel"  # noqa: S105 - of a made-up hook
HEARD = ("notify", "ping", "metrics")


def targets_found(done: Done) -> list[tuple[str, str, str]]:
    """Level, subject and text of what is said of those who would hear of a run; no token is in anything."""
    assert TOKEN not in done.stdout + done.stderr
    found = [one for one in done.data["findings"] if one["about"] in HEARD]
    return [(one["level"], one["about"], one["text"]) for one in found]


async def test_check_reports_notification_targets_without_calling_them(cli: Cli) -> None:
    """The kinds of the hooks, the monitor and the metrics are reported without an address."""
    called: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        called.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", answer)
    async with serving(cli), TestServer(app) as hooks:
        assert targets_found(await cli("check", "--json")) == []
        cli.env |= {
            "BATCHER_NOTIFY": f"json://127.0.0.1:{hooks.port}/{TOKEN} json://127.0.0.1:{hooks.port}/{TOKEN}/2",
            "BATCHER_NOTIFY_ON": "halt",
            "BATCHER_PING_URL": f"http://127.0.0.1:{hooks.port}/{TOKEN}",
            "BATCHER_METRICS_PORT": "9464",
            "BATCHER_METRICS_FILE": "batcher.prom",
        }
        done = await cli("check", "--json")
        text = await cli("check")
    assert done.code == text.code == 0
    assert targets_found(done) == [
        (
            "ok",
            "notify",
            "BATCHER_NOTIFY: 2 × json; sent when a run halts (BATCHER_NOTIFY_ON=halt)",
        ),
        ("ok", "ping", "BATCHER_PING_URL is set; run, load and track ping it at their start and end"),
        ("ok", "metrics", "metrics are served at http://127.0.0.1:9464/metrics during a run"),
        ("ok", "metrics", "metrics are written to batcher.prom"),
    ]
    assert TOKEN not in text.stdout + text.stderr
    assert called == []
    assert not (cli.folder / "batcher.prom").exists()


@pytest.mark.parametrize(
    ("setting", "value", "about", "text", "remedy"),
    [
        (
            "NOTIFY",
            f"nonsense://{TOKEN}/x",
            "notify",
            "BATCHER_NOTIFY, URL 1 (nonsense): apprise does not",
            "correct",
        ),
        ("NOTIFY", f"{TOKEN}", "notify", "BATCHER_NOTIFY, URL 1: apprise does not", "correct"),
        (
            "NOTIFY_FILE",
            "gone.txt",
            "notify",
            "BATCHER_NOTIFY_FILE: /",
            "correct the file",
        ),
        (
            "NOTIFY_FILE",
            "empty.txt",
            "notify",
            "BATCHER_NOTIFY_FILE: empty.txt: it holds no URL",
            "correct the file",
        ),
        ("METRICS_FILE", "gone/b.prom", "metrics", "gone/b.prom: no such folder", "make "),
        ("METRICS_FILE", ".", "metrics", ".: it is a folder", "name a file"),
    ],
)
async def test_notification_target_that_cannot_work_is_a_warning(
    cli: Cli, setting: str, value: str, about: str, text: str, remedy: str
) -> None:
    """A run would continue without it, so it is not a failure; the finding has the remedy."""
    (cli.folder / "empty.txt").write_text("# none yet\n")
    cli.env[f"BATCHER_{setting}"] = value
    async with serving(cli):
        done = await cli("check", "--json")
        quiet = await cli("check", "-q")
    assert done.code == 0
    [(level, subject, message)] = targets_found(done)
    assert (level, subject, message[: len(text)]) == ("warn", about, text)
    [finding] = [one for one in done.data["findings"] if one["about"] == about]
    assert finding["remedy"].startswith(remedy)
    assert quiet.stdout.startswith(f"warn  {about}")


async def test_metrics_on_all_addresses_are_a_warning(cli: Cli) -> None:
    """Other machines can reach that address."""
    async with serving(cli):
        cli.env |= {"BATCHER_METRICS_PORT": "9464", "BATCHER_METRICS_HOST": "::"}
        found = await check(cli, code=0)
    assert levels(found) == {"metrics": "warn"}
    assert "http://[::]:9464/metrics" in found["metrics"]["text"]
    assert "no password" in found["metrics"]["remedy"]


async def test_check_without_apprise_names_the_package(cli: Cli) -> None:
    """The finding has the number of addresses and the command that installs it."""
    blocked = cli.folder / "blocked" / "apprise"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError('not installed')\n")
    code = f"import sys; sys.path.insert(0, {str(blocked.parent)!r}); from batcher.cli import main; main()"
    async with serving(cli):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, "check", "--json"),
            cwd=cli.folder,
            env={**cli.env, "BATCHER_NOTIFY": f"slack://{TOKEN}/b/c"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        done = await cli.finish(process)
    assert targets_found(done) == [
        (
            "warn",
            "notify",
            "BATCHER_NOTIFY: 1 URL; apprise, which reads them, is not installed; "
            "there would be no notification",
        )
    ]
    assert "pip install 'apprise>=1.9'" in done.stdout
