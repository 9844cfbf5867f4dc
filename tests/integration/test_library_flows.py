"""The library's other flows: discovery, verification of ids, fetching and listening, by programs."""

from __future__ import annotations

import asyncio
import runpy
import subprocess
import sys
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.callbacks import SECRET, post, record, sealed
from support.cli import tencent_ids, until, write_manifest
from support.ledger_place import copy_ledger, empty_ledger
from support.ledger_sql import query
from support.pictured import finished, keep_tasks, serving_pictures

from batcher import (
    Account,
    Archive,
    BatcherError,
    BindingError,
    CallbackListener,
    Discovery,
    DiscoveryFilter,
    DiscoveryProgress,
    Event,
    ExitCode,
    FetchProgress,
    IdVerification,
    KnownRecordings,
    ListenSettings,
    PictureFetch,
    Recording,
    Refused,
    RunOutcome,
    SettingsError,
)
from batcher.sandbox import (
    SANDBOX_APP_ID,
    SANDBOX_SERVER_SECRET,
    ActionFaults,
    RecordingSettings,
    Sandbox,
    SandboxSettings,
)

PROGRAMS = Path(__file__).parents[1] / "typing"
ACCOUNT = Account(SANDBOX_APP_ID, SANDBOX_SERVER_SECRET)
NEWEST = 1_790_000_000
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2026, 9, 22, tzinfo=UTC)
DEADLINE_S = 20.0


def program(name: str) -> dict[str, Any]:
    """The functions of a type-checked program."""
    return runpy.run_path(str(PROGRAMS / name))


def holding(count: int, **settings: object) -> SandboxSettings:
    """A service without a rate limit that has recordings of one day."""
    recordings = RecordingSettings(count=count, until_s=NEWEST, span_s=86_400)
    return SandboxSettings(rate_per_s=None, recordings=recordings, **settings)  # type: ignore[arg-type] # as named


def all_ids(sandbox: Sandbox) -> list[str]:
    """All ids of Tencent that the service has."""
    return sorted(sandbox.recordings.at(place).file_id for place in range(sandbox.recordings.count))


async def first_pages(discovery: Discovery) -> list[Recording]:
    """The recordings up to the first point from which a discovery can resume, with some recordings listed."""
    recordings: list[Recording] = []
    async with aclosing(discovery.pages()) as pages:
        async for page in pages:
            recordings.extend(page.recordings)
            if page.resume_from is not None and recordings:
                break
    return recordings


# -- runs -------------------------------------------------------------------------------------------


async def test_run_with_track_reports_progress_task_ids_and_outcome(tmp_path: Path) -> None:
    """A program gets the bar without polling, each task id once, and an outcome in a word."""
    manifest, ids = tmp_path / "archive.csv", tencent_ids(6)
    manifest.write_text("\n".join(["file_id", *ids]), "utf-8")
    async with Sandbox(SandboxSettings(rate_per_s=None)).serve() as url, asyncio.timeout(DEADLINE_S):
        archive = program("run.py")["archive"]
        outcome, bars, tasks = await archive(tmp_path / "batcher.db", ACCOUNT, [manifest], url, 100.0)
    assert (outcome, bars[-1], sorted(tasks)) == (RunOutcome.DONE, "6/6", sorted(ids))
    assert len(set(tasks.values())) == 6


# -- discovery -------------------------------------------------------------------------------------


async def test_discovery_stopped_early_resumes_where_it_stopped() -> None:
    """Two discoveries together list each recording once."""
    sandbox = Sandbox(holding(9_000))
    async with sandbox.serve() as url, asyncio.timeout(DEADLINE_S):
        wanted = DiscoveryFilter(Archive.TENCENT, since=SINCE, until=UNTIL)
        first = Discovery(wanted, ACCOUNT, endpoint=url, rate_per_s=1000)
        begin = await first_pages(first)
        progress = first.resume_from
        second = Discovery(wanted, ACCOUNT, endpoint=url, rate_per_s=1000, resume_from=progress)
        async with aclosing(second.pages()) as pages:
            rest = [recording async for page in pages for recording in page.recordings]
    ids = [recording.file_id for recording in [*begin, *rest]]
    assert (0 < len(begin) < 9_000, sorted(ids)) == (True, all_ids(sandbox))
    assert second.progress.listed == 9_000
    with pytest.raises(RuntimeError, match="create another one"):
        await anext(second.pages())


