"""A ledger locked for long by another process: what follows it waits, and long work of ours leaves gaps."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.callbacks import SECRET_GIVEN, post, sealed, snapshot
from support.cli import FAST, PICTURES, Cli, said, serving, tencent_ids, until
from support.ledger_sql import locked, query, write
from support.statements import observed

from batcher.ledger.run_ledger import open_for_writing
from batcher.ledger.verify import verify
from batcher.model.submission import State

Manifest = Callable[..., Path]

PATIENCE_S = 1
"""How long a statement waits for a lock in the processes of these tests."""

_QUICK = (
    "from batcher.ledger import writer; from batcher.ledger.sqlite import connection; "
    "from batcher.ledger.postgres import connection as session; "
    f"connection.BUSY_TIMEOUT_S = session.BUSY_TIMEOUT_S = writer.BUSY_TIMEOUT_S = {PATIENCE_S}; "
    "from batcher.cli.app import app; app()"
)


@asynccontextmanager
async def started(
    cli: Cli, *args: str, env: dict[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command whose statements wait for a lock only shortly; killed if it has not ended."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _QUICK, *args),
        cwd=cli.folder,
        env=cli.env | (env or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_track_and_listen_wait_while_another_process_holds_the_ledger(
    cli: Cli, manifest: Manifest
) -> None:
    """Neither ends while the file is locked; once it is free the callback is on record and the tasks end."""
    ledger = cli.folder / "batcher.db"
    async with serving(cli):
        assert (await cli.run(manifest(tencent_ids(5)), *PICTURES)).code == 0
        left_out = dict.fromkeys(("BATCHER_APP_ID", "BATCHER_SERVER_SECRET"), "")
        async with started(cli, "listen", "--port", "0", env=SECRET_GIVEN | left_out) as listener:
            url = (await said(listener, "Listening")).split()[3]
            with locked(ledger) as other:
                async with started(cli, "track", "--progress", "none") as tracker:
                    posting = asyncio.create_task(post(url, sealed(snapshot())))
                    await said(tracker, "; waiting")
                    await said(listener, "; waiting")
                    assert not posting.done()
                    other.rollback()
                    _, words = await tracker.communicate()
                    assert tracker.returncode == 0, words.decode()
                    assert (await posting)[0] == 200
            listener.send_signal(signal.SIGTERM)
            await listener.communicate()
            assert listener.returncode == 143
        assert query(ledger, "SELECT count(*) FROM callbacks") == [(1,)]
        assert query(ledger, "SELECT count(*) FROM tasks WHERE state = 'finished'") == [(5,)]


async def test_track_that_waits_for_a_locked_ledger_can_be_stopped(cli: Cli, manifest: Manifest) -> None:
    """A signal ends the waiting, whether or not the other program ever lets go."""
    async with serving(cli):
        assert (await cli.run(manifest(tencent_ids(2)), *PICTURES)).code == 0
        with locked(cli.folder / "batcher.db"):
            async with started(cli, "track", "--progress", "none") as tracker:
                await said(tracker, "; waiting")
                tracker.send_signal(signal.SIGTERM)
                async with asyncio.timeout(90):
                    await tracker.communicate()
                assert tracker.returncode == 143


@pytest.mark.about_files
async def test_track_continues_after_a_vacuum(cli: Cli, manifest: Manifest) -> None:
    """A vacuum reports that others wait; the tracker polls submissions made afterwards."""
    ledger = cli.folder / "batcher.db"
    finished = "SELECT count(*) FROM tasks WHERE state = 'finished'"
    async with serving(cli):
        assert (await cli.run(manifest(tencent_ids(2)), *PICTURES)).code == 0
        async with started(cli, "track", "--follow", "--progress", "none") as tracker:
            await until(lambda: query(ledger, finished) == [(2,)])
            done = await cli("ledger", "vacuum")
            assert (done.code, "track, listen and fetch wait" in done.stderr) == (0, True), done.stderr
            assert (await cli.run(manifest(tencent_ids(4)), *PICTURES)).code == 0
            await until(lambda: query(ledger, finished) == [(4,)])
            tracker.send_signal(signal.SIGTERM)
            await tracker.communicate()
            assert tracker.returncode == 143
        assert (await cli("ledger", "verify")).stdout == ""


def with_failed(ledger: Path, n: int) -> None:
    """Add failed submissions to a ledger, every third of them with a code of its own."""
    write(
        ledger,
        "INSERT INTO parameters VALUES (1, 'Tencent', 'SampleSnapshot', '10', '', '') ON CONFLICT DO NOTHING",
        f"""INSERT INTO loads (id, source, path, columns, started_at_ms, ended_at_ms, rows, new)
            VALUES (900, 'big.csv', '/srv/big.csv', '["file_id"]', 1, 2, {n}, {n})""",  # noqa: S608 - a number
        """INSERT INTO runs (id, started_at_ms, pid, host, version, rate_per_s, ended_at_ms, exit_code)
            VALUES (900, 1, 1, 'archive', '0', 20, 2, 1)""",
        f"""WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {n})
            INSERT INTO submissions
                (id, file_id, parameters_id, state, code, run_id, attempts, tries_busy, load_id, line)
            SELECT 1000000 + n, 'r' || n, 1, 'failed', CASE WHEN n % 3 = 0 THEN 1000 ELSE 1 END, 900, 1, 5,
                900, n
            FROM numbers""",  # noqa: S608 - as above
        """INSERT INTO attempts (submission_id, number, run_id, begun_at_ms, outcome, decision, code)
            SELECT id, 1, 900, 1, 'answer', 'failed', code FROM submissions WHERE id > 1000000""",
        """INSERT INTO tallies (state, code, run_id, coded, n) SELECT 'failed', code, 900, true, count(*)
            FROM submissions WHERE id > 1000000 GROUP BY code""",
    )


@asynccontextmanager
async def rows_by_transaction() -> AsyncIterator[Counter[int]]:
    """How many submissions each transaction of this process has changed."""
    changed: Counter[int] = Counter()
    number = 0

    def executed(statement: str, rows: int) -> None:
        nonlocal number
        if statement.startswith("UPDATE submissions"):
            changed[number] += rows
        elif statement == "COMMIT":
            number += 1

    with observed(after=executed):
        yield changed


@pytest.mark.parametrize(("codes", "moved"), [((), 9_000), ((1000,), 3_000)])
async def test_retry_of_many_moves_them_in_small_transactions(
    tmp_path: Path, codes: tuple[int, ...], moved: int
) -> None:
    """However many are put back, no transaction is long, and the tallies follow each."""
    path = tmp_path / "batcher.db"
    async with await open_for_writing(path):
        pass
    with_failed(path, 9_000)
    async with await open_for_writing(path) as ledger, rows_by_transaction() as changed:
        assert await ledger.retry([State.FAILED], codes) == moved
    assert sum(changed.values()) == moved
    assert max(changed.values()) <= 2_000
    assert list(verify(path, lambda *_: None)) == []


async def test_retry_after_an_interruption_moves_the_rest(tmp_path: Path) -> None:
    """Moved submissions stay moved, the ledger is whole, and the same call moves the others."""
    path = tmp_path / "batcher.db"
    async with await open_for_writing(path):
        pass
    with_failed(path, 9_000)
    pending = "SELECT count(*) FROM submissions WHERE state = 'pending'"
    async with await open_for_writing(path) as ledger:
        async with rows_by_transaction() as changed:
            retrying = asyncio.create_task(ledger.retry([State.FAILED]))
            await until(lambda: bool(changed))
            retrying.cancel()
            await asyncio.wait([retrying])
        [(some,)] = query(path, pending)
        assert 0 < some < 9_000
        assert await ledger.retry([State.FAILED]) == 9_000 - some
    assert list(verify(path, lambda *_: None)) == []


async def test_callbacks_are_recorded_during_a_retry_of_many(cli: Cli, manifest: Manifest) -> None:
    """Every callback that arrives meanwhile is answered and on record."""
    ledger = cli.folder / "batcher.db"
    async with serving(cli):
        assert (await cli.run(manifest(tencent_ids(2)), *PICTURES, *FAST)).code == 0
        with_failed(ledger, 60_000)
        left_out = dict.fromkeys(("BATCHER_APP_ID", "BATCHER_SERVER_SECRET"), "")
        async with started(cli, "listen", "--port", "0", env=SECRET_GIVEN | left_out) as listener:
            url = (await said(listener, "Listening")).split()[3]
            async with started(cli, "retry") as retrying:
                ending = asyncio.create_task(retrying.communicate())
                answers = []
                while not ending.done():
                    answers.append((await post(url, sealed(snapshot())))[0])
                _, words = await ending
                assert (retrying.returncode, b"60,000 submissions" in words) == (0, True), words.decode()
            assert set(answers) == {200}
            listener.send_signal(signal.SIGTERM)
            await listener.communicate()
        assert query(ledger, "SELECT count(*) FROM callbacks") == [(len(answers),)]
        assert json.loads((await cli("status", "--json")).stdout)["submissions"]["pending"] == 60_000
        assert (await cli("ledger", "verify")).stdout == ""
