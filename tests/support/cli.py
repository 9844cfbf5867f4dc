"""The command line as a process, manifests, and looks into a ledger."""

from __future__ import annotations

import asyncio
import atexit
import csv
import functools
import io
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from batcher.sandbox import SANDBOX_APP_ID, SANDBOX_SERVER_SECRET, Sandbox, SandboxSettings
from support.forking import Clock, ForkedProcess, Forker
from support.ledger_place import (
    copy_ledger,
    empty_ledger,
    is_there,
    patient,
    placed,
    placed_variable,
    with_paths,
)

DEADLINE_S = 90.0
"""How long one command may take before a test gives up on it, on a machine that has much else to do."""


PICTURES = ("--vendor", "Tencent", "--definition", "10", "--offset", "1", "--offset", "2")
"""What the manifests of ids alone leave out."""

FAST = ("--rate", "2000", "--progress", "none")
"""For runs that are not about pacing."""


NO_LIMIT = SandboxSettings(rate_per_s=None)


SAMPLES = Path(__file__).parents[2] / "sample_manifests"


Json = dict[str, Any]


Process = asyncio.subprocess.Process | ForkedProcess


@functools.cache
def forker() -> Forker:
    """The process that forks command lines, one for each process of tests."""
    started = Forker()
    atexit.register(started.close)
    return started


@dataclass(frozen=True)
class Done:
    """The end of a command: its exit code and its output."""

    code: int
    stdout: str
    stderr: str

    @property
    def data(self) -> Json:
        """stdout as one JSON object and nothing else."""
        value = json.loads(self.stdout)
        assert isinstance(value, dict)
        return value

    @property
    def lines(self) -> list[Json]:
        """stdout as JSON lines."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def table(self) -> list[dict[str, str]]:
        """stdout as CSV."""
        return list(csv.DictReader(io.StringIO(self.stdout)))


@dataclass
class Cli:
    """The command line in a folder of its own, with an environment of its own."""

    folder: Path
    secret: str = SANDBOX_SERVER_SECRET
    env: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable
    deadline_s: float = DEADLINE_S
    speed: float = 1.0
    """How fast the clocks of the commands run; what they wait for by the clock takes less time."""
    _usual_ledger: dict[str, str] = field(default_factory=dict)
    constants: dict[str, float | str] = field(default_factory=dict)
    """Constants of the program, as ``module:NAME``, that have other values in the commands."""
    _began_s: float = field(default_factory=time.time)
    _running: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._usual_ledger = placed_variable(None, self.folder)
        self.env = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
            "PYTHONUNBUFFERED": "1",
            **self._usual_ledger,
            **self.env,
        }

    def use(self, url: str, *, app_id: int = SANDBOX_APP_ID, secret: str = SANDBOX_SERVER_SECRET) -> None:
        """Name the service and the account for the commands that follow."""
        self.secret = secret
        self.env |= {
            "BATCHER_ENDPOINT": url,
            "BATCHER_APP_ID": str(app_id),
            "BATCHER_SERVER_SECRET": secret,
        }

    async def __call__(
        self, *args: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> Done:
        """Run one command to its end."""
        process = await self.start(*args, env=env)
        return await self.finish(process, stdin)

    async def start(self, *args: str | Path, env: Mapping[str, str] | None = None) -> Process:
        """Begin a command and leave it running."""
        environment = self.env | dict(env or {})
        if args[:1] == ("run",):  # no terminal, and most tests use the default ledger
            environment.setdefault("BATCHER_NEW_LEDGER", "true")
        usual = self._usual_ledger.get("BATCHER_LEDGER")
        if environment.get("BATCHER_LEDGER") == usual:  # a file of settings may name another by now
            environment.pop("BATCHER_LEDGER", None)
        environment |= placed_variable(environment.get("BATCHER_LEDGER"), self.folder)
        words = placed([*map(str, args)], self.folder)
        process: Process
        if self.python == sys.executable:
            clock = None
            if self.speed != 1:
                clock = Clock(self.speed, self._began_s)
                environment.setdefault(
                    "BATCHER_TIMEOUT", f"{30 * self.speed:.0f}"
                )  # of the machine's seconds
                words = [patient(word, self.speed) for word in words]
                environment = {name: patient(text, self.speed) for name, text in environment.items()}
            process = await forker().start(words, self.folder, environment, clock, self.constants)
        else:
            process = await asyncio.create_subprocess_exec(
                self.python,
                *("-m", "batcher", *words),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self.folder,
                env=environment,
                limit=2**24,
            )
        self._running.append(process)
        return process

    async def finish(self, process: Process, stdin: bytes | None = None) -> Done:
        """Wait for a command's end; a command that does not end is killed and fails the test."""
        try:
            async with asyncio.timeout(self.deadline_s):
                out, err = await process.communicate(stdin)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        done = Done(process.returncode or 0, with_paths(out.decode()), with_paths(err.decode()))
        assert "Traceback" not in done.stderr, done.stderr
        assert self.secret not in done.stdout + done.stderr
        return done

    async def run(self, *args: str | Path, stdin: bytes = b"") -> Done:
        """``batcher run``, fast."""
        return await self("run", *args, *FAST, stdin=stdin)

    async def status(self) -> Json:
        """``batcher status --json``."""
        done = await self("status", "--json")
        assert done.code == 0, done.stderr
        return done.data

    async def export(self, *args: str | Path) -> list[Json]:
        """``batcher export`` as rows."""
        done = await self("export", *args, "--format", "jsonl")
        assert done.code == 0, done.stderr
        return done.lines

    async def end_all(self) -> None:
        """End what a failed test has left running."""
        for process in self._running:
            if process.returncode is None:
                process.kill()
                await process.communicate()


