"""Other writers of the ledger during a run: submissions that they add are sent, or reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.callbacks import callbacks, listening, post, record, sealed
from support.cli import PICTURES, Cli, serving, tencent_ids
from support.ledger_sql import writing
from support.referee import referee

from batcher.ledger.conditions import NO_CODE, NO_RUN


async def test_submission_added_during_the_last_request_is_sent(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """A recording that a callback adds during the run's last request is sent by the same run; exit code 0."""
    old, new = tencent_ids(2)
    async with serving(cli, callbacks(latency_ms=800)) as sandbox:
        async with listening(cli, "--submit-new", "--definition", "10", "--offset", "1") as listener:
            process = await cli.start("run", manifest([old]), *PICTURES, "--progress", "none")
            await sandbox.wait_for(lambda: len(sandbox.log) == 1, 20)
            assert (await post(listener.url, sealed(record(new))))[0] == 200
            done = await cli.finish(process)
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
    assert {row["file_id"]: row["status"] for row in rows} == {old: "submitted", new: "submitted"}


@pytest.mark.about_files  # a run on a shared ledger looks again, and sends it
async def test_submission_released_too_late_is_left_and_reported(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """A submission put back in the queue after its turn ends the run with exit code 4 and true words."""
    archive, path = manifest(tencent_ids(2)), cli.folder / "batcher.db"
    async with serving(cli, callbacks(latency_ms=800)) as sandbox:
        assert (await cli("load", archive, *PICTURES)).code == 0
        _change(path, "UPDATE submissions SET tries_doubt = 1")
        _move_the_first(path, "pending", "in_doubt")
        process = await cli.start("run", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.log) == 1, 20)
        _move_the_first(path, "in_doubt", "pending")
        done = await cli.finish(process)
        assert done.code == 4, done.stderr
        said = " ".join(done.stderr.split())
        assert "ubmissions were added as the run ended; 1 submission left" in said
        assert (await cli("run", "--progress", "none")).code == 0
        await referee(cli, sandbox)


def _move_the_first(path: Path, before: str, after: str) -> None:
    """Move a submission as a callback does that names its task, and a poll that denies it."""
    tally = f"VALUES ('{after}', {NO_CODE}, {NO_RUN}, 1)"
    _change(
        path,
        f"UPDATE submissions SET state = '{after}' WHERE id = 1",  # noqa: S608 - words of ours
        f"UPDATE tallies SET n = n - 1 WHERE state = '{before}'",  # noqa: S608 - words of ours
        f"INSERT INTO tallies (state, code, run_id, n) {tally} "
        "ON CONFLICT (state, code, run_id, coded) DO UPDATE SET n = tallies.n + 1",
    )


def _change(path: Path, *statements: str) -> None:
    with writing(path) as other:
        for statement in statements:
            other.execute(statement)
