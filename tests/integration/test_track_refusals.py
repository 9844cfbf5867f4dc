"""``track`` while some polls are always refused, and while no poll gets a usable answer."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable

import pytest
from support.cli import PICTURES, Cli, serving, tencent_ids, write_manifest
from support.ledger_sql import writing

from batcher.sandbox import ActionFaults, Fault, RequestSeen, Sandbox, SandboxSettings

DESCRIBE = "DescribeMediaTask"
ROWS, STUCK = 100, 5
SPEED = 10
"""The waits between polls are seconds and minutes: the commands' clock runs faster."""


def faulty(choose: Callable[[RequestSeen], Fault | None] | None = None, **by: object) -> SandboxSettings:
    """A sandbox without a limit, with faults of polls."""
    faults = ActionFaults(choose=choose, **by)  # type: ignore[arg-type] # by name
    return SandboxSettings(rate_per_s=None, faults={DESCRIBE: faults})


async def submitted(cli: Cli, ids: list[str]) -> None:
    """Submit some recordings whose tasks are all due."""
    write_manifest(cli.folder / "archive.csv", ([one] for one in ids))
    done = await cli.run("archive.csv", *PICTURES)
    assert done.code == 0, done.stderr
    with writing(cli.folder / "batcher.db") as connection:
        connection.execute("UPDATE attempts SET answered_at_ms = answered_at_ms - 100000")
        connection.commit()


def polls_of(sandbox: Sandbox) -> Counter[str]:
    """How often each task was asked about."""
    return Counter(one.asked_task_id or "" for one in sandbox.requests_of(DESCRIBE))


@pytest.mark.parametrize("fault", ["code:7", "http-after:502"])
async def test_tasks_whose_polls_are_always_refused_do_not_slow_the_others(cli: Cli, fault: str) -> None:
    """All others are polled to their ends meanwhile, and the refused ones a few times."""
    ids = tencent_ids(ROWS)
    cli.speed = SPEED
    stuck = {ids[3 + n * ROWS // STUCK]: Fault.parse(fault) for n in range(STUCK)}
    async with serving(cli, faulty(by_file=stuck)) as sandbox:
        await submitted(cli, ids)
        tasks = {entry.task_id: entry.file_id for entry in sandbox.log if entry.accepted}
        track = await cli.start("track", "--progress", "none")

        def others() -> set[str | None]:
            asked = {one.asked_task_id for one in sandbox.requests_of(DESCRIBE)}
            return {task for task in asked if task in tasks and tasks[task] not in stuck}

        await sandbox.wait_for(lambda: len(others()) >= ROWS - STUCK, 60)
        assert max(n for task, n in polls_of(sandbox).items() if tasks.get(task or None) in stuck) <= 10
        track.send_signal(signal.SIGTERM)
        await cli.finish(track)


@pytest.mark.parametrize("fault", ["code:7", "http:429"])
async def test_task_whose_polls_are_always_refused_is_given_up(cli: Cli, fault: str) -> None:
    """It is unknown by its budget, named, with exit code 1; no task is left to follow."""
    ids = tencent_ids(20)
    cli.speed = SPEED
    async with serving(cli, faulty(by_file={ids[5]: Fault.parse(fault)})) as sandbox:
        await submitted(cli, ids)
        done = await cli("track", "--progress", "none", "--json")
        assert done.code == 1, done.stderr
        assert (done.data["tasks"]["finished"], done.data["tasks"]["unknown"]) == (19, 1)
        [trouble] = done.data["tracking"]["troubles"]
        assert trouble["file_id"] == ids[5]
        assert "while others were answered" in trouble["message"]
        assert (await cli("track", "--progress", "none")).code == 0
        assert len(sandbox.requests_of(DESCRIBE)) < 50


async def test_only_task_whose_polls_are_always_refused_is_given_up(cli: Cli) -> None:
    """When no other task is left, a probe shows that the service answers."""
    cli.speed = SPEED
    async with serving(cli, faulty(by_file={tencent_ids(1)[0]: Fault.parse("http:429")})) as sandbox:
        await submitted(cli, tencent_ids(1))
        done = await cli("track", "--progress", "none", "--give-up", "5s", "--json")
        assert (done.code, done.data["tasks"]["unknown"]) == (1, 1), done.stderr
        assert len(sandbox.requests_of(DESCRIBE)) < 20


@pytest.mark.parametrize(
    ("fault", "said"), [("http:502", "HTTP 502"), ("http:302", "HTTP 302 to "), ("html", "HTTP 200")]
)
async def test_outage_with_answers_is_waited_for_and_named(cli: Cli, fault: str, said: str) -> None:
    """A page, a redirect or a server error to every poll costs a handful of polls; then all are polled."""
    ids, bad, lasted = tencent_ids(60), asyncio.Event(), asyncio.Event()
    cli.speed = SPEED

    def choose(_: RequestSeen) -> Fault | None:
        return Fault.parse(fault) if bad.is_set() else None

    async with serving(cli, faulty(choose)) as sandbox:
        await submitted(cli, ids)
        bad.set()
        track = await cli.start("track", "--concurrency", "8", "--progress", "none", "--json")
        assert track.stderr is not None
        async with asyncio.timeout(90):
            line = (await track.stderr.readline()).decode()
        assert "does not answer polls" in line
        assert said in line
        asyncio.get_running_loop().call_later(8 / SPEED, lasted.set)
        await lasted.wait()
        bad.clear()
        done = await cli.finish(track)
        assert done.code == 0, done.stderr
        assert done.data["tasks"]["finished"] == 60
        assert sum(one.fault is not None for one in sandbox.requests_of(DESCRIBE)) <= 30
