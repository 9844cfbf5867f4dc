"""Runs that end before their work does, and runs that are only talked about."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from support.cli import FAST, NO_LIMIT, PICTURES, Cli, serving, tencent_ids, write_manifest
from support.cli import until as moment
from support.ledger_place import is_there
from support.ledger_sql import query

from batcher.cli.until_option import until, window_s
from batcher.config.examine import load_settings
from batcher.report.estimate import rest
from batcher.sandbox import SandboxSettings


async def test_run_ends_after_its_time_and_the_next_resumes(cli: Cli, manifest: Callable[..., Path]) -> None:
    """It drains, has exit code 4, says how long the rest takes in nights, and leaves nothing in doubt."""
    archive = manifest(tencent_ids(100))
    async with serving(cli, NO_LIMIT) as sandbox:
        done = await cli("run", archive, *PICTURES, "--max-duration", "1s", "--progress", "none")
        assert done.code == 4, done.stderr
        sent = len(sandbox.log)
        assert 1 <= sent <= 30
        assert f"Time limit reached; {100 - sent} submissions left." in done.stderr
        assert "nights of 1 s." in done.stderr
        counts = (await cli.status())["submissions"]
        assert (counts["submitted"], counts["pending"]) == (sent, 100 - sent)
        done = await cli("run", "--rate", "1000", "--max-duration", "1h", "--progress", "none")
        assert done.code == 0, done.stderr
    assert len(sandbox.log) == 100


async def test_manifest_not_read_to_its_end_in_time_is_unfinished(cli: Cli) -> None:
    """A stream that is held open does not keep a run beyond its time."""
    ids = tencent_ids(20)
    async with serving(cli, NO_LIMIT) as sandbox:
        process = await cli.start("run", "-", *PICTURES, "--max-duration", "2s", "--progress", "none")
        assert process.stdin is not None
        process.stdin.write(("file_id\n" + "".join(f"{ids[n % 20]}\n" for n in range(11_000))).encode())
        await process.stdin.drain()
        async with asyncio.timeout(90):
            assert await process.wait() == 4
        counts = (await cli.status())["submissions"]
    assert counts["submitted"] == counts["total"] == len(sandbox.log) == 20


HEAD = "file_id\n" + "".join(f"{one}\n" for one in tencent_ids(25))
"""A header and rows, far fewer than a manifest is judged by."""


@asynccontextmanager
async def slow_web(sent: str) -> AsyncIterator[str]:
    """A web server whose only file comes as far as this and no further."""
    held = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(sent.encode())
        await held.wait()
        return response

    async with RawTestServer(answer) as server:
        try:
            yield str(server.make_url("/nightly.csv"))
        finally:
            held.set()


async def test_stalled_stream_keeps_no_run_beyond_its_time(cli: Cli) -> None:
    """Its first rows are loaded and nothing is sent; one line says so, also with -q; the next run resumes."""
    async with serving(cli, NO_LIMIT) as sandbox:
        process = await cli.start("run", "-", *PICTURES, *FAST, "--max-duration", "1s", "-q")
        assert process.stdin is not None
        process.stdin.write(HEAD.encode())
        await process.stdin.drain()
        async with asyncio.timeout(90):
            assert process.stderr is not None
            said = (await process.stderr.read()).decode()
            assert await process.wait() == 4
        status = await cli.status()
        assert sandbox.log == []
        done = await cli.run("-", *PICTURES, stdin=HEAD.encode())
    assert said.startswith(
        "batcher: time limit reached while stdin was still being read (25 rows arrived, loaded now); "
        "25 submissions left. Check why it is slow, then run again to resume\n"
    )
    assert (status["submissions"]["pending"], status["last_run"]["exit_code"]) == (25, 4)
    assert [load["unfinished"] for load in status["loads"]] == [True]
    assert (done.code, len(sandbox.accepted())) == (0, 25)


async def test_manifest_at_a_slow_url_keeps_no_run_beyond_its_time(cli: Cli) -> None:
    """Its rows so far are loaded, under its address; those after it are named as well, and not begun."""
    write_manifest(cli.folder / "later.csv", [[one] for one in tencent_ids(3, seed=2)])
    async with serving(cli, NO_LIMIT) as sandbox, slow_web(HEAD) as url:
        done = await cli("run", url, "later.csv", *PICTURES, *FAST, "--max-duration", "2s", "--json")
        loads = (await cli.status())["loads"]
        assert sandbox.log == []
        rest = await cli.run("later.csv", *PICTURES)
    assert done.code == 4, done.stderr
    assert done.data["reason"].startswith(f"time limit reached while {url} was still being read (")
    assert done.data["unfinished_loads"] == [url, "later.csv"]
    assert done.data["submissions"]["pending"] == 25
    assert [(load["source"], load["unfinished"]) for load in loads] == [(url, True)]
    assert len(sandbox.accepted()) == 28
    assert rest.code == 4


async def test_empty_stalled_stream_ends_with_the_time_of_the_run(cli: Cli) -> None:
    """Without even a header the run is on record, and the open submissions are reported."""
    async with serving(cli, NO_LIMIT):
        process = await cli.start("run", "-", *PICTURES, *FAST, "--max-duration", "1s", "--json")
        async with asyncio.timeout(90):
            assert process.stdout is not None
            result = json.loads(await process.stdout.read())
            assert await process.wait() == 4
    assert "stdin was still being read (no row arrived); 0 submissions left" in result["reason"]


async def test_rows_of_a_stalled_stream_are_judged(cli: Cli) -> None:
    """Rounded ids are refused, and nothing of them is kept."""
    async with serving(cli, NO_LIMIT):
        process = await cli.start("run", "-", *PICTURES, *FAST, "--max-duration", "1s")
        assert process.stdin is not None
        process.stdin.write(("file_id\n" + "".join(f"{n}0000\n" for n in range(9**9, 9**9 + 40))).encode())
        await process.stdin.drain()
        async with asyncio.timeout(90):
            assert process.stderr is not None
            said = (await process.stderr.read()).decode()
            assert await process.wait() == 2
        assert (await cli.status())["submissions"]["total"] == 0
    assert "40 of 40 Tencent ids end in 0000" in said


async def test_run_that_waits_for_its_manifest_can_be_stopped(cli: Cli) -> None:
    """In order, with its exit code and a word."""
    async with serving(cli, NO_LIMIT):
        process = await cli.start("run", "-", *PICTURES, *FAST)
        await until_listening(process.pid)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(90):
            assert process.stderr is not None
            said = (await process.stderr.read()).decode()
            assert await process.wait() == 143
    assert said == "batcher: stopped while the manifests were read; nothing has begun\n"


@pytest.mark.about_files
async def test_run_does_not_wait_for_the_ledger_beyond_its_time(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """The run ends at its time even if ``--wait-lock`` is longer."""
    hanging = SandboxSettings(rate_per_s=None, shares={"hang": 1.0})
    async with serving(cli, hanging) as sandbox:
        first = await cli.start("run", manifest(tencent_ids(2)), *PICTURES, *FAST, env={"BATCHER_GRACE": "0"})
        await sandbox.wait_for(lambda: len(sandbox.log) == 2, 20)
        async with asyncio.timeout(90):
            second = await cli("run", *FAST, "--wait-lock", "10m", "--max-duration", "1s")
        first.send_signal(signal.SIGTERM)
        await cli.finish(first)
    assert second.code == 5
    assert f"process {first.pid}" in second.stderr


async def until_listening(pid: int) -> None:
    """Wait until a process minds SIGTERM itself."""
    bit = 1 << (signal.SIGTERM - 1)
    status = Path(f"/proc/{pid}/status")
    await moment(lambda: int(re.findall(r"SigCgt:\s*(\w+)", status.read_text())[0], 16) & bit != 0)


@pytest.mark.parametrize("lasts", ["0", "-1s", "soon", "1w"])
async def test_text_that_is_not_a_time_is_refused(
    cli: Cli, manifest: Callable[..., Path], lasts: str
) -> None:
    """Nothing is sent when the end of a run cannot be read."""
    done = await cli("run", manifest(tencent_ids(1)), *PICTURES, "--max-duration", lasts)
    assert done.code == 2
    assert "--max-duration" in done.stderr


NOON = datetime(2026, 3, 4, 12, 0)  # noqa: DTZ001 - what the clock on the wall shows


@pytest.mark.parametrize(
    ("asked", "hours"), [("12:30", 0.5), ("5:30", 17.5), ("12:00", 24.0), ("11:59", 24 - 1 / 60)]
)
def test_time_of_day_is_the_next_one(asked: str, hours: float) -> None:
    """Later today, or tomorrow."""
    end = until(load_settings({"until": asked}), NOON)
    assert end is not None
    assert end - NOON.astimezone(UTC) == timedelta(hours=hours)


def test_of_two_ends_the_first_counts() -> None:
    """A run whose time ends in the morning does not continue into the next night."""
    assert window_s(load_settings({"until": "14:00", "max_duration": "1h"}), NOON) == 3600
    assert window_s(load_settings({"until": "12:15", "max_duration": "1h"}), NOON) == 900
    assert window_s(load_settings({}), NOON) is None


def test_time_left_is_given_in_hours_and_nights() -> None:
    """Nights are named only with an end set, and only if one is not enough."""
    assert rest(72_000, 20.0, 2 * 3600) == "about 1 h at 20 a second"
    assert rest(720_000, 20.0, 3 * 3600) == "about 10 h at 20 a second, in 4 nights of 3 h"
    assert rest(20, 20.0, None) == "about 1 s at 20 a second"


async def test_dry_run_reports_the_work_of_a_run_and_does_nothing(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Rows, known ones, submissions to send and their time; no request, no ledger, no change of one."""
    ids = tencent_ids(50)
    archive = manifest([*ids[:40], *ids[:5], "no-number"])
    async with serving(cli, NO_LIMIT, ledger_made=False) as sandbox:
        done = await cli("run", archive, *PICTURES, "--dry-run", "--json")
        assert done.code == 1, done.stderr
        assert not is_there(cli.folder / "batcher.db")
        assert json.loads(done.stdout) == {
            "rows": 46,
            "distinct": 40,
            "new": 40,
            "invalid": 1,
            "would_send": 40,
            "open_before": 0,
            "asked": {
                "open": [],
                "new": [
                    {
                        "n": 40,
                        "vendor": "Tencent",
                        "type": "SnapshotByTimeOffset",
                        "definition": "10",
                        "interval": None,
                        "offsets": "1;2",
                    }
                ],
            },
        }
        assert "line 47" in done.stderr
        assert (await cli("load", manifest(ids[30:], name="later.csv"), *PICTURES)).code == 0
        before = {path.name: path.read_bytes() for path in sorted(cli.folder.glob("batcher.db*"))}
        done = await cli("run", archive, *PICTURES, "--dry-run", "--until", "05:30")
        assert done.code == 1, done.stderr
        assert "known already   10" in done.stderr
        assert "would be sent   50" in done.stderr
        assert {path.name: path.read_bytes() for path in sorted(cli.folder.glob("batcher.db*"))} == before
        other = ("--vendor", "Tencent", "--definition", "11", "--offset", "1")
        refused = await cli("run", "later.csv", *other, "--dry-run")
        assert refused.code == 2
        assert "--allow-resubmit" in refused.stderr
    assert sandbox.log == []


