"""The cost of the main job for a machine: `--rate 20` on a ledger of 5,000,000 rows, half done.

Processor time and memory of the run over a minute, and how long `batcher status` takes meanwhile.

    python -m bench.steady [--repeat N] [--scale SHARE]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from bench import nginx
from bench.archive import BATCHER, Archive, environment
from bench.figures import show
from bench.measuring import MIB, Effort, Row, Skipped, measure
from bench.running import going

ROWS = 5_000_000
RATE_PER_S = 20
SECONDS = 60.0
WARM_UP = 3 * RATE_PER_S


def figure(effort: Effort, made: Archive) -> Iterator[Row | Skipped]:
    """Share of a core, memory, pace, and `status` beside it."""
    if why := nginx.why_not() or (
        None if sys.platform == "linux" else "only Linux tells what a process takes"
    ):
        yield Skipped("steady run", why)
        return
    rows = effort.rows(ROWS, least=10_000)
    seconds = max(5.0, SECONDS * effort.scale)
    with (
        made.copy(rows, done=rows // 2) as ledger,
        nginx.serving(made.folder) as server,
        going(ledger, server, ("--rate", str(RATE_PER_S))) as run,
    ):
        run.wait_for(WARM_UP)
        began, cpu_s, seen = time.monotonic(), run.cpu_s(), len(run.arrivals())
        time.sleep(seconds)
        took = time.monotonic() - began
        share = (run.cpu_s() - cpu_s) / took * 100
        per_s = (len(run.arrivals()) - seen) / took
        resident = run.resident_bytes() / MIB
        command, env = (*BATCHER, "status", "--json"), environment(ledger)
        status = [
            measure(command, env=env, cwd=made.folder).wall_s for _ in range(max(3, effort.repetitions))
        ]
    how = f"--rate {RATE_PER_S} for {seconds:.0f} s on a ledger of {rows:,} rows, half done; once"
    yield Row("steady run, processor", "≤ 5 % of a core", [share], "%", how)
    yield Row("steady run, memory", "< 120 MiB", [resident], "MiB", how)
    yield Row("steady run, requests/s", "19.7", [per_s], "/s", how)
    yield Row("status during a run", "< 0.8 s", status, "s", f"{rows:,} rows, whole process")


if __name__ == "__main__":
    show(figure)
