"""Having the file of a ledger to oneself: its lock held, and no connection open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from batcher.ledger.holding import Hold
from batcher.ledger.sqlite.database import SqliteDatabase
from batcher.ledger.sqlite.files import check_file
from batcher.ledger.sqlite.lock import take_lock


@asynccontextmanager
async def open_to_itself(path: Path, lock: Hold | None = None) -> AsyncIterator[None]:
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
        await asyncio.to_thread(SqliteDatabase(path).bring_up_to_date)
        yield
