"""A service without usable answers is waited for; rows that are refused for ever cost the others nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import PICTURES, Cli, serving, tencent_ids
from support.referee import referee

from batcher.sandbox import Fault, RequestSeen, Sandbox, SandboxSettings

STEADY = ("--rate", "40", "--progress", "none")

FORMS = [
    *("http:500", "http:502", "http:503", "http:504", "http:530"),
    *("http:301", "http:302", "http:408", "http:421", "http:425"),
    *("html", "long-header", "drop-before"),
]


def touched(sandbox: Sandbox) -> set[str]:
    """Recordings that were asked for during the outage."""
    return {entry.file_id for entry in sandbox.log if entry.fault == "outage"} - {""}


def probes(sandbox: Sandbox) -> int:
    """Harmless calls during the outage."""
    return sum(entry.fault == "outage" and not entry.file_id for entry in sandbox.log)


@pytest.mark.speed(5)
@pytest.mark.parametrize("form", FORMS)
async def test_outage_with_unusable_answers_touches_few_rows_and_loses_none(
    cli: Cli, manifest: Callable[..., Path], form: str
) -> None:
    """The run waits while answers are unusable; afterwards everything is submitted."""
    archive = manifest(tencent_ids(80))
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        sandbox.outage_fault = Fault.parse(form)
        process = await cli.start("run", archive, *PICTURES, *STEADY, "--concurrency", "8")
        await sandbox.wait_for(lambda: len(sandbox.accepted()) >= 20, 20)
        sandbox.outage = True
        await sandbox.wait_for(lambda: probes(sandbox) >= 3, 20)
        sandbox.outage = False
        done = await cli.finish(process)
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
    assert {row["status"] for row in rows} == {"submitted"}
    assert 1 <= len(touched(sandbox)) <= 30
    assert "does not answer (" in done.stderr
    assert "answers again" in done.stderr


async def test_outage_that_answers_only_probes_touches_few_rows(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """When the harmless call alone is answered, requests are sent one by one, ever more rarely."""
    met: list[str] = []

    def choose(seen: RequestSeen) -> Fault | None:
        if not 20 < seen.number <= 28:
            return None
        met.append(seen.file_id)
        return Fault.parse("http:502")

    archive = manifest(tencent_ids(80))
    async with serving(cli, SandboxSettings(rate_per_s=None, choose=choose)) as sandbox:
        done = await cli("run", archive, *PICTURES, *STEADY)
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
    assert {row["status"] for row in rows} == {"submitted"}
    assert len(set(met)) == len(met) == 8
    assert sum(not entry.file_id for entry in sandbox.log) >= 3


async def test_service_that_hangs_touches_no_more_rows_than_may_be_in_flight(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """The first request that waited in vain for longer than anybody was answered holds the others still."""
    archive = manifest(tencent_ids(150))
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        sandbox.outage_fault = Fault.parse("hang-before")
        process = await cli.start(
            *("run", archive, *PICTURES, *STEADY, "--concurrency", "8", "--timeout", "2s")
        )
        await sandbox.wait_for(lambda: len(sandbox.accepted()) >= 20, 20)
        sandbox.outage = True
        await sandbox.wait_for(lambda: probes(sandbox) >= 2, 20)
        sandbox.outage = False
        done = await cli.finish(process)
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
    assert {row["status"] for row in rows} == {"submitted"}
    assert 1 <= len(touched(sandbox)) <= 8


async def test_slow_service_is_no_outage(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Answers after three seconds are waited for like any other."""
    archive = manifest(tencent_ids(60))
    async with serving(cli, SandboxSettings(rate_per_s=None, latency_ms=3000)) as sandbox:
        done = await cli("run", archive, *PICTURES, *STEADY)
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
    assert {(row["status"], row["attempts"]) for row in rows} == {("submitted", 1)}
    assert [entry.file_id for entry in sandbox.log if not entry.file_id] == []


