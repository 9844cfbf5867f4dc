"""The schema of a ledger's file: its version, and creating or upgrading it.

Called when a ledger is opened. SQLAlchemy and Alembic are imported only to create or to upgrade: both are
slow to import, and needed once per ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from batcher.config.resources import bundled
from batcher.errors import LedgerTooNew, NotALedger
from batcher.ledger.conditions import REVISIONS
from batcher.ledger.sqlite.connection import Access, Connection, connect
from batcher.ledger.sqlite.errors import translated
from batcher.ledger.sqlite.files import check_file
from batcher.ledger.sqlite.lock import LedgerLock, take_lock


def revision_of(connection: Connection, path: Path) -> str:
    """Return the version of a ledger's schema.

    Raises:
        NotALedger: the database is something else.
        LedgerTooNew: a newer batcher has written it.
    """
    if not {"alembic_version", "submissions", "attempts"} <= table_names(connection):
        raise NotALedger(f"{path}: this is a database, but not a ledger; choose another --ledger")
    revision = str(connection.value("SELECT version_num FROM alembic_version"))
    if revision not in REVISIONS:
        raise LedgerTooNew(
            f"{path}: a newer batcher has written this ledger (schema {revision}, this program knows "
            f"{REVISIONS[-1]}); upgrade batcher"
        )
    return revision


def is_up_to_date(connection: Connection, path: Path) -> bool:
    """Return whether the schema is today's; an older one has to be upgraded by a writer first.

    Raises:
        NotALedger: the database is something else.
        LedgerTooNew: a newer batcher has written it.
    """
    return revision_of(connection, path) == REVISIONS[-1]


def table_names(connection: Connection) -> set[str]:
    """Return the names of all tables."""
    return {row.name for row in connection.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}


def bring_up_to_date(path: Path) -> None:
    """Create the schema in an empty file, or upgrade an older one, in one transaction.

    Raises:
        NotALedger: the database is something else.
        LedgerTooNew: a newer batcher has written it.
    """
    with connect(path, Access.WRITE) as connection:
        if table_names(connection):
            if is_up_to_date(connection, path):
                return
            _upgrade(connection)
        else:
            _create(connection)


@asynccontextmanager
async def open_to_itself(path: Path, lock: LedgerLock | None = None) -> AsyncIterator[None]:
    """Hold the lock of an existing ledger of today's schema, with no connection to it.

    Args:
        path: the ledger.
        lock: its lock, if it is held already; released at the end.

    Raises:
        LedgerBusy: another process holds it.
        LedgerError: there is no ledger, it is something else, or it is from a newer version.
    """
    with lock or await take_lock(path):
        check_file(path)
        await asyncio.to_thread(bring_up_to_date, path)
        yield


def _create(connection: Connection) -> None:
    """Create today's schema in one step; applying all revisions in turn gives the same."""
    from sqlalchemy.dialects import sqlite
    from sqlalchemy.schema import CreateIndex, CreateTable

    from batcher.ledger.schema import metadata

    dialect = sqlite.dialect()
    with connection.transaction():
        for table in metadata.sorted_tables:
            connection.run(str(CreateTable(table).compile(dialect=dialect)))
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                connection.run(str(CreateIndex(index).compile(dialect=dialect)))
        connection.run(
            "CREATE TABLE alembic_version "
            "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
        connection.run("INSERT INTO alembic_version VALUES (:revision)", revision=REVISIONS[-1])


def _upgrade(connection: Connection) -> None:
    """Apply the revisions that are missing, in one transaction."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import StaticPool, create_engine
    from sqlalchemy.exc import DBAPIError

    config = Config()
    config.set_main_option("script_location", str(bundled("migrations")))
    engine = create_engine("sqlite://", creator=lambda: connection.driver, poolclass=StaticPool)
    with translated(connection.path):
        try:
            with engine.begin() as alchemy:  # Alembic would commit in between outside of a transaction
                connection.run("BEGIN IMMEDIATE")
                config.attributes["connection"] = alchemy
                command.upgrade(config, "head")
        except DBAPIError as exc:
            raise exc.orig or exc from exc
