"""A new ledger that is filled before it takes its name. Called by ``ledger copy``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batcher.files import unwritable
from batcher.ledger.connection import Access
from batcher.ledger.schema_version import create
from batcher.ledger.sqlite.backup import synced
from batcher.ledger.sqlite.connection import SqliteConnection, connect
from batcher.output_files import check_target, name_beside, renamed_when_whole


@contextmanager
def new_file(path: Path) -> Iterator[SqliteConnection]:
    """Make a ledger under another name, and give it its own when the block has filled it.

    Raises:
        SettingsError: the path is that of another file's companion.
        BatcherError: it cannot be written.
    """
    check_target(path, "TARGET", may_be_database=True)
    beside = name_beside(path)
    try:
        with renamed_when_whole(beside, path, mode=0o600), connect(beside, Access.WRITE) as connection:
            connection.run("PRAGMA journal_mode = MEMORY")  # one file, without a log
            create(connection, "sqlite")
            with connection.transaction():
                yield connection
        synced(path.parent)
    except OSError as exc:
        raise unwritable(exc, str(path), path) from exc
