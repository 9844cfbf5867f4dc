"""How fast manifests come into a ledger, beside SQLite's own import of the same file, and in how much memory.

    python bench/loading.py [--rows 1000000] [--long 5000000]

The same file goes into a table with the same unique key by ``sqlite3 .import``, and into a ledger by
``batcher load``: ids in order and shuffled, with a column of their own and without. Each time is the best
of three whole processes, each in turn, so that both meet the machine as it is. The ratio is what says
something.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

ROUNDS = 3

LOAD = [
    sys.executable,
    "-m",
    "batcher",
    "load",
    "-q",
    "--vendor",
    "Tencent",
    "--definition",
    "10",
    "--offset",
    "1",
]


def write(path: Path, rows: int, *, shuffled: bool, titled: bool) -> Path:
    """A manifest of ids as Tencent gives them."""
    ids: Iterable[int] = tencent_ids(rows)
    if shuffled:
        ids = list(ids)
        Random(8).shuffle(ids)
    with path.open("w") as file:
        file.write("file_id,vendor" + (",title" if titled else "") + "\n")
        for n, one in enumerate(ids):
            file.write(f"{one},Tencent" + (f",rec-{n * 7919 % 99999999:08d}" if titled else "") + "\n")
    return path


def tencent_ids(rows: int) -> Iterator[int]:
    """Ids in order; one at a time, since a process begins with the memory of the one that starts it."""
    rng, last = Random(7), 1397757890000000000
    for _ in range(rows):
        last += rng.randrange(3, 20_000)
        yield last if last % 256 and last % 100 else last + 1


def measured(command: list[str]) -> tuple[float, int]:
    """Seconds of a whole process, and the most memory it had, in KiB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)}: ended with {status}")
    return time.perf_counter() - began, usage.ru_maxrss


def imported(manifest: Path, folder: Path, *, titled: bool) -> float:
    """SQLite's own way, into a new file."""
    target = folder / "import.db"
    target.unlink(missing_ok=True)
    columns = "file_id TEXT, vendor TEXT" + (", title TEXT" if titled else "")
    table = f"CREATE TABLE t ({columns}, UNIQUE (file_id, vendor))"
    return measured(["sqlite3", str(target), table, ".mode csv", f".import --skip 1 {manifest} t"])[0]


def loaded(manifest: Path, folder: Path, *, again: bool = False) -> tuple[float, int]:
    """Into a new ledger, or into the one that has it already."""
    target = folder / "batcher.db"
    if not again:
        for path in folder.glob("batcher.db*"):
            path.unlink()
    return measured([*LOAD, "-l", str(target), str(manifest)])


def compare(folder: Path, rows: int) -> None:
    """One line for each kind of file."""
    print(f"{rows:,} rows, best of {ROUNDS}\n")
    print("| ids | own column | `.import`, s | load, s | ratio | again, s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for shuffled in (False, True):
        for titled in (False, True):
            manifest = write(folder / "archive.csv", rows, shuffled=shuffled, titled=titled)
            theirs, ours, again = [], [], []
            for _ in range(ROUNDS):
                theirs.append(imported(manifest, folder, titled=titled))
                ours.append(loaded(manifest, folder)[0])
                again.append(loaded(manifest, folder, again=True)[0])
            best, mine = min(theirs), min(ours)
            kind = f"{'shuffled' if shuffled else 'in order'} | {'yes' if titled else 'no'}"
            print(f"| {kind} | {best:.2f} | {mine:.2f} | {mine / best:.2f} | {min(again):.2f} |", flush=True)


def remember(folder: Path, rows: int) -> None:
    """The most memory of a short and of a long load, and how large the ledger is."""
    print("\n| rows | own column | most memory, MiB | ledger, bytes a row |\n| --- | --- | --- | --- |")
    for titled in (False, True):
        for n in (10_000, rows):
            manifest = write(folder / "archive.csv", n, shuffled=False, titled=titled)
            most = loaded(manifest, folder)[1] / 1024
            size = (folder / "batcher.db").stat().st_size / n
            print(f"| {n:,} | {'yes' if titled else 'no'} | {most:.0f} | {size:.0f} |", flush=True)


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description="How fast manifests come into a ledger.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--long", type=int, default=5_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        remember(Path(folder), options.long)  # first: shuffling takes memory that is never given back
        compare(Path(folder), options.rows)


if __name__ == "__main__":
    main()
