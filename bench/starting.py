"""The time that batcher takes to start, against the import of its largest dependency.

python -m bench.starting [--repeat N]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from bench.archive import BATCHER, Archive, environment
from bench.figures import show
from bench.measuring import Effort, Row, Skipped, measure, ratios, take_turns

TURNS = 5
ROWS = 10_000


def figure(effort: Effort, made: Archive) -> Iterator[Row | Skipped]:
    """Seconds, and ratios to `import aiohttp`."""
    ledger = made.ledger(ROWS)

    def seconds(command: Sequence[str]) -> float:
        return measure(command, env=environment(ledger), cwd=made.folder).wall_s

    taken = take_turns(
        {
            "--help": lambda: seconds((*BATCHER, "--help")),
            "--version": lambda: seconds((*BATCHER, "--version")),
            "import aiohttp": lambda: seconds((sys.executable, "-c", "import aiohttp")),
            "status": lambda: seconds((*BATCHER, "status")),
        },
        TURNS * effort.repetitions,
    )
    for name, figures in taken.items():
        bar = "< 0.8 s" if name == "status" else ""
        yield Row(f"start-up: {name}", bar, figures, "s", "whole process")
    for name in ("--help", "--version"):
        ratio = ratios(taken[name], taken["import aiohttp"])
        yield Row(f"{name} to import aiohttp", "≤ 1.3", ratio, "×", "in turn")


if __name__ == "__main__":
    show(figure)
