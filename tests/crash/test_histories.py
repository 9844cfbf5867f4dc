"""Any history of loads, runs, lost answers, kills and grown manifests, against a plain dict as the model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.cli import FAST, PICTURES, Cli, tencent_ids, write_manifest
from support.ledger_sql import query
from support.library_run import run_here
from support.referee import referee

from batcher.exit_codes import ExitCode
from batcher.sandbox import Fault, RequestSeen, Sandbox, SandboxSettings

T = TypeVar("T")

POOL = tencent_ids(40, seed=7)
FAULTS = ("drop-before", "drop-after", "code:1", "code:6", "html", "cut-json", "http:500")


class Histories(RuleBasedStateMachine):
    """The actions of the user, the network and the power supply on one ledger."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.cli = Cli(self.path)
        self.manifest: list[str] = []
        self.model: dict[str, str] = {}
        """What every recording that was loaded must become, as long as its tries last."""
        self.faults: list[str] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.sandbox = Sandbox(SandboxSettings(rate_per_s=None, latency_ms=1, choose=self._choose))
        self.serving = self.sandbox.serve()
        self.cli.use(self._await(self.serving.__aenter__()))

    def teardown(self) -> None:
        """Check that a run without faults completes the work at the end, and that all records agree."""
        self.faults.clear()
        try:
            if self.manifest:
                self._note()
                assert self._run() in (ExitCode.DONE, ExitCode.TROUBLE)
                rows = self._await(referee(self.cli, self.sandbox))
                assert {row["file_id"]: row["status"] for row in rows} == self._expected()
        finally:
            self._await(self.serving.__aexit__(None, None, None))
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.loop.close()
            self.folder.cleanup()

    @rule(ids=st.lists(st.sampled_from(POOL), min_size=1, max_size=12))
    def grow(self, ids: list[str]) -> None:
        """The manifest gets rows, some of which it has already."""
        self.manifest.extend(ids)

    @rule(seed=st.integers(0, 9))
    def reorder(self, seed: int) -> None:
        """The manifest is sorted otherwise."""
        Random(seed).shuffle(self.manifest)

    @rule(faults=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=6))
    def fail(self, faults: list[str]) -> None:
        """Give the next requests these faults."""
        self.faults.extend(faults)

    @precondition(lambda self: self.manifest)
    @rule()
    def run(self) -> None:
        """A run with the manifest ends, and everything it has loaded has ended."""
        self._note()
        assert self._run() in (ExitCode.DONE, ExitCode.TROUBLE)

    @precondition(lambda self: self.manifest)
    @rule(after=st.integers(0, 6))
    def kill(self, after: int) -> None:
        """A run with the manifest is killed after some more requests, or ends before that."""
        self._note()
        self._await(self._kill(after))

    @precondition(lambda self: self.model)
    @rule()
    def retry(self) -> None:
        """Put back rejected and failed submissions; here there are no such ones."""
        done = self._await(self.cli("retry"))
        assert done.code == 0, done.stderr

    @invariant()
    def only_recordings_of_the_manifest_are_sent(self) -> None:
        """The server has received only recordings of the manifest."""
        assert {entry.file_id for entry in self.sandbox.log if entry.file_id} <= set(self.manifest)

    def _note(self) -> None:
        self.model.update(dict.fromkeys(self.manifest, "submitted"))

    def _expected(self) -> dict[str, str]:
        """The model, but for recordings whose budget of lost answers or of busy ones was used up."""
        used_up = query(
            self.path / "batcher.db",
            "SELECT s.file_id, count(CASE WHEN a.outcome = 'reply_lost' THEN 1 END) AS lost, "
            "count(CASE WHEN a.code = 1 THEN 1 END) AS busy "
            "FROM submissions s JOIN attempts a ON a.submission_id = s.id GROUP BY s.id "
            "HAVING count(a.task_id) = 0",
        )
        return self.model | {
            one: "in_doubt" if lost else "failed" for one, lost, busy in used_up if lost >= 5 or busy >= 5
        }

    def _write(self) -> Path:
        return write_manifest(self.path / "rows.csv", ([one] for one in self.manifest))

    def _run(self) -> ExitCode:
        work = run_here(self.path / "batcher.db", str(self.sandbox.url), [self._write()], timeout_s=2)
        return self._await(work).exit

    async def _kill(self, after: int) -> None:
        wanted = len(self.sandbox.log) + after
        process = await self.cli.start("run", self._write(), *PICTURES, *FAST)
        ended = asyncio.ensure_future(process.communicate())
        reached = asyncio.ensure_future(self.sandbox.wait_for(lambda: len(self.sandbox.log) > wanted, 20))
        await asyncio.wait((ended, reached), return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()
        if process.returncode is None:
            process.kill()
        await ended

    def _choose(self, _: RequestSeen) -> Fault | None:
        return Fault.parse(self.faults.pop()) if self.faults else None

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=60)


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    settings.get_profile("histories"),
    stateful_step_count=10,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
