"""Runs that share a ledger: their leases, their shares of the limit, and taking over from a run that is lost.

Called by the writer inside its transaction, on databases that keep several runs apart. A *lease* is a run's
right to send until a moment, by the clock of the server. Every transaction of a run begins with
:meth:`Membership.enter`, which locks the run's row. That renews the lease and fences: a run that takes over
locks the same row, so that either this transaction is committed first and is seen, or it finds itself lost.

The order of locks is the same everywhere: the own run, the shares, other runs, submissions by their ids, and
the tallies last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from batcher.errors import LedgerForgotten
from batcher.ledger.connection import Connection
from batcher.ledger.holding import Holder
from batcher.ledger.process_identity import has_surely_ended
from batcher.model.submission import RunId

TTL_S = 10.0
"""How long a lease lasts without a renewal."""

TTL_MS = int(TTL_S * 1000)

NOW_MS = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
"""The time of the server in Unix milliseconds, at this moment and not at the beginning of the transaction."""

_RENEW = f"""
UPDATE runs SET seq = :seq,
    leased_until_ms = CASE WHEN leased_until_ms > {NOW_MS} THEN {NOW_MS} + :ttl_ms ELSE leased_until_ms END
WHERE id = :run_id AND seq = :confirmed AND lost_at_ms IS NULL AND ended_at_ms IS NULL
RETURNING leased_until_ms > {NOW_MS} AS extended
"""  # noqa: S608 - ours
"""A lease that has ended stays ended: others may have its share. Only a report of the share revives it."""

REPLY_WITHIN_S = 0.7 * TTL_S
"""How long a run waits for a reply of the server before it connects anew: shorter than its lease."""

_COMMITTED_SEQ = "SELECT seq FROM runs WHERE id = :run_id FOR UPDATE"
"""The lock waits for a session that was cut off and may still be committing."""

_REVIVE = """
UPDATE runs SET seq = :seq, lost_at_ms = NULL, ended_at_ms = NULL, reason = NULL
WHERE id = :run_id AND seq = :confirmed
"""

_JOIN = f"""
UPDATE runs SET process = :process, leased_until_ms = {NOW_MS} + :ttl_ms, wanted = :wanted
WHERE id = :run_id
"""  # noqa: S608 - ours

_SHARES = f"""
SELECT id, held, wanted, rate_per_s, leased_until_ms + :quiet_ms > {NOW_MS} AS counted,
    ended_at_ms IS NULL AND lost_at_ms IS NULL AND leased_until_ms > {NOW_MS} AS member
FROM runs WHERE leased_until_ms + :quiet_ms > {NOW_MS} OR id = :run_id
"""  # noqa: S608 - ours

_KEEP_SHARE = f"""
UPDATE runs SET share = :share, held = :held, wanted = :wanted, leased_until_ms = {NOW_MS} + :ttl_ms
WHERE id = :run_id
"""  # noqa: S608 - ours

_HALTED_WHY = """
SELECT (SELECT b.halted_why FROM binding AS b JOIN runs AS r ON r.id = :run_id
    WHERE b.halted_at_ms > r.started_at_ms)
"""

_HALT = f"UPDATE binding SET halted_at_ms = {NOW_MS}, halted_why = :why"  # noqa: S608 - ours

_LEAVE = f"""
UPDATE runs SET share = 0, held = LEAST(held, :held),
    leased_until_ms = LEAST(leased_until_ms, {NOW_MS})
WHERE id = :run_id
"""  # noqa: S608 - ours

_SUSPECTS = f"""
SELECT id, process, leased_until_ms < {NOW_MS} - :grace_ms AS is_over FROM runs
WHERE ended_at_ms IS NULL AND lost_at_ms IS NULL AND id <> :run_id ORDER BY id FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - ours

_DECLARE_LOST = f"""
UPDATE runs SET lost_at_ms = {NOW_MS}, ended_at_ms = {NOW_MS}, reason = :reason,
    leased_until_ms = LEAST(leased_until_ms, {NOW_MS})
WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:ids))
"""  # noqa: S608 - ours

