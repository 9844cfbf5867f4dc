"""Workers: what they have begun and not sent is taken back, whenever they are stopped."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

from batcher.claims import Claims
from batcher.ledger import Ledger, open_for_writing
from batcher.loader import HowToRead, load_alone, prepare_all
from batcher.manifest import Defaults
from batcher.model import Answer, FileId, InDoubtPolicy, Outcome, Parameters, Settlement, TaskId
from batcher.pacer import Turn
from batcher.worker import Standing, Worker
from batcher.zego.client import Wire

HOW = HowToRead(Defaults(vendor="Tencent", definition="10", offsets=("1",)))


class HeldAfterOne:
    """Turns that are held back once the first was taken."""

    def __init__(self) -> None:
        self.held = False
        self.holding = asyncio.Event()

    def line(self) -> AbstractAsyncContextManager[None]:
        """Nobody has to wait."""
        return nullcontext()

    async def turn(self) -> Turn | None:
        """At once."""
        return Turn(time.monotonic())

    async def leave(self, turn: Turn) -> bool:
        """It may."""
        return turn.at > 0


class Accepting:
    """A service that accepts what it is asked for, after something has happened."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile

    async def submit(self, file_id: FileId, asked: Parameters, on_wire: Wire | None = None) -> Outcome:
        """Accept."""
        del asked
        assert on_wire is not None
        await on_wire.leaves()
        self._meanwhile()
        return Answer(0, "success", "r-1", None, TaskId(f"{file_id}-task"), 200, None, clock_corrected=False)


async def heed(_: Settlement) -> None:
    """Nothing follows."""


async def test_what_is_begun_ahead_is_taken_back_by_a_worker_that_is_cut_off(tmp_path: Path) -> None:
    """Cut off while the ledger is locked and turns are held back, it leaves nothing that looks like sent."""
    path, archive = tmp_path / "batcher.db", tmp_path / "archive.csv"
    archive.write_text("file_id\n1397757897438985123\n1397757897438985177\n")
    async with await open_for_writing(path) as ledger:
        await load_alone(ledger, prepare_all([str(archive)], HOW))
        other = sqlite3.connect(path, isolation_level=None)
        turns = HeldAfterOne()

        def lock_and_hold() -> None:
            other.execute("BEGIN IMMEDIATE")
            turns.held = True
            turns.holding.set()

        worker = asyncio.create_task((await _worker(ledger, turns, Accepting(lock_and_hold))).work())
        await turns.holding.wait()
        for _ in range(20):  # until it waits for the second begin
            await asyncio.sleep(0)
        worker.cancel()
        other.execute("COMMIT")
        await asyncio.wait((worker,))
        other.close()
    with sqlite3.connect(path) as connection:
        states = connection.execute("SELECT state, attempts FROM submissions ORDER BY id").fetchall()
    connection.close()
    assert states == [("submitted", 1), ("pending", 1)]


async def _worker(ledger: Ledger, turns: HeldAfterOne, service: Accepting) -> Worker:
    claims = Claims(ledger, limit=None, longest_delay_s=60.0, clock=time.monotonic)
    await claims.open(loading=False)
    return Worker(
        ledger,
        service,
        turns,
        claims,
        Standing(),
        heed,
        run_id=await ledger.start_run(2000.0, "test"),
        policy=InDoubtPolicy.HOLD,
        jitter=lambda _: 0.0,
        ahead=True,
    )