async def test_discovery_cancelled_keeps_its_progress() -> None:
    """The progress includes the pages that were read before the cancellation."""
    faults = {"SearchMedia": ActionFaults(shares={"hang": 1.0})}
    async with Sandbox(holding(10, faults=faults)).serve() as url:
        wanted = DiscoveryFilter(Archive.TENCENT, since=SINCE, until=UNTIL)
        discovery = Discovery(wanted, ACCOUNT, endpoint=url)
        task = asyncio.create_task(first_pages(discovery))
        await asyncio.wait([task], timeout=0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert discovery.progress == discovery.resume_from == DiscoveryProgress(int(SINCE.timestamp()))


async def test_discovery_refused_by_the_service_raises() -> None:
    """A permission that is missing is an error with the code."""
    faults = {"SearchMedia": ActionFaults(shares={"code:3": 1.0})}
    async with Sandbox(holding(10, faults=faults)).serve() as url:
        discovery = Discovery(DiscoveryFilter(Archive.HUAWEI), ACCOUNT, endpoint=url)
        with pytest.raises(Refused, match="code 3: "):
            await first_pages(discovery)


async def test_program_discovers_and_corrects_rounded_ids(tmp_path: Path) -> None:
    """The type-checked program lists videos and gets the original of an id that a spreadsheet rounded."""
    sandbox = Sandbox(holding(400))
    async with sandbox.serve() as url:
        recordings, progress = await program("discover.py")["listed"](ACCOUNT, url, SINCE)
        assert {recording.category for recording in recordings} == {"Video"}
        assert (progress.listed, progress.left_out) == (len(recordings), 400 - len(recordings))
        original = next(one.file_id for one in recordings if not one.file_id.endswith("0000"))
        rounded = f"{original[:15]}0000"
        manifest = write_manifest(tmp_path / "archive.csv", [[rounded], [recordings[0].file_id]])
        found = await program("discover.py")["suggestions"](ACCOUNT, url, str(manifest), SINCE)
    assert found == {rounded: original}


async def test_verification_reports_faults_and_counts(tmp_path: Path) -> None:
    """Missing ids and invalid rows are faults in the order of the rows; the figures say the same."""
    sandbox = Sandbox(holding(50))
    async with sandbox.serve() as url:
        good = [one.file_id for one in map(sandbox.recordings.at, range(50)) if one.category == "Video"][:3]
        manifest = write_manifest(
            tmp_path / "archive.csv", [[good[0]], ["1397757897438985123"], ["1.39E+18"], [good[1]]]
        )
        verification = IdVerification(manifest, ACCOUNT, endpoint=url, rate_per_s=1000)
        faults = [fault async for page in verification.faults() for fault in page]
    found = [(fault.line, fault.finding) for fault in faults if fault.finding in ("missing", "invalid")]
    assert found == [(3, "missing"), (4, "invalid")]
    assert (verification.counts.ids, verification.counts.wrong) == (3, len(faults))
    with pytest.raises(RuntimeError, match="create another one"):
        await anext(verification.faults())


# -- fetching --------------------------------------------------------------------------------------


async def copied_ledger(folder: Path) -> Path:
    """An empty ledger in a folder."""
    return copy_ledger(await empty_ledger(), folder / "batcher.db")


async def test_program_fetches_pictures_and_sees_the_progress(tmp_path: Path) -> None:
    """The type-checked program gets the exit code, files, an index and the progress at the end."""
    ledger = await copied_ledger(tmp_path)
    async with serving_pictures() as server:
        keep_tasks(ledger, [finished("7", server.add("/a"), f"{server.url}/gone")])
        code, bars = await program("fetch.py")["fetched"](ledger, tmp_path / "out", f"{server.url}/")
    assert (code, bars[-1]) == (ExitCode.TROUBLE, "2/2")
    assert (tmp_path / "out/7/0001.jpg").is_file()
    assert len((tmp_path / "out/pictures.csv").read_text("utf-8").splitlines()) == 3


async def test_fetch_under_way_emits_progress_each_second(tmp_path: Path) -> None:
    """A picture that is slow to come does not keep the progress from being reported."""
    ledger = await copied_ledger(tmp_path)
    seen: list[FetchProgress] = []
    async with serving_pictures() as server, asyncio.timeout(DEADLINE_S):
        server.slow = asyncio.Event()

        def on_event(event: Event) -> None:
            if isinstance(event, FetchProgress):
                seen.append(event)
                assert server.slow is not None
                server.slow.set()

        keep_tasks(ledger, [finished("7", server.add("/a"))])
        fetch = PictureFetch(ledger, tmp_path / "out", endpoint=f"{server.url}/", on_event=on_event)
        summary = await fetch.run()
    assert [(one.ended, one.total) for one in (seen[0], seen[-1])] == [(0, 1), (1, 1)]
    assert (summary.exit_code, summary.n_fetched) == (ExitCode.DONE, 1)


async def test_fetch_cancelled_has_a_summary_and_the_next_fetches_the_rest(tmp_path: Path) -> None:
    """A cancellation is raised, and what was fetched by then stays recorded."""
    ledger = await copied_ledger(tmp_path)
    async with serving_pictures() as server, asyncio.timeout(DEADLINE_S):
        keep_tasks(ledger, [finished("7", server.add("/a"), server.add("/b"))])
        server.hanging = {"/b"}
        fetch = PictureFetch(ledger, tmp_path / "out", endpoint=f"{server.url}/")
        task = asyncio.create_task(fetch.run())
        await until(lambda: query(ledger, "SELECT count(*) FROM pictures WHERE state = 'whole'") == [(1,)])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert fetch.summary is not None
        assert (fetch.summary.cancelled, fetch.summary.n_fetched) == (True, 1)
        server.hanging = set()
        rest = await PictureFetch(ledger, tmp_path / "out", endpoint=f"{server.url}/").run()
        with pytest.raises(RuntimeError, match="runs once"):
            await fetch.run()
    assert (rest.exit_code, rest.n_fetched, rest.in_place) == (ExitCode.DONE, 1, 1)


async def test_fetch_with_unusable_arguments_is_refused(tmp_path: Path) -> None:
    """Errors name parameters, the recording, or the kind of service."""
    ledger = await copied_ledger(tmp_path)
    keep_tasks(ledger, [finished("7", "http://127.0.0.1:9/a")])
    with pytest.raises(SettingsError, match=r"concurrency 0: .*\nmax_bytes -1: "):
        PictureFetch(ledger, tmp_path / "out", concurrency=0, max_bytes=-1)
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"folder .*: this is a file"):
        await PictureFetch(ledger, tmp_path / "file", endpoint="http://127.0.0.1:9/").run()
    with pytest.raises(BatcherError, match="recording 8: "):
        await PictureFetch(ledger, tmp_path / "out", endpoint="http://127.0.0.1:9/", recordings=["8"]).run()
    with pytest.raises(BindingError, match="belongs to"):
        await PictureFetch(ledger, tmp_path / "out").run()


