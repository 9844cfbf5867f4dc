"""A copy of a whole ledger in another place: from a file to PostgreSQL and back, or between two of a kind.

Called by ``ledger copy``. The source is read in one transaction, so that the copy is one moment of it. Each
table is read page by page in the order of its key, and all rows keep their ids. The copy is made in one
transaction, too, and is compared with the source and verified before that ends: it is whole, or absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from batcher.errors import BatcherError, LedgerError
from batcher.ledger.connection import Connection
from batcher.ledger.database import Database, database_of
from batcher.ledger.schema_version import is_up_to_date
from batcher.ledger.verify import findings_of
from batcher.ledger.whole_text import without_nul
from batcher.model.ledger_name import LedgerName

if TYPE_CHECKING:
    from sqlalchemy import Table

PAGE = 5_000
"""Rows that one query reads."""

LEFT_BEHIND = ("duties",)
"""Tables whose rows belong to processes of the source."""

_Row = tuple[Any, ...]

_OVER = "CASE WHEN ended_at_ms IS NULL THEN coalesce(leased_until_ms, 0) ELSE leased_until_ms END"
"""A run in a file has no lease. One that was killed has none that another run could wait for."""


@dataclass(frozen=True, slots=True)
class Content:
    """The rows of a table: how many, and a digest that does not depend on their order."""

    rows: int = 0
    digest: int = 0

    def plus(self, page: Sequence[_Row]) -> Content:
        """Return the content with more rows."""
        added = sum(int.from_bytes(blake2b(repr(row).encode(), digest_size=16).digest()) for row in page)
        return Content(self.rows + len(page), (self.digest + added) % (1 << 128))


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy that was made: the rows of each table."""

    rows: dict[str, int]

    @property
    def total(self) -> int:
        """The number of all rows."""
        return sum(self.rows.values())


def copy(source: LedgerName, target: LedgerName, on_progress: Callable[[str], None]) -> Copied:
    """Copy a ledger to a place where there is none. The caller keeps other processes from writing either.

    Args:
        source: the ledger.
        target: a path without a file, or a schema without a ledger.
        on_progress: called now and then with what is being done.

    Raises:
        LedgerMissing: there is no source.
        BatcherError: there is a ledger at the target.
        LedgerError: the source is not whole or of an older schema, or the target cannot be made.
    """
    database = database_of(target)
    _check_free(database)
    with database_of(source).open_existing() as read, read.transaction():
        if not is_up_to_date(read):
            raise LedgerError(f"{source}: an older batcher wrote it; upgrade it first: `batcher status`")
        with database.new() as written:
            return _copied(read, written, database, on_progress)


def _check_free(database: Database) -> None:
    if not database.is_missing():
        raise BatcherError(
            f"{database.name}: there is a ledger already, and a copy replaces none; name another target"
        )


def _copied(
    read: Connection, written: Connection, database: Database, on_progress: Callable[[str], None]
) -> Copied:
    from batcher.ledger.schema import metadata  # slow to import

    rows: dict[str, int] = {}
    for table in metadata.sorted_tables:
        if table.name in LEFT_BEHIND:
            continue
        there = Content()
        for page in _pages(read, table, onto_server=written.is_shared):
            written.insert_rows(table.name, [column.name for column in table.columns], page)
            there = there.plus(page)
            on_progress(f"copying {table.name}: {there.rows:,} rows")
        _compare(read, written, table, there)
        rows[table.name] = there.rows
    written.count_on([table.name for table in metadata.sorted_tables if "id" in table.columns])
    if found := next(findings_of(written, database, lambda what, _: on_progress(f"verifying {what}")), None):
        raise LedgerError(
            f"{read.name}: not whole, and so not copied: {found}. `batcher ledger verify` shows all findings"
        )
    return Copied(rows)


def _compare(read: Connection, written: Connection, table: Table, there: Content) -> None:
    """Read a table of the copy again, and make sure that it has the same rows."""
    arrived = Content()
    for page in _pages(written, table):
        arrived = arrived.plus(page)
    if arrived != there:
        raise LedgerError(
            f"{written.name}: the copy was not kept: table {table.name} has {arrived.rows:,} rows, not the "
            f"{there.rows:,} of {read.name}, or other ones. Copy again"
        )


def _pages(connection: Connection, table: Table, *, onto_server: bool = False) -> Iterator[list[_Row]]:
    """Read a table in the order of its key; values are those of the schema, whatever the database keeps."""
    keys = [column.name for column in table.primary_key]
    names = [column.name for column in table.columns]
    key = ", ".join(keys)
    after = f"WHERE ({key}) > ({', '.join(f':after_{name}' for name in keys)})"
    columns = ", ".join(
        f"{_OVER} AS {name}"
        if onto_server and (table.name, name) == ("runs", "leased_until_ms")
        else f'"{name}"'
        for name in names
    )
    plain = _plainer(table, onto_server=onto_server)
    last: dict[str, object] = {}
    while True:
        query = f"SELECT {columns} FROM {table.name} {after if last else ''} ORDER BY {key} LIMIT :limit"  # noqa: S608
        page = connection.rows(query, **last, limit=PAGE)
        if not page:
            return
        yield [plain(tuple(row)) for row in page]
        ends = dict(zip(names, page[-1], strict=True))
        last = {f"after_{name}": ends[name] for name in keys}


def _plainer(table: Table, *, onto_server: bool) -> Callable[[_Row], _Row]:
    """Return what makes the values of a row the same from both databases."""
    from sqlalchemy import Boolean, LargeBinary, Text

    makers: list[Callable[[Any], object] | None] = []
    for column in table.columns:
        kind = column.type
        text = without_nul if onto_server and isinstance(kind, Text) else None
        makers.append(bool if isinstance(kind, Boolean) else bytes if isinstance(kind, LargeBinary) else text)

    def plain(row: _Row) -> _Row:
        return tuple(
            value if make is None or value is None else make(value)
            for make, value in zip(makers, row, strict=True)
        )

    return plain
