"""Where the ledgers of the tests are: in the files that their paths name, or in PostgreSQL.

Under ``--ledger=postgres`` each path has a schema of the session's server. Tests name ledgers by paths
alone, so that they say the same for both databases.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import os
import re
import shlex
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from batcher.config.ledger_names import ledger_named
from batcher.ledger.database import Database
from batcher.ledger.postgres.database import PostgresDatabase
from batcher.ledger.run_ledger import open_for_writing
from batcher.ledger.sqlite.database import SqliteDatabase
from batcher.model.ledger_name import LedgerName, PostgresName
from support.postgres_clone import clone_schema, copy_schema, fill_schema
from support.postgres_server import PostgresServer

AnyPath = LedgerName | str


@dataclass
class _Schemas:
    """The schemas of one session, as this process uses them."""

    server: PostgresServer
    paths: dict[PostgresName, Path] = field(default_factory=dict)

    def name(self, path: Path) -> PostgresName:
        """The name of the ledger that is in a file elsewhere."""
        path = path.resolve()
        digest = hashlib.blake2b(os.fsencode(path), digest_size=12).hexdigest()
        name = ledger_named(self.server.url(f"at_{digest}"))
        assert isinstance(name, PostgresName)
        self.paths[name] = path
        return name


_schemas: list[_Schemas] = []
"""Empty, or what is in use."""


@contextmanager
def ledgers_in(server: PostgresServer) -> Iterator[None]:
    """Put the ledgers of this process into schemas of a server."""

    def database(path: Path) -> Database:
        return PostgresDatabase(schemas.name(path))

    schemas = _Schemas(server)
    _schemas.append(schemas)
    with patch("batcher.ledger.sqlite.database.SqliteDatabase", database):
        yield
    _schemas.remove(schemas)


def the_server() -> PostgresServer | None:
    """The server that the ledgers are on; None for files."""
    return _schemas[0].server if _schemas else None


def name_of(ledger: AnyPath) -> LedgerName:
    """The ledger that a path names, as the program knows it."""
    if isinstance(ledger, PostgresName) or (isinstance(ledger, Path) and not _schemas):
        return ledger
    if isinstance(ledger, str) and "://" in ledger:
        return ledger_named(ledger)
    return _schemas[0].name(Path(ledger)) if _schemas else Path(ledger)


def schema_of(ledger: AnyPath) -> str:
    """The schema that a path means."""
    name = name_of(ledger)
    assert isinstance(name, PostgresName)
    return name.schema


def ledger_text(ledger: Path) -> str:
    """What a user writes to name a ledger."""
    return _schemas[0].server.url(schema_of(ledger)) if _schemas else str(ledger)


def is_there(ledger: AnyPath) -> bool:
    """Whether there is such a ledger."""
    name = name_of(ledger)
    if isinstance(name, Path):
        return name.exists()
    return _schemas[0].server.asked(f"SELECT to_regclass('{name.schema}.alembic_version')") != [(None,)]


def is_made(ledger: Path) -> bool:
    """Whether there is a ledger with its tables: one that is being made may have none yet."""
    if _schemas:
        return is_there(ledger)
    if not ledger.exists():
        return False
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=10)) as file:
        found = file.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchall()
    return found != []


def copy_ledger(source: AnyPath, target: Path) -> Path:
    """Copy a ledger to where there is none, and return the copy's path.

    Args:
        source: a ledger; in PostgreSQL also the file of an old one, whose rows are taken over.
        target: the path of the copy.
    """
    server = the_server()
    if server is None:
        shutil.copy(source, target)  # type: ignore[arg-type] # no PostgreSQL, no names in it
    elif isinstance(source, Path) and source.exists():
        clone_schema(server, _empty_schema(), schema_of(target))
        fill_schema(server, schema_of(target), _todays(source))
    elif schema_of(source) == _empty_schema():
        clone_schema(server, schema_of(source), schema_of(target))
    else:
        copy_schema(server, schema_of(source), schema_of(target))
    return target


def _todays(source: Path) -> Path:
    """A copy of a file, upgraded to today's schema."""
    with tempfile.NamedTemporaryFile(suffix=".db", delete=False) as file:
        atexit.register(Path(file.name).unlink, missing_ok=True)
    copy = Path(shutil.copy(source, file.name))
    SqliteDatabase(copy).bring_up_to_date()
    return copy


