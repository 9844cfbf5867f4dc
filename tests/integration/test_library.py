"""The library: the promises to programs that use it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import signal
import sys
import threading
import tracemalloc
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from support.cli import NO_LIMIT, Cli, tencent_ids, until, write_manifest
from support.ledger_place import ledger_text
from support.ledger_sql import query
from support.pipes import named_pipe

import batcher
from batcher import (
    Account,
    BindingError,
    Defaults,
    Event,
    ExitCode,
    InDoubtPolicy,
    Ledger,
    LedgerBusy,
    LedgerError,
    LedgerMissing,
    ManifestError,
    MaxFailures,
    ReadOptions,
    Result,
    RowStatus,
    RunSettings,
    SettingsError,
    State,
    open_ledger,
    read_ledger,
)
from batcher.model.events import Halted, RunStarted
from batcher.report.export.rows import COLUMNS
from batcher.sandbox import (
    SANDBOX_APP_ID,
    SANDBOX_SERVER_SECRET,
    Fault,
    RequestSeen,
    Sandbox,
    SandboxSettings,
)

ROOT = Path(batcher.__file__).parents[1]
ACCOUNT = Account(SANDBOX_APP_ID, SANDBOX_SERVER_SECRET)
PICTURES = ReadOptions(Defaults(vendor="Tencent", definition=10, offsets=(1, 2.5)))
FAST = RunSettings(rate_per_s=1000, concurrency=8)
HANGING = SandboxSettings(rate_per_s=None, shares={"hang": 1.0})
DEADLINE_S = 20.0

TASK_IDS = "SELECT task_id FROM attempts WHERE coalesce(outcome, '') <> 'not_sent'"
LOOK = "print(ledger.execute('SELECT state, n FROM tallies WHERE n > 0').fetchall()); ledger.close()"
SENT = "SELECT count(*) FROM attempts WHERE coalesce(outcome, '') <> 'not_sent'"


@pytest.fixture
async def ledger(tmp_path: Path, manifest: Callable[..., Path]) -> AsyncIterator[Ledger]:
    """A ledger with 40 submissions to send."""
    async with open_ledger(tmp_path / "batcher.db") as opened:
        await opened.load(manifest(tencent_ids(40)), how=PICTURES)
        yield opened


def program() -> str:
    """The program in the README."""
    section = (ROOT / "README.md").read_text("utf-8").split("\n## As a library\n", 1)[1].split("\n## ", 1)[0]
    found = re.search(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


async def python(*args: str | Path, cwd: Path, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run another interpreter to its end; exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, args),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), **(env or {})},
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


# -- the README ------------------------------------------------------------------------------------


async def test_program_in_the_readme_runs(tmp_path: Path, manifest: Callable[..., Path]) -> None:
    """Ten lines load, run, and show the task ids that the service gave."""
    assert len([line for line in program().splitlines() if line.strip()]) == 10
    (tmp_path / "program.py").write_text(program(), "utf-8")
    ids = tencent_ids(3)
    manifest(ids, "recordings.csv")
    sandbox = Sandbox(NO_LIMIT)
    async with sandbox.serve() as url:
        env = {
            "BATCHER_APP_ID": str(SANDBOX_APP_ID),
            "BATCHER_SERVER_SECRET": SANDBOX_SERVER_SECRET,
            "BATCHER_ENDPOINT": url,
        }
        code, out, err = await python("program.py", cwd=tmp_path, env=env)
    assert (code, err) == (0, "")
    given = {entry.file_id: task_id for task_id, entry in sandbox.accepted().items()}
    assert out == f"nothing is left to send { {one: given[one] for one in ids} }\n"


async def test_program_in_the_readme_passes_the_strict_type_checker(tmp_path: Path) -> None:
    """So does no program that calls the library wrongly."""
    (tmp_path / "program.py").write_text(program(), "utf-8")
    wrong = program().replace("rate_per_s=20", 'rate_per_s="20"').replace("result.task_id", "result.task")
    (tmp_path / "wrong.py").write_text(wrong, "utf-8")
    config, cache = ROOT / "pyproject.toml", ROOT / ".mypy_cache"  # those of this house, which is strict
    options = ("--no-error-summary", f"--config-file={config}", f"--cache-dir={cache}")
    code, out, err = await python("-m", "mypy", *options, "program.py", "wrong.py", cwd=tmp_path)
    assert (code, err) == (1, ""), out
    assert [re.sub(r":.*\[", " [", line) for line in out.splitlines() if ": error:" in line] == [
        "wrong.py [arg-type]",
        "wrong.py [attr-defined]",
    ]


async def test_importing_the_package_brings_nothing_in(tmp_path: Path) -> None:
    """The package alone is quick to import; a name that it has not is missed as in any module."""
    said = "import batcher, sys; print({'sqlalchemy', 'aiohttp', 'pydantic', 'asyncio'} & set(sys.modules))"
    assert await python("-c", said, cwd=tmp_path) == (0, "set()\n", "")
    with pytest.raises(AttributeError, match="has no attribute 'open_ledgers'"):
        batcher.open_ledgers  # noqa: B018 - getting it is what fails
    assert {"__version__", "open_ledger", "track"} < set(dir(batcher))


# -- load, run, results ----------------------------------------------------------------------------


async def test_results_equal_an_export(cli: Cli, tmp_path: Path) -> None:
    """Each result has the export's columns, the same values, and the manifest's own columns."""
    assert [one.name for one in fields(Result)] == [*COLUMNS, "own"]
    ids = [*tencent_ids(4), "4044044040000000001"]
    archive = write_manifest(
        tmp_path / "a.csv", [[one, f"room {n}"] for n, one in enumerate(ids)], ("file_id", "room")
    )
    huawei = write_manifest(
        tmp_path / "b.csv",
        [["/record/a.mp4", "hw", "5"], ["/record/b.mp4", "hw", "no"]],
        ("file_id", "vendor", "interval"),
    )
    async with Sandbox(NO_LIMIT).serve() as url, open_ledger(tmp_path / "batcher.db") as ledger:
        loaded = await ledger.load(archive, how=PICTURES)
        assert [(load.source, load.new) for load in loaded.loads] == [(str(archive), 5)]
        summary = await ledger.run(ACCOUNT, FAST, manifests=[huawei], endpoint=url)
        results = [result async for result in ledger.results()]
        assert await ledger.results_of(ids[:1]) == results[:1]
        assert [row.line for row in await ledger.invalid_rows()] == [3]
        assert (await ledger.figures()) == summary.now
    assert (summary.exit_code, summary.sent) == (ExitCode.TROUBLE, 6)
    assert Counter(result.status for result in results) == {State.SUBMITTED: 5, State.REJECTED: 1}
    assert [result.own for result in results] == [*({"room": f"room {n}"} for n in range(5)), {}]
    assert results[0].offsets == ("1", "2.5")
    for result, row in zip(results, await cli.export(), strict=True):
        for name in set(COLUMNS) - {"offsets", "first_sent_at", "last_answer_at"}:
            assert getattr(result, name) == row[name]
        assert (";".join(result.offsets) or None) == row["offsets"]
        assert result.first_sent_at is not None
        assert result.first_sent_at.isoformat(timespec="milliseconds")[:23] == row["first_sent_at"][:23]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_results_of_a_manifest_equal_its_export(cli: Cli, tmp_path: Path) -> None:
    """Its rows in their order: submitted, twice, not loaded and invalid, with its own columns."""
    ids = tencent_ids(3)
    header = ("file_id", "vendor", "note", "offsets")
    first = write_manifest(tmp_path / "a.csv", [[one, "Tencent", "x", "1"] for one in ids[:2]], header)
    rows = [[ids[1], "tencent", "y", "1.0"], ["1.3E+18", "Tencent", "z", "7"], [ids[0], "", "", ""]]
    rows += [[ids[2], "Tencent", "", ""], [ids[1], "Tencent", "again", ""], ["/a.mp4", "Aliyun", "", ""]]
    manifest = write_manifest(tmp_path / "b.csv", rows, header)
    async with Sandbox(NO_LIMIT).serve() as url, open_ledger(tmp_path / "batcher.db") as ledger:
        how = ReadOptions(Defaults(vendor="Tencent", definition="10", offsets=("1",)))
        await ledger.run(ACCOUNT, FAST, manifests=[first], how=how, endpoint=url)
        results = [result async for result in ledger.results(manifest, how=how)]
    assert [one.status for one in results] == [
        State.SUBMITTED,
        RowStatus.INVALID,
        State.SUBMITTED,
        RowStatus.NOT_LOADED,
        State.SUBMITTED,
        RowStatus.INVALID,
    ]
    assert [one.own for one in results] == [{"note": note} for note in ("y", "z", "", "", "again", "")]
    options = ("--vendor", "Tencent", "--definition", "10", "--offset", "1")
    for result, row in zip(results, await cli.export(manifest, *options), strict=True):
        for name in set(COLUMNS) - {"offsets", "first_sent_at", "last_answer_at"}:
            assert (getattr(result, name) or None) == (row[name] or None), name
        assert (";".join(result.offsets) or None) == row["offsets"]
        assert bool(result.first_sent_at) == bool(row["first_sent_at"])


async def test_results_of_an_unusable_manifest_raise(ledger: Ledger, tmp_path: Path) -> None:
    """The error is that of loading; the results before it are returned, and the file is closed."""
    with pytest.raises(ManifestError, match="no such file"):
        await anext(ledger.results(tmp_path / "none.csv"))
    broken = tmp_path / "broken.csv"
    broken.write_text("\n".join(["file_id", *tencent_ids(2_500), '"1397']))
    results, seen = ledger.results(broken, how=PICTURES), 0
    while seen < 2_000:
        await anext(results)
        seen += 1
    with pytest.raises(ManifestError, match="line 2502: a quote"):
        [_ async for _ in results]
    results = ledger.results(broken, how=PICTURES)
    await anext(results)
    await ledger.close()
    with pytest.raises(RuntimeError, match="is closed"):
        [_ async for _ in results]


async def test_results_are_read_during_a_run(ledger: Ledger) -> None:
    """By the same program, from the ledger that runs and from a second opening."""
    sandbox = Sandbox(SandboxSettings(rate_per_s=None, choose=_hang_after(10)))
    async with sandbox.serve() as url:
        run = asyncio.create_task(ledger.run(ACCOUNT, FAST, endpoint=url))
        await sandbox.wait_for(lambda: len(sandbox.log) >= 18, DEADLINE_S)
        async with read_ledger(ledger.path) as beside:
            states = Counter([result.status async for result in beside.results()])
        assert (states[State.SENDING], states[State.PENDING]) == (8, 40 - states[State.SUBMITTED] - 8)
        assert [one.status async for one in ledger.results()].count(State.SUBMITTED) == 10
        assert ledger.pace is not None
        assert ledger.pace.sent == 10
        ledger.stop()
        ledger.stop()
        await run
    assert ledger.pace is None


@pytest.mark.about_files
async def test_reader_beside_a_run_leaves_the_locks_of_the_run_alone(ledger: Ledger) -> None:
    """Another process that looks meanwhile does not take the run for dead and its journal away."""
    async with read_ledger(ledger.path) as beside:
        assert (await beside.figures()).total == 40
    look = f"import sqlite3; ledger = sqlite3.connect({ledger.path.name!r}); " + LOOK
    assert await python("-c", look, cwd=ledger.path.parent) == (0, "[('pending', 40)]\n", "")
    assert sorted(file.name for file in ledger.path.parent.glob("*-wal")) == ["batcher.db-wal"]
    async with Sandbox(NO_LIMIT).serve() as url:
        await ledger.run(ACCOUNT, FAST, endpoint=url)
    assert await python("-c", look, cwd=ledger.path.parent) == (0, "[('submitted', 40)]\n", "")


async def test_results_take_no_more_memory_for_a_longer_ledger(
    tmp_path: Path, manifest: Callable[..., Path]
) -> None:
    """Results are read page by page, each once, however many there are."""
    peaks = []
    async with open_ledger(tmp_path / "batcher.db") as ledger:
        ids: list[str] = []
        for n in (2_000, 8_000):
            ids = tencent_ids(n)
            await ledger.load(manifest(ids, f"{n}.csv"), how=PICTURES)
            seen = [0]
            async for _ in ledger.results():  # what is kept for good is there by now
                seen[0] += 1
            tracemalloc.start()
            async for _ in ledger.results():
                seen[0] += 1
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert seen == [2 * (await ledger.figures()).total]
    assert peaks[1] < 1.3 * peaks[0]


async def test_two_ledgers_run_at_once(tmp_path: Path, manifest: Callable[..., Path]) -> None:
    """Runs of one event loop do not know of one another: each ledger has its own, and all of it."""
    one, two = tencent_ids(60, seed=1), tencent_ids(60, seed=2)
    first, second = Sandbox(NO_LIMIT), Sandbox(NO_LIMIT)
    async with (
        first.serve() as url,
        second.serve() as other_url,
        open_ledger(tmp_path / "one.db") as ledger,
        open_ledger(tmp_path / "two.db") as other,
    ):
        summaries = await asyncio.gather(
            ledger.run(ACCOUNT, FAST, manifests=[manifest(one, "1.csv")], how=PICTURES, endpoint=url),
            other.run(ACCOUNT, FAST, manifests=[manifest(two, "2.csv")], how=PICTURES, endpoint=other_url),
        )
        assert [summary.exit_code for summary in summaries] == [ExitCode.DONE, ExitCode.DONE]
        assert [result.file_id async for result in ledger.results()] == one
    assert sorted(entry.file_id for entry in first.log) == sorted(one)
    assert sorted(entry.file_id for entry in second.log) == sorted(two)


async def test_run_changes_nothing_of_the_process(
    ledger: Ledger, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signal handlers, collector, logging and hooks are the same after a run, and nothing is printed."""
    monkeypatch.setenv("BATCHER_RATE", "not a number")
    before = _process()
    async with Sandbox(NO_LIMIT).serve() as url:
        during: list[object] = []
        summary = await ledger.run(ACCOUNT, FAST, endpoint=url, on_event=lambda _: during.append(_process()))
    assert summary.exit_code == ExitCode.DONE
    assert during
    assert all(one == before for one in during)
    assert _process() == before
    assert capfd.readouterr() == ("", "")


