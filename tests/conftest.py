"""What the integration and crash tests share: the command line as a process, manifests, and the referee.

The command line runs as a person would run it: another process, an environment without anything of ours, a
folder of its own. Whatever a test does with it, no output may hold a traceback or the ServerSecret, and
no file left behind may hold the secret either.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import csv
import functools
import io
import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
import pytest
import typer.main
from forking import ForkedProcess, Forker

from batcher.cli.app import app
from batcher.ledger import open_for_writing
from batcher.sandbox import SANDBOX_APP_ID, SANDBOX_SERVER_SECRET, Entry, Sandbox, SandboxSettings

DEADLINE_S = 40.0
"""How long one command may take before a test gives up on it."""

PICTURES = ("--vendor", "Tencent", "--definition", "10", "--offset", "1", "--offset", "2")
"""What the manifests of ids alone leave out."""
FAST = ("--rate", "2000", "--progress", "none")
"""For runs that are not about pacing."""

NO_LIMIT = SandboxSettings(rate_per_s=None)

SAMPLES = Path(__file__).parents[1] / "sample_manifests"

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
    """How a command ended."""

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
    _running: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.env = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
            "PYTHONUNBUFFERED": "1",
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
        process: Process
        if self.python == sys.executable:
            process = await forker().start([*map(str, args)], self.folder, environment)
        else:
            process = await asyncio.create_subprocess_exec(
                self.python,
                *("-m", "batcher", *map(str, args)),
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
        done = Done(process.returncode or 0, out.decode(), err.decode())
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


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[Cli]:
    """The command line in ``tmp_path``; afterwards no file there holds the secret."""
    command = Cli(tmp_path)
    yield command
    await command.end_all()
    assert _holding(tmp_path, command.secret) == []


def _holding(folder: Path, secret: str) -> list[str]:
    """Files with the secret in them; those that a test has named for it are meant to have it."""
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and "secret" not in path.name and secret.encode() in path.read_bytes()
    ]


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
    sandbox = Sandbox(settings)
    if ledger_made and not (ledger := cli.folder / "batcher.db").exists():
        shutil.copy(await empty_ledger(), ledger)
    async with sandbox.serve() as url:
        cli.use(url)
        yield sandbox


async def empty_ledger() -> Path:
    """A ledger without anything in it, made once for each process of tests."""
    path = Path(tempfile.gettempdir()) / f"batcher-empty-{os.getpid()}.db"
    if not path.exists():
        async with await open_for_writing(path):
            pass
        atexit.register(path.unlink, missing_ok=True)
        atexit.register(Path(f"{path}.lock").unlink, missing_ok=True)
    return path


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


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    """Writes a manifest of file ids alone into the folder of the command line."""

    def write(ids: Iterable[str], name: str = "archive.csv") -> Path:
        return write_manifest(tmp_path / name, ([one] for one in ids))

    return write


@contextlib.contextmanager
def reading(ledger: Path) -> Iterator[sqlite3.Connection]:
    """A second opinion on a ledger: SQLite itself, read-only."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def query(ledger: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows of a query, as tuples."""
    with reading(ledger) as connection:
        return [tuple(row) for row in connection.execute(sql, values)]


async def until(holds: Callable[[], bool], deadline_s: float = 20.0) -> None:
    """Wait until a state that only another process can bring about has come."""
    async with asyncio.timeout(deadline_s):
        while not holds():  # noqa: ASYNC110 - another process makes it so, and no event of ours tells
            await asyncio.sleep(0.01)


Key = tuple[str, str, str, str, str, str]


def _sent_key(entry: Entry) -> Key:
    return (
        entry.vendor,
        entry.file_id,
        entry.type,
        entry.definition or "",
        entry.interval or "",
        ";".join(entry.offsets),
    )


_ASKED = (
    "SELECT s.id, p.vendor, s.file_id, p.type, p.definition, p.interval, p.offsets, s.state, s.attempts "
    "FROM submissions s JOIN parameters p ON p.id = s.parameters_id"
)