def _holding(folder: Path, secret: str) -> list[str]:
    """Files with the secret in them; those that a test has named for it are meant to have it."""
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and "secret" not in path.name and secret.encode() in path.read_bytes()
    ]


class PatientSandbox(Sandbox):
    """A sandbox for a busy machine: a deadline fails a test that hangs, and no other."""

    async def wait_for(self, holds: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        """Wait as long as one command may take."""
        await super().wait_for(holds, max(deadline_s, DEADLINE_S))


@asynccontextmanager
async def serving(
    cli: Cli, settings: SandboxSettings = NO_LIMIT, *, ledger_made: bool = True
) -> AsyncIterator[Sandbox]:
    """A sandbox that the command line uses.

    Args:
        cli: the command line.
        settings: of the sandbox.
        ledger_made: an empty ledger is there already, which saves every test the making of one.
    """
    sandbox = PatientSandbox(settings)
    if ledger_made and not is_there(ledger := cli.folder / "batcher.db"):
        copy_ledger(await empty_ledger(), ledger)
    async with sandbox.serve() as url:
        cli.use(url)
        yield sandbox


def tencent_ids(n: int, seed: int = 1) -> list[str]:
    """Ids of recordings as Tencent gives them, none of them marked or rounded."""
    rng = Random(seed)
    numbers: set[int] = set()
    while len(numbers) < n:
        number = 1397757890000000000 + rng.randrange(10**10)
        if number % 256 and number % 100:
            numbers.add(number)
    return [str(number) for number in sorted(numbers)]


def write_manifest(path: Path, rows: Iterable[Sequence[str]], header: Sequence[str] = ("file_id",)) -> Path:
    """Write a CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


async def until(holds: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Wait until another process has brought about a state."""
    async with asyncio.timeout(deadline_s):
        while not holds():  # noqa: ASYNC110 - another process makes it so, and no event of ours tells
            await asyncio.sleep(0.01)


async def said(process: Process, words: str) -> str:
    """Wait for the next line of stderr with these words, and return it."""
    assert process.stderr is not None
    lines = []
    async with asyncio.timeout(DEADLINE_S):
        while line := (await process.stderr.readline()).decode():
            lines.append(line)
            if words in line:
                return with_paths(line)
    raise AssertionError("".join(lines))
