"""The metrics of a run: by HTTP during the run, and in the node exporter's file."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from support.cli import FAST, PICTURES, Cli, Process, serving, tencent_ids, until
from support.ledger_place import copy_ledger, empty_ledger
from support.ledger_sql import query, writing

from batcher.ledger.reader import open_for_reading
from batcher.sandbox import Fault, Sandbox, SandboxSettings
from batcher.telemetry.metrics import Metrics, written

DASHBOARD = Path(__file__).parents[2] / "contrib" / "grafana" / "batcher.json"

Manifest = Callable[..., Path]
Samples = dict[tuple[str, str], float]

IDS = tencent_ids(6)
MIXED = SandboxSettings(
    rate_per_s=None,
    by_file={IDS[0]: Fault.parse("hang"), IDS[1]: Fault.parse("code:41003"), IDS[2]: Fault.parse("slow:300")},
)
"""One is never answered, one does not exist, one takes its time, three are taken."""


def samples(text: str) -> Samples:
    """Every sample by its name and the values of its labels, a state before its code."""
    return {
        (one.name, ",".join(one.labels[label] for label in sorted(one.labels, reverse=True))): one.value
        for family in parse(text)
        for one in family.samples
    }


def of_file(path: Path) -> Samples:
    """The samples in a metrics file."""
    return samples(path.read_text("utf-8"))


async def url_of(process: Process) -> str:
    """Where a run says that its figures are."""
    assert process.stderr is not None
    async with asyncio.timeout(90):
        while line := (await process.stderr.readline()).decode():
            if line.startswith("Metrics: "):
                return line.split()[1]
    raise AssertionError("the run has not said where its metrics are")


async def scrape(url: str, accept: str = "") -> aiohttp.ClientResponse:
    """GET the figures; the body is read."""
    async with aiohttp.ClientSession() as session, session.get(url, headers={"Accept": accept}) as answer:
        await answer.read()
        return answer


@asynccontextmanager
async def hanging_run(
    cli: Cli, manifest: Manifest, *options: str | Path
) -> AsyncIterator[tuple[Process, Sandbox]]:
    """A run that has five of six answers and waits for the last; killed in the end, if it still runs."""
    async with serving(cli, MIXED) as sandbox:
        process = await cli.start(
            "run", manifest(IDS), *PICTURES, *FAST, *options, env={"BATCHER_GRACE": "0"}
        )
        await until(lambda: len(sandbox.log) == 6 and _answered(cli) == 5)
        yield process, sandbox


def _answered(cli: Cli) -> int:
    return int(
        query(cli.folder / "batcher.db", "SELECT count(*) FROM attempts WHERE outcome IS NOT NULL")[0][0]
    )


async def test_scrape_shows_where_a_run_is(cli: Cli, manifest: Manifest) -> None:
    """State and code, outcomes, seconds, pace and cap, queue and doubt, during the run."""
    async with hanging_run(cli, manifest, "--metrics-port", "0") as (process, _):
        url = await url_of(process)
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/metrics", url)
        answer = await scrape(url)
        now = samples(await answer.text())
        opened = await scrape(url, "application/openmetrics-text; version=1.0.0")
        families = {family.name for family in parse_openmetrics(await opened.text())}  # type: ignore[no-untyped-call]  # the library leaves it untyped
        process.send_signal(signal.SIGTERM)
        done = await cli.finish(process)
    assert done.code == 143
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert opened.headers["Content-Type"].startswith("application/openmetrics-text")
    assert {"batcher_submissions", "batcher_attempts", "batcher_request_seconds"} <= families
    expected = {
        ("batcher_submissions", "submitted,0"): 4,
        ("batcher_submissions", "rejected,41003"): 1,
        ("batcher_submissions", "sending,"): 1,
        ("batcher_submissions", "pending,"): 0,
        ("batcher_submissions", "failed,"): 0,
        ("batcher_submissions", "in_doubt,"): 0,
        ("batcher_attempts_total", "answer"): 5,
        ("batcher_attempts_total", "reply_lost"): 0,
        ("batcher_decisions_total", "submitted"): 4,
        ("batcher_decisions_total", "rejected"): 1,
        ("batcher_request_seconds_count", ""): 5,
        ("batcher_in_doubt", ""): 0,
        ("batcher_queue_left", ""): 1,
        ("batcher_cap_per_second", ""): 2000,
        ("batcher_runs_total", ""): 1,
        ("batcher_last_success_timestamp_seconds", ""): 0,
        ("batcher_ledger_readable", ""): 1,
    }
    assert {key: now.get(key) for key in expected} == expected
    assert 0 < now["batcher_pace_per_second", ""] <= 2000
    assert now["batcher_request_seconds_bucket", "0.3"] <= 4, "the slow one took longer"
    assert now["batcher_request_seconds_sum", ""] >= 0.3
    started = query(cli.folder / "batcher.db", "SELECT started_at_ms FROM runs")[0][0]
    assert now["batcher_run_started_timestamp_seconds", ""] == started / 1000
    assert now["batcher_last_accepted_timestamp_seconds", ""] >= started / 1000
    assert ("batcher_last_run_exit_code", "") not in now, "no run has ended yet"


async def test_dashboard_uses_existing_metrics(cli: Cli, manifest: Manifest) -> None:
    """Every metric, and every label that splits it, is one that a run shows."""
    path = cli.folder / "batcher.prom"
    async with serving(cli):
        assert (await cli.run(manifest(IDS), *PICTURES, "--metrics-file", path)).code == 0
    families = list(parse(path.read_text("utf-8")))
    there = {sample.name for family in families for sample in family.samples}
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    asked = list(expressions(dashboard))
    assert len(asked) >= 15
    words = {word for one in asked for word in names_in(one)}
    known = {"sum", "max", "min", "by", "rate", "time", "changes", "histogram_quantile", "label_values"}
    assert words - known - labels - {"instance"} <= there
    assert {name for name in there if not name.endswith("_created")} - words == set(), "shown by no panel"


def expressions(value: object) -> Iterator[str]:
    """Every query of a dashboard: of panels, variables and annotations."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("expr", "query", "definition") and isinstance(inner, str) and inner != "prometheus":
                yield inner
            yield from expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner)