async def test_redirect_is_reported_and_leaves_no_doubt(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A redirect has accepted nothing: the row is sent again under hold, and the log names its target."""
    archive = manifest(ids := tencent_ids(3))
    faults = {ids[0]: [Fault.parse("http:302")]}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)) as sandbox:
        done = await cli("run", archive, *PICTURES, *STEADY, "--in-doubt", "hold", "-v")
        assert done.code == 0, done.stderr
        assert "HTTP 302 to /" in done.stderr
        rows = await referee(cli, sandbox)
    assert [row["status"] for row in rows] == ["submitted"] * 3


@pytest.mark.speed(5)
@pytest.mark.parametrize("form", ["no-code", "no-task-id"])
async def test_unreadable_answers_before_any_success_halt(
    cli: Cli, manifest: Callable[..., Path], form: str
) -> None:
    """Few requests are accepted, the exit code is 3, and the answer is shown."""
    archive = manifest(tencent_ids(300))
    async with serving(cli, SandboxSettings(rate_per_s=None, shares={form: 1.0})) as sandbox:
        done = await cli("run", archive, *PICTURES, *STEADY)
        assert done.code == 3, done.stderr
        assert "cannot be read" in done.stderr
        assert '"RequestId"' in done.stderr
        await referee(cli, sandbox)
    assert 3 <= sum(entry.accepted for entry in sandbox.log) <= 8


@pytest.mark.speed(5)
@pytest.mark.parametrize("form", ["no-code", "no-task-id", "empty", "cut", "cut-json"])
async def test_unreadable_answers_after_successes_are_bounded(
    cli: Cli, manifest: Callable[..., Path], form: str
) -> None:
    """After successes too, few requests with unreadable answers are accepted."""

    def choose(seen: RequestSeen) -> Fault | None:
        return Fault.parse(form) if seen.number > 20 else None

    archive = manifest(tencent_ids(300))
    async with serving(cli, SandboxSettings(rate_per_s=None, choose=choose)) as sandbox:
        done = await cli("run", archive, *PICTURES, *STEADY, "--concurrency", "8", "--max-duration", "6s")
        assert done.code == 4, done.stderr
        await referee(cli, sandbox)
    assert sum(entry.accepted for entry in sandbox.log) <= 20 + 15


@pytest.mark.speed(5)
async def test_doubts_count_towards_max_failures(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Rows that are in doubt again and again halt the run, each counted once, though others succeed."""
    archive = manifest(ids := tencent_ids(40))
    faults = dict.fromkeys(ids[::4], Fault.parse("drop-after"))
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)) as sandbox:
        done = await cli("run", archive, *PICTURES, *STEADY, "--max-failures", "3")
        assert done.code == 3, done.stderr
        assert "Too many failures: 3 in this run" in done.stderr
        await referee(cli, sandbox)
    assert max(Counter(entry.file_id for entry in sandbox.log if entry.file_id).values()) <= 3


ALWAYS = ["code:6", "code:7", "http:429", "http:503", "code:1000", "code:3"]


@pytest.mark.speed(10)
async def test_rows_that_are_always_refused_fail_and_the_others_are_submitted(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Each ends by its budget, failed or rejected; all others are submitted with one request each."""
    archive = manifest(ids := tencent_ids(100))
    faults = {one: Fault.parse(text) for one, text in zip(ids[20::10], ALWAYS, strict=False)}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)) as sandbox:
        done = await cli("run", archive, *PICTURES, *STEADY)
        assert done.code == 1, done.stderr
        rows = {row["file_id"]: row for row in await referee(cli, sandbox)}
    ended = [
        (str(fault), rows[one]["status"], len(sandbox.requests_for(one))) for one, fault in faults.items()
    ]
    assert [status for _, status, _ in ended] == [
        "failed",
        "rejected",
        "failed",
        "failed",
        "rejected",
        "rejected",
    ]
    assert max(n for _, _, n in ended) <= 20
    others = [rows[one] for one in ids if one not in faults]
    assert {(row["status"], row["attempts"]) for row in others} == {("submitted", 1)}


async def test_row_that_halted_waits_behind_the_others_in_the_next_run(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """It is named; the next run sends everything else first, and then it ends by its own budget."""
    archive = manifest(ids := tencent_ids(12))
    faults = {ids[0]: Fault.parse("code:3")}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)) as sandbox:
        done = await cli("run", archive, *PICTURES, "--concurrency", "1")
        assert done.code == 3, done.stderr
        assert ids[0] in done.stderr
        before = len(sandbox.log)
        done = await cli.run(archive, *PICTURES, "--concurrency", "1")  # so that requests arrive as claimed
        assert done.code == 1, done.stderr
        rows = await referee(cli, sandbox)
    assert [row["status"] for row in rows] == ["rejected"] + ["submitted"] * 11
    second = [entry.file_id for entry in sandbox.log[before:]]
    others = len(second) - second.count(ids[0])
    assert second == [*second[:others], *[ids[0]] * (len(second) - others)]


async def test_permission_that_several_recordings_lack_after_successes_halts(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Two recordings with code 3 halt the run, and both are named."""
    archive = manifest(ids := tencent_ids(40))
    faults = dict.fromkeys((ids[10], ids[20]), Fault.parse("code:3"))
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)) as sandbox:
        done = await cli("run", archive, *PICTURES, *STEADY)
        assert done.code == 3, done.stderr
        assert ids[10] in done.stderr
        assert ids[20] in done.stderr
        await referee(cli, sandbox)