def _process() -> object:
    root = logging.getLogger()
    return (
        [signal.getsignal(number) for number in signal.valid_signals()],
        (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count(), sys.getswitchinterval()),
        (list(root.handlers), root.level, logging.getLogger("aiohttp").level),
        (sys.excepthook, sys.unraisablehook, list(warnings.filters)),
        (dict(os.environ), Path.cwd(), asyncio.get_running_loop().get_exception_handler()),
    )


# -- stopping --------------------------------------------------------------------------------------


def _hang_after(n: int) -> Callable[[RequestSeen], Fault | None]:
    """The first n requests are answered, all others accepted and never answered."""
    return lambda seen: Fault.parse("hang") if seen.number > n else None


async def test_cancelled_run_records_requests_in_flight(ledger: Ledger) -> None:
    """A cancellation sends nothing more, waits for the answers that are due, and is then raised."""
    sandbox = Sandbox(SandboxSettings(rate_per_s=None, latency_ms=400))
    async with sandbox.serve() as url:
        run = asyncio.create_task(ledger.run(ACCOUNT, FAST, endpoint=url))
        await sandbox.wait_for(lambda: len(sandbox.log) == 8, DEADLINE_S)
        run.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await run
        assert len(sandbox.log) == len(sandbox.accepted()) == 8
    results = {result.task_id: result.status async for result in ledger.results() if result.task_id}
    assert results == dict.fromkeys(sandbox.accepted(), State.SUBMITTED)
    assert (await ledger.figures()).by_state[State.PENDING] == 32
    assert query(ledger.path, "SELECT exit_code, reason FROM runs") == [(4, "cancelled; 32 submissions left")]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("policy", InDoubtPolicy)
