"""``discover`` and ``verify-ids`` while the service gives no answer, or none to one question."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.cli import Cli, said, serving

from batcher.sandbox import ActionFaults, Fault, RecordingSettings, RequestSeen, SandboxSettings

SEARCH = "SearchMedia"
DISCOVER = ("discover", "--vendor", "Tencent", "--since", "2026-01-01", "--until", "2026-03-01")
NEWEST = 1_770_000_000
SPEED = 10
"""The waits between questions are seconds: the commands' clock runs faster."""


def searches(choose: Callable[[RequestSeen], Fault | None], count: int = 6_000) -> SandboxSettings:
    """A sandbox with faults of searches."""
    recordings = RecordingSettings(count=count, until_s=NEWEST, span_s=86_400)
    faults = {SEARCH: ActionFaults(choose=choose)}
    return SandboxSettings(rate_per_s=None, recordings=recordings, faults=faults)


@pytest.mark.parametrize("fault", ["code:6", "http:429", "code:1000", "no-code"])
@pytest.mark.parametrize("well", [0, 3])
async def test_question_that_is_never_answered_ends_discover(cli: Cli, fault: str, well: int) -> None:
    """Refusals without end, at the start or within a list, have exit code 3 and their meaning."""
    stuck = Fault.parse(fault)
    cli.speed = SPEED
    async with serving(cli, searches(lambda seen: stuck if seen.number > well else None)) as sandbox:
        if fault == "no-code" and well:
            done = await cli(*DISCOVER, "-o", "all.csv", "--max-duration", "30s")
            assert done.code == 4
            assert "while the endpoint did not answer (since " in done.stderr
        else:
            done = await cli(*DISCOVER, "-o", "all.csv")
            assert done.code == 3, done.stderr
            assert fault.replace(":", " ").replace("http", "HTTP").replace("no-code", "read") in done.stderr
        assert len(sandbox.requests_of(SEARCH)) <= well + 15


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("http:502", "HTTP 502"), ("http:302", "HTTP 302 to "), ("html", "HTTP 200"), ("drop-after", "(")],
)
async def test_outage_with_answers_is_waited_for_by_discover(cli: Cli, fault: str, cause: str) -> None:
    """It is named, costs a handful of calls, and the list is complete afterwards."""
    began, lasted, over = asyncio.Event(), asyncio.Event(), asyncio.Event()
    cli.speed = SPEED

    def choose(seen: RequestSeen) -> Fault | None:
        if seen.number == 4:
            began.set()
            asyncio.get_running_loop().call_later(8 / SPEED, lasted.set)
        return Fault.parse(fault) if began.is_set() and not over.is_set() else None

    async with serving(cli, searches(choose)) as sandbox:
        discover = await cli.start(*DISCOVER)
        assert cause in await said(discover, "does not answer")
        await lasted.wait()
        over.set()
        done = await cli.finish(discover)
        assert done.code == 0, done.stderr
        assert len(done.stdout.splitlines()) == 6_001
        assert sum(one.fault is not None for one in sandbox.requests_of(SEARCH)) <= 15


async def test_redirect_to_every_question_is_named_at_the_time_limit(cli: Cli) -> None:
    """The reason of exit code 4 names the last outcome."""
    cli.speed = SPEED
    async with serving(cli, searches(lambda _: Fault.parse("http:302"))):
        done = await cli(*DISCOVER, "--max-duration", "30s")
    assert done.code == 4
    assert "while the endpoint did not answer (since " in done.stderr
    assert "last: HTTP 302 to " in done.stderr
