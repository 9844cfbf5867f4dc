"""Opening a ledger: is it one, is it ours to write, is its schema today's.

Stands between a path and the connections that the ledger's readers and its writer use. It sets what
every connection must have (journal, durability, foreign keys, how transactions begin), creates and
upgrades the schema, and says in plain words what is wrong with a file that cannot be used. It never
looks at the contents beyond the schema's version.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from batcher.config.paths import path_problem
from batcher.config.resources import bundled
from batcher.errors import (
    IllegalMove,
    LedgerError,
    LedgerLocked,
    LedgerMissing,
    LedgerTooNew,
    NotALedger,
    SettingsError,
)
from batcher.ledger.schema import REVISIONS, metadata
from batcher.ledger.sqlite.identity import check_one_name, connecting, first_bytes
from batcher.ledger.sqlite.lock import LedgerLock, take_lock

BUSY_TIMEOUT_S = 10
"""How long a statement waits for a lock that another program holds on the file."""

PAGE_BYTES = 8192
"""Of a new ledger: loading ids in no order takes a quarter less time than with pages half as large."""
CACHE_KIB = 10 << 10
"""What the writer may keep of the file in memory: ids in no order touch pages all over it."""

RESTORING = ".restoring"
"""How the copy is called that is about to become the ledger."""

_MAGIC = b"SQLite format 3\0"

_REMEDIES = {
    "SQLITE_FULL": "the disk is full; free some space, then run again",
    "SQLITE_READONLY": "it is read-only; make the file and its folder writable, then run again",
    "SQLITE_BUSY": "another program has locked the file; close it, then run again",
    "SQLITE_LOCKED": "another program has locked the file; close it, then run again",
    "SQLITE_CANTOPEN": "it cannot be opened; check that its folder exists and is writable",
    "SQLITE_PERM": "it cannot be opened; check its permissions",
    "SQLITE_IOERR": "the disk reports an input/output error; check the disk, then run again",
    "SQLITE_CORRUPT": "the file is damaged; go back to the last backup (batcher ledger restore FILE), or "
    "name another --ledger",
}


def ledger_path(ledger: str) -> Path:
    """The file that a path or a SQLAlchemy URL names: absolute, and with symbolic links resolved.

    Raises:
        SettingsError: the URL cannot be read, or names a database that is not an SQLite file; or the path
            surely was not meant.
    """
    text = ledger
    if "://" in ledger:
        try:
            url = make_url(ledger)
        except ArgumentError as exc:
            raise SettingsError("--ledger: this is not a database URL; give a path to a file") from exc
        if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
            raise SettingsError(
                f"--ledger {url.render_as_string()}: a ledger is an SQLite file; give its path, "
                "or sqlite:///PATH as a URL"
            )
        text = url.database
    if problem := path_problem(text):
        raise SettingsError(f"--ledger {text}: {problem}")
    try:
        return Path(text).resolve()
    except (OSError, RuntimeError) as exc:  # a loop of links, or a working directory that was removed
        raise SettingsError(f"--ledger {text}: this path leads nowhere; give another") from exc


def is_missing(path: Path) -> bool:
    """Whether there is no ledger: nothing at all, or an empty file, which becomes one.

    Raises:
        LedgerError: there was one, and what it has left behind says that it was not given up.
    """
    try:
        status = path.stat()
    except OSError:
        return not path.is_symlink() and _nothing_left_behind(path)
    return stat.S_ISREG(status.st_mode) and not status.st_size and _nothing_left_behind(path)


def _nothing_left_behind(path: Path) -> bool:
    """Make sure that no ledger has been here that somebody still wants.

    Raises:
        LedgerError: its log, or a restoration that was cut off, lies here.
    """
    place = path.resolve()
    if place.with_name(place.name + RESTORING).exists():
        raise LedgerError(
            f"{path}: a `batcher ledger restore` was cut off before it ended; give that command again"
        )
    for log in ("-wal", "-journal"):
        left = place.with_name(place.name + log)
        if left.is_file() and left.stat().st_size:
            raise LedgerError(
                f"{path}: the ledger is gone, but its log {left.name} is still here, with what was sent "
                "last. Put the ledger back, or a backup: batcher ledger restore FILE. To begin anew, remove "
                "the log"
            )
    return True


def exists(path: Path) -> bool:
    """Whether there is something to be a ledger; if not, an empty file is made, readable by its owner alone.

    Raises:
        LedgerError: there is something else, or nothing can be made there.
    """
    if not is_missing(path):
        check_file(path)
        return True
    try:
        os.close(os.open(path.resolve(), os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    except OSError as exc:
        raise _unusable(path, exc.strerror or str(exc)) from exc
    return False


def check_file(path: Path) -> None:
    """Refuse a file that cannot be a ledger before a database library touches it.

    Raises:
        LedgerMissing: there is none, or it is empty.
        NotALedger: it is a folder or some other kind of file.
    """
    try:
        magic = first_bytes(path, len(_MAGIC))
    except FileNotFoundError as exc:
        _nothing_left_behind(path)
        raise LedgerMissing(
            f"{path}: there is no ledger here; `batcher load` or `batcher run` makes one, "
            "--ledger names another place"
        ) from exc
    except IsADirectoryError as exc:
        raise NotALedger(f"{path}: this is a folder; --ledger takes the path of a file") from exc
    except OSError as exc:
        raise _unusable(path, exc.strerror or str(exc)) from exc
    if magic is None:
        return
    if not magic and path.is_file():
        _nothing_left_behind(path)
        raise LedgerMissing(f"{path}: the file is empty; `batcher load` or `batcher run` makes it a ledger")
    if magic != _MAGIC:
        raise NotALedger(f"{path}: this is not a ledger; --ledger names the ledger, manifests stand alone")


def connect(path: Path, *, writing: bool = False) -> AsyncEngine:
    """An engine for readers, who cannot write; with ``writing``, for upgrading the schema."""
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)), connect_args={"timeout": BUSY_TIMEOUT_S}
    )
    _set_up(engine.sync_engine, writing=writing)
    _hold(engine.sync_engine, path)
    return engine


def connect_writer(path: Path) -> Engine:
    """The writer's engine, for one thread: transactions begin ``IMMEDIATE``.

    Raises:
        LedgerError: the file has another name, under which another process might write it.
    """
    check_one_name(path)
    engine = create_engine(
        URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_TIMEOUT_S}, poolclass=NullPool
    )
    _set_up(engine, writing=True)
    _hold(engine, path)
    return engine


def _hold(engine: Engine, path: Path) -> None:
    """Note that this process may be connected to the file until the engine is disposed of."""
    over = connecting(path)

    @event.listens_for(engine, "engine_disposed", once=True)
    def _let_go(_: Engine) -> None:
        over()


def _set_up(engine: Engine, *, writing: bool) -> None:
    """Have every connection of an engine behave as the ledger needs it."""
    pragmas = [
        f"PRAGMA page_size = {PAGE_BYTES}",  # of a new file; an older one keeps its own
        "PRAGMA foreign_keys = ON",
        "PRAGMA synchronous = FULL",
        "PRAGMA journal_mode = WAL" if writing else "PRAGMA query_only = ON",
    ]
    if writing:
        pragmas.append(f"PRAGMA cache_size = -{CACHE_KIB}")
    if sys.platform == "darwin":
        pragmas.append("PRAGMA fullfsync = ON")

    @event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, _record: object) -> None:
        connection.isolation_level = None  # transactions begin when we say so, not when the driver thinks
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def _executing(
        _connection: Connection, _cursor: object, statement: str, given: object, _context: object, _many: bool
    ) -> tuple[str, object]:
        return statement, storable(given)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A read that turns into a write fails at once when locked, whatever the timeout: begin as a writer.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def storable(given: object) -> object:
    """Parameters of a statement, every text in them one that the database takes.

    Names of files that are not UTF-8, and only they, hold halves of characters: those become escapes.
    """
    match given:
        case str():
            return given if given.isascii() else given.encode("utf-8", "backslashreplace").decode()
        case tuple() | list():
            return type(given)(map(storable, given))
        case dict():
            return {name: storable(value) for name, value in given.items()}
        case _:
            return given


async def bring_up_to_date(path: Path) -> None:
    """Create the schema in an empty file, or upgrade an older one, in one transaction."""
    engine = connect(path, writing=True)
    try:
        with translated(path):
            async with engine.connect() as connection:
                revision = await connection.run_sync(_revision)
            if revision != REVISIONS[-1]:
                check_revision(revision, path, may_be_empty=True)
                async with engine.begin() as connection:
                    await connection.run_sync(_create if revision is None else _upgrade)
    finally:
        await engine.dispose()


@asynccontextmanager
async def open_to_itself(path: Path, lock: LedgerLock | None = None) -> AsyncIterator[None]:
    """Hold the lock of an existing ledger of today's schema, with no connection to it.

    Args:
        path: the ledger.
        lock: its lock, if it is held already; released at the end.

    Raises:
        LedgerBusy: another process holds it.
        LedgerError: there is none, it is none, or it is from a newer version.
    """
    with lock or await take_lock(path):
        check_file(path)
        await bring_up_to_date(path)
        yield


async def is_up_to_date(engine: AsyncEngine, path: Path) -> bool:
    """Whether the schema is today's; an older one needs a writer's upgrade first."""
    with translated(path):
        async with engine.connect() as connection:
            revision = await connection.run_sync(_revision)
    check_revision(revision, path, may_be_empty=False)
    return revision == REVISIONS[-1]


def _revision(connection: Connection) -> str | None:
    """The schema's version; empty text for a database of something else, None for one without tables."""
    names = set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())
    if not names:
        return None
    if not {"alembic_version", "submissions", "attempts"} <= names:
        return ""
    return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())