def names_in(expression: str) -> set[str]:
    """The words of a query outside of quotes and ranges."""
    return set(re.findall(r"[a-zA-Z_:][\w:]*", re.sub(r'"[^"]*"|\[[^]]*\]', "", expression)))


async def test_port_in_use_is_found_before_anything_is_sent(cli: Cli, manifest: Manifest) -> None:
    """Exit 2, with the port and why; the next run is free to go."""
    async with serving(cli) as sandbox:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            done = await cli.run(manifest(IDS), *PICTURES, "--metrics-port", str(port))
        assert done.code == 2
        assert (
            f"--metrics-port {port}: 127.0.0.1 cannot be listened on: Address already in use" in done.stderr
        )
        assert sandbox.log == []
        assert (await cli.run(manifest(IDS), *PICTURES, "--metrics-port", str(port))).code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--metrics-port", "0", "--metrics-host", "no.such.host.invalid"),
            "this machine has no such address",
        ),
        (("--metrics-port", "0", "--metrics-host", "192.0.2.1"), "cannot be listened on"),
        (("--metrics-port", "70000"), "--metrics-port 70000: "),
    ],
)
async def test_address_that_is_not_ours_is_refused(
    cli: Cli, manifest: Manifest, options: tuple[str, ...], said: str
) -> None:
    """Exit code 2 and nothing sent, for every fault of the address."""
    async with serving(cli) as sandbox:
        done = await cli.run(manifest(IDS), *PICTURES, *options)
        assert (done.code, sandbox.log) == (2, [])
    assert said in done.stderr


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
async def test_metrics_are_served_on_ipv6(cli: Cli, manifest: Manifest, host: str) -> None:
    """An IPv6 address is listened on, and its URL can be pasted."""
    options = ("--metrics-port", "0", "--metrics-host", host)
    async with hanging_run(cli, manifest, *options) as (process, _):
        url = await url_of(process)
        assert url.startswith("http://[::1]:")
        assert samples(await (await scrape(url)).text())["batcher_queue_left", ""] == 1
        process.send_signal(signal.SIGTERM)
        await cli.finish(process)


async def test_silent_connection_does_not_delay_a_run(cli: Cli, manifest: Manifest) -> None:
    """A run ends although a connection to its port stays open."""
    async with hanging_run(cli, manifest, "--metrics-port", "0") as (process, _):
        port = int((await url_of(process)).rpartition(":")[2].removesuffix("/metrics"))
        _, silent = await asyncio.open_connection("127.0.0.1", port)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(90):
            assert (await cli.finish(process)).code == 143
        silent.close()


async def test_metrics_file_has_the_exit_code(cli: Cli, manifest: Manifest) -> None:
    """Its figures outlast the run: exit code, last success, and what is left, run after run."""
    path = cli.folder / "batcher.prom"
    faults = SandboxSettings(rate_per_s=None, by_file={IDS[0]: Fault.parse("code:41003")})
    async with serving(cli, faults):
        archive = manifest(IDS)
        assert (await cli.run(archive, *PICTURES, "--metrics-file", path, "--limit", "2")).code == 4
        first = of_file(path)
        assert (await cli.run(archive, *PICTURES, "--metrics-file", path)).code == 1
        second = of_file(path)
        assert (await cli.run(archive, *PICTURES, "--metrics-file", path)).code == 0
        third = of_file(path)
    exit_codes = [one["batcher_last_run_exit_code", ""] for one in (first, second, third)]
    assert exit_codes == [4, 1, 0]
    assert [one["batcher_queue_left", ""] for one in (first, second, third)] == [4, 0, 0]
    assert [one["batcher_runs_total", ""] for one in (first, second, third)] == [1, 2, 3]
    assert [one["batcher_attempts_total", "answer"] for one in (first, second, third)] == [2, 4, 0]
    assert second["batcher_last_success_timestamp_seconds", ""] == 0
    ended = query(cli.folder / "batcher.db", "SELECT max(ended_at_ms) FROM runs")[0][0]
    assert third["batcher_last_success_timestamp_seconds", ""] == ended / 1000
    assert third["batcher_submissions", "rejected,41003"] == 1
    assert path.stat().st_mode & 0o444 == 0o444, "the node exporter is another user"
    assert [one.name for one in cli.folder.iterdir() if "prom" in one.name] == ["batcher.prom"]


