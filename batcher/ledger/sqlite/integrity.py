"""What only SQLite knows of a ledger's file: its integrity, and the sizes of its parts.

Called by ``ledger info``, ``ledger verify`` and ``ledger restore``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from batcher.errors import LedgerError
from batcher.files import exists
from batcher.ledger.connection import Connection
from batcher.ledger.database import FIRST_FINDINGS
from batcher.ledger.sqlite.connection import SqliteConnection

_SAMPLED = 1_000


def storage(connection: SqliteConnection) -> tuple[int, int, int]:
    """Return the bytes of the file, of its log, and of the file's free pages."""
    page, pages, free = (
        int(connection.value(f"PRAGMA {name}")) for name in ("page_size", "page_count", "freelist_count")
    )
    wal = connection.path.with_name(connection.path.name + "-wal")
    return page * pages, wal.stat().st_size if exists(wal) else 0, page * free


def sizes(connection: Connection, rows: Mapping[str, int]) -> tuple[dict[str, int], bool]:
    """Return the bytes of each table with its indexes, and whether they are exact.

    Args:
        connection: to the ledger.
        rows: of each table.
    """
    found = _exact_sizes(connection)
    if found:
        return {name: found.get(name, 0) for name in rows}, True
    return {name: _estimate(connection, name, n) for name, n in rows.items()}, False


def _exact_sizes(connection: Connection) -> dict[str, int]:
    """Return the bytes of each table with its indexes; empty where this build of SQLite does not report
    it."""
    query = """
        SELECT m.tbl_name AS name, sum(d.pgsize) AS size FROM dbstat('main', 1) AS d
        JOIN sqlite_master AS m ON m.name = d.name GROUP BY 1
    """
    try:
        return {row.name: int(row.size) for row in connection.rows(query)}
    except LedgerError:
        return {}


def _estimate(connection: Connection, table: str, rows: int) -> int:
    """Return the bytes of a table, out of its first rows; indexes are left out."""
    columns = sorted(connection.column_names(table))
    length = " + ".join(f'coalesce(length("{name}"), 0) + 1' for name in columns)
    query = f"SELECT avg(n) FROM (SELECT {length} AS n FROM {table} LIMIT {_SAMPLED})"  # noqa: S608 - ours
    return int(rows * (connection.value(query) or 0))


def file_findings(connection: Connection) -> Iterator[str]:
    """Yield what SQLite finds wrong in the file."""
    for row in connection.rows(f"PRAGMA integrity_check({FIRST_FINDINGS})"):
        if row.integrity_check != "ok":
            yield f"the file: {row.integrity_check}"


def reference_findings(connection: Connection) -> Iterator[str]:
    """Yield the rows that refer to a row that is not there."""
    query = 'SELECT "table" AS name, rowid, parent FROM pragma_foreign_key_check LIMIT :limit'
    for row in connection.rows(query, limit=FIRST_FINDINGS):
        which = row.name if row.rowid is None else f"{row.name} row {row.rowid}"  # tables may have no rowid
        yield f"{which}: refers to a row of {row.parent} that is not there"
