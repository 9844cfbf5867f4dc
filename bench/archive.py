"""The subjects of the measurements: archives of recordings, and ledgers that are partly done.

Everything lies in one folder that is removed afterwards, and is made once: figures that change a ledger
take a copy. A ledger half done is made by `batcher load` and then by SQL that writes what a run would have.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from bench.measuring import CommandFailed, measure
from bench.nginx import Nginx

_FIRST_ID = 1397757890000000000
_SPREAD = 104729
_BEGUN_MS = 1_767_000_000_000

PICTURES = ("--definition", "10", "--offset", "1", "--offset", "2")
BATCHER = (sys.executable, "-m", "batcher")

_DONE = (
    "INSERT INTO runs (id, started_at_ms, ended_at_ms, exit_code, pid, host, version, rate_per_s) "
    "VALUES (1, :begun, :begun + 1, 4, 1, 'bench', '0', 20)",
    "INSERT INTO attempts (submission_id, number, run_id, begun_at_ms, sent_at_ms, answered_at_ms, outcome, "
    "decision, http_status, code, task_id, request_id, vendor_request_id, message) "
    "SELECT id, 1, 1, :begun + id * 50, :begun + id * 50 + 1, :begun + id * 50 + 90, 'answer', 'submitted', "
    "200, 0, printf('1500030200-procedurev2-%032xtt0', id * 7919), printf('%032x', id), "
    "printf('%032x', id * 31), "
    "'success' FROM submissions WHERE id <= :done",
    "UPDATE submissions SET state = 'submitted', code = 0, run_id = 1, attempts = 1 WHERE id <= :done",
    "DELETE FROM tallies",
    "INSERT INTO tallies (state, code, run_id, coded, n) SELECT state, coalesce(code, -1), "
    "coalesce(run_id, 0), code IS NOT NULL, count(*) FROM submissions GROUP BY 1, 2, 3, 4",
)


class Archive:
    """A folder of manifests and ledgers, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def manifest(self, rows: int, *, shuffled: bool = False, titled: bool = True) -> Path:
        """A CSV of so many recordings: id, vendor, and a title of 12 characters unless it is not wanted."""
        path = self.folder / f"{rows}{'-shuffled' if shuffled else ''}{'' if titled else '-plain'}.csv"
        if not path.exists():
            numbers: Sequence[int] = range(1, rows + 1)
            if shuffled:
                numbers = random.Random(1).sample(numbers, rows)
            with path.open("w") as file:
                file.write("file_id,vendor,title\n" if titled else "file_id,vendor\n")
                end = ",title {:06x}\n" if titled else "\n"
                file.writelines(f"{_FIRST_ID + n * _SPREAD},Tencent{end.format(n)}" for n in numbers)
        return path

    def ledger(self, rows: int, *, done: int = 0) -> Path:
        """A ledger with so many submissions, the first of them submitted; not to be changed."""
        path = self.folder / f"{rows}-{done}.db"
        if not path.exists():
            if done:
                shutil.copy(self.ledger(rows), path)
                submit(path, done)
            else:
                measure(
                    (*BATCHER, "load", self.manifest(rows), *PICTURES), env=environment(path), cwd=self.folder
                )
        return path

    @contextmanager
    def copy(self, rows: int, *, done: int = 0) -> Iterator[Path]:
        """A ledger to be changed; gone afterwards."""
        with self.fresh() as path:
            shutil.copy(self.ledger(rows, done=done), path)
            yield path

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """A place for a ledger; what was made there is gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield Path(folder) / "ledger.db"


@contextmanager
def archive(room_bytes: float) -> Iterator[Archive]:
    """A folder for what is made, on a disk with room for it."""
    with tempfile.TemporaryDirectory(prefix="batcher-bench-") as name:
        free = shutil.disk_usage(name).free
        if free < room_bytes:
            raise CommandFailed(f"{name}: {free / 1e9:.1f} GB are free, {room_bytes / 1e9:.1f} GB are needed")
        yield Archive(Path(name))


def environment(ledger: Path, server: Nginx | None = None) -> dict[str, str]:
    """The environment of a command: nothing of batcher's but what is named here.

    Modules are compiled once and kept, as pip does: else each process would compile batcher anew (0.2 s).
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("BATCHER_")}
    ours.pop("PYTHONDONTWRITEBYTECODE", None)
    ours |= {"BATCHER_LEDGER": str(ledger), "BATCHER_PROGRESS": "none"}
    if server is not None:
        ours |= {
            "BATCHER_ENDPOINT": server.url,
            "BATCHER_APP_ID": "1234567890",
            "BATCHER_SERVER_SECRET": "0123456789abcdef" * 2,
        }
    return ours


def submit(ledger: Path, done: int) -> None:
    """Write into a ledger what a run would have that got its first submissions done."""
    with closing(sqlite3.connect(ledger, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for statement in _DONE:
            names = {
                name: value
                for name, value in (("begun", _BEGUN_MS), ("done", done))
                if f":{name}" in statement
            }
            connection.execute(statement, names)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
