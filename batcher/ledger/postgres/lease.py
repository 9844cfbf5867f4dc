"""Duties on a ledger in PostgreSQL: work that one process at a time does, held by a lease.

Called where a file would be locked. The lease is a row of ``duties``. A thread with a connection of its own
renews it, so that a busy event loop does not lose it. The lease ends by the server's clock when it is not
renewed; that of a process of this machine ends with the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from batcher.errors import LedgerBusy, LedgerError
from batcher.ledger.connection import Access, ResultRow
from batcher.ledger.holding import Holder, LockClient, Purpose, busy_text, named
from batcher.ledger.postgres.connection import PostgresConnection, connect
from batcher.ledger.process_identity import has_surely_ended, this_process
from batcher.ledger.shared_runs import NOW_MS, TTL_MS
from batcher.model.durations import at_least_a_second
from batcher.model.ledger_name import PostgresName

T = TypeVar("T")

RENEW_S = 2.0
"""How often a lease is renewed."""

LOOK_EVERY_S = 0.2
"""Seconds between two looks at a duty that another process has."""

_TAKE = f"""
INSERT INTO duties (name, holder, process, token, leased_until_ms)
VALUES (:name, :holder, :process, 1, {NOW_MS} + :ttl_ms)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, process = excluded.process,
    token = duties.token + 1, leased_until_ms = excluded.leased_until_ms
WHERE duties.leased_until_ms < {NOW_MS} OR duties.process = :ended
RETURNING token
"""  # noqa: S608 - ours

_RENEW = f"UPDATE duties SET leased_until_ms = {NOW_MS} + :ttl_ms WHERE name = :name AND token = :token"  # noqa: S608

_RELEASE = "UPDATE duties SET leased_until_ms = 0 WHERE name = :name AND token = :token"

_HOLDER = "SELECT holder, process, token FROM duties WHERE name = :name"

_held: set[tuple[str, str, int]] = set()
"""The leases of this process: ledger, duty and token."""

_HELD = f"SELECT name, holder, process FROM duties WHERE leased_until_ms > {NOW_MS} ORDER BY name"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Busy:
    """Another process that has what is asked for."""

    holder: Holder | None
    """None if it is not known: it has just given it up."""
    purpose: Purpose
    """For what it has it."""


class Lease:
    """A duty that is held, until released, lost, or until the process ends."""

    is_first = True

    def __init__(self, name: PostgresName, connection: PostgresConnection, duty: str, token: int) -> None:
        self._name = name
        self._connection = connection
        self._duty = duty
        self._token = token
        self._lost: LedgerError | None = None
        self._released = threading.Event()
        self._key = (str(name), duty, token)
        _held.add(self._key)
        self._thread = threading.Thread(target=self._keep, name=f"lease-{duty}", daemon=True)
        self._thread.start()

    def cover(self) -> None:
        """Hold what was created since, too: a schema needs nothing more."""

    def check(self) -> None:
        """Make sure that no second process can have the duty.

        Raises:
            LedgerError: another process has taken over.
        """
        if self._lost is not None:
            raise self._lost

    def release(self) -> None:
        """End the lease; a second time does nothing."""
        if self._released.is_set():
            return
        self._released.set()
        self._thread.join()
        _held.discard(self._key)
        with contextlib.suppress(LedgerError):  # then it ends with its time, or when this process takes it
            self._connection.run(_RELEASE, name=self._duty, token=self._token)
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _keep(self) -> None:
        """Renew the lease until it is released or lost."""
        while not self._released.wait(RENEW_S):
            try:
                if self._connection.driver.closed:
                    self._connection = connect(self._name, Access.WRITE)
                values = {"name": self._duty, "token": self._token, "ttl_ms": TTL_MS}
                renewed = self._connection.run(_RENEW, **values)
            except LedgerError:
                continue  # the lease is this one's until another process takes it
            if not renewed:
                self._lost = LedgerError(
                    f"{self._name}: another process has taken over while this one did not reach the server; "
                    "nothing more is sent"
                )
                return


class SharedHold:
    """Nothing is held: several processes may work on the ledger at once."""

    is_first = True

    def cover(self) -> None:
        """Hold nothing more."""

    def check(self) -> None:
        """Find nothing wrong: runs have leases of their own."""

    def release(self) -> None:
        """Release nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


async def take_duty(name: PostgresName, client: LockClient) -> Lease:
    """Take the duty of a client's purpose, and wait for another holder if the client waits.

    Raises:
        LedgerBusy: another process has it.
        LedgerError: the server cannot be used.
    """
    connection = await asyncio.to_thread(connect, name, Access.WRITE)
    try:
        token = await awaited(name, client, lambda: _try(connection, client))
    except BaseException:
        connection.close()
        raise
    return Lease(name, connection, client.purpose.name.lower(), token)


async def awaited(name: PostgresName, client: LockClient, look: Callable[[], T | Busy]) -> T:
    """Look again and again until no other process has what is asked for, as long as the client waits.

    Args:
        name: the ledger.
        client: how long it waits, and how it is told.
        look: called in a thread; returns what was asked for, or who has it.

    Raises:
        LedgerBusy: another process has it still.
        LedgerError: the server cannot be used.
    """
    began, wait_s, reported = time.monotonic(), client.wait_s or 0.0, False
    while isinstance(found := await asyncio.to_thread(look), Busy):
        waited_s = time.monotonic() - began
        if waited_s >= wait_s:
            raise LedgerBusy(busy_text(name, found.holder, replace(client, purpose=found.purpose)))
        if not reported:
            others = named(found.holder, found.purpose)
            client.on_wait(f"{name}: waiting up to {at_least_a_second(wait_s)} for {others}")
            reported = True
        await asyncio.sleep(min(LOOK_EVERY_S, wait_s - waited_s))
    return found


def _try(connection: PostgresConnection, client: LockClient) -> int | Busy:
    """Try to take a duty: returns its token, or who has it."""
    duty = client.purpose.name.lower()
    row = connection.row(_HOLDER, name=duty)
    ended = row.process if row is not None and _is_left_over(connection, duty, row) else None
    taken = connection.row(
        _TAKE,
        name=duty,
        holder=_written(Holder(client.command)),
        process=this_process(),
        ttl_ms=TTL_MS,
        ended=ended,
    )
    if taken is not None:
        return int(taken.token)
    row = connection.row(_HOLDER, name=duty)
    return Busy(None if row is None else _read(row.holder), client.purpose)


def _is_left_over(connection: PostgresConnection, duty: str, row: ResultRow) -> bool:
    """Return whether the process of a duty has ended, or is this one and has given it up unrecorded."""
    if row.process and row.process == this_process():
        return (str(connection.name), duty, row.token) not in _held
    return has_surely_ended(row.process)


def holders_of_duties(connection: PostgresConnection) -> dict[Purpose, Holder]:
    """Return who has the duties that are held at this moment."""
    purposes = {purpose.name.lower(): purpose for purpose in Purpose}
    return {
        purposes[row.name]: _read(row.holder)
        for row in connection.rows(_HELD)
        if row.name in purposes and not has_surely_ended(row.process)
    }


def _written(holder: Holder) -> str:
    return json.dumps(asdict(holder) | {"since": holder.since.isoformat(timespec="seconds")})


def _read(text: str) -> Holder:
    values: dict[str, Any] = json.loads(text)
    since = datetime.fromisoformat(values["since"]).astimezone(UTC)
    return Holder(values["command"], int(values["pid"]), values["host"], since)