async def referee(cli: Cli, sandbox: Sandbox, *, ledger: str = "batcher.db") -> list[Json]:
    """Hold the sandbox's truth log, the ledger and the export against each other.

    What the server has accepted is on record: under its task id, or as an attempt whose answer is missing.
    Nothing is on record that the server did not give, nothing was sent that is not on record, and the
    figures that people read are the sums of what is there.

    Returns:
        The export, one row for each submission.
    """
    path = cli.folder / ledger
    exported = await asyncio.to_thread(_exported, path)
    sent: dict[Key, list[Entry]] = defaultdict(list)
    for entry in sandbox.log:
        if entry.file_id:  # the harmless call has none
            sent[_sent_key(entry)].append(entry)
    given = sandbox.accepted()
    with reading(path) as connection:
        asked = connection.execute(_ASKED).fetchall()
        attempts: dict[int, list[sqlite3.Row]] = defaultdict(list)
        for attempt in connection.execute("SELECT * FROM attempts ORDER BY submission_id, number"):
            attempts[attempt["submission_id"]].append(attempt)
        grouped = connection.execute(
            "SELECT state, coalesce(code, -1), coalesce(run_id, 0), count(*) FROM submissions "
            "GROUP BY 1, 2, 3"
        ).fetchall()
        tallied = connection.execute("SELECT state, code, run_id, n FROM tallies WHERE n <> 0").fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert sandbox.reused_nonces() == {}
    assert sorted(map(tuple, tallied)) == sorted(map(tuple, grouped))
    by_key: dict[Key, sqlite3.Row] = {tuple(row)[1:7]: row for row in asked}
    assert set(sent) <= set(by_key), "something was sent that is not on record"
    rows_by_key = {_exported_key(row): row for row in exported}
    assert len(rows_by_key) == len(exported) == len(asked)
    assert set(rows_by_key) == set(by_key)
    for key, submission in by_key.items():
        own, requests = attempts[submission["id"]], sent[key]
        _compare(submission, own, requests, given)
        row = rows_by_key[key]
        assert row["status"] == submission["state"]
        assert row["attempts"] == sum(one["outcome"] != "not_sent" for one in own)
        if row["status"] == "submitted":
            assert given[row["task_id"]].file_id == row["file_id"]
            assert row["code"] == 0
    recorded = Counter(one["task_id"] for own in attempts.values() for one in own if one["task_id"])
    assert set(recorded) <= set(given), "a task id the server did not give"
    assert set(recorded.values()) <= {1}
    return exported


def _exported(ledger: Path) -> list[Json]:
    """``batcher export``, within this process: most tests end with it, and starting one takes its time."""
    with tempfile.TemporaryDirectory() as folder:
        results, settings = Path(folder) / "results.jsonl", Path(folder) / "batcher.toml"
        settings.touch()
        code = typer.main.get_command(app).main(
            [
                "export",
                "-l",
                str(ledger),
                "-o",
                str(results),
                "--format",
                "jsonl",
                "-q",
                "--config",
                str(settings),
            ],
            standalone_mode=False,
        )
        assert code == 0
        return [json.loads(line) for line in results.read_text("utf-8").splitlines()]


def _compare(
    submission: sqlite3.Row, attempts: list[sqlite3.Row], requests: list[Entry], given: Mapping[str, Entry]
) -> None:
    """One submission: its attempts on record against its requests at the server."""
    assert [one["number"] for one in attempts] == list(range(1, len(attempts) + 1))
    assert submission["attempts"] == len(attempts)
    answered = [one for one in attempts if one["outcome"] in ("answer", "http_refusal")]
    missing = [one for one in attempts if one["outcome"] in ("reply_lost", None)]
    unnamed = [one for one in answered if one["code"] == 0 and one["task_id"] is None]
    assert len(answered) <= len(requests) <= len(answered) + len(missing)
    recorded = {one["task_id"] for one in attempts if one["task_id"]}
    accepted = [one for one in requests if one.task_id is not None]
    assert recorded <= set(given)
    assert all(given[task_id] in requests for task_id in recorded)
    unrecorded = [one for one in accepted if one.task_id not in recorded]
    assert len(unrecorded) <= len(missing) + len(unnamed), "accepted, and not on record as in doubt"
    if len(accepted) > 1:
        first_named = next((n for n, one in enumerate(attempts) if one["task_id"]), len(attempts))
        assert any(one in missing for one in attempts[:first_named]), "sent twice unknowingly"
    assert (submission["state"] == "submitted") == bool(recorded)
    assert len(recorded) <= 1


def _exported_key(row: Json) -> Key:
    names = ("vendor", "file_id", "type", "definition", "interval", "offsets")
    vendor, file_id, type_, definition, interval, offsets = (str(row[name] or "") for name in names)
    return vendor, file_id, type_, definition, interval, offsets


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the proofs that can be long are."""
    parser.addoption("--kill-rounds", type=int, default=30, help="rounds of the kill loop")
    parser.addoption("--histories", type=int, default=6, help="how many histories are made up")
    parser.addoption("--soak-rows", type=int, default=500, help="recordings of the soak")
    parser.addoption(
        "--every-step", action="store_true", help="let every step of the ledger fail in every way"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Histories are made up by hypothesis, which takes its number from a profile."""
    wanted = config.getoption("--histories")
    hypothesis.settings.register_profile("histories", max_examples=wanted, derandomize=wanted <= 6)


@pytest.fixture
def soak_rows(request: pytest.FixtureRequest) -> int:
    """How many recordings the soak has."""
    return int(request.config.getoption("--soak-rows"))


@pytest.fixture
def kill_rounds(request: pytest.FixtureRequest) -> int:
    """How often the kill loop kills."""
    return int(request.config.getoption("--kill-rounds"))


@pytest.fixture
def every_step(request: pytest.FixtureRequest) -> bool:
    """Whether every step of the ledger fails in every way, or each in one."""
    return bool(request.config.getoption("--every-step"))
