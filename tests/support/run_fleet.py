"""Several runs on one ledger in PostgreSQL, and the referee that holds the ledger against the sandbox's log.

The referee sees more than the ledger keeps: a trigger of its own writes down every change of an attempt with
the server's time, so that an attempt's takeover has a moment even if a late answer replaces it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from batcher.sandbox import Entry
from support.cli import PICTURES, Cli, Done, Process, tencent_ids, write_manifest
from support.instants import most_in_a_second
from support.postgres_server import PostgresServer
from support.tcp_proxy import TcpProxy

_HISTORY = """
CREATE TABLE {schema}.history (
    submission_id BIGINT, number INTEGER, run_id BIGINT, outcome TEXT, decision TEXT, at_s DOUBLE PRECISION
);
CREATE FUNCTION {schema}.keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {schema}.history VALUES (NEW.submission_id, NEW.number, NEW.run_id, NEW.outcome, NEW.decision,
        extract(epoch FROM clock_timestamp()));
    RETURN NULL;
END $$;
CREATE TRIGGER keep_history AFTER INSERT OR UPDATE ON {schema}.attempts
FOR EACH ROW EXECUTE FUNCTION {schema}.keep_history();
"""

SLACK_S = 0.05
"""A request that is on its way when its attempt is taken over arrives this much later at most."""


@dataclass
class Fleet:
    """The runs of one ledger."""

    cli: Cli
    server: PostgresServer
    schema: str
    ids: list[str] = field(default_factory=list)
    machines: int = 0

    def url(self, proxy: TcpProxy | None = None) -> str:
        """The ledger, directly or through a proxy."""
        url = self.server.url(self.schema)
        return url if proxy is None else url.replace(f":{self.server.port}/", f":{proxy.port}/")

    async def load(self, rows: int, seed: int = 1) -> None:
        """Make the ledger with so many recordings to send, and begin the history."""
        self.ids = tencent_ids(rows, seed)
        self.cli.env["BATCHER_LEDGER"] = self.url()
        archive = write_manifest(self.cli.folder / "archive.csv", ([one] for one in self.ids))
        done = await self.cli("load", archive, *PICTURES)
        assert done.code == 0, done.stderr
        self.server.query(_HISTORY.format(schema=self.schema), user="batcher")

    async def start(self, *args: str, proxy: TcpProxy | None = None) -> Process:
        """Begin a run, as on a machine of its own: nothing but the ledger keeps it apart from the others."""
        self.machines += 1
        machine = self.cli.folder / f"machine-{self.machines}"
        self.cli.constants["batcher.flowcontrol.shared_folder:FOLDER"] = str(machine)
        return await self.cli.start(
            "run", "--progress", "none", *args, env={"BATCHER_LEDGER": self.url(proxy)}
        )

    async def finish(self, process: Process, *codes: int) -> Done:
        """Wait for the end of a run, which has one of these exit codes."""
        done = await self.cli.finish(process)
        assert done.code in codes, f"{done.code}: {done.stderr}"
        return done

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query on the ledger; tables are named ``{s}.runs``."""
        return self.server.query(sql.replace("{s}", self.schema), user="batcher")

    def unsettled(self, run_id: int) -> int:
        """How many attempts of a run have no end on record."""
        return sum(
            run == run_id for (run,) in self.query("SELECT run_id FROM {s}.attempts WHERE outcome IS NULL")
        )

    def most_sent_in_a_second(self) -> int:
        """The most requests that left in any sliding second, by the clocks of the runs.

        The sandbox counts arrivals, and on a busy machine some of them wait for its process and arrive
        together: one or two more than left.
        """
        sent = self.query("SELECT sent_at_ms FROM {s}.attempts WHERE sent_at_ms IS NOT NULL")
        return most_in_a_second([sent_at_ms / 1000 for (sent_at_ms,) in sent])

    async def verify(self) -> None:
        """Let the program itself hold the ledger against its rules."""
        done = await self.cli("ledger", "verify")
        assert done.code == 0, done.stdout + done.stderr


