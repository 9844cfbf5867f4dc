"""A ledger in PostgreSQL against one in a file: sending, loading, and claims far into the ledger.

The server is a throwaway one of the tests' support: ``PYTHONPATH=tests python -m bench.postgres``. What is
compared takes turns within the same minutes.

    python -m bench.postgres [--repeat N] [--scale SHARE]
"""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from support.postgres_server import (
    PostgresServer,
    end_session,
    find_programs,
    new_session_name,
    obtain_server,
)

from bench import nginx
from bench.archive import BATCHER, PICTURES, Archive, environment
from bench.figures import show
from bench.measuring import CommandFailed, Effort, Row, Skipped, measure, ratios, take_turns
from bench.nginx import Nginx

SENT = 20_000
LOADED = 1_000_000
CLAIMED = 5_000

_schemas = itertools.count(1)
_FAST = ("--rate", "1000000", "--concurrency", "64", "-q")


class Ledgers:
    """Ledgers on a server, and commands on them."""

    def __init__(self, made: Archive, server: PostgresServer, service: Nginx | None = None) -> None:
        self._made = made
        self._server = server
        self._service = service

    def new(self) -> str:
        """A ledger that is not there yet."""
        return self._server.url(f"bench_{next(_schemas)}")

    def environment(self, ledger: str) -> dict[str, str]:
        """The environment of a command on a ledger."""
        return environment(self._made.folder / "unused.db", self._service) | {"BATCHER_LEDGER": ledger}

    def seconds(self, ledger: str, *words: object) -> float:
        """How long a command takes."""
        command = [*BATCHER, *map(str, words)]
        return measure(command, env=self.environment(ledger), cwd=self._made.folder, codes=(0, 4)).wall_s

    def both_s(self, ledger: str, words: Sequence[object]) -> float:
        """How long two processes with the same command take together."""
        began = time.monotonic()
        command = [*BATCHER, *map(str, words)]
        processes = [
            subprocess.Popen(
                command, env=self.environment(ledger), cwd=self._made.folder, stderr=subprocess.DEVNULL
            )
            for _ in range(2)
        ]
        if codes := [code for process in processes if (code := process.wait())]:
            raise CommandFailed(f"load: exit code {codes[0]}")
        return time.monotonic() - began


def figure(effort: Effort, made: Archive) -> Iterator[Row | Skipped]:
    """All figures."""
    programs = find_programs()
    if isinstance(programs, str):
        yield Skipped("PostgreSQL", programs)
        return
    name = new_session_name()
    try:
        server = obtain_server(name, os.getpid(), programs)
        yield from loads(effort, made, Ledgers(made, server))
        if why := nginx.why_not():
            yield Skipped("sending", why)
            return
        with ExitStack() as stack:
            service = stack.enter_context(nginx.serving(made.folder))
            yield from sending(effort, made, Ledgers(made, server, service))
    finally:
        end_session(name)


def sending(effort: Effort, made: Archive, ledgers: Ledgers) -> Iterator[Row]:
    """Requests a second without a pace, of a whole run; and of the last claims of a large ledger."""
    rows = effort.rows(SENT, least=1_000)
    words = ("run", made.manifest(rows), *PICTURES, *_FAST)

    def in_file() -> float:
        with made.fresh() as ledger:
            return rows / ledgers.seconds(str(ledger), *words)

    taken = take_turns(
        {"PostgreSQL": lambda: rows / ledgers.seconds(ledgers.new(), *words), "file": in_file},
        effort.repetitions,
    )
    how = f"{rows:,} rows, whole runs"
    yield Row("sending, PostgreSQL", "≥ 1,000", taken["PostgreSQL"], "/s", how)
    yield Row("sending, to a file", "≥ 0.25", ratios(taken["PostgreSQL"], taken["file"]), "×", "in turn")
    yield from claims(effort, made, ledgers)


def claims(effort: Effort, made: Archive, ledgers: Ledgers) -> Iterator[Row]:
    """The first submissions of a ledger against its last ones, of one ledger that is sent in three parts."""
    rows, sent = effort.rows(LOADED, least=4 * CLAIMED), CLAIMED
    ledger = ledgers.new()
    ledgers.seconds(ledger, "load", made.manifest(rows), *PICTURES)
    some = ("run", *_FAST, "--limit", sent)
    first = [sent / ledgers.seconds(ledger, *some)]
    left = rows - 2 * sent
    while left > 0:  # vacuumed by nobody but the server
        ledgers.seconds(ledger, "run", *_FAST, "--limit", min(left, 100_000))
        left -= 100_000
    last = [sent / ledgers.seconds(ledger, *some)]
    yield Row("claims, last to first", "≥ 0.8", ratios(last, first), "×", f"{sent:,} of {rows:,}")


def loads(effort: Effort, made: Archive, ledgers: Ledgers) -> Iterator[Row]:
    """A load, the same rows again in another file, and two processes with one file at once."""
    rows = effort.rows(LOADED)
    words = ("load", made.manifest(rows), *PICTURES)
    shuffled = ("load", made.manifest(rows, shuffled=True), *PICTURES)
    first, again, both = [], [], []
    for _ in range(effort.repetitions):
        ledger = ledgers.new()
        first.append(ledgers.seconds(ledger, *words))
        again.append(ledgers.seconds(ledger, *shuffled))
        both.append(ledgers.both_s(ledgers.new(), shuffled))
    bar = f"{rows / LOADED:g} of"
    yield Row("load", f"≤ {bar} 60 s", first, "s", f"{rows:,} rows")
    yield Row("the same rows in another file", f"≤ {bar} 25 s", again, "s", "shuffled, all known")
    yield Row("two processes, one shuffled file", "no deadlock", both, "s", "at once")


if __name__ == "__main__":
    show(figure)