async def test_request_without_an_answer_in_the_grace_period_is_in_doubt(
    ledger: Ledger, policy: InDoubtPolicy
) -> None:
    """A request that may have arrived is on record, and the next run sends the rest."""
    sandbox = Sandbox(HANGING)
    settings = RunSettings(rate_per_s=1000, concurrency=8, grace_s=0.2, in_doubt=policy)
    async with sandbox.serve() as url:
        run = asyncio.create_task(ledger.run(ACCOUNT, settings, endpoint=url))
        await sandbox.wait_for(lambda: len(sandbox.log) == 8, DEADLINE_S)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run, 0)
        assert query(ledger.path, SENT) == [(8,)]
        assert sorted(entry.file_id for entry in sandbox.log) == sorted(
            row[0]
            for row in query(
                ledger.path,
                "SELECT file_id FROM submissions s JOIN attempts a ON a.submission_id = s.id "
                "WHERE a.outcome = 'reply_lost'",
            )
        )
    held = 8 if policy is InDoubtPolicy.HOLD else 0
    assert (await ledger.figures()).by_state[State.IN_DOUBT] == held
    async with Sandbox(NO_LIMIT).serve() as url:
        summary = await ledger.run(ACCOUNT, FAST, endpoint=url)
    assert summary.sent == 40 - held
    assert summary.now.by_state[State.SUBMITTED] == 40 - held


