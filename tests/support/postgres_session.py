"""pytest and the PostgreSQL server of its session: the option, the markers and the fixtures.

The server starts when the first test asks for it. Under xdist all workers share one: the first that asks
starts it, and it ends with the process that hands out the tests.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Protocol

import pytest

from support.ledger_place import ledgers_in, used_and_removed
from support.postgres_server import (
    PostgresServer,
    close_kept,
    end_session,
    find_programs,
    new_session_name,
    obtain_server,
)

SESSION = pytest.StashKey[tuple[str, int]]()
"""The session's name, and the process whose end is its end."""

SERVER = pytest.StashKey["PostgresServer | str"]()
"""The server, or the reason why there is none."""

ABOUT_FILES = "about files or SQLite alone; the ledger is in PostgreSQL"


class WorkerNode(Protocol):
    """A worker of xdist, as the process that hands out the tests sees it."""

    config: pytest.Config
    workerinput: dict[str, object]


_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the ledgers of the tests are."""
    parser.addoption(
        "--ledger",
        choices=("sqlite", "postgres"),
        default="sqlite",
        help="where the ledgers of the tests are",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the session, or take the name that a worker was given."""
    config.addinivalue_line(
        "markers", "about_files: of files or SQLite alone; skipped with --ledger=postgres"
    )
    config.addinivalue_line("markers", "postgres: needs a PostgreSQL server, whatever --ledger is")
    given = getattr(config, "workerinput", {}).get("postgres_session")
    config.stash[SESSION] = tuple(given) if given else (new_session_name(), os.getpid())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerNode) -> None:
    """Give a worker of xdist the session's name."""
    node.workerinput["postgres_session"] = node.config.stash[SESSION]


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the server with the process that named the session."""
    close_kept()
    name, pid = config.stash.get(SESSION, ("", 0))
    if pid == os.getpid():
        end_session(name)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what asks for the server, and skip what is about files where the ledgers are in PostgreSQL."""
    for item in items:
        if {"postgres", "own_postgres"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("postgres")
        if config.getoption("--ledger") == "postgres" and item.get_closest_marker("about_files"):
            item.add_marker(pytest.mark.skip(reason=ABOUT_FILES))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A marked test has a server, is skipped with the reason, or fails where a server must be had."""
    if item.get_closest_marker("postgres"):
        server_of(item.config)


def server_of(config: pytest.Config) -> PostgresServer:
    """The server of the session; the first to ask starts it."""
    found = config.stash.get(SERVER, None)
    if found is None:
        found = config.stash[SERVER] = _obtain(*config.stash[SESSION])
    return found if isinstance(found, PostgresServer) else _without(found)


@pytest.fixture(scope="session", autouse=True)
def _ledgers_of_the_session(request: pytest.FixtureRequest) -> Iterator[None]:
    """With --ledger=postgres the paths of ledgers mean schemas of the session's server."""
    if request.config.getoption("--ledger") == "sqlite":
        yield
        return
    with ledgers_in(server_of(request.config)):
        yield


@pytest.fixture(autouse=True)
def _ledgers_of_the_test() -> Iterator[None]:
    """The schemas that a test uses are removed after it."""
    with used_and_removed():
        yield


@pytest.fixture(scope="session")
def ledger_kind(request: pytest.FixtureRequest) -> str:
    """Where the ledgers of the tests are: ``sqlite`` or ``postgres``."""
    return str(request.config.getoption("--ledger"))


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> PostgresServer:
    """The server of the session, which other workers use, too: do not stop it."""
    return server_of(request.config)


@pytest.fixture
def own_postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server of this test alone, to stop, to restart and to break."""
    shared = server_of(request.config)
    name = new_session_name()
    try:
        yield obtain_server(name, os.getpid(), shared.bin)
    finally:
        end_session(name)


@pytest.fixture
def schema_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a ledger that does not exist yet, in a schema of its own; it is removed afterwards."""
    schema = f"ledger_{os.getpid()}_{next(_numbers)}"
    yield postgres.url(schema)
    postgres.drop_schema(schema)


def _obtain(name: str, pid: int) -> PostgresServer | str:
    programs = find_programs()
    if isinstance(programs, str):
        return programs
    try:
        return obtain_server(name, pid, programs)
    except RuntimeError as error:
        return str(error)


def _without(reason: str) -> PostgresServer:
    if os.environ.get("CI") or os.environ.get("BATCHER_TESTS_NEED_POSTGRES"):
        pytest.fail(f"A PostgreSQL server is needed: {reason}", pytrace=False)
    pytest.skip(f"needs a PostgreSQL server: {reason}")
