"""Failure of the Nth step of the ledger, for every N: the next run completes the work, nothing is lost."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from support.cli import NO_LIMIT, Cli, serving, tencent_ids, write_manifest
from support.library_run import run_here
from support.referee import referee
from support.statements import Statement, driver_error, observed, writes

from batcher.errors import LedgerError
from batcher.exit_codes import ExitCode
from batcher.ledger.connection import Connection
from batcher.ledger.run_ledger import RunLedger

ROWS = 5


class NthFails:
    """Makes the Nth statement or commit of a ledger's writer fail, and everything after it if it lasts."""

    def __init__(self, n: int, error: str, *, lasts: bool) -> None:
        self.n = n
        self.error = error
        self.lasts = lasts
        self.done = 0
        self._begun = False

    def __call__(self, ledger: RunLedger) -> None:
        """Begin to count."""
        del ledger
        self._begun = True

    @property
    def reached(self) -> bool:
        """Whether there was an Nth at all."""
        return self.done >= self.n

    def count(self, connection: Connection, statement: Statement) -> None:
        """Count a statement of the writer, and fail if it is the one."""
        if not self._begun or not writes(connection) or statement[0] == "ROLLBACK":
            return
        self.done += 1
        if self.done == self.n or (self.lasts and self.done > self.n):
            raise driver_error(self.error)


WAYS = [(error, lasts) for error in ("full", "broken", "busy") for lasts in (False, True)]


@pytest.mark.parametrize("way", range(len(WAYS)), ids=lambda way: "-".join(map(str, WAYS[way])))
async def test_run_with_a_failed_step_of_the_ledger_is_completed_by_the_next(
    cli: Cli, tmp_path: Path, way: int, every_step: bool
) -> None:
    """The run has exit code 6 or its usual one, and the next run completes the work."""
    error, lasts = WAYS[way]
    manifest = write_manifest(tmp_path / "rows.csv", ([one] for one in tencent_ids(ROWS)))
    steps = itertools.count(1) if every_step else itertools.count(1 + way, len(WAYS))
    for step, n in enumerate(steps):
        fault = NthFails(n, error, lasts=lasts)
        ledger = tmp_path / f"{n}.db"
        async with serving(cli, NO_LIMIT) as sandbox:
            try:
                with observed(fault.count):
                    ending = await run_here(ledger, str(sandbox.url), [manifest], prepare_ledger=fault)
                assert ending.exit in (ExitCode.DONE, ExitCode.LEDGER), ending.reason
            except LedgerError:
                pass  # before the run could be recorded as begun
            sent = len(sandbox.log)
            ending = await run_here(ledger, str(sandbox.url), [manifest])
            assert ending.exit == ExitCode.DONE, ending.reason
            if step % 4 == 0:  # a process each time: some of them are enough
                await referee(cli, sandbox, ledger=ledger.name)
            assert {entry.file_id for entry in sandbox.accepted().values()} == set(tencent_ids(ROWS))
        assert sorted(tmp_path.glob("*.reserve")) == []  # noqa: ASYNC240 - a test may wait
        if not fault.reached:
            assert sent == ROWS
            return
