"""A `batcher run` that is watched, and ended after a given number of requests or seconds."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.archive import BATCHER, environment
from bench.measuring import CommandFailed
from bench.nginx import Arrival, Nginx

PATIENCE_S = 120.0
_LOOK_S = 0.01


@dataclass(frozen=True)
class Going:
    """A run in progress."""

    process: subprocess.Popen[bytes]
    began_s: float
    """Unix time, as the server's log has it."""
    server: Nginx
    begin: int
    """Where in the server's log it begins."""

    def arrivals(self) -> list[Arrival]:
        """What the server has seen of it."""
        return self.server.arrivals(self.begin)

    def wait_for(self, requests: int) -> list[Arrival]:
        """Wait until the server has seen so many requests; returns those."""
        end = time.monotonic() + PATIENCE_S
        with self.server.log.open("rb") as log:
            log.seek(self.begin)
            lines = 0
            while time.monotonic() < end and (lines := lines + log.read().count(b"\n")) < requests:
                if self.process.poll() is not None and self.server.size() == log.tell():
                    break
                time.sleep(_LOOK_S)
        if lines < requests:
            raise CommandFailed(f"batcher run: {requests} requests expected, {lines} seen")
        return self.arrivals()[:requests]

    def cpu_s(self) -> float:
        """Processor time so far, user and system. Linux alone tells."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        """Memory now. Linux alone tells."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def going(ledger: Path, server: Nginx, options: Sequence[str | Path]) -> Iterator[Going]:
    """A run in progress."""
    begin, began_s = server.size(), time.time()
    process = subprocess.Popen(
        [*BATCHER, "run", *map(str, options), "-q"],
        env=environment(ledger, server),
        cwd=ledger.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Going(process, began_s, server, begin)
    finally:
        process.kill()
        process.wait()
