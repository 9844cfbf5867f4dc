"""Connections to a ledger's database, as all statements use them.

Called by every query and every event. Parameters of a statement are named (``:limit``). A list is handed
over as JSON: ``json_array_elements_text(:ids)`` for values, ``json_to_recordset(:items) AS item (id BIGINT,
…)`` for rows. Statements are written as PostgreSQL understands them; each database's dialect spells them its
own way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, namedtuple
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Protocol, Self, cast

from batcher.model.ledger_name import LedgerName

Totals = Counter[Any]
"""Changes of totals by their keys."""


BUSY_TIMEOUT_S = 10.0
"""The longest time that a statement waits for a lock that another program holds."""


class Access(Enum):
    """The rights of a connection."""

    READ = auto()
    """Read while other processes write."""
    INSPECT = auto()
    """Read, and leave nothing behind."""
    WRITE = auto()
    """Write."""


class ResultRow(Protocol):
    """A row of a result: its columns are attributes, in the order of the statement."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a column's type is known to the statement alone
        """Return a column."""

    def __iter__(self) -> Iterator[Any]:
        """Go through the columns."""


class Cursor(Protocol):
    """The result of a statement, as both drivers give it."""

    @property
    def rowcount(self) -> int:
        """Return how many rows the statement wrote."""

    @property
    def description(self) -> Any:  # noqa: ANN401 - a sequence of sequences; the drivers type it differently
        """Return a description of each column; its name comes first."""

    def fetchone(self) -> Any:  # noqa: ANN401 - known to the statement alone
        """Return the next row, or None."""

    def __iter__(self) -> Iterator[Any]:
        """Go through the rows."""


class Connection(ABC):
    """A connection to a ledger, used by one thread at a time.

    Attributes:
        name: the ledger.
    """

    def __init__(self, name: LedgerName) -> None:
        self.name = name
        self._totals: dict[Callable[[Connection, Totals], None], Totals] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(self, statement: str, /, **values: object) -> list[ResultRow]:
        """Run a query and return all of its rows."""
        with self._translated():
            cursor = self._execute(statement, values)
            make = row_type(tuple(column[0] for column in cursor.description))
            return list(map(make, cursor))

    def row(self, statement: str, /, **values: object) -> ResultRow | None:
        """Run a query and return its first row, or None."""
        return next(iter(self.rows(statement, **values)), None)

    def value(self, statement: str, /, **values: object) -> Any:  # noqa: ANN401 - known to the statement alone
        """Run a query and return the first column of its first row."""
        with self._translated():
            return self._execute(statement, values).fetchone()[0]

    def run(self, statement: str, /, **values: object) -> int:
        """Run a statement that writes; returns how many rows it wrote."""
        with self._translated():
            return self._execute(statement, values).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Begin a transaction, or join the open one; roll it back if the block raises."""
        if self.in_transaction:
            yield
            return
        self._totals.clear()
        self._begin()
        try:
            yield
            for apply, totals in self._totals.items():
                apply(self, totals)
            self._commit()
        except BaseException:
            if self.in_transaction:  # the database has ended it itself after some errors
                self._roll_back()
            raise

    def reconnect(self) -> None:
        """Connect again after the server was lost.

        Raises:
            LedgerUnreachable: the server still cannot be reached.
            LedgerError: it can, and cannot be used.
        """
        raise NotImplementedError("a file is not lost")

    def was_committed(self) -> bool:
        """Return whether the transaction that was cut off has been committed, once connected again."""
        raise NotImplementedError("a file is not lost")

    def expect_replies_within(self, seconds: float | None) -> None:
        """Give a connection up whose server has not replied to a statement for so long; None for never."""
        del seconds  # a file replies

    @property
    def is_shared(self) -> bool:
        """Whether several runs may send on the ledger at once."""
        return False

    def add_up(self, apply: Callable[[Connection, Totals], None], changes: Totals) -> None:
        """Change totals right before the commit, all changes of the transaction at once.

        Totals come last in every transaction: all writers change the same few rows, and whoever has changed
        one makes the others wait until it has committed.

        Args:
            apply: writes the changes.
            changes: by the totals' keys.
        """
        totals = self._totals.setdefault(apply, Counter())
        for key, change in changes.items():
            totals[key] += change

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def begin(self) -> None:
        """Begin a transaction that the caller ends: by closing the connection, or through its driver."""
        self._begin()

    @abstractmethod
    def lock(self, query: str, /, **values: object) -> None:
        """Lock rows in the order of a query, until the commit; without effect where one writer writes."""

    @abstractmethod
    def alone_in(self, what: str) -> None:
        """Wait until no other transaction does this; none begins it before the commit."""

    @abstractmethod
    def make_scratch(self, table: str, columns: str) -> None:
        """Make an empty temporary table whose column ``place`` numbers the rows from 1.

        It lasts until the commit at least.
        """

    @abstractmethod
    def insert_rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Insert many rows as they are, their ids included."""

    @abstractmethod
    def count_on(self, tables: Sequence[str]) -> None:
        """Let the next id of each table follow the largest one that was inserted with its row."""

    @abstractmethod
    def column_names(self, table: str) -> set[str]:
        """Return the names of a table's columns."""

    @abstractmethod
    def watched(self, report: Callable[[], None]) -> AbstractContextManager[None]:
        """Have progress reported now and then while the block reads, if the database can."""

    @abstractmethod
    def table_names(self) -> set[str]:
        """Return the names of all tables of the ledger."""

    @abstractmethod
    def wait_for_locks(self, seconds: float) -> None:
        """Set how long the next statements wait for a lock of another program."""

    @abstractmethod
    def interrupt(self) -> None:
        """End the statement that another thread is running."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; a second time does nothing."""

    @abstractmethod
    def _execute(self, statement: str, values: dict[str, object]) -> Cursor:
        """Run a statement; tests observe all statements here."""

    @abstractmethod
    def _translated(self) -> AbstractContextManager[None]:
        """Turn the driver's exceptions into a LedgerError that says what to do."""

    @abstractmethod
    def _begin(self) -> None:
        """Begin a transaction."""

    @abstractmethod
    def _commit(self) -> None:
        """Commit the transaction."""

    @abstractmethod
    def _roll_back(self) -> None:
        """Roll the transaction back."""


@lru_cache(maxsize=1_000)
def row_type(columns: tuple[str, ...]) -> Callable[[Sequence[Any]], ResultRow]:
    """Return what makes a row of a statement with these columns."""
    kind = namedtuple("LedgerRow", columns, rename=True)  # type: ignore[misc]
    return cast("Callable[[Sequence[Any]], ResultRow]", kind._make)
