"""Connections to a ledger's file: the one place that opens it.

Called by readers, by the writer, and by the commands that look after the file. Every connection is noted in
:mod:`batcher.ledger.sqlite.identity`, since closing any other descriptor of the file would end its locks.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import quote

from batcher.ledger.connection import BUSY_TIMEOUT_S, Access, Connection
from batcher.ledger.sqlite.dialect import in_sqlite
from batcher.ledger.sqlite.errors import translated
from batcher.ledger.sqlite.files import check_file
from batcher.ledger.sqlite.identity import check_one_name, connecting
from batcher.ledger.sqlite.read_only import StillImage, check_log, has_log, is_beyond_writing

PAGE_BYTES = 8192
"""Of a new ledger: loading ids in no order takes a quarter less time than with pages half as large."""
CACHE_KIB = 10 << 10
"""The part of the file that the writer may keep in memory: unordered ids touch pages all over it."""


_IMMUTABLE = "immutable=1"

_STEPS = 1_000_000
"""Instructions of the database between two reports of progress."""


class SqliteConnection(Connection):
    """A connection to a ledger's file, used by one thread at a time.

    Attributes:
        driver: SQLite's own connection, for what only SQLite has.
    """

    def __init__(
        self,
        path: Path,
        driver: sqlite3.Connection,
        access: Access,
        disconnected: Callable[[], None],
        check_still: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(path)
        self.path = path
        self.driver = driver
        # A read that turns into a write fails when another program has the file locked.
        self._beginning = "BEGIN IMMEDIATE" if access is Access.WRITE else "BEGIN"
        self._disconnected = disconnected
        self._check_still = check_still
        self._is_open = True

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.driver.in_transaction

    def lock(self, query: str, /, **values: object) -> None:
        """Lock nothing: a file has one writer at a time."""

    def alone_in(self, what: str) -> None:
        """Wait for nobody: a file has one writer at a time."""

    def make_scratch(self, table: str, columns: str) -> None:
        """Make an empty temporary table whose column ``place`` numbers the rows from 1."""
        self.run(f"CREATE TEMP TABLE IF NOT EXISTS {table} (place INTEGER PRIMARY KEY, {columns})")
        self.run(f"DELETE FROM {table}")  # noqa: S608 - ours

    def insert_rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Insert many rows as they are."""
        names, places = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
        with self._translated():
            self.driver.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)  # noqa: S608

    def count_on(self, tables: Sequence[str]) -> None:
        """Do nothing: SQLite looks for the largest id itself."""

    def table_names(self) -> set[str]:
        """Return the names of all tables."""
        return {row.name for row in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def column_names(self, table: str) -> set[str]:
        """Return the names of a table's columns."""
        return {row.name for row in self.rows(f"PRAGMA table_info({table})")}

    @contextmanager
    def watched(self, report: Callable[[], None]) -> Iterator[None]:
        """Have progress reported now and then while the block reads."""

        def step() -> int:
            report()
            return 0

        self.driver.set_progress_handler(step, _STEPS)
        try:
            yield
        finally:
            self.driver.set_progress_handler(None, 0)

    def wait_for_locks(self, seconds: float) -> None:
        """Set how long the next statements wait for a lock of another program."""
        self.run(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def interrupt(self) -> None:
        """End the statement that another thread is running."""
        self.driver.interrupt()

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        if self._is_open:
            self._is_open = False
            try:
                self.driver.close()
            finally:
                self._disconnected()

    def _execute(self, statement: str, values: dict[str, object]) -> sqlite3.Cursor:
        return self.driver.execute(*in_sqlite(statement, values))

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self.path)

    def _begin(self) -> None:
        self.run(self._beginning)

    def _commit(self) -> None:
        self._check_still()
        self.run("COMMIT")

    def _roll_back(self) -> None:
        self.run("ROLLBACK")


def connect(path: Path, access: Access) -> SqliteConnection:
    """Open a connection to an existing file.

    Raises:
        LedgerError: it cannot be opened; or it is to be written and has another name, under which another
            process might write it.
    """
    if access is Access.WRITE:
        check_one_name(path)
    disconnected = connecting(path)
    try:
        with translated(path):
            uri = _uri(path, access)
            driver = sqlite3.connect(
                uri or path,
                uri=uri is not None,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,  # transactions begin when we say so, not when the driver decides
                check_same_thread=False,
            )
            try:
                for pragma in _pragmas(access):
                    driver.execute(pragma)
            except BaseException:
                driver.close()
                raise
    except BaseException:
        disconnected()
        raise
    check_still = StillImage(path).check if uri is not None and uri.endswith(_IMMUTABLE) else _nothing
    return SqliteConnection(path, driver, access, disconnected, check_still)


def open_existing(path: Path, access: Access = Access.READ) -> SqliteConnection:
    """Open a connection to a ledger of any schema.

    Raises:
        LedgerMissing: there is no ledger.
        LedgerError: it is something else, or it cannot be read.
    """
    check_file(path)
    return connect(path, access)


def _pragmas(access: Access) -> Iterator[str]:
    if access is not Access.WRITE:
        yield "PRAGMA query_only = ON"
        return
    yield f"PRAGMA page_size = {PAGE_BYTES}"  # of a new file; an older one keeps its own
    yield "PRAGMA foreign_keys = ON"
    yield "PRAGMA synchronous = FULL"
    yield "PRAGMA journal_mode = WAL"
    yield f"PRAGMA cache_size = -{CACHE_KIB}"
    if sys.platform == "darwin":
        yield "PRAGMA fullfsync = ON"


def untouched_uri(path: Path) -> str:
    """Return the URI by which SQLite opens a ledger without leaving a file behind.

    Without a log the ledger is not in use, and is read as it is on the disk: otherwise SQLite would create a
    log and could not remove it. With a log it is read as by every other reader, without the right to write.
    """
    path = path.resolve()  # the log lies next to the file itself, not next to a link to it
    return f"file:{quote(os.fsencode(path))}?{'mode=ro' if has_log(path) else _IMMUTABLE}"


def _uri(path: Path, access: Access) -> str | None:
    """Return the URI by which SQLite opens a ledger; None for its plain path.

    In a folder that this user may not write, SQLite could not make the log that even a reader needs.
    """
    if access is Access.READ and is_beyond_writing(path):
        check_log(path)
        return untouched_uri(path)
    return untouched_uri(path) if access is Access.INSPECT else None


def _nothing() -> None:
    """Check nothing."""
