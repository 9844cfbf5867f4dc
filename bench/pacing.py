"""The pacer's closeness to the limit, and its excesses, against servers that count in different ways.

Each case is a sandbox in a process of its own and `batcher run --rate 20` over 1,200 recordings; its
truth log is the measure. Prints a table in Markdown.

    python bench/pacing.py                 all cases, four at a time: about 4 minutes
    python bench/pacing.py --busy          the case without jitter, while both cores are kept busy
    python bench/pacing.py --rates         the pacer alone, from 1 to 5,000/s
    python bench/pacing.py --neighbour     another client takes 8/s for a while, then stops
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import aiohttp

from batcher.flowcontrol.pacer import Pacer

CALLS = 1200
LIMIT = 20
AT_ONCE = 4

_ID = 1397757890000000000
_SPREAD = 104729


@dataclass(frozen=True)
class Case:
    """One way of counting and one mean of ingress jitter."""

    counting: str
    count_refused: bool
    jitter_ms: float

    @property
    def name(self) -> str:
        """For the table."""
        refused = "counted" if self.count_refused else "not counted"
        return f"{self.counting}, refused {refused} | {self.jitter_ms:g}"


@dataclass(frozen=True)
class Arrival:
    """One request as the sandbox saw it."""

    at_s: float
    accepted: bool
    app: str


@asynccontextmanager
async def sandbox(case: Case, log: Path) -> AsyncIterator[dict[str, str]]:
    """A sandbox in a process of its own; yields the variables it asks to be set."""
    command = [sys.executable, "-m", "batcher", "sandbox", "--port", "0", "--counting", case.counting]
    command += ["--jitter", str(case.jitter_ms), "--log", str(log), "--seed", "1"]
    command += ["--count-refused"] if case.count_refused else []
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    variables = {}
    try:
        for _ in range(4):
            line = (await process.stdout.readline()).decode().removeprefix("export ").strip()
            name, _, value = line.partition("=")
            variables[name] = value
        yield variables
    finally:
        process.terminate()
        await process.wait()


def manifest(path: Path, rows: int) -> Path:
    """Recordings that do not exist: ids of 19 digits."""
    lines = ["file_id", *(str(_ID + n * _SPREAD) for n in range(1, rows + 1))]
    path.write_text("\n".join(lines) + "\n")
    return path


async def submit(variables: dict[str, str], folder: Path, rows: int) -> None:
    """`batcher run` over so many recordings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BATCHER_")}
    environment |= variables | {"BATCHER_LEDGER": str(folder / "ledger.db")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "batcher", "run", str(manifest(folder / "rows.csv", rows)), "-q"),
        *("--vendor", "Tencent", "--definition", "10", "--offset", "1", "--rate", str(LIMIT)),
        env=environment,
        cwd=folder,
    )
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def arrivals(log: Path) -> list[Arrival]:
    """The truth log in the order of arrival."""
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    found = [Arrival(e["arrived_s"], e["accepted"], e["file_id"] or "") for e in entries]
    return sorted(found, key=lambda one: one.at_s)


def most_in_any_second(times: Sequence[float]) -> int:
    """The most arrivals in any sliding second."""
    most, first = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def figures(seen: Sequence[Arrival]) -> str:
    """Accepted per second, share refused, most in any sliding second; as cells of a table."""
    accepted = [one.at_s for one in seen if one.accepted]
    per_s = (len(accepted) - 1) / (accepted[-1] - accepted[0])
    refused = 1 - len(accepted) / len(seen)
    return f"{per_s:.2f} | {refused:.2%} | {most_in_any_second([one.at_s for one in seen])}"


async def measure(case: Case, slots: asyncio.Semaphore) -> str:
    """Run one case; returns its row of the table."""
    async with slots:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            async with sandbox(case, folder / "truth.jsonl") as variables:
                await submit(variables, folder, CALLS)
            row = f"| {case.name} | {figures(arrivals(folder / 'truth.jsonl'))} |"
    print(row, flush=True)
    return row


