"""What a ledger consists of: its schema, and the size and rows of its tables.

Called by ``ledger info``. It works on a ledger of any schema.
"""

from __future__ import annotations

from batcher.ledger.connection import Connection
from batcher.ledger.database import database_of
from batcher.ledger.schema_version import revision_of
from batcher.model.ledger_name import LedgerName
from batcher.model.records import Inspected, TableAndIndexes


def inspect(ledger: LedgerName) -> Inspected:
    """Return what a ledger consists of.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    database = database_of(ledger)
    with database.open_existing() as connection:
        revision = revision_of(connection)
        bound = connection.row("SELECT app_id, place FROM binding")
        [runs] = connection.rows("SELECT min(started_at_ms) AS first, max(started_at_ms) AS last FROM runs")
        names = _tables(connection)
        rows = {name: int(connection.value(f"SELECT count(*) FROM {name}")) for name in names}  # noqa: S608
        sizes, are_exact = database.sizes(connection, rows)
        return Inspected(
            ledger,
            revision,
            *database.storage(connection),
            tuple(TableAndIndexes(name, rows[name], sizes[name], estimated=not are_exact) for name in names),
            None if bound is None else (bound.app_id, bound.place),
            (runs.first, runs.last),
        )


def _tables(connection: Connection) -> list[str]:
    from batcher.ledger.schema import metadata  # slow to import

    there = connection.table_names()
    return [table.name for table in metadata.sorted_tables if table.name in there]
