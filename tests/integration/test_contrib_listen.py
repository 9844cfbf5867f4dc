"""The unit for callbacks: what it promises, that it does its work, and that systemd takes it."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import socket
import sys
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest
from support.callbacks import SECRET, post, record, sealed
from support.cli import Cli, serving
from support.ledger_sql import query
from support.units import CONTRIB, KNOWN_KEYS, OPTION, PROMISED, environment_of, said_by, unit_of

from batcher.callbacks.acceptance import HEALTH
from batcher.callbacks.http_server import BOUNDS
from batcher.callbacks.receiver import HEALTH_S
from batcher.config.settings import Settings
from batcher.exit_codes import ExitCode
from batcher.sandbox import SANDBOX_SERVER_SECRET

SERVICE = CONTRIB / "systemd" / "batcher-listen.service"
NIGHTLY = CONTRIB / "systemd" / "batcher.service"
README = CONTRIB / "README.md"
CREDENTIALS = "/run/credentials/batcher-listen.service"

ITS_OWN = {"Type", "ExecReload", "Restart", "RestartSec", "RestartPreventExitStatus"}
"""What a service that stays up has otherwise than one that runs at night."""


def test_unit_is_hardened_as_the_nightly_unit_is() -> None:
    """Both units have the same bounds, ledger and user."""
    service, nightly = unit_of(SERVICE)["Service"], unit_of(NIGHTLY)["Service"]
    kept = {key for key in PROMISED if key in nightly and key not in ITS_OWN}
    kept |= {
        "User",
        "Group",
        "UMask",
        "StateDirectory",
        "StateDirectoryMode",
        "WorkingDirectory",
        "SystemCallFilter",
    }
    kept -= {"LoadCredential"}
    assert {key: service.get(key) for key in kept} == {key: nightly[key] for key in kept}
    assert service["Environment"][0] == nightly["Environment"][0]


def test_unit_passes_secrets_as_credentials() -> None:
    """Each is root's file, handed over, and named by a variable that takes files."""
    service = unit_of(SERVICE)["Service"]
    loaded = [one.split(":")[0] for one in service["LoadCredential"]]
    assert loaded == ["server-secret", "callback-secret"]
    named = environment_of(service["Environment"])
    assert [named[f"BATCHER_{name.upper().replace('-', '_')}_FILE"] for name in loaded] == [
        f"%d/{name}" for name in loaded
    ]
    assert all(name.removeprefix("BATCHER_").lower() in Settings.model_fields for name in named)


def test_unit_agrees_with_exit_codes_and_stop_time() -> None:
    """A stop in order is no failure; wrong settings are not tried again."""
    service = unit_of(SERVICE)["Service"]
    assert service["SuccessExitStatus"] == [str(int(ExitCode.SIGTERM))]
    assert service["RestartPreventExitStatus"] == [str(int(ExitCode.USAGE))]
    assert float(service["TimeoutStopSec"][0]) > BOUNDS.answer_s + HEALTH_S


def unit_problems(text: str, folder: Path) -> str:
    """The objections of systemd to the unit; without systemd, the keys that it would not accept."""
    unit = folder / SERVICE.name
    unit.write_text(text, "utf-8")
    known = {**KNOWN_KEYS, "Service": f"{KNOWN_KEYS['Service']} {' '.join(ITS_OWN)}"}
    unknown = [
        f"{section}: {key}"
        for section, keys in unit_of(unit).items()
        for key in keys
        if key not in known.get(section, "").split()
    ]
    if unknown or not (analyze := shutil.which("systemd-analyze")):
        return "\n".join(unknown)
    unit.write_text(text.replace("/opt/batcher/bin/batcher", sys.executable), "utf-8")
    said = [
        said_by(analyze, "verify", "--man=no", str(unit)),
        said_by(analyze, "security", "--offline=true", "--threshold=15", str(unit)),
    ]
    return "\n".join(said).strip()


@pytest.mark.parametrize("options", [False, True])
def test_unit_is_accepted_by_systemd(tmp_path: Path, options: bool) -> None:
    """Nothing in it is unknown, with its options and without them."""
    text = SERVICE.read_text("utf-8")
    assert unit_problems(text.replace(OPTION, "") if options else text, tmp_path) == ""


@pytest.mark.parametrize(("right", "wrong"), [("RestartSec=", "RestartSecs="), ("[Install]", "[Instal]")])
def test_mistake_in_the_unit_is_found(tmp_path: Path, right: str, wrong: str) -> None:
    """The check above can fail."""
    assert unit_problems(SERVICE.read_text("utf-8").replace(right, wrong), tmp_path) != ""


def test_proxy_and_unit_agree() -> None:
    """Port, path and body size are the same in the proxy and in the listener."""
    words = shlex.split(unit_of(SERVICE)["Service"]["ExecStart"][0])
    port, path = words[words.index("--port") + 1], words[words.index("--path") + 1]
    text = README.read_text("utf-8")
    assert f"proxy_pass http://127.0.0.1:{port};" in text
    assert f"location = {path} {{" in text
    [kib] = re.findall(r"client_max_body_size (\d+)k;", text)
    assert int(kib) << 10 == Settings.model_fields["listen_max_body"].default
    [waits] = re.findall(r"proxy_read_timeout (\d+)s;", text)
    assert int(waits) > BOUNDS.answer_s
    assert f"http://127.0.0.1:{port}{HEALTH}" in text


@pytest.mark.about_files
async def test_unit_command_receives_a_callback(cli: Cli) -> None:
    """Started as the unit says, in an empty folder: it makes the ledger, records a callback, and stops."""
    service = unit_of(SERVICE)["Service"]
    state = cli.folder / "state"
    state.mkdir()
    for name, secret in (("server-secret", SANDBOX_SERVER_SECRET), ("callback-secret", SECRET)):
        (cli.folder / name).write_text(secret + "\n")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]

    def here(text: str) -> str:
        text = (
            text.replace("%S/batcher", str(state)).replace("%d", str(cli.folder)).replace("8080", str(port))
        )
        return text.replace("/opt/batcher/bin", str(Path(sys.executable).parent))

    env = environment_of((CONTRIB / "systemd" / "batcher.env").read_text("utf-8").splitlines())
    env |= environment_of([here(value) for value in service["Environment"]])
    async with serving(cli, ledger_made=False):
        process = await asyncio.create_subprocess_exec(
            *shlex.split(here(service["ExecStart"][0])),
            cwd=state,
            env={"PATH": os.environ["PATH"], "BATCHER_ENDPOINT": cli.env["BATCHER_ENDPOINT"], **env},
            umask=0o077,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stderr is not None
            async with asyncio.timeout(90):
                assert (await process.stderr.readline()).decode() == f"new ledger {state}/batcher.db\n"
                assert "Listening" in (await process.stderr.readline()).decode()
            base = f"http://127.0.0.1:{port}"
            async with aiohttp.ClientSession() as session, session.get(base + HEALTH) as answer:
                assert answer.status == 200
            assert (await post(base + "/zego", sealed(record("1397757897438985123"))))[0] == 200
            assert (await post(base + "/", sealed(record("1397757897438985124"))))[0] == 404
            process.send_signal(signal.SIGTERM)
            _, err = await asyncio.wait_for(process.communicate(), 90)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 143, err.decode()
    assert SECRET not in err.decode()
    kept = query(state / "batcher.db", "SELECT file_id, state FROM submissions")
    assert kept == [("1397757897438985123", "pending")]
    assert [path.name for path in state.iterdir() if path.stat().st_mode & 0o077] == []
