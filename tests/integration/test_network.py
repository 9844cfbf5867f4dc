"""Between here and the service: proxies and private certificate authorities that the environment names."""

from __future__ import annotations

import shutil
import signal
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from support.cli import FAST, PICTURES, Cli, said, tencent_ids
from support.refusing_proxy import refusing_proxy

from batcher.sandbox import SANDBOX_APP_ID, SANDBOX_SERVER_SECRET

ACCOUNT = {"BATCHER_APP_ID": str(SANDBOX_APP_ID), "BATCHER_SERVER_SECRET": SANDBOX_SERVER_SECRET}


async def test_proxy_of_the_environment_is_used(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Calls go to HTTPS_PROXY; a refusing proxy has sent nothing on, and no secret is shown."""
    archive = manifest(tencent_ids(3))
    asked: list[bytes] = []

    async with refusing_proxy(403, asked) as port:
        process = await cli.start(
            *("run", archive, *PICTURES, *FAST),
            env=ACCOUNT | {"HTTPS_PROXY": f"127.0.0.1:{port}"},
        )
        await said(process, f"the proxy 127.0.0.1:{port} of HTTPS_PROXY refused: HTTP 403")
        process.send_signal(signal.SIGTERM)
        done = await cli.finish(process)
    assert done.code == 143
    assert all(request.startswith(b"CONNECT rtc-api.zego.im:443 ") for request in asked)
    assert b"Signature" not in b"".join(asked)
    assert (await cli.status())["submissions"]["pending"] == 3


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
@pytest.mark.parametrize("trusted", [True, False])
async def test_private_authority_is_trusted_when_the_environment_names_it(
    cli: Cli, manifest: Callable[..., Path], tmp_path: Path, trusted: bool
) -> None:
    """SSL_CERT_FILE makes a private certificate good; without it nothing is sent."""
    archive = manifest(tencent_ids(2))
    certificate, key = tmp_path / "authority.pem", tmp_path / "key.pem"
    _make_certificate(certificate, key)
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.query["FileId"])
        part = {"TaskId": f"task-{len(seen)}"}
        return web.json_response({"Code": 0, "Message": "success", "Data": {"Tencent": part}})

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    site = web.TCPSite(runner, "localhost", 0, ssl_context=context)
    await site.start()
    try:
        port = runner.addresses[0][1]
        cli.env |= ACCOUNT | {"BATCHER_ENDPOINT": f"https://localhost:{port}/"}
        environment = {"SSL_CERT_FILE": str(certificate)} if trusted else {}
        cli.python = shutil.which("python3", path=str(Path(cli.python).parent)) or cli.python
        process = await cli.start("run", archive, *PICTURES, *FAST, env=environment)
        if not trusted:
            await said(process, "TLS failed")
            process.send_signal(signal.SIGTERM)
        done = await cli.finish(process)
    finally:
        await runner.cleanup()
    assert done.code == (0 if trusted else 143), done.stderr
    assert sorted(seen) == (tencent_ids(2) if trusted else [])


def _make_certificate(certificate: Path, key: Path) -> None:
    """A certificate for this machine that is its own authority."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
