"""Starts a PostgreSQL server, and stops and removes it once the process that it is for has ended.

It runs as a program of its own: ``python postgres_keeper.py FOLDER LOCK``. The folder holds the plan; the
answer, an address or an error, is written beside it. The first process ends when the server has started. A
second one stays and waits, without a clock, for the end of the process that the plan names: a session that is
killed leaves no server and no folder behind. LOCK is an open file; it is locked until the answer is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 200
shared_buffers = 32MB
max_wal_size = 256MB
log_line_prefix = '%m [%p] %q%a '
log_timezone = UTC
timezone = UTC
include = 'port.conf'
"""

ROLES = """CREATE ROLE batcher LOGIN PASSWORD '{password}'
CREATE DATABASE batcher OWNER batcher
"""
"""One statement a line, for the server's single-user mode."""

TRIES = 5
"""How many free ports are tried; another program may take one before the server does."""

PATIENCE_S = 60


@dataclass(frozen=True)
class Plan:
    """What server is wanted, where, and for which process."""

    folder: str
    programs: str
    user: tuple[int, int] | None
    """Number of the user and the group that run the server; None: this process's."""
    pid: int
    """The process whose end is the server's end."""
    password: str = field(repr=False)
    admin_password: str = field(repr=False)

    @property
    def home(self) -> Path:
        """The folder that belongs to the server's user."""
        return Path(self.folder, "server")

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home / "data"

    def write(self) -> None:
        """Leave the plan in its folder, for the keeper and for the other processes of the session."""
        file = Path(self.folder, "plan.json")
        file.touch(0o600)
        file.write_text(json.dumps(asdict(self)), "utf-8")


def read_plan(folder: Path) -> Plan:
    """The plan in a folder."""
    values = json.loads((folder / "plan.json").read_text("utf-8"))
    return Plan(**values | {"user": tuple(values["user"]) if values["user"] else None})


def run_program(plan: Plan, program: str, *args: str | Path, stdin: str = "") -> str:
    """Run a program of PostgreSQL as the server's user, and return its output.

    Raises:
        RuntimeError: it failed; with what it printed.
    """
    rights = {"user": plan.user[0], "group": plan.user[1], "extra_groups": []} if plan.user else {}
    done = subprocess.run(
        [str(Path(plan.programs, program)), *map(str, args)],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=plan.home,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(plan.home)},
        timeout=PATIENCE_S,
        **rights,  # type: ignore[call-overload]
    )
    if done.returncode:
        log = plan.home / "log"
        tail = log.read_text("utf-8", "replace")[-2000:] if log.exists() else ""
        raise RuntimeError(f"{program} failed with {done.returncode}: {done.stdout}{done.stderr}{tail}")
    return str(done.stdout)


def start(plan: Plan) -> int:
    """Make a cluster, start its server, and return the port."""
    _give(plan, plan.home / "password", plan.admin_password)
    run_program(
        plan,
        "initdb",
        *("--pgdata", plan.data, "--username=postgres", f"--pwfile={plan.home / 'password'}"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
    )
    with (plan.data / "postgresql.conf").open("a", encoding="utf-8") as settings:
        settings.write(f"{SETTINGS}unix_socket_directories = '{plan.home}'\n")
    _give(plan, plan.data / "port.conf", "")
    run_program(
        plan, "postgres", "--single", "-D", plan.data, "postgres", stdin=ROLES.format(password=plan.password)
    )
    for tried in range(1, TRIES + 1):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        _give(plan, plan.data / "port.conf", f"port = {port}\n")
        try:
            control(plan, "start")
        except RuntimeError:
            if tried == TRIES:
                raise
        else:
            break
    return port


def control(plan: Plan, action: str, *args: str) -> None:
    """Have the server start, stop or restart, and wait until it has."""
    log = () if action == "stop" else ("-l", plan.home / "log")
    run_program(plan, "pg_ctl", action, "-w", "-t", str(PATIENCE_S - 5), "-D", plan.data, *log, *args)


def discard(plan: Plan) -> None:
    """Stop the server, if it runs, and remove its folder."""
    if (plan.data / "postmaster.pid").exists():
        with contextlib.suppress(
            RuntimeError, OSError, subprocess.TimeoutExpired
        ):  # it has stopped by itself
            control(plan, "stop", "-m", "immediate")
    shutil.rmtree(plan.folder, ignore_errors=True)


def wait_for_end(pid: int) -> None:
    """Return once a process has ended; it need not be a child."""
    try:
        if sys.platform == "darwin":
            queue = select.kqueue()
            ended = select.kevent(
                pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD | select.KQ_EV_ONESHOT, select.KQ_NOTE_EXIT
            )
            queue.control([ended], 1)
        else:
            select.select([os.pidfd_open(pid)], [], [])
    except ProcessLookupError:
        return


def _give(plan: Plan, file: Path, text: str) -> None:
    file.write_text(text, "utf-8")
    file.chmod(0o600)
    if plan.user:
        os.chown(file, *plan.user)


def _leave_the_session() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def main(folder: str, lock: str) -> None:
    """Start what the plan in the folder says, answer, and stay as the one who clears away."""
    plan = read_plan(Path(folder))
    try:
        answer: dict[str, object] = {"port": start(plan)}
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        answer = {"error": str(error)}
    if os.fork():
        os._exit(0)
    _leave_the_session()
    written = Path(folder, "answer.new")
    written.write_text(json.dumps(answer | {"keeper": os.getpid()}), "utf-8")
    written.rename(Path(folder, "answer.json"))
    os.close(int(lock))
    wait_for_end(plan.pid)
    discard(plan)


if __name__ == "__main__":
    main(*sys.argv[1:])
