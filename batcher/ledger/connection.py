"""The connection to a ledger's database, as queries and recorded events use it.

One text of each statement serves every database. Parameters are named (``:limit``). A list is handed over as
JSON and taken apart with functions of PostgreSQL, which other databases translate:
``json_array_elements_text(:ids)`` for values, ``json_to_recordset(:items) AS item (id BIGINT, …)`` for rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Row(Protocol):
    """A row of a result: its columns are attributes, in the order of the statement."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a column's type is known to the statement alone
        """Return a column."""

    def __iter__(self) -> Iterator[Any]:
        """Go through the columns."""


class Connection(Protocol):
    """A connection that is used by one thread at a time. Its errors are those of :mod:`batcher.errors`."""

    def rows(self, statement: str, /, **values: object) -> list[Row]:
        """Run a query and return all of its rows."""

    def row(self, statement: str, /, **values: object) -> Row | None:
        """Run a query and return its first row; None if there is none."""

    def value(self, statement: str, /, **values: object) -> Any:  # noqa: ANN401 - as above
        """Run a query and return the first column of its first row."""

    def run(self, statement: str, /, **values: object) -> int:
        """Run a statement that writes; returns how many rows it wrote."""

    def transaction(self) -> AbstractContextManager[None]:
        """Begin a transaction, or join the open one; roll it back if the block raises."""

    def interrupt(self) -> None:
        """End the statement that another thread is running."""

    def close(self) -> None:
        """Close the connection."""
