"""Reading a ledger: all its queries, on one connection.

Called by every command and by the library. It works while another process writes. The queries are in
:mod:`batcher.ledger.queries`, one module per subject; this class only runs them on its thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from batcher.ledger.connection import Connection
from batcher.ledger.database import database_of
from batcher.ledger.holding import LockClient
from batcher.ledger.queries import counts, manifests, open_work, runs, submissions
from batcher.ledger.read_thread import ReadThread
from batcher.ledger.schema_version import is_up_to_date
from batcher.model.ledger_name import LedgerName

P = ParamSpec("P")
T = TypeVar("T")


def asked(
    query: Callable[Concatenate[Connection, P], T],
) -> Callable[Concatenate[LedgerReader, P], Coroutine[Any, Any, T]]:
    """Return a method that runs a query on the thread of the reader."""

    @wraps(query)
    async def method(self: LedgerReader, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.reads.read(query, *args, **kwargs)

    return method


class LedgerReader:
    """An open ledger. Use it as an async context manager; :func:`open_for_reading` opens it.

    Attributes:
        reads: runs any other query.
        name: the ledger.
    """

    def __init__(self, reads: ReadThread) -> None:
        self.reads = reads
        self.name = reads.name

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self.reads.close()

    bound_to = asked(counts.bound_to)
    tallies = asked(counts.tallies)
    tallies_of_tasks = asked(counts.tallies_of_tasks)
    tallies_of_http_refusals = asked(counts.tallies_of_http_refusals)
    count_doubtful = asked(counts.count_doubtful)
    count_possibly_twice = asked(counts.count_possibly_twice)
    newest_submission = asked(counts.newest_submission)
    count_invalid_rows = asked(manifests.count_invalid_rows)
    newest_invalid_row = asked(counts.newest_invalid_row)

    last_run = asked(runs.last_run)
    last_ended_run = asked(runs.last_ended_run)
    last_reported_run = asked(runs.last_reported_run)
    runs_that_sent = asked(runs.runs_that_sent)

    loads = asked(manifests.loads)
    newest_load = asked(manifests.newest_load)
    unfinished_sources = asked(manifests.unfinished_sources)
    own_columns = asked(manifests.own_columns)
    digest_before = asked(manifests.digest_before)
    last_seen = asked(manifests.last_seen)
    seen_pages = asked(manifests.seen_pages)
    same_recording = asked(manifests.same_recording)
    invalid_rows = asked(manifests.invalid_rows)

    fresh = asked(open_work.fresh)
    doubtful = asked(open_work.doubtful)
    delayed = asked(open_work.delayed)
    sending = asked(open_work.sending)
    asked_for_open = asked(open_work.asked_for_open)
    asked_for_by = asked(open_work.asked_for_by)
    asked_before = asked(open_work.asked_before)

    records = asked(submissions.records)
    records_in_doubt = asked(submissions.records_in_doubt)
    records_of_many_attempts = asked(submissions.records_of_many_attempts)
    records_of = asked(submissions.records_of)


async def open_for_reading(ledger: LedgerName) -> LedgerReader:
    """Open an existing ledger for reading, and upgrade an older one's schema first.

    Raises:
        LedgerError: there is no ledger, it is something else, from a newer version, or cannot be read.
        LedgerBusy: it must be upgraded and a run of an older version holds it.
    """
    return LedgerReader(await open_reads(ledger))


async def open_reads(ledger: LedgerName, on_locked: Callable[[], None] | None = None) -> ReadThread:
    """Open the connection for reading an existing ledger, and upgrade an older one's schema first.

    Raises:
        LedgerError: there is no ledger, it is something else, from a newer version, or cannot be read.
        LedgerBusy: it must be upgraded and a run of an older version holds it.
    """
    database = database_of(ledger)
    reads = await ReadThread.open(ledger, database.open_existing, on_locked)
    try:
        if not await reads.read(is_up_to_date):
            database.check_can_upgrade()
            with await database.take(LockClient()):
                await asyncio.to_thread(database.bring_up_to_date)
        await reads.allow_long_queries()
    except BaseException:
        await reads.close()
        raise
    return reads
