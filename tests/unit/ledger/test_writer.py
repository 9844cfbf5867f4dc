"""The only writer of a ledger: groups, faults, and ends."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from support.ledger_place import copy_ledger, empty_ledger
from support.ledger_sql import query, write
from support.statements import Statement, statements_of

from batcher.errors import IllegalMove, LedgerError, NotALedger
from batcher.ledger.connection import Access, Connection
from batcher.ledger.database import database_of
from batcher.ledger.sqlite.connection import connect
from batcher.ledger.sqlite.errors import translated
from batcher.ledger.transactor import BatchEvent
from batcher.ledger.writer import Writer, shielded

DEADLINE_S = 5.0
"""What hangs fails here; nothing that works comes near it."""


class Room:
    """A disk that may refuse, and counts the requests for room."""

    def __init__(self) -> None:
        self.refuses: LedgerError | None = None
        self.asked = 0

    def check(self) -> None:
        """Refuse, if set to."""
        if self.refuses:
            raise self.refuses

    def give_room(self) -> None:
        """Free the reserve."""
        self.asked += 1
        self.refuses = None


@asynccontextmanager
async def writing(path: Path, disk: Room | None = None) -> AsyncIterator[Writer]:
    """A writer on a ledger with a table of numbers."""
    copy_ledger(await empty_ledger(), path)
    write(path, "CREATE TABLE numbers (n INTEGER PRIMARY KEY CHECK (n >= 0))")
    writer = Writer(partial(database_of(path).connect, Access.WRITE), path, disk or Room())
    await writer.start()
    yield writer
    await asyncio.wait_for(writer.close(), DEADLINE_S)


@BatchEvent
def keep(connection: Connection, items: Sequence[int]) -> list[int]:
    """Keep numbers, and return each doubled."""
    for n in items:
        connection.run("INSERT INTO numbers VALUES (:n)", n=n)
    return [2 * n for n in items]


def keep_other(connection: Connection, n: int) -> int:
    """Another kind of event that does the same, one by one."""
    return keep(connection, n)


def kept(path: Path) -> list[int]:
    """The numbers on disk, as another program sees them."""
    return [n for (n,) in query(path, "SELECT n FROM numbers ORDER BY n")]


def begun(statements: list[Statement]) -> list[str]:
    """The statements that began a transaction."""
    return [text for text, _ in statements if text.startswith("BEGIN")]


async def test_waiting_records_share_a_transaction(tmp_path: Path) -> None:
    """A thousand concurrent records of two kinds take a few transactions, and each gets its own result."""
    async with writing(tmp_path / "l.db") as writer:
        with statements_of() as statements:
            records = [writer.record(keep if n % 3 else keep_other, n) for n in range(1000)]
            assert [2 * n for n in range(1000)] == await asyncio.gather(*records)
        assert 1 <= len(begun(statements)) <= 3
    assert list(range(1000)) == kept(tmp_path / "l.db")


async def test_records_during_a_commit_share_the_next_transaction(tmp_path: Path) -> None:
    """Workers that record repeatedly share transactions with the others."""
    async with writing(tmp_path / "l.db") as writer:

        async def work(first: int) -> None:
            for n in range(first, first + 20):
                assert await writer.record(keep, n) == 2 * n

        with statements_of() as statements:
            await asyncio.gather(*(work(100 * k) for k in range(50)))
        assert 20 <= len(begun(statements)) <= 60
    assert len(kept(tmp_path / "l.db")) == 1000


async def test_record_is_on_disk_when_it_returns(tmp_path: Path) -> None:
    """Another program can read it immediately."""
    async with writing(tmp_path / "l.db") as writer:
        await writer.record(keep, 7)
        assert kept(tmp_path / "l.db") == [7]


async def test_bad_item_fails_alone(tmp_path: Path) -> None:
    """Items that break a constraint fail alone; those that waited with them are recorded."""
    async with writing(tmp_path / "l.db") as writer:
        results = await asyncio.gather(
            *(writer.record(keep, n) for n in (1, -1, 2, 2, 3)),
            writer.record(keep_other, 4),
            return_exceptions=True,
        )
        assert [2, IllegalMove, 4, IllegalMove, 6, 8] == [
            type(one) if isinstance(one, Exception) else one for one in results
        ]
        assert await writer.record(keep, 5) == 10
    assert kept(tmp_path / "l.db") == [1, 2, 3, 4, 5]


@BatchEvent
def refuse(connection: Connection, items: Sequence[int]) -> list[int]:
    """Keep the numbers, and then refuse them."""
    keep.record(connection, items)
    raise IllegalMove("these were wrong")


async def test_refused_item_is_rolled_back(tmp_path: Path) -> None:
    """Changes that an event made before it refused an item are undone, and the caller gets its own error."""
    async with writing(tmp_path / "l.db") as writer:
        with pytest.raises(IllegalMove, match=r"^these were wrong$"):
            await writer.record(refuse, 1)
    assert kept(tmp_path / "l.db") == []


async def test_record_of_a_cancelled_worker_is_kept(tmp_path: Path) -> None:
    """The record is on disk once the worker is cancelled, and the writer continues."""
    async with writing(tmp_path / "l.db") as writer:

        async def wait(n: int) -> None:
            await shielded(writer.record(keep, n))

        tasks = [asyncio.create_task(wait(n)) for n in range(50)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {asyncio.CancelledError} == {type(one) for one in results}
        assert [*range(50)] == kept(tmp_path / "l.db")
        assert await writer.record(keep, 100) == 200
    assert [*range(50), 100] == kept(tmp_path / "l.db")


async def test_fault_of_a_cancelled_record_has_no_effect(tmp_path: Path) -> None:
    """It gives no warning and stops nothing."""
    async with writing(tmp_path / "l.db") as writer:
        task = writer.record(keep, -1)
        await asyncio.sleep(0)
        task.cancel()
        assert await writer.record(keep, 1) == 2


async def test_shielded_task_cancelled_while_writing_is_cancelled_after_the_commit(tmp_path: Path) -> None:
    """The cancellation is raised once the record is on disk, also if the task is cancelled twice."""
    async with writing(tmp_path / "l.db") as writer:
        recorded = writer.record(keep, 7)
        noted: list[asyncio.Future[int]] = []
        waiting = asyncio.create_task(shielded(recorded, noted.append))
        for _ in range(2):
            await asyncio.sleep(0)
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert recorded.result() == 14
        assert noted == [recorded] * 2
    assert kept(tmp_path / "l.db") == [7]


async def test_close_writes_waiting_records(tmp_path: Path) -> None:
    """A record handed over before a close is on disk after it."""
    async with writing(tmp_path / "l.db") as writer:
        tasks = [writer.record(keep, n) for n in range(20)]
        await asyncio.sleep(0)
        await asyncio.wait_for(writer.close(), DEADLINE_S)
        assert list(range(20)) == kept(tmp_path / "l.db")
        assert [2 * n for n in range(20)] == await asyncio.gather(*tasks)


async def test_record_after_a_close_fails(tmp_path: Path) -> None:
    """It fails immediately with the reason."""
    async with writing(tmp_path / "l.db") as writer:
        await writer.close()
        with pytest.raises(LedgerError, match="closed"):
            await writer.record(keep, 1)


@pytest.mark.about_files
async def test_foreign_lock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another program keeps locked is an error that says so."""
    monkeypatch.setattr("batcher.ledger.sqlite.connection.BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "l.db"
    async with writing(path) as writer:
        await writer.record(keep, 1)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match=r"l\.db: .*another program has locked the file"):
            await writer.record(keep, 2)
        other.execute("ROLLBACK")
        other.close()
    assert kept(path) == [1]


