"""The speed of loading a manifest, against SQLite's own `.import`.

1,000,000 rows of two columns, in order and shuffled, the first time and the same file again; whole processes.
`.import` goes into a table with the same unique key; it checks nothing, keeps no count and syncs as SQLite
does by default.

    python -m bench.intake [--repeat N] [--scale SHARE]
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.archive import BATCHER, PICTURES, Archive, environment
from bench.figures import show
from bench.measuring import Effort, Row, Skipped, measure, ratios, take_turns

ROWS = 1_000_000

_TABLE = "CREATE TABLE rows (file_id TEXT NOT NULL, vendor TEXT NOT NULL, UNIQUE (file_id, vendor))"


def figure(effort: Effort, made: Archive) -> Iterator[Row | Skipped]:
    """Seconds, and ratios to `.import`."""
    if shutil.which("sqlite3") is None:
        yield Skipped("load to .import", "the sqlite3 command is not installed")
        return
    rows = effort.rows(ROWS)
    yield from _compare(made, rows, effort, shuffled=False, bar="≤ 3, aim 1.5")
    yield from _compare(made, rows, effort, shuffled=True, bar="≤ 1.5")


def _compare(made: Archive, rows: int, effort: Effort, *, shuffled: bool, bar: str) -> Iterator[Row]:
    manifest = made.manifest(rows, shuffled=shuffled, titled=False)
    again: list[float] = []

    def load() -> float:
        with made.fresh() as ledger:
            command, env = (*BATCHER, "load", manifest, *PICTURES), environment(ledger)
            first = measure(command, env=env, cwd=ledger.parent).wall_s
            again.append(measure(command, env=env, cwd=ledger.parent).wall_s)
            return first

    taken = take_turns({"load": load, ".import": lambda: _import(made, manifest)}, effort.repetitions)
    order = "shuffled" if shuffled else "in order"
    how = f"{rows:,} rows {order}"
    yield Row(f"load, {order}", "", taken["load"], "s", f"{how}, whole process")
    yield Row(f"sqlite3 .import, {order}", "", taken[".import"], "s", f"{how}, same unique key")
    yield Row(
        f"load to .import, {order}", bar, ratios(taken["load"], taken[".import"]), "×", "the same turns"
    )
    ratio = ratios(again, taken["load"])
    yield Row(f"same file again to the first time, {order}", "≤ 1", ratio, "×", f"{how}, nothing new")


def _import(made: Archive, manifest: Path) -> float:
    with made.fresh() as ledger:
        commands = [_TABLE, ".mode csv", f".import --skip 1 '{manifest}' rows"]
        return measure(("sqlite3", ledger, *commands)).wall_s


if __name__ == "__main__":
    show(figure)