async def test_metrics_file_has_the_exit_code_of_a_halt_and_a_signal(cli: Cli, manifest: Manifest) -> None:
    """A run that is halted or stopped leaves its exit code and its figures."""
    path = cli.folder / "batcher.prom"
    async with hanging_run(cli, manifest, "--metrics-file", path) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert (await cli.finish(process)).code == 143
    stopped = of_file(path)
    assert stopped["batcher_last_run_exit_code", ""] == 143
    assert stopped["batcher_attempts_total", "reply_lost"] == 0
    assert stopped["batcher_queue_left", ""] == 1
    async with serving(cli) as sandbox:
        cli.env["BATCHER_SERVER_SECRET"] = "0" * 32
        assert (await cli.run("--metrics-file", path)).code == 3
        assert len(sandbox.log) == 1
    halted = of_file(path)
    assert halted["batcher_last_run_exit_code", ""] == 3
    assert halted["batcher_decisions_total", "halt"] == 1


async def test_run_that_does_not_begin_leaves_anothers_file_alone(cli: Cli, manifest: Manifest) -> None:
    """Neither a held ledger nor an unusable manifest changes the metrics of the run in progress."""
    path = cli.folder / "batcher.prom"
    broken = cli.folder / "broken.csv"
    broken.write_bytes("file_id\n\xff\xfe\xff\n".encode("latin-1"))
    async with hanging_run(cli, manifest, "--metrics-file", path) as (process, _):
        await until(path.exists)
        before = path.stat()
        assert (await cli.run("--alone", "--metrics-file", path)).code == 5
        assert (await cli.run(broken, *PICTURES, "--metrics-file", path)).code == 2
        after = path.stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        process.send_signal(signal.SIGTERM)
        await cli.finish(process)
        assert of_file(path)["batcher_last_run_exit_code", ""] == 143
        assert (await cli.run(broken, *PICTURES, "--metrics-file", path)).code == 2
        metrics_now = of_file(path)
    assert metrics_now["batcher_last_run_exit_code", ""] == 2, "no other run keeps the file now"
    assert metrics_now["batcher_submissions", "submitted,0"] == 4


@pytest.mark.parametrize("place", ["missing/batcher.prom", "folder", "pipe"])
async def test_unwritable_metrics_file_gives_one_warning(cli: Cli, manifest: Manifest, place: str) -> None:
    """A warning, and the run continues; a device is not replaced by a file."""
    (cli.folder / "folder").mkdir()
    os.mkfifo(cli.folder / "pipe")
    async with serving(cli):
        done = await cli.run(manifest(IDS), *PICTURES, "--metrics-file", place)
    assert done.code == 0
    warnings = [line for line in done.stderr.splitlines() if "--metrics-file" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith(
        f"batcher: warning: --metrics-file {cli.folder / place}: cannot be written: "
    )
    assert (cli.folder / "pipe").is_fifo()


async def test_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """A reader finds the whole file while it is being rewritten."""
    ledger, path = tmp_path / "batcher.db", tmp_path / "batcher.prom"
    copy_ledger(await empty_ledger(), ledger)
    found = list[int]()
    enough = threading.Event()

    def read() -> None:
        try:
            while len(found) < 3_000 or (len(inodes) == 1 and len(found) < 1_000_000):
                found.append(len(path.read_bytes()))
        finally:
            enough.set()

    async with await open_for_reading(ledger) as reader:
        metrics = Metrics(reader, "0")
        whole = len(await metrics.text())
        await metrics.write(path)
        inodes = {path.stat().st_ino}
        async with written(metrics, path, pytest.fail, every_s=0.0):
            reading = threading.Thread(target=read, daemon=True)
            reading.start()
            while not enough.is_set():
                await asyncio.sleep(0.001)
                inodes.add(path.stat().st_ino)
            reading.join()
    assert set(found) == {whole}
    assert len(inodes) > 1, "it was not rewritten meanwhile"


async def test_ledger_that_cannot_be_read_leaves_its_last_figures(tmp_path: Path) -> None:
    """A scrape is answered all the same, and says that the ledger's part of it is old."""
    ledger = tmp_path / "batcher.db"
    copy_ledger(await empty_ledger(), ledger)
    async with await open_for_reading(ledger) as reader:
        metrics = Metrics(reader, "0")
        before = samples((await metrics.text()).decode())
        with writing(ledger) as database:
            database.execute("DROP TABLE tallies")
        after = samples((await metrics.text()).decode())
    assert before["batcher_ledger_readable", ""] == 1
    assert after["batcher_ledger_readable", ""] == 0
    assert after["batcher_queue_left", ""] == before["batcher_queue_left", ""] == 0


def test_metrics_are_imported_only_when_asked_for() -> None:
    """Only a run with metrics imports their modules."""
    code = "import sys, batcher.cli.commands.run; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
