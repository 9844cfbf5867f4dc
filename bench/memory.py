"""The memory of commands, which must not grow with the archive.

Peak resident memory of `load`, `run` and `export` on 10,000 and on 5,000,000 rows. The run sends
few requests, with `--limit`; its manifest is loaded to the end all the same. Also of `discover` with 10,000
and with 200,000 recordings to find, of both ways of paging, compared with a ledger.

    python -m bench.memory [--repeat N] [--scale SHARE]
"""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from bench import nginx
from bench.archive import BATCHER, PICTURES, Archive, environment
from bench.figures import show
from bench.measuring import MIB, Effort, Row, Skipped, measure
from bench.nginx import Nginx

SMALL, LARGE = 10_000, 5_000_000
SENT = 200
RECORDINGS = 200_000


def figure(effort: Effort, made: Archive) -> Iterator[Row | Skipped]:
    """Peaks for few and for many rows, and what lies between them."""
    large = effort.rows(LARGE, least=SMALL)
    yield from _pair("load", lambda rows: _load(made, rows), large, effort)
    if why := nginx.why_not():
        yield Skipped("memory of run", why)
    else:
        with nginx.serving(made.folder) as server:
            yield from _pair("run", lambda rows: _run(made, server, rows), large, effort)
    for format_ in ("csv", "jsonl", "parquet"):
        if format_ == "parquet" and importlib.util.find_spec("pyarrow") is None:
            yield Skipped("memory of export, parquet", "pyarrow is not installed")
            continue
        yield from _pair(f"export, {format_}", partial(_export, made, format_), large, effort)
    yield from _pair("export MANIFEST, csv", lambda rows: _export_manifest(made, rows), large, effort)
    recordings = effort.rows(RECORDINGS, least=SMALL)
    for vendor in ("Tencent", "Huawei"):
        yield from _pair(f"discover, {vendor}", partial(_discover, made, vendor), recordings, effort)


def _pair(what: str, peak: Callable[[int], float], large: int, effort: Effort) -> Iterator[Row]:
    few = [peak(SMALL) for _ in range(effort.repetitions)]
    many = [peak(large)]  # it takes minutes, and hardly differs
    how = "peak resident memory, whole process"
    yield Row(f"memory of {what}, {SMALL:,} rows", "", few, "MiB", how)
    yield Row(f"memory of {what}, {large:,} rows", "< 120 MiB", many, "MiB", f"{how}; once")
    yield Row(f"memory of {what}, difference", "< 40 MiB", [max(many) - min(few)], "MiB", "of the two")


def _load(made: Archive, rows: int) -> float:
    with made.fresh() as ledger:
        return _peak(("load", made.manifest(rows), *PICTURES), environment(ledger), ledger.parent)


def _run(made: Archive, server: Nginx, rows: int) -> float:
    with made.fresh() as ledger:
        command = ("run", made.manifest(rows), *PICTURES, "--limit", str(SENT), "--rate", "1000", "-q")
        return _peak(command, environment(ledger, server), ledger.parent, codes=(4,))


def _export(made: Archive, format_: str, rows: int) -> float:
    ledger = made.ledger(rows, done=rows // 2)
    return _peak(("export", "--format", format_), environment(ledger), made.folder)


def _export_manifest(made: Archive, rows: int) -> float:
    ledger = made.ledger(rows, done=rows // 2)
    return _peak(("export", made.manifest(rows), *PICTURES), environment(ledger), made.folder)


def _discover(made: Archive, vendor: str, recordings: int) -> float:
    """The sandbox makes up the recordings, in a process of its own."""
    serve = [
        *BATCHER,
        "sandbox",
        "--port",
        "0",
        "--rate",
        "0",
        "--recordings",
        str(recordings),
        "--days",
        "30",
    ]
    with (
        made.fresh() as ledger,
        subprocess.Popen([*map(str, serve)], stdout=subprocess.PIPE, text=True) as sandbox,
    ):
        try:
            variables = dict(_variables(sandbox.stdout or ()))
            command = ("discover", "--vendor", vendor, "--since", "31d", "--not-in-ledger", "--rate", "2000")
            return _peak((*command, "-o", "found.csv"), environment(ledger) | variables, ledger.parent)
        finally:
            sandbox.terminate()


def _variables(printed: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The account and the endpoint that a sandbox prints for a shell, once it serves."""
    wanted = {"BATCHER_ENDPOINT", "BATCHER_APP_ID", "BATCHER_SERVER_SECRET"}
    for line in printed:
        name, _, value = line.strip().removeprefix("export ").partition("=")
        if name in wanted:
            wanted.discard(name)
            yield name, value.strip("'\"")
        if not wanted:
            return


def _peak(
    command: tuple[str | Path, ...], env: dict[str, str], cwd: Path, codes: tuple[int, ...] = (0,)
) -> float:
    return measure((*BATCHER, *command), env=env, cwd=cwd, codes=codes).peak_bytes / MIB


if __name__ == "__main__":
    show(figure)
