"""Connections to a ledger's file: the one place that opens it.

Called by readers, by the writer, and by the commands that look after the file. Parameters of a statement are
named (``:limit``). A list is handed over as JSON: ``json_array_elements_text(:ids)`` for values,
``json_to_recordset(:items) AS item (id BIGINT, …)`` for rows. Every connection is noted in
:mod:`batcher.ledger.sqlite.identity`, since closing any other descriptor of the file would end its locks.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, Self, cast
from urllib.parse import quote

from batcher.ledger.sqlite.dialect import in_sqlite
from batcher.ledger.sqlite.errors import translated
from batcher.ledger.sqlite.files import check_file
from batcher.ledger.sqlite.identity import check_one_name, connecting
from batcher.ledger.sqlite.read_only import StillImage, check_log, has_log, is_beyond_writing

BUSY_TIMEOUT_S = 10.0
"""The longest time that a statement waits for a lock that another program holds on the file."""

PAGE_BYTES = 8192
"""Of a new ledger: loading ids in no order takes a quarter less time than with pages half as large."""
CACHE_KIB = 10 << 10
"""The part of the file that the writer may keep in memory: unordered ids touch pages all over it."""


_IMMUTABLE = "immutable=1"


class Access(Enum):
    """The rights of a connection."""

    READ = auto()
    """Read while other processes write."""
    INSPECT = auto()
    """Read, and leave no file behind: a ledger without a log next to it is read as it is on the disk."""
    WRITE = auto()
    """Write; transactions begin ``IMMEDIATE``, since a read that turns into a write fails when locked."""


class ResultRow(Protocol):
    """A row of a result: its columns are attributes, in the order of the statement."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a column's type is known to the statement alone
        """Return a column."""

    def __iter__(self) -> Iterator[Any]:
        """Go through the columns."""


class Connection:
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
        self.path = path
        self.driver = driver
        self._begin = "BEGIN IMMEDIATE" if access is Access.WRITE else "BEGIN"
        self._disconnected = disconnected
        self._check_still = check_still
        self._is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _execute(self, statement: str, values: dict[str, object]) -> sqlite3.Cursor:
        """Run a statement; tests observe all statements here."""
        return self.driver.execute(*in_sqlite(statement, values))

    def rows(self, statement: str, /, **values: object) -> list[ResultRow]:
        """Run a query and return all of its rows."""
        with translated(self.path):
            cursor = self._execute(statement, values)
            make = _row_type(tuple(column[0] for column in cursor.description))
            return list(map(make, cursor))

    def row(self, statement: str, /, **values: object) -> ResultRow | None:
        """Run a query and return its first row, or None."""
        return next(iter(self.rows(statement, **values)), None)

    def value(self, statement: str, /, **values: object) -> Any:  # noqa: ANN401 - known to the statement alone
        """Run a query and return the first column of its first row."""
        with translated(self.path):
            return self._execute(statement, values).fetchone()[0]

    def run(self, statement: str, /, **values: object) -> int:
        """Run a statement that writes; returns how many rows it wrote."""
        with translated(self.path):
            return self._execute(statement, values).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Begin a transaction, or join the open one; roll it back if the block raises."""
        if self.driver.in_transaction:
            yield
            return
        self.run(self._begin)
        try:
            yield
            self._check_still()
            self.run("COMMIT")
        except BaseException:
            if self.driver.in_transaction:  # SQLite has ended it itself after some errors
                self.run("ROLLBACK")
            raise

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


def connect(path: Path, access: Access) -> Connection:
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
    return Connection(path, driver, access, disconnected, check_still)


def open_existing(path: Path, access: Access = Access.READ) -> Connection:
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


@lru_cache(maxsize=1_000)
def _row_type(columns: tuple[str, ...]) -> Callable[[tuple[Any, ...]], ResultRow]:
    """Return what makes a row of a statement with these columns."""
    kind = namedtuple("LedgerRow", columns, rename=True)  # type: ignore[misc]
    return cast("Callable[[tuple[Any, ...]], ResultRow]", kind._make)