async def test_second_cancellation_cuts_off(ledger: Ledger) -> None:
    """However long the grace is."""
    sandbox = Sandbox(HANGING)
    settings = RunSettings(rate_per_s=1000, concurrency=8, grace_s=3600)
    async with sandbox.serve() as url:
        run = asyncio.create_task(ledger.run(ACCOUNT, settings, endpoint=url, timeout_s=3600))
        await sandbox.wait_for(lambda: len(sandbox.log) == 8, DEADLINE_S)
        run.cancel()
        assert await asyncio.wait([run], timeout=0.3) == (set(), {run})
        run.cancel()
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(asyncio.CancelledError):
                await run
    assert query(ledger.path, SENT) == [(8,)]
    assert query(ledger.path, "SELECT count(*) FROM attempts WHERE outcome IS NULL") == [(0,)]


async def test_stop_ends_a_run_with_its_summary(ledger: Ledger) -> None:
    """Work that is left is left on purpose; stopped before it began, nothing of it is sent."""
    sandbox = Sandbox(SandboxSettings(rate_per_s=None, latency_ms=50))
    ledger.stop()  # nothing is going on: nothing happens
    async with sandbox.serve() as url:
        run = asyncio.create_task(ledger.run(ACCOUNT, FAST, endpoint=url))
        await asyncio.sleep(0)  # it has begun, and has not got as far as its checks
        ledger.stop()
        early = await run
        run = asyncio.create_task(ledger.run(ACCOUNT, FAST, endpoint=url))
        await sandbox.wait_for(lambda: len(sandbox.log) >= 8, DEADLINE_S)
        ledger.stop()
        summary = await run
    assert (early.exit_code, early.sent) == (ExitCode.WORK_LEFT, 0)
    left = summary.now.by_state[State.PENDING]
    assert (summary.exit_code, summary.sent) == (ExitCode.WORK_LEFT, 40 - left)
    assert summary.reason == f"stopped by its program; {left} submissions left"
    assert 0 < left < 40