# -- listening -------------------------------------------------------------------------------------


async def test_program_listens_until_it_is_cancelled(tmp_path: Path) -> None:
    """The type-checked program creates the ledger, takes a recording as a submission, and ends in order."""
    ledger = tmp_path / "batcher.db"
    async with Sandbox(holding(0)).serve() as endpoint, asyncio.timeout(DEADLINE_S):
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(program("listen.py")["listening"](ledger, SECRET, ACCOUNT, endpoint, url))
        await asyncio.wait([task, url], return_when=asyncio.FIRST_COMPLETED)
        status, _ = await post(await url, sealed(record("1397757897438985123")))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert status == 200
    assert query(ledger, "SELECT file_id, state FROM submissions") == [("1397757897438985123", "pending")]


async def test_listener_with_unusable_arguments_is_refused(tmp_path: Path) -> None:
    """Errors name parameters."""
    with pytest.raises(SettingsError, match=r"port 70000: .*\npath zego: "):
        ListenSettings(port=70000, path="zego")
    with pytest.raises(SettingsError, match="callback_secret: "):
        CallbackListener(tmp_path / "batcher.db", "two words")
    with pytest.raises(SettingsError, match="rate_per_s 0: "):
        CallbackListener(tmp_path / "batcher.db", SECRET, ACCOUNT, rate_per_s=0)
    with pytest.raises(SettingsError, match=r"^cert .*: there is no such file"):
        CallbackListener(tmp_path / "b.db", SECRET, settings=ListenSettings(cert=tmp_path / "none.pem"))


# -- parameters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("archive", "values", "message"),
    [
        (Archive.TENCENT, {}, "since: "),
        (Archive.TENCENT, {"since": datetime(2026, 1, 1)}, "since, until: .* time zone"),  # noqa: DTZ001 - wrong
        (Archive.TENCENT, {"since": UNTIL, "until": SINCE}, "since, until: 2026-09-22"),
        (Archive.TENCENT, {"since": SINCE, "categories": ("Film",)}, "categories Film: "),
        (Archive.HUAWEI, {"min_duration_s": 10.0}, "min_duration_s: "),
    ],
)
def test_discovery_filter_that_cannot_be_used_names_its_parameter(
    archive: Archive, values: dict[str, object], message: str
) -> None:
    """The message begins with the parameter."""
    with pytest.raises(SettingsError, match=f"^{message}"):
        DiscoveryFilter(archive, **values)  # type: ignore[arg-type] # as named


def test_known_recordings_until_without_since_is_refused() -> None:
    """The message begins with the parameter."""
    with pytest.raises(SettingsError, match=r"^until: "):
        KnownRecordings(until=UNTIL)


def test_programs_of_the_typing_folder_pass_the_strict_type_checker(tmp_path: Path) -> None:
    """A program that uses the library as documented passes; one with a wrong type does not."""
    programs = sorted(PROGRAMS.glob("*.py"))
    assert [path.stem for path in programs] == ["discover", "fetch", "listen", "run"]
    wrong = tmp_path / "wrong.py"
    wrong.write_text(programs[0].read_text("utf-8").replace("rate_per_s=100.0", 'rate_per_s="100"'), "utf-8")
    root = PROGRAMS.parents[1]
    options = ("--no-error-summary", f"--config-file={root / 'pyproject.toml'}")
    done = [
        subprocess.run(
            [sys.executable, "-m", "mypy", *options, f"--cache-dir={root / '.mypy_cache'}", path],
            cwd=tmp_path,
            env={"PATH": "", "MYPYPATH": str(root)},
            capture_output=True,
            text=True,
            check=False,
            timeout=250,
        )
        for path in (*programs, wrong)
    ]
    assert [(one.returncode, one.stdout.count("[arg-type]")) for one in done] == [(0, 0)] * 4 + [(1, 2)]
