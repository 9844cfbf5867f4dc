"""The time from the start of a run to its first request, with a long manifest or a long ledger.

From the start of the command to the time in the first line of the server's log: a fresh manifest of 5,000,000
rows, a ledger with 5,000,000 rows half done, and the same after the run was killed with `kill -9`.

    python -m bench.first_request [--repeat N] [--scale SHARE]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import nginx
from bench.archive import PICTURES, Archive
from bench.figures import show
from bench.measuring import Effort, Row, Skipped
from bench.nginx import Nginx
from bench.running import going

ROWS = 5_000_000
BAR = "≤ 1 s"
BEFORE_THE_KILL = 500


def figure(effort: Effort, made: Archive) -> Iterator[Row | Skipped]:
    """Seconds to the first request."""
    if why := nginx.why_not():
        yield Skipped("first request", why)
        return
    rows = effort.rows(ROWS, least=10_000)
    with nginx.serving(made.folder) as server:
        fresh, half, killed = [], [], []
        manifest = made.manifest(rows)
        for _ in range(effort.repetitions):
            with made.fresh() as ledger:
                fresh.append(_first(ledger, server, (manifest, *PICTURES)))
        yield Row("first request, fresh manifest", BAR, fresh, "s", f"{rows:,} rows, no ledger yet")
        with made.copy(rows, done=rows // 2) as ledger:
            for _ in range(effort.repetitions):
                half.append(_first(ledger, server, ()))
                with going(ledger, server, ("--rate", "1000000")) as run:
                    run.wait_for(BEFORE_THE_KILL)  # leaving kills it
                killed.append(_first(ledger, server, ()))
        how = f"{rows:,} rows, half of them submitted"
        yield Row("first request, ledger half done", BAR, half, "s", how)
        yield Row(
            "first request, after kill -9", BAR, killed, "s", f"{how}; killed while sending at full speed"
        )


def _first(ledger: Path, server: Nginx, options: Sequence[str | Path]) -> float:
    with going(ledger, server, options) as run:
        [first] = run.wait_for(1)
        return first.at_s - run.began_s


if __name__ == "__main__":
    show(figure)
