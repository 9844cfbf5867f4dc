"""The speed of submitting without a rate limit, against a bare loop and other tools.

20,000 rows at `--rate 1000000 --concurrency 64` against nginx on this machine, whole processes from start
to end. nginx's access log is the truth: a turn counts only if it holds every recording exactly once.
Peers keep no ledger as batcher's; the slow ones get fewer requests, and their figures are per second.

    python -m bench.throughput [--repeat N] [--scale SHARE]
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import nginx
from bench.archive import BATCHER, PICTURES, Archive, environment
from bench.figures import show
from bench.getting import AT_ONCE, urls
from bench.measuring import CommandFailed, Cost, Effort, Row, Skipped, measure, ratios, take_turns
from bench.nginx import Nginx

ROWS = 20_000
SLOW_ROWS = 2_000
"""For peers that start a process for each request."""

OURS, LOOP = "batcher", "bare aiohttp loop"

_FAST = ("--rate", "1000000", "--concurrency", str(AT_ONCE), "-q")


@dataclass
class Race:
    """Who runs, against which server, and what it cost besides time."""

    archive: Archive
    server: Nginx
    rows: int
    cpu_s: dict[str, list[float]] = field(default_factory=dict)
    bytes_per_row: list[float] = field(default_factory=list)

    def batcher(self, name: str) -> float:
        """Requests per second of `batcher run` on a fresh ledger."""
        with self.archive.fresh() as ledger:
            command = [*BATCHER, "run", str(self.archive.manifest(self.rows)), *PICTURES, *_FAST]
            env = environment(ledger, self.server)
            per_s = self._count(name, self.rows, lambda: measure(command, env=env, cwd=ledger.parent))
            self.bytes_per_row.append(ledger.stat().st_size / self.rows)
        return per_s

    def loop(self, name: str) -> float:
        """Requests per second of the bare loop."""
        script = Path(__file__).with_name("getting.py")
        command = [sys.executable, str(script), self.server.url, str(self.rows)]
        return self._count(name, self.rows, lambda: measure(command))

    def aria2(self, name: str, rows: int) -> float:
        """Requests per second of aria2c, which keeps what it was answered in files."""
        with tempfile.TemporaryDirectory(dir=self.archive.folder) as folder:
            listed = Path(folder) / "urls.txt"
            listed.write_text(
                "".join(f"{url}\n out=a{n}\n" for n, url in enumerate(urls(self.server.url, rows)))
            )
            options = ("-q", f"-j{AT_ONCE}", "-x1", "--file-allocation=none")
            command = ("aria2c", *options, "-i", str(listed), "-d", folder)
            return self._count(name, rows, lambda: measure(command))

    def parallel(self, name: str, rows: int) -> float:
        """Requests per second of GNU parallel with curl and a log of its jobs."""
        with tempfile.TemporaryDirectory(dir=self.archive.folder) as folder:
            log = Path(folder) / "jobs.log"
            curl = ("curl", "-gs", "-o", "/dev/null", "{}")
            command = ("parallel", f"-j{AT_ONCE}", "--joblog", str(log), *curl)
            given = "".join(f"{url}\n" for url in urls(self.server.url, rows))
            return self._count(name, rows, lambda: measure(command, stdin=given))

    def scrapy(self, name: str, rows: int) -> float:
        """Requests per second of a Scrapy spider whose queue is on disk (JOBDIR)."""
        with tempfile.TemporaryDirectory(dir=self.archive.folder) as folder:
            listed = Path(folder) / "urls.txt"
            listed.write_text("".join(f"{url}\n" for url in urls(self.server.url, rows)))
            spider = Path(__file__).with_name("spider.py")
            settings = {
                "JOBDIR": f"{folder}/job",
                "CONCURRENT_REQUESTS": AT_ONCE,
                "CONCURRENT_REQUESTS_PER_DOMAIN": AT_ONCE,
                "TELNETCONSOLE_ENABLED": False,
            }
            options = [part for setting, value in settings.items() for part in ("-s", f"{setting}={value}")]
            program = (sys.executable, "-m", "scrapy", "runspider", str(spider))
            command = (*program, "-L", "ERROR", "-a", f"listed={listed}", *options)
            return self._count(name, rows, lambda: measure(command, cwd=Path(folder)))

    def _count(self, name: str, rows: int, run: Callable[[], Cost]) -> float:
        """Run it, and believe it only if the server has seen each recording once."""
        begin = self.server.size()
        cost = run()
        seen = [arrival.file_id for arrival in self.server.arrivals(begin)]
        if len(seen) != rows or len(set(seen)) != rows:
            raise CommandFailed(
                f"{name}: {len(seen)} requests for {len(set(seen))} recordings, {rows} expected"
            )
        self.cpu_s.setdefault(name, []).append(cost.cpu_s)
        return rows / cost.wall_s


def figure(effort: Effort, made: Archive) -> Iterator[Row | Skipped]:
    """Throughput, processor time and what a row takes in the ledger."""
    if why := nginx.why_not():
        yield Skipped("throughput", why)
        return
    with nginx.serving(made.folder) as server:
        race = Race(made, server, effort.rows(ROWS))
        yield from _against_the_loop(race, effort)
        yield from _against_peers(race, effort)


def _against_the_loop(race: Race, effort: Effort) -> Iterator[Row | Skipped]:
    taken = take_turns({OURS: lambda: race.batcher(OURS), LOOP: lambda: race.loop(LOOP)}, effort.repetitions)
    for name, figures in taken.items():
        yield Row(f"requests/s: {name}", "", figures, "/s", f"{race.rows:,} rows, whole processes in turn")
    yield Row("batcher to the bare loop", "≥ 0.5", ratios(taken[OURS], taken[LOOP]), "×", "the same turns")
    yield Row(
        "processor time per 1,000 items",
        "≤ 0.2 s",
        [cpu_s / race.rows * 1000 for cpu_s in race.cpu_s[OURS]],
        "s",
        "user and system, start-up included",
    )
    yield Row(
        "ledger per row with its attempt",
        "≤ 400 bytes",
        race.bytes_per_row,
        "bytes",
        "the file after the run; Tencent ids, one own column of 12 characters",
    )


def _against_peers(race: Race, effort: Effort) -> Iterator[Row | Skipped]:
    slow = min(race.rows, effort.rows(SLOW_ROWS))
    peers = [
        ("aria2c", shutil.which("aria2c"), lambda: race.aria2("aria2c", race.rows), race.rows),
        (
            "GNU parallel with curl",
            shutil.which("parallel") and shutil.which("curl"),
            lambda: race.parallel("GNU parallel with curl", slow),
            slow,
        ),
        ("Scrapy", importlib.util.find_spec("scrapy"), lambda: race.scrapy("Scrapy", slow), slow),
    ]
    for name, is_there, take, rows in peers:
        if not is_there:
            yield Skipped(f"requests/s: {name}", f"{name} is not installed")
            continue
        taken = take_turns({OURS: lambda: race.batcher(OURS), name: take}, effort.repetitions)
        yield Row(f"requests/s: {name}", "", taken[name], "/s", f"{rows:,} requests, {AT_ONCE} at a time")
        yield Row(f"{OURS} to {name}", "", ratios(taken[OURS], taken[name]), "×", "in turn with it")


if __name__ == "__main__":
    show(figure)