async def test_leaving_the_ledger_drains_its_run(tmp_path: Path, manifest: Callable[..., Path]) -> None:
    """The ledger stays open until its run has ended."""
    sandbox = Sandbox(SandboxSettings(rate_per_s=None, latency_ms=200))
    async with sandbox.serve() as url:
        async with open_ledger(tmp_path / "batcher.db") as ledger:
            archive = manifest(tencent_ids(40))
            run = asyncio.create_task(
                ledger.run(ACCOUNT, FAST, manifests=[archive], how=PICTURES, endpoint=url)
            )
            await sandbox.wait_for(lambda: len(sandbox.log) >= 8, DEADLINE_S)
        summary = await run
    assert summary.exit_code == ExitCode.WORK_LEFT
    assert summary.now.by_state[State.SUBMITTED] == len(sandbox.accepted())
    with pytest.raises(RuntimeError, match="inside its"):
        await ledger.figures()
    with pytest.raises(RuntimeError, match="inside its"):
        await ledger.run(ACCOUNT, FAST, endpoint=url)
    async with open_ledger(tmp_path / "batcher.db"):
        """Its lock is free again."""


async def test_program_interrupted_by_ctrl_c_drains_as_well(
    tmp_path: Path, manifest: Callable[..., Path]
) -> None:
    """asyncio turns the first Ctrl-C into a cancellation: the answers that are due are on record."""
    manifest(tencent_ids(40), "recordings.csv")
    named = program().replace("batcher.db", ledger_text(tmp_path / "batcher.db"))
    (tmp_path / "program.py").write_text(named, "utf-8")
    sandbox = Sandbox(SandboxSettings(rate_per_s=None, latency_ms=700))
    async with sandbox.serve() as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "program.py",
            cwd=tmp_path,
            stderr=asyncio.subprocess.PIPE,
            env={
                "PYTHONPATH": str(ROOT),
                "BATCHER_APP_ID": str(SANDBOX_APP_ID),
                "BATCHER_SERVER_SECRET": SANDBOX_SERVER_SECRET,
                "BATCHER_ENDPOINT": url,
            },
        )
        await sandbox.wait_for(lambda: len(sandbox.log) >= 3, DEADLINE_S)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE_S):
            _, err = await process.communicate()
    assert b"KeyboardInterrupt" in err
    assert process.returncode == -signal.SIGINT
    accepted = sorted((task_id,) for task_id in sandbox.accepted())
    assert sorted(query(tmp_path / "batcher.db", TASK_IDS)) == accepted
    assert len(accepted) < 40


