"""The runner: whole runs on a real ledger, with a client in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.cli import tencent_ids
from support.library_run import HOW
from support.manifest_files import prepare_all
from support.memory_client import MemoryClient

from batcher.errors import LedgerError
from batcher.exit_codes import ExitCode
from batcher.flowcontrol.deadline import Deadline
from batcher.ledger.run_ledger import RunLedger, open_for_writing
from batcher.model.events import Event, Halted, PaceChanged, Progress, RunStarted, Submitted, ignore_event
from batcher.model.outcome import Answer, Outcome, Settlement
from batcher.model.submission import InDoubtPolicy, RunId, State, TaskId
from batcher.report.counts import figures
from batcher.submit.ending import Ending
from batcher.submit.loader import load_alone
from batcher.submit.manifest_checks import LateManifests
from batcher.submit.prepared import Prepared
from batcher.submit.runner import Runner
from batcher.submit.settings import MaxFailures, RunSettings

ROWS = 12
FAST = RunSettings(rate_per_s=5_000, concurrency=2, in_doubt=InDoubtPolicy.HOLD)


@pytest.fixture
async def ledger(tmp_path: Path, manifest: Callable[..., Path]) -> AsyncIterator[RunLedger]:
    """A ledger with submissions to send."""
    async with await open_for_writing(tmp_path / "batcher.db") as opened:
        await load_alone(opened, prepare_all([str(manifest(tencent_ids(ROWS)))], HOW))
        yield opened


def runner_of(
    ledger: RunLedger,
    client: MemoryClient,
    events: list[Event] | None = None,
    *,
    prepared: Sequence[Prepared] = (),
    window: Deadline | None = None,
    cut_off: LateManifests | None = None,
    **settings: object,
) -> Runner:
    """A runner at full speed, with these settings."""
    return Runner(
        ledger,
        client,
        replace(FAST, **settings),  # type: ignore[arg-type] # a test names its own settings
        prepared,
        version="test",
        on_event=ignore_event if events is None else events.append,
        window=window,
        cut_off=cut_off,
    )


async def states(ledger: RunLedger) -> dict[State, int]:
    """How many submissions are in each state that any is in."""
    return {state: n for state, n in figures(await ledger.tallies()).by_state.items() if n}


@asynccontextmanager
async def under_way(runner: Runner, client: MemoryClient) -> AsyncIterator[asyncio.Task[Ending]]:
    """A run whose first two requests are in flight; it has ended when the block has."""
    run = asyncio.create_task(runner.run())
    await client.arrived(2)
    yield run
    async with asyncio.timeout(20):
        await run


async def test_run_sends_everything_and_is_done(ledger: RunLedger) -> None:
    """Each submission is sent once, and the end of the run is on record."""
    client = MemoryClient()
    ending = await runner_of(ledger, client).run()
    assert (ending.exit, ending.reason, ending.sent) == (ExitCode.DONE, "nothing is left to send", ROWS)
    assert sorted(client.requests) == sorted(tencent_ids(ROWS))
    assert await states(ledger) == {State.SUBMITTED: ROWS}
    last = await ledger.last_run()
    assert last is not None
    assert (last.id, last.exit_code, last.reason) == (ending.run_id, 0, ending.reason)


async def test_run_emits_start_submissions_and_progress(ledger: RunLedger) -> None:
    """The first event says what is to be sent, and the last one how far the run has come."""
    events: list[Event] = []
    await runner_of(ledger, MemoryClient(), events).run()
    assert isinstance(events[0], RunStarted)
    assert events[0].to_send == ROWS
    assert Counter(map(type, events)) >= Counter(
        {RunStarted: 1, PaceChanged: 1, Submitted: ROWS, Progress: 1}
    )
    submitted = [event for event in events if isinstance(event, Submitted)]
    assert {event.file_id for event in submitted} == set(tencent_ids(ROWS))
    assert {event.task_id for event in submitted} == {f"task-{n}" for n in range(1, ROWS + 1)}
    last = events[-1]
    assert isinstance(last, Progress)
    assert (last.total, last.ended, last.sent, last.paused) == (ROWS, ROWS, ROWS, False)
    assert last.states[State.SUBMITTED] == ROWS
    assert (last.cap_per_s, last.why_slow) == (5_000, None)


async def test_limit_leaves_the_rest(ledger: RunLedger) -> None:
    """As many submissions are started as the limit allows."""
    ending = await runner_of(ledger, MemoryClient(), limit=5).run()
    assert (ending.exit, ending.sent) == (ExitCode.WORK_LEFT, 5)
    assert ending.reason == "stopped at the limit of 5; 7 submissions left"
    assert await states(ledger) == {State.SUBMITTED: 5, State.PENDING: 7}


async def test_trouble_is_reported_once(ledger: RunLedger) -> None:
    """A run with new rejections is trouble; the next one, without, is done."""
    client = MemoryClient(lambda n: Answer(41003) if n == 5 else Answer(0, task_id=_task(n)))
    assert (await runner_of(ledger, client).run()).exit is ExitCode.TROUBLE
    assert (await runner_of(ledger, client).run()).exit is ExitCode.DONE
    assert await states(ledger) == {State.SUBMITTED: ROWS - 1, State.REJECTED: 1}


async def test_refused_account_halts_the_run(ledger: RunLedger) -> None:
    """Nothing more is sent, the reason is an event too, and the submissions stay open."""
    events: list[Event] = []
    client = MemoryClient(lambda _: Answer(100000005, "signature error"))
    ending = await runner_of(ledger, client, events).run()
    assert ending.exit is ExitCode.HALTED
    assert "code 100000005" in ending.reason
    assert [event.reason for event in events if isinstance(event, Halted)] == [ending.reason]
    assert len(client.requests) <= 2
    assert await states(ledger) == {State.PENDING: ROWS}


async def test_too_many_failures_halt_the_run(ledger: RunLedger) -> None:
    """At the number of failures that the settings allow."""
    client = MemoryClient(lambda _: Answer(41003))
    ending = await runner_of(ledger, client, concurrency=1, max_failures=MaxFailures(number=3)).run()
    assert (ending.exit, ending.sent) == (ExitCode.HALTED, 3)


async def test_deadline_drains_the_run(ledger: RunLedger) -> None:
    """Requests in flight when the time limit is reached are answered and recorded."""
    client = MemoryClient(held=True)
    runner = runner_of(ledger, client)
    async with under_way(runner, client) as run:
        runner._end_early("time limit reached")
        client.release()
    assert run.result().exit is ExitCode.WORK_LEFT
    assert run.result().reason == f"time limit reached; {ROWS - 2} submissions left"
    assert await states(ledger) == {State.SUBMITTED: 2, State.PENDING: ROWS - 2}


async def test_deadline_that_has_passed_ends_the_run_with_work_left(ledger: RunLedger) -> None:
    """The window may have opened long before the run."""
    ending = await runner_of(ledger, MemoryClient(), rate_per_s=1, window=Deadline(lasts_s=0.0)).run()
    assert ending.exit is ExitCode.WORK_LEFT
    assert ending.sent < ROWS


async def test_first_signal_drains(ledger: RunLedger) -> None:
    """Requests in flight are answered and recorded; nothing more is sent."""
    client = MemoryClient(held=True)
    runner = runner_of(ledger, client)
    async with under_way(runner, client) as run:
        runner.stop(ExitCode.SIGTERM)
        client.release()
    ending = run.result()
    assert (ending.exit, ending.reason, ending.sent) == (ExitCode.SIGTERM, "stopped by SIGTERM", 2)
    assert await states(ledger) == {State.SUBMITTED: 2, State.PENDING: ROWS - 2}


async def test_second_signal_cuts_off(ledger: RunLedger) -> None:
    """Requests without an answer are in doubt, and the first signal is the reason."""
    client = MemoryClient(held=True)
    runner = runner_of(ledger, client)
    async with under_way(runner, client) as run:
        runner.stop(ExitCode.SIGINT)
        runner.stop(ExitCode.SIGTERM)
    assert (run.result().exit, run.result().sent) == (ExitCode.SIGINT, 2)
    assert await states(ledger) == {State.IN_DOUBT: 2, State.PENDING: ROWS - 2}


async def test_grace_period_cuts_off(ledger: RunLedger) -> None:
    """Answers that do not come within it are given up."""
    client = MemoryClient(held=True)
    runner = runner_of(ledger, client, grace_s=0.0)
    async with under_way(runner, client) as run:
        runner.end_early("stopped by its program")
    assert run.result().reason == f"stopped by its program; {ROWS - 2} submissions left"
    assert await states(ledger) == {State.IN_DOUBT: 2, State.PENDING: ROWS - 2}


async def test_drain_never_cuts_off(ledger: RunLedger) -> None:
    """However often it is called; a request to end early after it does."""
    client = MemoryClient(held=True)
    runner = runner_of(ledger, client)
    async with under_way(runner, client):
        for _ in range(3):
            runner.drain("closed")
        client.release()
    assert (await states(ledger))[State.SUBMITTED] == 2


@pytest.mark.parametrize("times", [1, 2])
async def test_run_stopped_before_it_begins_sends_nothing(ledger: RunLedger, times: int) -> None:
    """It is on record all the same, and its manifests are unfinished."""
    client = MemoryClient()
    runner = runner_of(ledger, client)
    for _ in range(times):
        runner.end_early("stopped by its program")
    ending = await runner.run()
    assert (ending.exit, ending.sent) == (ExitCode.WORK_LEFT, 0)
    assert ending.reason == f"stopped by its program; {ROWS} submissions left"
    assert client.requests == []


async def test_manifest_is_loaded_while_workers_send(
    ledger: RunLedger, manifest: Callable[..., Path]
) -> None:
    """Its submissions are sent in the same run."""
    more = manifest(tencent_ids(5, seed=3), "more.csv")
    client = MemoryClient()
    ending = await runner_of(ledger, client, prepared=prepare_all([str(more)], HOW)).run()
    assert (ending.exit, ending.sent) == (ExitCode.DONE, ROWS + 5)


async def test_halted_run_loads_its_manifests_to_their_ends(
    ledger: RunLedger, manifest: Callable[..., Path]
) -> None:
    """Submissions that the service refuses now are in the ledger for the next run."""
    more = manifest(tencent_ids(5, seed=3), "more.csv")
    client = MemoryClient(lambda _: Answer(100000005))
    ending = await runner_of(ledger, client, prepared=prepare_all([str(more)], HOW)).run()
    assert ending.exit is ExitCode.HALTED
    assert await states(ledger) == {State.PENDING: ROWS + 5}
    assert await ledger.unfinished_sources() == []


async def test_manifest_with_a_late_fault_ends_the_run(
    ledger: RunLedger, manifest: Callable[..., Path]
) -> None:
    """Rows before the fault are kept; the reason says where it is, what was sent and what is left."""
    broken = manifest(tencent_ids(20, seed=4) * 505, "broken.csv")
    with broken.open("a") as file:
        file.write('"1397')
    prepared = prepare_all([str(broken)], HOW)
    ending = await runner_of(ledger, MemoryClient(), prepared=prepared, rate_per_s=0.01).run()
    assert (ending.exit, ending.unusable) == (ExitCode.WORK_LEFT, True)
    assert "line 10102" in ending.reason
    assert ending.reason.endswith("requests were sent before")
    assert sum((await states(ledger)).values()) == ROWS + 20


async def test_manifests_that_did_not_arrive_in_time_send_nothing(ledger: RunLedger) -> None:
    """Open submissions are left for the next run."""
    client = MemoryClient()
    ending = await runner_of(ledger, client, cut_off=LateManifests(("-",), "-", 0)).run()
    assert (ending.exit, ending.cut_off, client.requests) == (ExitCode.WORK_LEFT, ("-",), [])


async def test_attempts_of_a_killed_run_are_in_doubt(ledger: RunLedger) -> None:
    """An attempt that was never settled may have been accepted; under ``hold`` it is not sent again."""
    killed = await ledger.start_run(20, "test")
    claims = await ledger.fresh(after_id=0, limit=3)
    for claim in claims:
        await ledger.begin(claim, killed)
    client = MemoryClient()
    ending = await runner_of(ledger, client).run()
    assert ending.exit is ExitCode.TROUBLE
    assert await states(ledger) == {State.SUBMITTED: ROWS - 3, State.IN_DOUBT: 3}
    assert {claim.file_id for claim in claims} & set(client.requests) == set()


async def test_ledger_that_cannot_be_written_stops_the_run(
    ledger: RunLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is 6, and the task ids that could not be recorded are in the ending."""

    def fail(settlement: Settlement, run_id: RunId) -> asyncio.Future[None]:
        del settlement, run_id
        raise LedgerError("disk full")

    monkeypatch.setattr(ledger, "settle", fail)
    ending = await runner_of(ledger, MemoryClient()).run()
    assert (ending.exit, ending.reason) == (ExitCode.LEDGER, "disk full")
    assert len(ending.unrecorded) == 2  # one for each worker; the second may have been held back
    assert State.SUBMITTED in {settlement.disposition.state for settlement in ending.unrecorded}


async def test_defect_in_a_worker_stops_the_run_in_order(ledger: RunLedger) -> None:
    """The exit code is 70, and requests of other workers are answered and recorded."""

    def answer(number: int) -> Outcome:
        if number == 1:
            raise ZeroDivisionError("private words")
        return Answer(0, task_id=_task(number))

    events: list[Event] = []
    client = MemoryClient(answer, held=True)
    runner = runner_of(ledger, client, events)
    async with under_way(runner, client) as run:
        client.release()
    assert run.result().exit is ExitCode.DEFECT
    assert "ZeroDivisionError at " in run.result().reason
    assert "private" not in run.result().reason
    assert (await states(ledger))[State.SUBMITTED] == 1
    assert [event.event for event in events if event.event in ("defect", "halted")] == ["defect", "halted"]


def _task(number: int) -> TaskId:
    return TaskId(f"task-{number}")
