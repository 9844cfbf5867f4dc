"""The schema of a ledger: its version, and creating or upgrading it.

Called when a ledger is opened. SQLAlchemy and Alembic are imported only to create or to upgrade: both are
slow to import, and needed once per ledger.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

from batcher.config.resources import bundled
from batcher.errors import LedgerTooNew, NotALedger
from batcher.ledger.conditions import REVISIONS
from batcher.ledger.connection import Connection

if TYPE_CHECKING:
    from sqlalchemy import Engine


def revision_of(connection: Connection) -> str:
    """Return the version of a ledger's schema.

    Raises:
        NotALedger: the database is something else.
        LedgerTooNew: a newer batcher has written it.
    """
    if not {"alembic_version", "submissions", "attempts"} <= connection.table_names():
        raise NotALedger(f"{connection.name}: this is a database, but not a ledger; choose another --ledger")
    revision = str(connection.value("SELECT version_num FROM alembic_version"))
    if revision not in REVISIONS:
        raise LedgerTooNew(
            f"{connection.name}: a newer batcher has written this ledger (schema {revision}, this program "
            f"knows {REVISIONS[-1]}); upgrade batcher"
        )
    return revision


def is_up_to_date(connection: Connection) -> bool:
    """Return whether the schema is today's; an older one has to be upgraded by a writer first.

    Raises:
        NotALedger: the database is something else.
        LedgerTooNew: a newer batcher has written it.
    """
    return revision_of(connection) == REVISIONS[-1]


def create_tables(connection: Connection, dialect_name: str, names: Container[str]) -> None:
    """Create tables with their indexes, in the order of their references.

    Args:
        connection: within a transaction.
        dialect_name: SQLAlchemy's name of the database.
        names: of the tables.
    """
    from sqlalchemy.dialects import registry
    from sqlalchemy.schema import CreateIndex, CreateTable

    from batcher.ledger.schema import metadata

    dialect = registry.load(dialect_name)()
    for table in metadata.sorted_tables:
        if table.name not in names:
            continue
        connection.run(str(CreateTable(table).compile(dialect=dialect)))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if index.info.get("only_in", dialect_name) == dialect_name:
                connection.run(str(CreateIndex(index).compile(dialect=dialect)))


def create(connection: Connection, dialect_name: str) -> None:
    """Create today's schema in one step; applying all revisions in turn gives the same."""
    from batcher.ledger.schema import metadata

    with connection.transaction():
        create_tables(connection, dialect_name, metadata.tables.keys() - connection.table_names())
        connection.run(
            "CREATE TABLE alembic_version "
            "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
        connection.run("INSERT INTO alembic_version VALUES (:revision)", revision=REVISIONS[-1])


def upgrade(connection: Connection, engine: Engine) -> None:
    """Apply the revisions that are missing, in one transaction.

    Args:
        connection: to the ledger.
        engine: SQLAlchemy's, on the same connection of the driver.
    """
    from alembic import command
    from alembic.config import Config
    from sqlalchemy.exc import DBAPIError

    config = Config()
    config.set_main_option("script_location", str(bundled("migrations")))
    try:
        with engine.begin() as alchemy:  # Alembic would commit in between outside of a transaction
            connection.begin()
            config.attributes["connection"] = alchemy
            command.upgrade(config, "head")
    except DBAPIError as exc:
        raise exc.orig or exc from exc
