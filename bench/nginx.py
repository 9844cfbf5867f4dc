"""The server of the measurements: nginx, which answers as the service would accept a task.

Its access log is the truth about what was sent: one line for each request, with its time and its recording.
It judges nothing, neither signatures nor the rate: what is measured is batcher.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """\
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    log_format truth '$msec $arg_FileId $request_id';
    access_log {folder}/access.log truth;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000;
    default_type application/json;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            return 200 '{answer}';
        }}
    }}
}}
"""
_ANSWER = (
    '{"Code":0,"Message":"success","RequestId":"$request_id",'
    '"Data":{"Tencent":{"TaskId":"1500030200-procedurev2-$request_id","RequestId":"$request_id"}}}'
)
_START_S = 10.0


@dataclass(frozen=True)
class Arrival:
    """One request as the server saw it."""

    at_s: float
    """Unix time."""
    file_id: str
    request_id: str


@dataclass(frozen=True)
class Nginx:
    """A running server."""

    url: str
    log: Path

    def size(self) -> int:
        """How much the log holds, in bytes; a place to read on from."""
        return self.log.stat().st_size

    def arrivals(self, begin: int = 0) -> list[Arrival]:
        """What was logged from a place on; a line that is being written is left for the next time."""
        with self.log.open("rb") as file:
            file.seek(begin)
            whole, _, _ = file.read().rpartition(b"\n")
        lines = (line.split(" ") for line in whole.decode().splitlines())
        return [Arrival(float(at), file_id, request_id) for at, file_id, request_id in lines]


def why_not() -> str | None:
    """The reason why it cannot be started."""
    return None if _program() else "nginx is not installed"


@contextmanager
def serving(inside: Path) -> Iterator[Nginx]:
    """Serve on a free port of this machine's own address; its files lie in a new folder."""
    program = _program()
    assert program is not None
    folder = Path(tempfile.mkdtemp(prefix="nginx-", dir=inside))
    port = _free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, port=port, answer=_ANSWER, user=user))
    process = subprocess.Popen(
        [program, "-c", config, "-p", folder, "-e", folder / "error.log"], stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port, process)
        yield Nginx(f"http://127.0.0.1:{port}/", folder / "access.log")
    finally:
        process.terminate()
        process.wait()


def _program() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError("nginx did not start")
