"""Releases of the HTTP library that move what batcher extends: one request for each call, or a loud end."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from support.cli import PICTURES, Cli, serving, tencent_ids, write_manifest
from support.ledger_place import placed
from support.ledger_sql import query

from batcher.errors import UnseenRequest
from batcher.model.outcome import Answer, NotSent
from batcher.model.submission import FileId, Parameters, SnapshotType, Vendor
from batcher.sandbox import SANDBOX_APP_ID, SANDBOX_SERVER_SECRET, Sandbox, SandboxSettings
from batcher.zego import aiohttp_hooks, transport
from batcher.zego.client import Account, ZegoClient
from batcher.zego.connector import Connector

ASKED = Parameters(Vendor.TENCENT, SnapshotType.BY_TIME_OFFSET, "10", offsets=("1",))

REWRITING = """
import inspect, sys
import aiohttp, aiohttp.client, aiohttp.connector

def rewrite(old, new):
    "Change the source of the client, as another release would."
    source = inspect.getsource(aiohttp.client)
    assert old in source, old
    exec(compile(source.replace(old, new), aiohttp.client.__file__, "exec"), vars(aiohttp.client))
    for name in aiohttp.client.__all__:
        if getattr(aiohttp.client, name).__module__ == "aiohttp.client":
            setattr(aiohttp, name, getattr(aiohttp.client, name))

{change}
from batcher.cli import main
main()
"""

UNCHANGED = """
rewrite("req.send(conn)", "req.send(conn)")
"""
SEND_RENAMED = """
aiohttp.ClientRequest._send = aiohttp.ClientRequest.send
del aiohttp.ClientRequest.send
rewrite("req.send(conn)", "req._send(conn)")
"""
CONNECT_RENAMED = """
aiohttp.connector.BaseConnector.acquire = aiohttp.connector.BaseConnector.connect
rewrite("self._connector.connect(", "self._connector.acquire(")
"""
CONNECT_BYPASSED = """
rewrite("self._connector.connect(", "aiohttp.connector.BaseConnector.connect(self._connector, ")
"""
CONNECT_CHANGED = """
rewrite("timeout=real_timeout", "limits=real_timeout")
"""
REPEATING_ELSEWHERE = """
rewrite(
    "resp = await handler(req)",
    "try: resp = await handler(req)\\n                        except Exception: resp = await handler(req)",
)
"""


async def run_with(cli: Cli, change: str, *args: str | Path) -> tuple[int, str]:
    """Run the command line on a changed library; returns its exit code and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-c",
            REWRITING.replace("{change}", change),
            *placed([*map(str, args)], cli.folder),
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cli.folder,
        env=cli.env,
    )
    try:
        async with asyncio.timeout(cli.deadline_s):
            _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, err.decode()


RUN = ("--rate", "200", "--progress", "none", "-l", "batcher.db")


@pytest.mark.parametrize(
    "change", [CONNECT_RENAMED, CONNECT_BYPASSED, CONNECT_CHANGED], ids=["renamed", "bypassed", "changed"]
)
async def test_run_on_library_that_bypasses_the_connector_sends_nothing(cli: Cli, change: str) -> None:
    """It ends with 70 before the first request, and names the releases that were tested."""
    archive = write_manifest(cli.folder / "archive.csv", ([one] for one in tencent_ids(6)))
    async with serving(cli) as sandbox:
        code, stderr = await run_with(cli, change, "run", archive, *PICTURES, *RUN)
    assert code == 70, stderr
    assert sandbox.log == []
    assert "pip install 'aiohttp>=3.13,<" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    "change", [UNCHANGED, SEND_RENAMED, REPEATING_ELSEWHERE], ids=["unchanged", "renamed", "repeats"]
)
async def test_library_that_moves_or_repeats_sending_sends_each_call_once(cli: Cli, change: str) -> None:
    """The server gives no answer to some of them; no request leaves a second time by itself."""
    ids = tencent_ids(30)
    archive = write_manifest(cli.folder / "archive.csv", ([one] for one in ids))
    settings = SandboxSettings(rate_per_s=None, shares={"drop-after": 0.3})
    async with serving(cli, settings) as sandbox:
        code, stderr = await run_with(cli, change, "run", archive, *PICTURES, *RUN, "--in-doubt", "hold")
    assert code == 1, stderr
    assert sorted(entry.file_id for entry in sandbox.log if entry.file_id) == ids
    doubts = query(cli.folder / "batcher.db", "SELECT count(*) FROM submissions WHERE state = 'in_doubt'")
    assert doubts[0][0] > 0


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The check at start-up has passed in this process; a test changes the library afterwards."""
    monkeypatch.setattr(transport, "_checked", True)
    return monkeypatch


async def test_answer_to_request_that_was_not_seen_leaving_raises(checked: pytest.MonkeyPatch) -> None:
    """A connector that is bypassed later shows with the first answer."""
    checked.delattr(Connector, "connect")
    account = Account(SANDBOX_APP_ID, SANDBOX_SERVER_SECRET)
    sandbox = Sandbox(SandboxSettings(rate_per_s=None))
    async with sandbox.serve() as url, ZegoClient(url, account, timeout_s=5, connections=2) as client:
        with pytest.raises(UnseenRequest) as raised:
            await client.submit(FileId("1397757897438985123"), ASKED)
    assert raised.value.exit_code == 70
    assert len(sandbox.log) == 1


async def test_check_is_made_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first client makes it, and the second one finds it made."""
    monkeypatch.setattr(transport, "_checked", False)
    made = []
    check = aiohttp_hooks.check_departures

    async def counting(*args: object) -> None:
        made.append(args)
        await check(*args)  # type: ignore[arg-type] # passed on as they came

    monkeypatch.setattr(transport, "check_departures", counting)
    for _ in range(2):
        async with ZegoClient("http://127.0.0.1:1/", Account(1, "secret"), timeout_s=2, connections=1):
            pass
    assert len(made) == 1


async def test_check_without_loopback_lets_calls_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing can listen can still send."""
    monkeypatch.setattr(transport, "_checked", False)

    async def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_server", refused)
    async with ZegoClient("http://127.0.0.1:1/", Account(1, "secret"), timeout_s=2, connections=1) as client:
        outcome = await client.submit(FileId("1397757897438985123"), ASKED)
    assert isinstance(outcome, NotSent | Answer)