async def table(cases: Sequence[Case]) -> None:
    """All cases, some at a time."""
    print("| server counts | jitter, ms | accepted/s | refused | most in any second |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    slots = asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(measure(case, slots) for case in cases))


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core busy."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(os.cpu_count() or 2)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


async def take(variables: dict[str, str], per_s: float, seconds: float) -> None:
    """Another client of the same AppId: submits at an even pace, regardless of the answers."""
    app_id, secret = variables["BATCHER_APP_ID"], variables["BATCHER_SERVER_SECRET"]
    end = time.monotonic() + seconds
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:

        async def call(n: int) -> None:
            nonce, at = secrets.token_hex(8), int(time.time())
            signed = hashlib.md5(f"{app_id}{nonce}{secret}{at}".encode()).hexdigest()
            query = {
                "Action": "MediaThumbnails",
                "Vendor": "Huawei",
                "FileId": f"/neighbour/{n}.mp4",
                "Interval": "2",
                "Type": "SampleSnapshot",
                "AppId": app_id,
                "SignatureNonce": nonce,
                "Timestamp": str(at),
                "Signature": signed,
                "SignatureVersion": "2.0",
            }
            async with session.get(variables["BATCHER_ENDPOINT"], params=query) as response:
                await response.read()

        n = 0
        while time.monotonic() < end:
            n += 1
            group.create_task(call(n))
            await asyncio.sleep(1 / per_s)


async def neighbour(count_refused: bool, together_s: float = 120, after_s: float = 240) -> None:
    """Alone, then beside a client that takes 8/s, then alone again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "truth.jsonl"
        async with sandbox(Case("sliding", count_refused, 0), log) as variables:
            ours = asyncio.create_task(submit(variables, folder, 100_000))
            await asyncio.sleep(15)
            began = time.monotonic()
            await take(variables, 8, together_s)
            stopped = time.monotonic()
            await asyncio.sleep(after_s)
            ours.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ours
        seen = [one for one in arrivals(log) if not one.app.startswith("/neighbour/")]
    beside = [one for one in seen if began <= one.at_s < stopped]
    settled = [one for one in beside if one.at_s >= began + 30]
    per_s = sum(one.accepted for one in settled) / (stopped - began - 30)
    after = [one.at_s - stopped for one in seen if one.accepted and one.at_s >= stopped]
    back = next((at for at in after if sum(at <= b < at + 10 for b in after) >= 190), None)
    refused = 1 - sum(one.accepted for one in beside) / len(beside)
    counted = "counted" if count_refused else "not counted"
    print(
        f"refused {counted}: beside it {per_s:.1f}/s accepted, {refused:.2%} refused (onset included); "
        f"19/s again {'never' if back is None else f'{back:.0f} s'} after it stopped",
        flush=True,
    )


async def rates(seconds: float = 6) -> None:
    """The pacer alone, with as many workers as it takes: which share of the rate it reaches."""
    print("| rate/s | turns/s | ratio |")
    print("| --- | --- | --- |")
    for rate in (1, 5, 20, 100, 200, 300, 500, 1000, 2000, 5000):
        pacer = Pacer(rate, time.monotonic)
        turns = 0
        await pacer.turn()
        began = time.monotonic()

        async def work(pacer: Pacer = pacer, end: float = began + seconds) -> None:
            nonlocal turns
            while time.monotonic() < end:
                async with pacer.line():
                    await pacer.turn()
                turns += 1
                await asyncio.sleep(0.005)  # what a request would take

        await asyncio.gather(*(work() for _ in range(max(1, min(64, rate // 10)))))
        per_s = turns / (time.monotonic() - began)
        print(f"| {rate} | {per_s:.1f} | {per_s / rate:.3f} |", flush=True)


async def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--neighbour", action="store_true")
    parser.add_argument("--rates", action="store_true")
    chosen = parser.parse_args()
    if chosen.neighbour:
        await asyncio.gather(neighbour(False), neighbour(True))
    elif chosen.rates:
        await rates()
    elif chosen.busy:
        with busy_cores():
            await table([Case("sliding", False, 0), Case("aligned", False, 0)])
    else:
        ways = product((0.0, 5.0, 20.0), ("sliding", "aligned"), (False, True))
        await table([Case(counting, refused, jitter) for jitter, counting, refused in ways])


if __name__ == "__main__":
    asyncio.run(main())
