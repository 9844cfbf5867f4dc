"""Workers: an attempt that began and was not sent is settled as not sent, whenever they are cancelled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack, nullcontext
from pathlib import Path

from support.ledger_sql import locked, query
from support.manifest_files import prepare_all

from batcher.flowcontrol.sliding_window import Turn
from batcher.ledger.run_ledger import RunLedger, open_for_writing
from batcher.manifest.parameters import Defaults
from batcher.manifest.read_options import ReadOptions
from batcher.model.outcome import Answer, Outcome, ReplyLost, Settlement
from batcher.model.submission import FileId, InDoubtPolicy, Parameters, RunId, TaskId
from batcher.submit.loader import load_alone
from batcher.submit.queue import SubmissionQueue
from batcher.submit.worker import OnSettled, PoolState, Worker
from batcher.zego.client import Wire

ACCEPTED = Answer(0, task_id=TaskId("t-1"))
HOW = ReadOptions(Defaults(vendor="Tencent", definition="10", offsets=("1",)))


class HeldAfterOne:
    """A pacer that gives turns without waiting."""

    def __init__(self) -> None:
        self.held = False
        self.holding = asyncio.Event()

    def line(self) -> AbstractAsyncContextManager[None]:
        """Let the worker in without waiting."""
        return nullcontext()

    def begun_within(self, seconds: float) -> None:
        """Ignore it."""

    async def turn(self) -> Turn | None:
        """Give a turn immediately."""
        return Turn(time.monotonic())

    async def leave(self, turn: Turn) -> bool:
        """Let it leave."""
        return turn.at > 0


class Answering:
    """A service that gives every request the same answer, after an action."""

    def __init__(self, outcome: Outcome, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._outcome = outcome
        self._meanwhile = meanwhile

    async def submit(self, file_id: FileId, asked: Parameters, on_wire: Wire | None = None) -> Outcome:
        """Answer."""
        del file_id, asked
        assert on_wire is not None
        await on_wire.leaves()
        self._meanwhile()
        return self._outcome


async def ignore(_: Settlement) -> None:
    """Do nothing."""


async def test_worker_cancelled_while_an_attempt_begins_settles_it(tmp_path: Path) -> None:
    """Cut off while the ledger is locked, the worker leaves no attempt that looks sent."""
    path = tmp_path / "batcher.db"
    async with await open_for_writing(path) as ledger:
        await _load_two(ledger, tmp_path)
        other, turns = ExitStack(), HeldAfterOne()

        def lock_and_hold() -> None:
            other.enter_context(locked(path))
            turns.held = True
            turns.holding.set()

        worker = asyncio.create_task(
            (await _worker(ledger, turns, Answering(ACCEPTED, lock_and_hold), ignore)).work()
        )
        await turns.holding.wait()
        for _ in range(20):  # until it waits for the second begin
            await asyncio.sleep(0)
        worker.cancel()
        other.close()
        await asyncio.wait((worker,))
    assert _states(path) == [("submitted", 1), ("pending", 1)]


async def test_worker_begins_nothing_until_the_run_has_reacted(tmp_path: Path) -> None:
    """After an attempt without a task id, the next one begins when the observer has returned."""
    path = tmp_path / "batcher.db"
    found: list[tuple[str, int]] = []

    async def observe(_: Settlement) -> None:
        found[:] = found or _states(path)
        turns.held = True

    async with await open_for_writing(path) as ledger:
        await _load_two(ledger, tmp_path)
        turns = HeldAfterOne()
        worker = asyncio.create_task(
            (await _worker(ledger, turns, Answering(ReplyLost("no")), observe)).work()
        )
        await asyncio.wait((worker,))
    assert found == [("in_doubt", 1), ("pending", 0)]


async def _load_two(ledger: RunLedger, folder: Path) -> None:
    archive = folder / "archive.csv"
    archive.write_text("file_id\n1397757897438985123\n1397757897438985177\n")
    await load_alone(ledger, prepare_all([str(archive)], HOW))


def _states(path: Path) -> list[tuple[str, int]]:
    """State and number of attempts of each submission, as another program sees them."""
    return query(path, "SELECT state, attempts FROM submissions ORDER BY id")


async def _worker(ledger: RunLedger, turns: HeldAfterOne, service: Answering, observe: OnSettled) -> Worker:
    claims = SubmissionQueue(ledger, limit=None, longest_delay_s=60.0, clock=time.monotonic)
    await claims.open(RunId(1), loading=False)
    return Worker(
        ledger,
        service,
        turns,
        claims,
        PoolState(),
        observe,
        run_id=await ledger.start_run(2000.0, "test"),
        policy=InDoubtPolicy.HOLD,
        jitter=lambda _: 0.0,
    )


class Hanging:
    """A service that never answers, and counts the requests that have left."""

    def __init__(self) -> None:
        self.sent = 0
        self.more = asyncio.Event()

    async def submit(self, file_id: FileId, asked: Parameters, on_wire: Wire | None = None) -> Outcome:
        """Never answer."""
        del file_id, asked
        assert on_wire is not None
        await on_wire.leaves()
        self.sent += 1
        self.more.set()
        return await asyncio.Future()


async def test_submission_never_waits_behind_an_answer_that_hangs(tmp_path: Path) -> None:
    """With two workers and two submissions both are sent, though neither is answered."""
    async with await open_for_writing(tmp_path / "batcher.db") as ledger:
        await _load_two(ledger, tmp_path)
        service, turns = Hanging(), HeldAfterOne()
        claims = SubmissionQueue(ledger, limit=None, longest_delay_s=60.0, clock=time.monotonic)
        await claims.open(RunId(1), loading=False)
        run_id = await ledger.start_run(100_000.0, "test")
        workers = [
            asyncio.create_task(
                Worker(
                    ledger,
                    service,
                    turns,
                    claims,
                    PoolState(),
                    ignore,
                    run_id=run_id,
                    policy=InDoubtPolicy.HOLD,
                    jitter=lambda _: 0.0,
                ).work()
            )
            for _ in range(2)
        ]
        async with asyncio.timeout(20):
            while service.sent < 2:
                service.more.clear()
                await service.more.wait()
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
    assert service.sent == 2
