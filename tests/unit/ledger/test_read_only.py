"""A ledger that is read as it is on the disk."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.ledger_place import empty_ledger

from batcher.errors import LedgerError
from batcher.ledger.connection import Access
from batcher.ledger.sqlite.connection import connect, untouched_uri
from batcher.ledger.sqlite.disk_faults import disk_fault
from batcher.ledger.sqlite.read_only import has_log

pytestmark = pytest.mark.about_files


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    """An empty ledger without a log."""
    return Path(shutil.copy(await empty_ledger(), tmp_path / "l.db"))


def test_reading_of_an_image_that_was_written_fails(ledger: Path) -> None:
    """A run that begins meanwhile is noticed at the end of the transaction, not in the results."""
    with connect(ledger, Access.INSPECT) as connection:
        with connection.transaction():
            before = connection.value("SELECT count(*) FROM submissions")
        with closing(sqlite3.connect(ledger)) as writer:
            writer.execute("CREATE TABLE begun (n)")
            with pytest.raises(LedgerError, match="was written while it was read"), connection.transaction():
                connection.value("SELECT count(*) FROM submissions")
    assert before == 0


@pytest.mark.parametrize(("log", "index", "has"), [(0, False, False), (9, False, True), (0, True, True)])
def test_empty_log_without_an_index_is_no_log(ledger: Path, log: int, index: bool, has: bool) -> None:
    """It holds nothing, and no process uses it; a ledger with one is read from a read-only place."""
    ledger.with_name("l.db-wal").write_bytes(b"x" * log)
    if index:
        ledger.with_name("l.db-shm").touch()
    assert has_log(ledger) == has
    assert untouched_uri(ledger).endswith("?mode=ro" if has else "?immutable=1")


def test_disk_without_a_fault_has_none(ledger: Path) -> None:
    """The trial leaves nothing behind."""
    assert disk_fault(ledger) is None
    assert [path.name for path in ledger.parent.iterdir()] == ["l.db"]


def test_folder_that_is_gone_is_a_fault(tmp_path: Path) -> None:
    """SQLite says only that it cannot open the file."""
    assert isinstance(disk_fault(tmp_path / "none" / "l.db"), FileNotFoundError)