_EMPTY = "batcher-empty-{pid}.db"


async def empty_ledger() -> Path:
    """A ledger without anything in it, made once for each process of tests."""
    path = Path(tempfile.gettempdir()) / _EMPTY.format(pid=os.getpid())
    if the_server():
        await asyncio.to_thread(_empty_schema)
    elif not path.exists():
        async with await open_for_writing(path):
            pass
        atexit.register(path.unlink, missing_ok=True)
        atexit.register(Path(f"{path}.lock").unlink, missing_ok=True)
    return path


def _empty_schema() -> str:
    path = Path(tempfile.gettempdir()) / _EMPTY.format(pid=os.getpid())
    if not is_there(path):
        name = name_of(path)
        assert isinstance(name, PostgresName)
        PostgresDatabase(name).bring_up_to_date()
        _schemas[0].paths.pop(name)  # it outlives the test
    return schema_of(path)


# -- the same command, for a ledger in PostgreSQL ------------------------------------------------------


def placed(args: Sequence[str], folder: Path) -> list[str]:
    """The arguments of a command, with the URL of each ledger that they name by its path."""
    server, found = the_server(), list(args)
    if server is None:
        return found
    for at, word in enumerate(found):
        if at and found[at - 1] in ("-l", "--ledger"):
            found[at] = _url(word, folder)
        elif word.startswith("--ledger="):
            found[at] = f"--ledger={_url(word.partition('=')[2], folder)}"
    return found


def placed_variable(given: str | None, folder: Path) -> dict[str, str]:
    """The variable that names the ledger of a command, where its paths mean schemas.

    Args:
        given: what the test has named; None for the ledger that settings name, or else the usual one.
        folder: where the command runs.
    """
    if the_server() is None:
        return {} if given is None else {"BATCHER_LEDGER": given}
    files = [folder / ".env", folder / "batcher.toml"]
    if given is None and any(
        re.search("(?im)^(batcher_)?ledger *=", file.read_text("utf-8", "replace"))
        for file in files
        if file.exists()
    ):
        return {}
    return {"BATCHER_LEDGER": _url("batcher.db" if given is None else given, folder)}


def patient(text: str, speed: float) -> str:
    """The URL of a ledger, for a command whose clocks are fast and whose server is not; or the text."""
    is_url = text.startswith("postgresql:") and "connect_timeout" not in text
    return f"{text}&connect_timeout={10 * speed:.0f}" if is_url else text


def _url(ledger: str, folder: Path) -> str:
    if ledger.startswith("postgresql:"):
        return ledger
    return ledger_text(folder / ledger.removeprefix("sqlite:///"))


def ledger_option(ledger: Path) -> str:
    """What a command that is offered says of a ledger; nothing for a file at the usual place."""
    return f" -l {shlex.quote(str(name_of(ledger)))}" if _schemas else ""


def remove_ledger(ledger: Path) -> None:
    """Remove a ledger."""
    if server := the_server():
        server.drop_schema(schema_of(ledger))
    else:
        ledger.unlink()


def with_paths(text: str) -> str:
    """The output of a command, with the paths of its ledgers instead of their names in PostgreSQL."""
    if server := the_server():
        assert server.password not in text
        for name, path in _schemas[0].paths.items():
            text = text.replace(f"'{name}'", str(path)).replace(str(name), str(path))
    return text


@contextmanager
def used_and_removed() -> Iterator[None]:
    """Remove the schemas that are used within the block."""
    if not _schemas:
        yield
        return
    schemas = _schemas[0]
    before = dict(schemas.paths)
    yield
    for name in schemas.paths.keys() - before.keys():
        schemas.server.drop_schema(name.schema)
    schemas.paths = before
