"""Commands as whole processes, measured, and the rows of the resulting table.

A figure is taken some times, and what is compared takes turns within one run: a busy moment of the
machine then hits both. Called by the figures; independent of batcher.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20


@dataclass(frozen=True)
class Cost:
    """What a process took, from its start to its end."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    what: str
    bar: str
    figures: Sequence[float]
    unit: str
    how: str

    def __str__(self) -> str:
        low, high = min(self.figures), max(self.figures)
        spread = " / ".join(_digits(value) for value in (low, statistics.median(self.figures), high))
        return f"| {self.what} | {self.bar} | {spread}{' ' if self.unit else ''}{self.unit} | {self.how} |"


@dataclass(frozen=True)
class Skipped:
    """A row that could not be measured here."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"| {self.what} | | not measured | {self.why} |"


HEAD = "| what | bar | min / median / max | how |\n| --- | --- | --- | --- |"


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    repetitions: int
    scale: float
    """1 for the sizes that count; less to see that it works."""

    def rows(self, full: int, *, least: int = 200) -> int:
        """So many rows instead of the full number."""
        return max(least, int(full * self.scale))


class CommandFailed(Exception):
    """A command that was to be measured ended otherwise than it should have."""


def measure(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    codes: Iterable[int] = (0,),
    stdin: str = "",
) -> Cost:
    """Run a command to its end; its output goes nowhere.

    Raises:
        CommandFailed: it ended with none of the codes; what it said last is in the text.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(stdin.encode())
        given.seek(0)
        began = time.monotonic()
        process = subprocess.Popen(
            [*map(str, command)], stdin=given, stdout=subprocess.DEVNULL, stderr=said, env=env, cwd=cwd
        )
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - began
        process.returncode = code = os.waitstatus_to_exitcode(status)
        if code not in set(codes):
            said.seek(0)
            raise CommandFailed(
                f"{command[0]} ended with {code}: {said.read()[-2000:].decode(errors='replace')}"
            )
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * unit)


def take_turns(contenders: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, list[float]]:
    """Take each contender's figure, one after the other, and all of them again."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for n in range(repetitions):
        for name, take in contenders.items():
            taken[name].append(take())
            _report(f"  {n + 1}/{repetitions} {name}: {_digits(taken[name][-1])}")
    return taken


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Turn by turn."""
    return [our / their for our, their in zip(ours, theirs, strict=True)]


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
