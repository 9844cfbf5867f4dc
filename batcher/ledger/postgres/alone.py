"""Having a ledger in PostgreSQL to oneself: no other process writes it, until released.

Called by ``ledger copy``. Runs, duties and sessions that write show who is there. The tables are locked
meanwhile, so that a process that comes later waits with its first record.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from batcher.errors import LedgerBusy
from batcher.ledger.connection import Access
from batcher.ledger.holding import Holder, LockClient, Purpose, busy_text, named
from batcher.ledger.postgres.connection import PostgresConnection, open_existing, writing
from batcher.ledger.postgres.lease import LOOK_EVERY_S, holders_of_duties
from batcher.ledger.shared_runs import live_runs
from batcher.model.durations import at_least_a_second
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
        began, wait_s, reported = time.monotonic(), client.wait_s or 0.0, False
        while other := await asyncio.to_thread(_locked_or_writer, connection):
            holder, purpose = other
            waited_s = time.monotonic() - began
            if waited_s >= wait_s:
                raise LedgerBusy(busy_text(name, holder, LockClient(wait_s=client.wait_s, purpose=purpose)))
            if not reported:
                client.on_wait(
                    f"{name}: waiting up to {at_least_a_second(wait_s)} for {named(holder, purpose)}"
                )
                reported = True
            await asyncio.sleep(min(LOOK_EVERY_S, wait_s - waited_s))
    except BaseException:
        connection.close()
        raise
    return connection


def _locked_or_writer(connection: PostgresConnection) -> tuple[Holder, Purpose] | None:
    """Lock the tables; if another process writes them, release them and return who it is."""
    connection.begin()
    tables = ", ".join(sorted(connection.table_names() - set(_NOT_LOCKED)))
    connection.run("SET LOCAL idle_in_transaction_session_timeout = 0")
    connection.run(f"LOCK TABLE {tables} IN SHARE MODE")
    other = _writer(connection)
    if other is not None:
        connection.driver.rollback()
    return other


def _writer(connection: PostgresConnection) -> tuple[Holder, Purpose] | None:
    for run in live_runs(connection):
        if run.is_live:
            since = datetime.fromtimestamp(run.started_at_ms / 1000, UTC)
            return Holder("batcher run", run.pid, run.host, since), Purpose.SENDING
    for purpose, holder in holders_of_duties(connection).items():
        return holder, purpose
    session = connection.row(_SESSION, name=writing(connection.postgres_name))
    if session is None:
        return None
    host = str(session.client_addr or "the server's machine")
    return Holder("a session of the server", session.pid, host, session.backend_start), Purpose.SENDING