async def test_broken_ledger_records_only_past_events(tmp_path: Path) -> None:
    """After the disk failed once nothing new begins; events that have happened are still recorded."""
    disk = Room()
    async with writing(tmp_path / "l.db", disk) as writer:
        disk.refuses = LedgerError("the disk is full")
        results = await asyncio.gather(
            writer.record(keep, 1), writer.record(keep, 2, known=True), return_exceptions=True
        )
        assert [LedgerError, 4] == [type(results[0]), results[1]]
        assert disk.asked == 1
        with pytest.raises(LedgerError, match="the disk is full"):
            await writer.record(keep, 3)
        assert await writer.record(keep, 4, known=True) == 8
    assert kept(tmp_path / "l.db") == [2, 4]


@pytest.mark.about_files
async def test_read_only_ledger_is_named(tmp_path: Path) -> None:
    """A ledger that may not be written gives an error that says so."""
    path = tmp_path / "l.db"
    async with writing(path):
        pass

    def read_only() -> Connection:
        connection = connect(path, Access.WRITE)
        connection.run("PRAGMA query_only = ON")
        return connection

    writer = Writer(read_only, path, Room())
    await writer.start()
    with pytest.raises(LedgerError, match=r"l\.db: .*read-only"):
        await writer.record(keep, 1)
    await writer.close()