def check_revision(revision: str | None, path: Path, *, may_be_empty: bool) -> None:
    """Refuse a schema that is none of ours.

    Raises:
        NotALedger: the database is something else.
        LedgerTooNew: a newer batcher has written it.
    """
    if revision == "" or (revision is None and not may_be_empty):
        raise NotALedger(f"{path}: this is a database, but not a ledger; choose another --ledger")
    if revision is not None and revision not in REVISIONS:
        raise LedgerTooNew(
            f"{path}: a newer batcher has written this ledger (schema {revision}, this program knows "
            f"{REVISIONS[-1]}); upgrade batcher"
        )


def _create(connection: Connection) -> None:
    """Today's schema at once; the revisions, one after the other, come to the same."""
    metadata.create_all(connection, checkfirst=False)
    connection.exec_driver_sql(
        "CREATE TABLE alembic_version "
        "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    )
    connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (REVISIONS[-1],))


def _upgrade(connection: Connection) -> None:
    from alembic import command  # a third of a second to import, and needed once per ledger
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(bundled("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn the database library's exceptions into a :class:`LedgerError` that says what to do."""
    try:
        yield
    except IntegrityError as exc:
        raise IllegalMove(f"{path}: {exc.orig}") from exc
    except DBAPIError as exc:
        raise _from_driver(path, exc.orig) from exc
    except sqlite3.Error as exc:
        raise _from_driver(path, exc) from exc


def _from_driver(path: Path, error: BaseException | None) -> LedgerError:
    name = str(getattr(error, "sqlite_errorname", ""))
    if name == "SQLITE_NOTADB":
        return NotALedger(f"{path}: this is not a ledger; choose another --ledger")
    base = "_".join(name.split("_")[:2])
    unusable = _unusable(path, _REMEDIES.get(base) or f"{type(error).__name__}: {error}")
    return LedgerLocked(str(unusable)) if base in ("SQLITE_BUSY", "SQLITE_LOCKED") else unusable


def _unusable(path: Path, why: str) -> LedgerError:
    return LedgerError(f"{path}: the ledger cannot be used: {why}")