async def test_dry_run_needs_no_credentials_and_agrees_with_the_run(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """The run then sends exactly the submissions that the dry run has reported."""
    archive = manifest(tencent_ids(30))
    forecast = json.loads((await cli("run", archive, *PICTURES, "--dry-run", "--json")).stdout)
    async with serving(cli, NO_LIMIT) as sandbox:
        done = await cli("run", archive, *PICTURES, "--rate", "1000", "--progress", "none")
        assert done.code == 0, done.stderr
    assert len(sandbox.log) == forecast["would_send"] == 30
    assert query(cli.folder / "batcher.db", "SELECT count(*) FROM submissions") == [(30,)]


@pytest.mark.parametrize(
    ("printed", "code", "said"),
    [
        ("echo 0123456789abcdef0123456789abcdef", 0, ""),
        ("false", 2, "ended with exit code 1"),
        ("echo", 2, "first line is not a ServerSecret"),
        ("/no/such/command", 2, "No such file"),
    ],
)
async def test_command_may_print_the_secret(
    cli: Cli, manifest: Callable[..., Path], printed: str, code: int, said: str
) -> None:
    """Its first line is the ServerSecret; what goes wrong is said without its words."""
    archive = manifest(tencent_ids(2))
    async with serving(cli, NO_LIMIT) as sandbox:
        cli.env.pop("BATCHER_SERVER_SECRET", None)
        cli.env["BATCHER_SERVER_SECRET_COMMAND"] = printed
        done = await cli("run", archive, *PICTURES, "--progress", "none")
        assert done.code == code, done.stderr
        assert said in done.stderr
        assert "0123456789abcdef" not in done.stderr
    assert len(sandbox.log) == (2 if code == 0 else 0)


async def test_file_in_the_working_directory_names_no_command(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """A program that can write ``.env`` must not be able to run commands with it."""
    archive = manifest(tencent_ids(1))
    async with serving(cli, NO_LIMIT):
        cli.env.pop("BATCHER_SERVER_SECRET", None)
        (cli.folder / ".env").write_text("BATCHER_SERVER_SECRET_COMMAND=touch made\n")
        done = await cli("run", archive, *PICTURES, "--progress", "none")
    assert done.code == 2
    assert "set it in the environment itself" in done.stderr
    assert not (cli.folder / "made").exists()
