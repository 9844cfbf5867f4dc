"""Runs that share one limit through a ledger in PostgreSQL: what arrives, steady and under disturbances.

Each run is a process of its own, and as on a machine of its own: nothing but the ledger keeps it apart from
the others. The sandbox is a process, too, and its truth log is the measure. The server is a throwaway one.
Needs the tests' support: ``PYTHONPATH=tests python -m bench.sharing``. Prints tables in Markdown.

    --seconds N     of each steady case; 60 by default
    --disturbed N   seconds with a kill, a leave, a pause or a join every 15 s; 180 by default
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.postgres_server import (
    PostgresServer,
    end_session,
    find_programs,
    new_session_name,
    obtain_server,
)

from bench.pacing import Arrival, Case, arrivals, manifest, most_in_any_second, sandbox

RUNS = (1, 2, 3, 5, 8)
LIMIT = 20
EVERY_S = 15.0
PICTURES = ("--vendor", "Tencent", "--definition", "10", "--offset", "1")

_ALONE = (
    "import sys, batcher.flowcontrol.shared_folder as shared; shared.FOLDER = sys.argv.pop(1); "
    "from batcher.cli import main; main()"
)
"""The command, with a folder for the limit of its machine that no other run has."""

_schemas = itertools.count(1)


@dataclass
class Runs:
    """The runs of one case."""

    folder: Path
    environment: dict[str, str]
    server: PostgresServer
    schema: str
    log: Path
    live: list[asyncio.subprocess.Process] = field(default_factory=list)
    _machines: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def command(self, *args: str | Path) -> asyncio.subprocess.Process:
        """Start a command as on another machine."""
        machine = self.folder / f"machine-{next(self._machines)}"
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _ALONE, str(machine), *map(str, args), "-q"),
            env=self.environment,
            cwd=self.folder,
            stderr=subprocess.DEVNULL,
        )

    async def join(self) -> None:
        """Start a run more, and wait until it sends."""
        before = self._senders()
        self.live.append(await self.command("run", "--rate", str(LIMIT)))
        while self._senders() <= before:  # noqa: ASYNC110 - another process makes it so
            await asyncio.sleep(0.1)

    def end(self, index: int, number: int) -> None:
        """Send a signal to a run that is then none of the live ones."""
        self.live.pop(index).send_signal(number)

    def arrived(self, since_s: float) -> list[Arrival]:
        """What the sandbox has seen since a moment."""
        return [one for one in arrivals(self.log) if one.at_s >= since_s]

    def left(self, since: float) -> dict[int, list[float]]:
        """When requests left, by run, since a moment of the wall clock."""
        found: dict[int, list[float]] = {}
        sql = f"""SELECT run_id, sent_at_ms FROM {self.schema}.attempts WHERE sent_at_ms > {int(since * 1000)}
            ORDER BY sent_at_ms"""  # noqa: S608 - ours
        for run_id, sent_at_ms in self.server.query(sql):
            found.setdefault(run_id, []).append(sent_at_ms / 1000)
        return found

    def _senders(self) -> int:
        sql = f"SELECT count(*) FROM {self.schema}.runs WHERE ended_at_ms IS NULL AND share > 0"  # noqa: S608
        return int(self.server.query(sql)[0][0])


@asynccontextmanager
async def a_case(server: PostgresServer, rows: int, jitter_ms: float = 0.0) -> AsyncIterator[Runs]:
    """A sandbox and a ledger with so many recordings to send."""
    schema = f"bench_{next(_schemas)}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with sandbox(Case("sliding", True, jitter_ms), folder / "truth.jsonl") as variables:
            environment = {key: value for key, value in os.environ.items() if not key.startswith("BATCHER_")}
            environment |= variables | {"BATCHER_LEDGER": server.url(schema)}
            runs = Runs(folder, environment, server, schema, folder / "truth.jsonl")
            loading = await runs.command("load", manifest(folder / "rows.csv", rows), *PICTURES)
            assert await loading.wait() == 0, "the manifest could not be loaded"
            try:
                yield runs
            finally:
                for process in runs.live:
                    process.send_signal(signal.SIGCONT)
                    process.kill()
                await asyncio.gather(*(process.wait() for process in runs.live))
    server.drop_schema(schema)


def row(name: str, runs: Runs, began_s: float, began: float, lasted_s: float) -> str:
    """One row of the table."""
    seen = [one for one in runs.arrived(began_s) if one.at_s < began_s + lasted_s]
    left = sorted(at for each in runs.left(began).values() for at in each)
    refused = 1 - sum(one.accepted for one in seen) / max(1, len(seen))
    return (
        f"| {name} | {len(seen) / lasted_s:.2f} | {most_in_any_second(left)} | "
        f"{most_in_any_second([one.at_s for one in seen])} | {refused:.2%} |"
    )


async def steady(server: PostgresServer, n: int, seconds: float, jitter_ms: float = 0.0) -> str:
    """So many runs that come and go never."""
    async with a_case(server, int((seconds + 60) * LIMIT), jitter_ms) as runs:
        for _ in range(n):
            await runs.join()
        await asyncio.sleep(8)  # the shares are handed over
        began_s, began = time.monotonic(), time.time()
        await asyncio.sleep(seconds)
        jitter = f", jitter {jitter_ms:g} ms" if jitter_ms else ""
        return row(f"{n}{jitter}", runs, began_s, began, seconds)


async def disturbed(server: PostgresServer, n: int, seconds: float) -> str:
    """A kill, a leave, a pause of 3 to 25 s, each followed by a join where a run is gone."""
    rng = random.Random(n)
    async with a_case(server, int((seconds + 90) * LIMIT)) as runs:
        for _ in range(n):
            await runs.join()
        began_s, began = time.monotonic(), time.time()
        kinds = itertools.cycle(["kill", "leave", "pause"])
        while time.monotonic() - began_s < seconds:
            kind, index = next(kinds), rng.randrange(n)
            if kind == "pause":
                runs.live[index].send_signal(signal.SIGSTOP)
                await asyncio.sleep(rng.uniform(3, 25))
                runs.live[index].send_signal(signal.SIGCONT)
            else:
                runs.end(index, signal.SIGKILL if kind == "kill" else signal.SIGTERM)
                await asyncio.sleep(EVERY_S / 2)
                await runs.join()
            await asyncio.sleep(EVERY_S / 2)
        return row(f"{n}", runs, began_s, began, time.monotonic() - began_s)


async def survivor(server: PostgresServer) -> str:
    """The longest pause of the survivor after a kill -9 of the other, and when it sends 19.5 a second."""
    async with a_case(server, 1500) as runs:
        await runs.join()
        await runs.join()
        await asyncio.sleep(8)
        runs.end(0, signal.SIGKILL)
        killed = time.time()
        await asyncio.sleep(30)
        [times] = [times for times in runs.left(killed - 2).values() if times[-1] > killed + 20]
        longest = max(b - a for a, b in itertools.pairwise(times))
        after = [at for at in times if at >= killed]
        full = next((at for at in after if sum(at <= other < at + 5 for other in after) >= 97), None)
        back = "never" if full is None else f"{full - killed:.1f} s"
        return f"longest pause of the survivor {longest:.2f} s; 19.5/s again {back} after the kill"


async def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--disturbed", type=float, default=180)
    chosen = parser.parse_args()
    programs = find_programs()
    assert isinstance(programs, Path), programs
    name = new_session_name()
    server = obtain_server(name, os.getpid(), programs)
    try:
        print("| runs | arrived/s | most that left in any second | most that arrived | refused |")
        print("| --- | --- | --- | --- | --- |", flush=True)
        for n in RUNS:
            print(await steady(server, n, chosen.seconds), flush=True)
        print(await steady(server, 3, chosen.seconds, 20), flush=True)
        print(f"\nA kill, a leave or a pause about every {EVERY_S:g} s:\n", flush=True)
        for n in (2, 8):
            print(await disturbed(server, n, chosen.disturbed), flush=True)
        print(f"\n{await survivor(server)}", flush=True)
    finally:
        end_session(name)


if __name__ == "__main__":
    asyncio.run(main())
