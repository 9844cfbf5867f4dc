"""Obstacles before the service that waiting does not remove: proxies, certificates, firewalls."""

from __future__ import annotations

import asyncio
import base64
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from support.certificates import certificate, needs_openssl
from support.cli import FAST, PICTURES, Cli, Done, said, serving, tencent_ids
from support.ledger_sql import query
from support.refusing_proxy import refusing_proxy

SPEED = 100
"""An obstacle is watched for minutes."""

CLOUD = "https://rtc-api.zego.im/"
PAGE = "<html><body>Access denied by policy 17</body></html>"

ROWS = """
SELECT state, count(*), sum(tries_busy + tries_unknown + tries_doubt),
    max(CASE WHEN doubted THEN 1 ELSE 0 END)
FROM submissions GROUP BY state
"""


@asynccontextmanager
async def forbidding(
    status: int, asked: list[str], context: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A firewall: a page of HTML with one status to every request; yields its URL."""

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query_string)
        return web.Response(status=status, text=PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "localhost" if context else "127.0.0.1", 0, ssl_context=context).start()
    try:
        port = runner.addresses[0][1]
        yield f"https://localhost:{port}/" if context else f"http://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()


def untouched(cli: Cli, rows: int) -> None:
    """Every submission is still to be sent, none used a try, and none is in doubt."""
    assert query(cli.folder / "batcher.db", ROWS) == [("pending", rows, 0, 0)]


def said_once(done: Done, *words: str) -> None:
    """The reason of the halt is on stderr once, in one paragraph."""
    text = " ".join(done.stderr.split())
    for one in words:
        assert one in text, done.stderr
    assert text.count(words[0]) == 1, done.stderr


# -- proxies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words", "remedy"),
    [
        (407, "the proxy asks for a user name and a password", "HTTPS_PROXY or ALL_PROXY"),
        (403, "the proxy does not allow this connection", "ask the operator of the proxy"),
    ],
)
async def test_proxy_that_refuses_every_connection_halts_a_run(
    cli: Cli, manifest: Callable[..., Path], status: int, words: str, remedy: str
) -> None:
    """The run waits for minutes, names the obstacle once under -q too, and halts; no row is charged."""
    archive, asked = manifest(tencent_ids(30)), list[bytes]()
    cli.speed = SPEED
    cli.use(CLOUD)
    async with refusing_proxy(status, asked) as port:
        named = {"HTTPS_PROXY": f"http://me:hidden@127.0.0.1:{port}"}
        done = await cli("run", archive, *PICTURES, *FAST, "-q", env=named)
    assert done.code == 3, done.stderr
    said_once(done, words, f"the proxy 127.0.0.1:{port} of HTTPS_PROXY refused: HTTP {status}", remedy)
    assert "hidden" not in done.stderr
    untouched(cli, 30)
    login = b"Proxy-Authorization: Basic " + base64.b64encode(b"me:hidden")
    assert all(request.startswith(b"CONNECT rtc-api.zego.im:443 ") and login in request for request in asked)
    assert len(asked) < 60


@pytest.mark.parametrize(
    "command",
    [
        ("run",),
        ("track",),
        ("discover", "--vendor", "Tencent", "--since", "2026-01-01"),
        ("verify-ids", "archive.csv"),
        ("listen", "--port", "0"),
        ("fetch", "-o", "pictures"),
        ("load", "https://files.invalid/archive.csv"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_proxy_that_cannot_be_used_is_refused_before_anything_is_sent(
    cli: Cli, manifest: Callable[..., Path], command: tuple[str, ...], variable: str
) -> None:
    """Every command that calls the service or fetches names the variable and the remedy."""
    manifest(tencent_ids(3))
    async with serving(cli):
        cli.use(CLOUD)
        cli.env["BATCHER_CALLBACK_SECRET"] = "a-secret-of-callbacks"  # noqa: S105 - of this test
        done = await cli(*command, env={variable: "socks5://me:hidden@127.0.0.1:1080"})
    assert done.code == 2, done.stderr
    assert (
        f"batcher: {variable}: a SOCKS proxy cannot be used, only an HTTP proxy. Set HTTPS_PROXY"
        in done.stderr
    )
    assert "hidden" not in done.stderr


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "cannot be reached: Connection refused"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "answered, but not in HTTP"),
        (b"", "closed the connection"),
    ],
    ids=["no proxy there", "not HTTP", "nothing"],
)
async def test_proxy_that_does_not_work_is_named_with_its_variable(
    cli: Cli, manifest: Callable[..., Path], answer: bytes | None, words: str
) -> None:
    """A run and ``check`` name the proxy, not the service behind it; its password stays hidden."""
    archive = manifest(tencent_ids(3))
    cli.use(CLOUD)
    async with answering(answer) as port:
        app_id = str(1_000_000_000 + port)  # of its own: tests beside it use the cloud's limit, too
        proxy = {"HTTPS_PROXY": f"http://me:hidden@127.0.0.1:{port}", "BATCHER_APP_ID": app_id}
        process = await cli.start("run", archive, *PICTURES, *FAST, "--new-ledger", env=proxy)
        line = await said(process, "The endpoint does not answer")
        process.send_signal(signal.SIGTERM)
        done = await cli.finish(process)
        checked = await cli("check", "--json", env=proxy)
    named = f"the proxy 127.0.0.1:{port} of HTTPS_PROXY {words}"
    assert named in line
    assert named in " ".join(done.stderr.split())
    found = {one["about"]: one for one in checked.data["findings"]}["connection"]
    assert (found["level"], named in found["text"]) == ("fail", True)
    assert found["remedy"].startswith("check HTTPS_PROXY")
    assert "hidden" not in line + done.stderr + checked.stdout


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[int]:
    """A port whose server answers every connection with these bytes and closes it; None: no server."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer or b"")
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    async with server:
        if answer is None:
            server.close()
        yield port


async def test_check_names_a_proxy_that_cannot_be_used(cli: Cli) -> None:
    """The problem and the remedy; what needs the connection is skipped."""
    cli.use(CLOUD)
    done = await cli("check", "--json", env={"HTTPS_PROXY": "http://127.0.0.1:port"})
    found = {one["about"]: one for one in done.data["findings"]}
    assert (done.code, found["proxy"]["level"], found["call"]["level"]) == (2, "fail", "skip")
    assert "its port is not a number from 1 to 65535" in found["proxy"]["text"]


async def test_check_names_the_variable_of_the_proxy_in_use(cli: Cli) -> None:
    """The proxy's host and port, and the variable it comes from, without its password."""
    cli.use(CLOUD)
    async with refusing_proxy(407, []) as port:
        done = await cli("check", "--json", env={"ALL_PROXY": f"http://me:hidden@127.0.0.1:{port}"})
    found = {one["about"]: one for one in done.data["findings"]}["connection"]
    assert (found["proxy"], found["proxy_from"]) == (f"127.0.0.1:{port}", "ALL_PROXY")
    assert f"the proxy 127.0.0.1:{port} of ALL_PROXY refused: HTTP 407" in found["text"]
    assert "the user name and the password" in found["remedy"]
    assert "hidden" not in done.stdout


# -- certificates -------------------------------------------------------------------------------------

COMMANDS = [
    (("run", "archive.csv", *PICTURES, *FAST), 30),
    (("track", "--progress", "none"), 0),
    (("discover", "--vendor", "Tencent", "--since", "2026-01-01", "-o", "all.csv"), 0),
]
"""Commands that share the guard, and the submissions they leave untouched."""


@needs_openssl
@pytest.mark.parametrize(("command", "rows"), COMMANDS)
async def test_certificate_that_is_not_accepted_halts(
    cli: Cli, manifest: Callable[..., Path], tmp_path: Path, command: tuple[str, ...], rows: int
) -> None:
    """An unknown authority is named once with the remedy, and the command halts after minutes."""
    manifest(tencent_ids(30))
    cli.speed = SPEED
    if command[0] == "track":
        await _submitted(cli)
    made, key = certificate(tmp_path, "localhost", 2)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    asked: list[str] = []
    async with forbidding(200, asked, context) as url:
        cli.use(url)
        done = await cli(*command, "-q")
    assert done.code == 3, done.stderr
    said_once(done, "the certificate of the endpoint is not accepted", "self-signed", "SSL_CERT_FILE")
    assert asked == []
    if rows:
        untouched(cli, rows)


# -- firewalls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "rows"), COMMANDS)
@pytest.mark.parametrize("status", [401, 403, 451])
async def test_page_that_forbids_everything_halts(
    cli: Cli, manifest: Callable[..., Path], command: tuple[str, ...], rows: int, status: int
) -> None:
    """The status and the remedy are named once; no row is charged, rejected or doubted."""
    manifest(tencent_ids(30))
    cli.speed = SPEED
    if command[0] == "track":
        await _submitted(cli)
    asked: list[str] = []
    async with forbidding(status, asked) as url:
        cli.use(url)
        done = await cli(*command, "-q")
    assert done.code == 3, done.stderr
    said_once(done, "the endpoint forbids the requests", f"HTTP {status}", "a firewall or a proxy")
    assert len(asked) <= 70
    if rows:
        untouched(cli, rows)


@pytest.mark.about_files  # what is put off waits by the clock of the server, which is not fast
async def test_single_recording_that_is_forbidden_every_night_is_not_rejected(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Run after run behind a firewall halts, and the recording stays to be sent."""
    archive = manifest(tencent_ids(1))
    cli.speed = SPEED
    async with forbidding(403, []) as url:
        cli.use(url)
        for _ in range(5):
            assert (await cli("run", archive, *PICTURES, *FAST, "-q")).code == 3
    untouched(cli, 1)


async def _submitted(cli: Cli) -> None:
    """Submit a manifest to a sandbox."""
    async with serving(cli):
        done = await cli("run", "archive.csv", *PICTURES, *FAST)
        assert done.code == 0, done.stderr