# -- what goes wrong -------------------------------------------------------------------------------


async def test_halt_is_reported_as_an_event_and_in_the_summary(ledger: Ledger) -> None:
    """A halt is an end like any other."""
    emitted: list[Event] = []
    async with Sandbox(SandboxSettings(account_code=3)).serve() as url:
        summary = await ledger.run(ACCOUNT, FAST, endpoint=url, on_event=emitted.append)
    assert summary.exit_code == ExitCode.HALTED
    assert "code 3" in summary.reason
    assert isinstance(emitted[0], RunStarted)
    assert [notice.reason for notice in emitted if isinstance(notice, Halted)] == [summary.reason]


async def test_listener_that_fails_stops_the_run_in_order(ledger: Ledger) -> None:
    """Its exception is raised once the requests in flight are on record."""

    def on_event(notice: Event) -> None:
        if not isinstance(notice, RunStarted):
            raise ZeroDivisionError("mine")

    sandbox = Sandbox(SandboxSettings(rate_per_s=None, latency_ms=100, script={4: Fault.parse("code:2")}))
    async with sandbox.serve() as url:
        with pytest.raises(ZeroDivisionError, match="mine"):
            await ledger.run(ACCOUNT, FAST, endpoint=url, on_event=on_event)
    assert query(ledger.path, SENT) == [(len(sandbox.log),)]
    assert query(ledger.path, "SELECT count(*) FROM attempts WHERE outcome IS NULL") == [(0,)]
    assert len(sandbox.log) < 40


async def test_everything_wrong_with_a_call_is_named_before_anything_is_sent(ledger: Ledger) -> None:
    """Settings and account name all that is wrong with them when they are made; the secret is never shown."""
    with pytest.raises(SettingsError) as raised:
        RunSettings(rate_per_s=0, concurrency=0, limit=0, grace_s=-1, lasts_s=0)
    assert _named(raised.value) == ["rate_per_s", "concurrency", "limit", "lasts_s", "grace_s"]
    with pytest.raises(SettingsError) as raised:
        MaxFailures(number=0, share=2.0)
    assert _named(raised.value) == ["number", "number", "share"]
    with pytest.raises(SettingsError) as raised:
        Account(0, "no blanks")
    assert _named(raised.value) == ["app_id", "server_secret"]
    assert "no blanks" not in str(raised.value)
    with pytest.raises(SettingsError) as raised:
        await ledger.run(ACCOUNT, FAST, endpoint="http://example.com/", timeout_s=0)
    assert _named(raised.value) == ["endpoint", "timeout_s"]
    assert query(ledger.path, "SELECT count(*) FROM runs") == [(0,)]
    with pytest.raises(SettingsError, match="submitted"):
        await ledger.retry([State.SUBMITTED])


def _named(error: SettingsError) -> list[str]:
    """The parameters that an error names, line by line."""
    return [line.split()[0].rstrip(":") for line in str(error).splitlines()]


async def test_errors_are_of_one_tree(ledger: Ledger, tmp_path: Path, manifest: Callable[..., Path]) -> None:
    """Each says what the caller may do next, and leaves the ledger usable."""
    with pytest.raises(LedgerMissing):
        await _read(tmp_path / "none.db")
    with pytest.raises(ManifestError, match="no such file"):
        await ledger.load(tmp_path / "none.csv")
    changed = ReadOptions(Defaults(vendor="Tencent", definition=20, offsets=(1, 2.5)))
    with pytest.raises(ManifestError, match="allow-resubmit"):
        await ledger.load(manifest(tencent_ids(40)), how=changed)
    async with Sandbox(NO_LIMIT).serve() as url:
        assert (await ledger.run(ACCOUNT, FAST, endpoint=url)).exit_code == ExitCode.DONE
        with pytest.raises(BindingError):
            await ledger.run(Account(77, SANDBOX_SERVER_SECRET), FAST, endpoint=url)
    for kind in (LedgerMissing, LedgerBusy, ManifestError, BindingError, SettingsError, LedgerError):
        assert issubclass(kind, batcher.BatcherError)