_LIVE = f"""
SELECT id, pid, host, rate_per_s, share, started_at_ms, leased_until_ms > {NOW_MS} AS is_live, process,
    CASE WHEN leased_until_ms > 0 THEN leased_until_ms - :ttl_ms END AS seen_at_ms, {NOW_MS} AS now_ms,
    (SELECT count(*) FROM submissions AS s
        JOIN attempts AS a ON a.submission_id = s.id AND a.number = s.attempts
        WHERE s.state = 'sending' AND a.run_id = runs.id) AS sending
FROM runs WHERE leased_until_ms IS NOT NULL AND ended_at_ms IS NULL ORDER BY id
"""  # noqa: S608 - ours


class RunShare(NamedTuple):
    """What is on record of one run's share of the limit."""

    id: int
    held: int
    """The most that the run may be using, in units of the limit."""
    wanted: int | None
    """The largest share that it has a use for; None for all."""
    rate_per_s: float
    """The rate that it was started with."""
    counted: bool
    """What it held is not free yet."""
    member: bool
    """It gets a part."""


class Granted(NamedTuple):
    """The reply to a report of a run."""

    share: int
    held: int
    members: int
    """The runs that have a part, this one included."""
    limit_per_s: float
    halted_why: str | None = None
    """Why another run has halted since this one began."""


class ShareReport(NamedTuple):
    """A report of a run about its share."""

    run_id: RunId
    quiet_ms: int
    wanted: int | None
    judge: Callable[[RunShare, Sequence[RunShare]], Granted]
    """Decides, from this run's row and those of the others."""


class LiveRun(NamedTuple):
    """A run that has not ended."""

    id: RunId
    pid: int
    host: str
    rate_per_s: float
    share: int
    started_at_ms: int
    is_live: bool
    """Its lease lasts, and its process has not surely ended."""
    seen_at_ms: int | None
    """When it was last heard of; None for a run of a file that was copied."""
    now_ms: int
    """The time of the server."""
    sending: int
    """Its requests whose answers are not on record."""


class Membership:
    """The lease of one run; used by the thread of the writer, apart from :meth:`join`.

    Args:
        renewed: called with the moment before each renewal, once it is committed.
        clock: seconds that count the time a machine sleeps.

    Attributes:
        is_forgotten: the server has lost transactions of this run that it had confirmed.
    """

    def __init__(self, renewed: Callable[[float], None], clock: Callable[[], float]) -> None:
        self._renewed = renewed
        self._clock = clock
        self._run: _Confirmed | None = None
        self._entered: _Confirmed | None = None
        self.is_forgotten = False
        self._entered_at = 0.0
        self._extended = False

    def join(self, run_id: RunId) -> None:
        """Begin each transaction for this run from now on."""
        self._run = _Confirmed(run_id)

    def part(self) -> None:
        """Begin no transaction for the run any more: it has left."""
        self._run = None

    def enter(self, connection: Connection) -> None:
        """Renew the lease within a transaction that has begun, or revive a run that was taken over.

        Raises:
            LedgerForgotten: the server has lost transactions that it had confirmed.
        """
        self._entered, self._entered_at = self._run, self._clock()
        if (run := self._entered) is None:
            return
        connection.expect_replies_within(REPLY_WITHIN_S)
        row = {"run_id": run.id, "seq": run.transactions + 1, "confirmed": run.transactions}
        renewed = connection.row(_RENEW, ttl_ms=TTL_MS, **row)
        self._extended = renewed is not None and bool(renewed.extended)
        if renewed is None and not connection.run(_REVIVE, **row):
            raise self._forgotten(connection, run)

    def confirmed(self) -> None:
        """Note that the transaction is committed."""
        if self._entered is not None:
            self._entered.transactions += 1
            if self._extended:
                self._renewed(self._entered_at)

    def was_committed(self, connection: Connection) -> bool:
        """Return whether the transaction that was cut off has been committed, once connected again.

        The run's own row says so. The number of a transaction does not: after a crash the server gives the
        numbers of transactions that it has not written down to others.

        Raises:
            LedgerForgotten: the server has lost transactions that it had confirmed.
        """
        if (run := self._entered) is None:
            return connection.was_committed()
        found = connection.row(_COMMITTED_SEQ, run_id=run.id)
        if found is None or found.seq not in (run.transactions, run.transactions + 1):
            raise self._forgotten(connection, run)
        return bool(found.seq == run.transactions + 1)

    def _forgotten(self, connection: Connection, run: _Confirmed) -> LedgerForgotten:
        self.is_forgotten = True
        found = connection.row("SELECT seq FROM runs WHERE id = :run_id", run_id=run.id)
        lost = run.transactions - (found.seq if found is not None else 0)
        return LedgerForgotten(
            f"{connection.name}: the database has forgotten {lost:,} transactions that it had confirmed, as "
            "after a failover to a standby that was behind; nothing more is sent"
        )