class Change(NamedTuple):
    """One line of the history."""

    number: int
    run_id: int
    outcome: str | None
    decision: str | None
    at_s: float


@dataclass
class Verdict:
    """What the referee has found; every list but `repeated` has to be empty."""

    lost: list[str] = field(default_factory=list)
    """Not sent, or on record without a task that the sandbox gave for it."""
    without_attempt: list[str] = field(default_factory=list)
    """Arrived while no attempt was on record."""
    called_not_sent: list[str] = field(default_factory=list)
    """Arrived more often than attempts may have left."""
    unknowingly: list[str] = field(default_factory=list)
    """Accepted once more although no attempt before was on record as in doubt."""
    after_takeover: list[str] = field(default_factory=list)
    """Arrived although the only attempts on record had been taken over."""
    repeated: list[str] = field(default_factory=list)
    """Accepted more than once."""

    @property
    def faults(self) -> dict[str, list[str]]:
        """What must not be."""
        found = {name: value for name, value in vars(self).items() if name != "repeated"}
        return {name: value for name, value in found.items() if value}


def judge_fleet(fleet: Fleet, log: Sequence[Entry], *, hold: bool = False) -> Verdict:
    """Hold the ledger and its history against what has arrived.

    Args:
        fleet: its runs have ended.
        log: of the sandbox.
        hold: what is in doubt stays so, and is not lost.
    """
    arrived: dict[str, list[Entry]] = defaultdict(list)
    for entry in log:
        if entry.file_id:
            arrived[entry.file_id].append(entry)
    states = {
        file_id: (int(number), state, task_id)
        for number, file_id, state, task_id in fleet.query(
            """SELECT s.id, s.file_id, s.state,
                (SELECT a.task_id FROM {s}.attempts AS a WHERE a.submission_id = s.id AND task_id IS NOT NULL)
            FROM {s}.submissions AS s"""
        )
    }
    history: dict[int, list[Change]] = defaultdict(list)
    for submission, *change in fleet.query("SELECT * FROM {s}.history ORDER BY at_s"):
        history[submission].append(Change(*change))
    verdict = Verdict()
    for file_id in fleet.ids:
        submission_id, state, task_id = states.pop(file_id)
        entries = arrived.pop(file_id, [])
        given = {entry.task_id for entry in entries if entry.task_id}
        if not (state == "submitted" and task_id in given) and not (hold and state == "in_doubt"):
            verdict.lost.append(f"{file_id}: {state} {task_id}")
        _judge_one(verdict, file_id, entries, history[submission_id])
    verdict.without_attempt += arrived
    return verdict


def _judge_one(verdict: Verdict, file_id: str, entries: Sequence[Entry], changes: Sequence[Change]) -> None:
    last = {change.number: change for change in changes}
    may_have_left = sum(change.outcome != "not_sent" for change in last.values())
    if len(entries) > may_have_left:
        verdict.called_not_sent.append(f"{file_id}: {len(entries)} arrivals, {list(last.values())}")
    if sum(entry.accepted for entry in entries) > 1:
        verdict.repeated.append(file_id)
    accepted_before = False
    for count, entry in enumerate(entries, 1):
        at_s = entry.arrived_at.timestamp()
        before = [change for change in changes if change.at_s <= at_s]
        if len({change.number for change in before}) < count:
            verdict.without_attempt.append(file_id)
        in_force = {change.number: change for change in changes if change.at_s <= at_s - SLACK_S}
        fresh = {change.number for change in before} - set(in_force)
        if not fresh and all(change.decision == "in_doubt" for change in in_force.values()):
            verdict.after_takeover.append(f"{file_id}: {at_s} {list(changes)}")
        doubts = {change.number for change in before if change.decision == "in_doubt"}
        if accepted_before and not doubts:
            verdict.unknowingly.append(file_id)
        accepted_before = accepted_before or entry.accepted
