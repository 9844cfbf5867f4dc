"""Having a ledger in PostgreSQL to oneself: no other process writes it, until released.

Called by ``ledger copy``. Runs, duties and sessions that write show who is there. The tables are locked
meanwhile, so that a process that comes later waits with its first record.
"""

from __future__ import annotations

import asyncio

from batcher.ledger.connection import Access
from batcher.ledger.holding import Holder, LockClient, Purpose
from batcher.ledger.postgres.connection import (
    PostgresConnection,
    connect,
    has_ledger,
    open_existing,
    writing,
)
from batcher.ledger.postgres.lease import Busy, Lease, awaited, holders_of_duties, take_duty
from batcher.ledger.shared_runs import sender
from batcher.model.ledger_name import PostgresName

_NOT_LOCKED = ("duties", "alembic_version")
"""Tables that other processes may write: a duty alone changes nothing of the ledger."""

_SESSION = """
SELECT pid, client_addr, backend_start FROM pg_stat_activity
WHERE datname = current_database() AND application_name = :name AND pid <> pg_backend_pid()
ORDER BY backend_start LIMIT 1
"""


async def take_alone(name: PostgresName, client: LockClient) -> PostgresConnection:
    """Lock the tables of a ledger that no other process writes; closing the connection releases them.

    Raises:
        LedgerMissing: there is no ledger.
        LedgerBusy: another process writes it.
        LedgerError: the server cannot be used.
    """
    connection = await asyncio.to_thread(open_existing, name, Access.WRITE)
    try:
        await awaited(name, client, lambda: _locked_or_writer(connection))
    except BaseException:
        connection.close()
        raise
    return connection


async def take_unjoined(name: PostgresName, client: LockClient) -> Lease:
    """Hold the duty of sending alone: no run sends now, and no other one that wants to be alone begins.

    Raises:
        LedgerBusy: another run is sending.
        LedgerError: the server cannot be used.
    """
    lease = await take_duty(name, client)
    try:
        with await asyncio.to_thread(connect, name, Access.READ) as connection:
            if has_ledger(connection):
                await awaited(name, client, lambda: _sender(connection))
    except BaseException:
        lease.release()
        raise
    return lease


def _locked_or_writer(connection: PostgresConnection) -> Busy | None:
    """Lock the tables; if another process writes them, release them and return who it is."""
    connection.begin()
    tables = ", ".join(sorted(connection.table_names() - set(_NOT_LOCKED)))
    connection.run("SET LOCAL idle_in_transaction_session_timeout = 0")
    connection.run(f"LOCK TABLE {tables} IN SHARE MODE")
    other = _writer(connection)
    if other is not None:
        connection.driver.rollback()
    return other


def _sender(connection: PostgresConnection) -> Busy | None:
    """Return the oldest of the living runs."""
    holder = sender(connection)
    return None if holder is None else Busy(holder, Purpose.SENDING)


def _writer(connection: PostgresConnection) -> Busy | None:
    if (running := _sender(connection)) is not None:
        return running
    for purpose, holder in holders_of_duties(connection).items():
        return Busy(holder, purpose)
    session = connection.row(_SESSION, name=writing(connection.postgres_name))
    if session is None:
        return None
    host = str(session.client_addr or "the server's machine")
    holder = Holder("a session of the server", session.pid, host, session.backend_start)
    return Busy(holder, Purpose.SENDING)