@dataclass(slots=True)
class _Confirmed:
    """A run and the number of its transactions that the server has confirmed."""

    id: RunId
    transactions: int = 0


def server_time(connection: Connection) -> float:
    """Return the time of the server in seconds."""
    return float(connection.value(f"SELECT {NOW_MS}")) / 1000


def join(connection: Connection, item: tuple[RunId, str, int | None]) -> None:
    """Give a new run its lease: its id, its process, and the share that it has a use for."""
    run_id, process, wanted = item
    connection.run(_JOIN, run_id=run_id, process=process, ttl_ms=TTL_MS, wanted=wanted)


def report_share(connection: Connection, item: ShareReport) -> Granted:
    """Keep the share that a run has from now on. One report at a time, over all runs."""
    connection.alone_in("sharing the limit")
    rows = [
        RunShare(row.id, row.held, row.wanted, row.rate_per_s, bool(row.counted), bool(row.member))
        for row in connection.rows(_SHARES, run_id=item.run_id, quiet_ms=item.quiet_ms)
    ]
    [own] = [row for row in rows if row.id == item.run_id]
    granted = item.judge(own, [row for row in rows if row.id != item.run_id])
    halted_why = connection.value(_HALTED_WHY, run_id=item.run_id)
    connection.run(
        _KEEP_SHARE,
        run_id=item.run_id,
        share=granted.share,
        held=granted.held,
        wanted=item.wanted,
        ttl_ms=TTL_MS,
    )
    return granted._replace(halted_why=halted_why)


def halt(connection: Connection, why: str) -> None:
    """Record that a run has halted: all runs of the ledger stop."""
    connection.run(_HALT, why=why)


def leave(connection: Connection, item: tuple[RunId, int]) -> None:
    """End the lease of a run that sends no more; what it still holds stays counted for the quiet time."""
    run_id, held = item
    connection.run(_LEAVE, run_id=run_id, held=held)


def declare_lost(connection: Connection, run_id: RunId, grace_ms: int | None) -> list[int]:
    """Declare runs lost whose lease is over, or whose process on this machine has ended; returns their ids.

    Args:
        connection: within a transaction.
        run_id: the run that looks.
        grace_ms: how long after its lease a run is waited for; None if no lease is judged.
    """
    suspects = connection.rows(_SUSPECTS, run_id=run_id, grace_ms=grace_ms or 0)
    lost = {
        "its process has ended": [row.id for row in suspects if has_surely_ended(row.process)],
        "its lease ran out": [row.id for row in suspects if grace_ms is not None and row.is_over],
    }
    for reason, ids in lost.items():
        connection.run(_DECLARE_LOST, ids=ids, reason=reason)
    return sorted({id_ for ids in lost.values() for id_ in ids})


def live_runs(connection: Connection) -> list[LiveRun]:
    """Return the runs that have not ended, oldest first; a lost one stays until another run takes over."""
    return [
        LiveRun(
            RunId(row.id),
            row.pid,
            row.host,
            row.rate_per_s,
            row.share,
            row.started_at_ms,
            bool(row.is_live) and not has_surely_ended(row.process),
            row.seen_at_ms,
            row.now_ms,
            row.sending,
        )
        for row in connection.rows(_LIVE, ttl_ms=TTL_MS)
    ]


def sender(connection: Connection) -> Holder | None:
    """Return the oldest of the living runs; None when no run lives."""
    for run in live_runs(connection):
        if run.is_live:
            since = datetime.fromtimestamp(run.started_at_ms / 1000, UTC)
            return Holder("batcher run", run.pid, run.host, since)
    return None
