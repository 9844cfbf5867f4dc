"""``batcher sandbox`` on a terminal: output, service, refusals and exit."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from support.calling import Caller, signed
from support.cli import Cli, Process

from batcher.sandbox import SANDBOX_CALLBACK_SECRET


async def printed(process: Process) -> dict[str, str]:
    """The variables that a sandbox prints, as soon as it serves."""
    assert process.stdout is not None
    variables: dict[str, str] = {}
    async with asyncio.timeout(90):
        while "BATCHER_LEDGER" not in variables:
            line = (await process.stdout.readline()).decode()
            assert line, "it ended"
            found = re.fullmatch(r"export (\w+)=(\S+)\n", line)
            assert found
            variables[found[1]] = found[2]
    return variables


async def stopped(process: Process) -> tuple[int, str, str]:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(90):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_sandbox_command_applies_options_of_recordings_tasks_and_faults(cli: Cli) -> None:
    """SearchMedia, tasks and an Action's faults behave as the options say."""
    process = await cli.start(
        *("sandbox", "--port", "0", "--seed", "7", "--rate", "0", "--log", "truth.jsonl"),
        *("--recordings", "200000", "--days", "10", "--crowd", "6000", "--pages", "one"),
        *("--walk-end", "same-marker", "--task-time", "3600", "--task-endless", "0.5"),
        *("--fault", "DescribeMediaTask/code:6=1"),
    )
    variables = await printed(process)
    async with aiohttp.ClientSession() as session:
        caller = Caller(variables["BATCHER_ENDPOINT"], session)
        assert (await caller.ask("Action=SearchMedia&Vendor=Tencent&PageNumber=0")).code == 2
        found = (await caller.ask("Action=SearchMedia&Vendor=Tencent&PageNumber=1")).data
        assert (found["TotalCount"], len(found["MediaInfoSet"])) == (5000, 10)
        last = "/record/3"
        keys = (await caller.ask(f"Action=SearchMedia&Vendor=Huawei&Marker={quote(last)}")).data
        assert keys == {"Keys": [], "NextMarker": last}
        assert (await caller.ask("Action=DescribeMediaTask&Vendor=Huawei&TaskId=1")).code == 6
    code, out, err = await stopped(process)
    assert (code, out) == (0, f"export BATCHER_CALLBACK_SECRET={SANDBOX_CALLBACK_SECRET}\n")
    assert "seed 7" in err
    lines = [json.loads(line) for line in (cli.folder / "truth.jsonl").read_text("utf-8").splitlines()]
    assert [(line["action"], line["listed"], line["asked_task_id"]) for line in lines] == [
        ("SearchMedia", None, None),
        ("SearchMedia", 10, None),
        ("SearchMedia", 0, None),
        ("DescribeMediaTask", None, "1"),
    ]


async def test_sandbox_command_uses_a_given_callback_secret_and_does_not_print_it(cli: Cli) -> None:
    """The secret of the environment is used for signatures only."""
    own = "my-own-callback-secret"
    process = await cli.start("sandbox", "--port", "0", env={"BATCHER_CALLBACK_SECRET": own})
    await printed(process)
    _, out, err = await stopped(process)
    assert own not in out + err
    assert "CALLBACK" not in out


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (("--shape", "both"), "--shape both: give object, list or second"),
        (("--counting", "much"), "--counting much: give sliding, aligned or bucket"),
        (("--pages", "two"), "--pages two: give zero, one or one-lenient"),
        (("--walk-end", "never"), "--walk-end never: give"),
        (("--callback-body", "xml"), "--callback-body xml: give json, urlencoded or form"),
        (("--callback-url", "http://example.org/"), "give an http address of this machine"),
        (("--callback-scale", "-1"), "pauses of 0 or more"),
        (("--rate", "0.5"), "--rate 0.5: give a whole number"),
        (("--rate", "inf"), "--rate inf: give a whole number"),
        (("--recordings", "-1"), "give 0 or more for count"),
        (("--recordings", "5", "--crowd", "6"), "a crowd of 6 is larger than the count 5"),
        (("--recordings", "5", "--days", "nan"), "give a span of 0 to"),
        (("--recordings", "5", "--media", "."), "give one of them, not both"),
        (("--media", "nowhere"), "media nowhere: there is no such folder"),
        (("--task-time", "-1"), "give a time of 0 s or more"),
        (("--task-fail", "0.7", "--task-endless", "0.7"), "at most 1 in sum"),
        (("--fault", "callback/late=2"), "write FAULT=SHARE"),
        (("--fault", "callback/hang=0.1"), "The kinds are lost, doubled"),
        (("--fault", "SearchMedia/lost=0.1"), "The kinds are drop-before"),
        (("--fault", "Search/hang=0.1"), "give one of these before the slash: MediaThumbnails, SearchMedia"),
        (("--fault", "callback/lost=0.6", "--fault", "callback/late=0.6"), "at most 1 in sum"),
    ],
)
async def test_sandbox_command_with_a_wrong_option_exits_2(
    cli: Cli, args: tuple[str, ...], hint: str
) -> None:
    """The message says what to give."""
    done = await cli("sandbox", "--port", "0", *args)
    assert (done.code, hint in done.stderr) == (2, True), done.stderr


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
async def test_sandbox_command_with_200000_recordings_needs_little_memory(cli: Cli) -> None:
    """Every key is listed once, and the server is hardly larger than one without recordings."""
    process = await cli.start("sandbox", "--port", "0", "--rate", "0", "--recordings", "200000")
    variables = await printed(process)
    before_kb = _resident_kb(process)
    seen, marker, last = 0, "", ""
    async with aiohttp.ClientSession() as session:
        caller = Caller(variables["BATCHER_ENDPOINT"], session)
        while True:
            answer = await caller.get(signed(f"Action=SearchMedia&Vendor=Huawei&Marker={quote(marker)}"))
            data = answer.data
            seen += len(data["Keys"])
            assert last < data["Keys"][0]["Key"]
            last, marker = data["Keys"][-1]["Key"], data["NextMarker"]
            if not marker:
                break
    assert seen == 200_000
    assert _resident_kb(process) - before_kb < 15_000
    assert (await stopped(process))[0] == 0


def _resident_kb(process: Process) -> int:
    text = Path(f"/proc/{process.pid}/status").read_text("utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found
    return int(found[1])