@pytest.mark.about_files
async def test_file_that_is_open_is_opened_by_no_other_writer(ledger: Ledger) -> None:
    """The message says that a program holds it."""
    with pytest.raises(LedgerBusy, match="uses the library"):
        async with open_ledger(ledger.path):
            """Never reached."""


async def test_load_during_a_run_is_refused(ledger: Ledger, manifest: Callable[..., Path]) -> None:
    """A run would not notice the rows of a load next to it; afterwards the load works."""
    archive = manifest(tencent_ids(3, seed=5), "more.csv")
    sandbox = Sandbox(SandboxSettings(rate_per_s=None, latency_ms=50))
    async with sandbox.serve() as url:
        run = asyncio.create_task(ledger.run(ACCOUNT, FAST, endpoint=url))
        await sandbox.wait_for(lambda: len(sandbox.log) >= 1, DEADLINE_S)
        for attempt in (ledger.load(archive, how=PICTURES), ledger.run(ACCOUNT), ledger.retry()):
            with pytest.raises(RuntimeError, match="a run of this program is in progress"):
                await attempt
        assert (await run).exit_code == ExitCode.DONE
    assert (await ledger.load(archive, how=PICTURES)).loads[0].new == 3


async def test_cancelled_load_is_recorded_as_unfinished(
    tmp_path: Path, manifest: Callable[..., Path]
) -> None:
    """The next load reads the file again; its first rows are known already."""
    archive = manifest(tencent_ids(60_000))
    async with open_ledger(tmp_path / "batcher.db") as ledger:
        load = asyncio.create_task(ledger.load(archive, how=PICTURES))
        await until(lambda: query(ledger.path, "SELECT count(*) FROM loads") == [(1,)])
        load.cancel()
        with pytest.raises(asyncio.CancelledError):
            await load
        assert [one.unfinished for one in await ledger.loads()] == [True]
        kept = (await ledger.figures()).total
        [again] = (await ledger.load(archive, how=PICTURES)).loads
        assert (again.new, again.duplicates, again.unfinished) == (60_000 - kept, kept, False)


async def test_load_of_a_pipe_without_a_writer_can_be_cancelled(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe without a writer blocks neither the program nor the ledger."""
    opening, open_ = threading.Event(), Path.open

    def observed(path: Path, *args: Any, **more: Any) -> Any:  # noqa: ANN401 - the library's own
        if path.name == "pipe.csv":
            opening.set()
        return open_(path, *args, **more)

    monkeypatch.setattr(Path, "open", observed)
    with named_pipe(tmp_path / "pipe.csv") as pipe:
        load = asyncio.create_task(ledger.load(pipe, how=PICTURES))
        await asyncio.to_thread(opening.wait)  # cancelled sooner, no thread would ever read
        assert await asyncio.wait([load], timeout=0.05) == (set(), {load})
        load.cancel()
        with pytest.raises(asyncio.CancelledError):
            await load
        async with Sandbox(NO_LIMIT).serve() as url:
            assert (await ledger.run(ACCOUNT, FAST, endpoint=url)).exit_code == ExitCode.DONE
        # A writer appears at last: the abandoned thread reads the first rows, and closes the pipe.
        text = "\n".join(["file_id", *tencent_ids(60_000, seed=2)])
        with pytest.raises(BrokenPipeError):
            await asyncio.to_thread(pipe.write_text, text)


async def test_put_back_submissions_are_sent_again(ledger: Ledger) -> None:
    """Those chosen, and with a fresh budget."""
    refusing = SandboxSettings(rate_per_s=None, script={n: Fault.parse("code:2") for n in (1, 2, 3)})
    async with Sandbox(refusing).serve() as url:
        settings = RunSettings(rate_per_s=1000, concurrency=8)
        assert (await ledger.run(ACCOUNT, settings, endpoint=url)).exit_code == ExitCode.TROUBLE
        assert await ledger.retry(codes=[4]) == 0
        assert await ledger.retry([State.REJECTED], codes=[2]) == 3
        assert (await ledger.run(ACCOUNT, settings, endpoint=url)).sent == 3


async def _read(path: Path) -> None:
    async with read_ledger(path):
        """Never reached."""