@pytest.mark.about_files
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("SQLITE_FULL", "the disk is full"),
        ("SQLITE_READONLY", "read-only"),
        ("SQLITE_READONLY_DBMOVED", "read-only"),
        ("SQLITE_BUSY_SNAPSHOT", "another program has locked"),
        ("SQLITE_CANTOPEN_ISDIR", "cannot be opened"),
        ("SQLITE_IOERR_FSYNC", "input/output error"),
        ("SQLITE_CORRUPT_VTAB", "damaged"),
    ],
)
def test_faults_of_the_database_have_a_remedy(code: str, words: str) -> None:
    """Each fault that the user can fix is named with its remedy, and with the file."""
    fault = sqlite3.OperationalError("internal words")
    fault.sqlite_errorname = code
    with (
        pytest.raises(LedgerError, match=rf"^archive\.db: .*{words}") as caught,
        translated(Path("archive.db")),
    ):
        raise fault
    assert caught.value.__cause__ is fault


@pytest.mark.about_files
async def test_file_that_is_not_a_database_is_named(tmp_path: Path) -> None:
    """A file that only begins like a database is not a ledger."""
    path = tmp_path / "l.db"
    path.write_bytes(b"SQLite format 3\0" + b"nonsense" * 1000)
    with pytest.raises(NotALedger, match=r"l\.db: this is not a ledger"):
        await Writer(partial(connect, path, Access.WRITE), path, Room()).start()


@BatchEvent
def too_few(connection: Connection, items: Sequence[int]) -> list[int]:
    """Return no results, which no event may do."""
    del connection, items
    return []


class Hopeless(Room):
    """A disk on which even making room fails."""

    def give_room(self) -> None:
        """Fail."""
        raise OSError("no room to be had")


async def test_failed_rescue_reaches_all_waiting_records(tmp_path: Path) -> None:
    """The writer can still be closed."""
    disk = Hopeless()
    disk.refuses = LedgerError("the disk is full")
    async with writing(tmp_path / "l.db", disk) as writer:
        results = await asyncio.wait_for(
            asyncio.gather(
                writer.record(keep, 1), writer.record(keep, 2, known=True), return_exceptions=True
            ),
            DEADLINE_S,
        )
        assert [OSError] * 2 == [type(one) for one in results]
    assert kept(tmp_path / "l.db") == []


async def test_event_without_results_fails_its_records(tmp_path: Path) -> None:
    """An event that returns fewer results than items is an error for all its records."""
    async with writing(tmp_path / "l.db") as writer:
        with pytest.raises(ValueError, match="zip"):
            await asyncio.wait_for(writer.record(too_few, 1), DEADLINE_S)


@pytest.mark.about_files
async def test_writer_after_a_long_lock_waits_the_usual_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that continues after a long lock waits for the next one as long as for any."""
    for module in ("sqlite.connection", "writer"):
        monkeypatch.setattr(f"batcher.ledger.{module}.BUSY_TIMEOUT_S", 1)
    monkeypatch.setattr("batcher.ledger.writer.RESCUE_PATIENCE_S", 0.01)
    path = tmp_path / "numbers.db"
    async with writing(path) as writer:
        other = sqlite3.connect(path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerError):
                await writer.record(keep, 1, known=True)
            other.execute("COMMIT")
            assert await writer.record(keep, 2, known=True) == 4
            other.execute("BEGIN IMMEDIATE")
            asyncio.get_running_loop().call_later(0.2, other.execute, "COMMIT")
            assert await writer.record(keep, 3, known=True) == 6
        finally:
            other.close()
    assert kept(path) == [2, 3]
