"""Plans of queries: all use indexes, so that they take no longer in a ledger of millions."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.specimens import rows_of
from support.statements import Statement, plans_of, statements_of

from batcher.ledger import bulk_insert
from batcher.ledger.conditions import REVISIONS
from batcher.ledger.reader import LedgerReader, open_for_reading
from batcher.ledger.run_ledger import open_for_writing
from batcher.model.submission import FileId, LoadId

pytestmark = pytest.mark.about_files

LEDGER = Path(__file__).parents[2] / "ledgers" / f"{REVISIONS[-1]}.db"

LONG = {
    "submissions",
    "s",
    "other",
    "attempts",
    "a",
    "seen",
    "tasks",
    "t",
    "pictures",
    "k",
    "loads",
    "l",
    "later",
    "earlier",
}
"""Tables that can have very many rows, by the names they have in statements."""

READ_WHOLE = {"loads": "l", "own_columns": "loads", "asked_for_open": "s"}
"""Questions that go through one table on purpose: ``status --json`` lists it, ``export`` reads everything,
and ``s`` is what two partial indexes hold."""

ASKED: dict[str, Callable[[LedgerReader], Awaitable[object]]] = {
    "bound_to": lambda ledger: ledger.bound_to(),
    "tallies": lambda ledger: ledger.tallies(),
    "tallies_of_tasks": lambda ledger: ledger.tallies_of_tasks(),
    "tallies_of_http_refusals": lambda ledger: ledger.tallies_of_http_refusals(),
    "loads": lambda ledger: ledger.loads(),
    "loads_after": lambda ledger: ledger.loads(after_id=3),
    "newest_load": lambda ledger: ledger.newest_load(),
    "unfinished_sources": lambda ledger: ledger.unfinished_sources(),
    "own_columns": lambda ledger: ledger.own_columns(),
    "last_run": lambda ledger: ledger.last_run(),
    "last_reported_run": lambda ledger: ledger.last_reported_run(),
    "last_ended_run": lambda ledger: ledger.last_ended_run(0),
    "invalid_rows": lambda ledger: ledger.invalid_rows(limit=5),
    "count_invalid_rows": lambda ledger: ledger.count_invalid_rows(after_id=1),
    "newest_invalid_row": lambda ledger: ledger.newest_invalid_row(),
    "fresh": lambda ledger: ledger.fresh(after_id=7, limit=200),
    "doubtful": lambda ledger: ledger.doubtful(after=(0, 0), limit=200),
    "delayed": lambda ledger: ledger.delayed(),
    "sending": lambda ledger: ledger.sending(),
    "count_doubtful": lambda ledger: ledger.count_doubtful(),
    "count_possibly_twice": lambda ledger: ledger.count_possibly_twice(),
    "newest_submission": lambda ledger: ledger.newest_submission(),
    "asked_for_open": lambda ledger: ledger.asked_for_open(5),
    "asked_for_by": lambda ledger: ledger.asked_for_by([LoadId(1)], 7, 5),
    "asked_before": lambda ledger: ledger.asked_before([FileId("1"), FileId("2")]),
    "records": lambda ledger: ledger.records(after_id=7, limit=500),
    "records_in_doubt": lambda ledger: ledger.records_in_doubt(5),
    "records_of": lambda ledger: ledger.records_of([FileId("1")]),
    "digest_before": lambda ledger: ledger.digest_before("/srv/nightly.csv"),
    "last_seen": lambda ledger: ledger.last_seen("/srv/nightly.csv"),
    "seen_pages": lambda ledger: ledger.seen_pages(_load(1), after=0, limit=64),
    "same_recording": lambda ledger: ledger.same_recording([1, 2, 3]),
}


def _load(number: int) -> Any:  # noqa: ANN401 - an id of any name
    return number


def scanned(statements: list[Statement]) -> list[str]:
    """Long tables that statements would read from end to end; the parts of a partial index are few."""
    plan = plans_of(LEDGER, statements)
    partial = (" INDEX submissions_", " INDEX loads_unended")
    through = [step for step in plan if step.startswith("SCAN") and not any(one in step for one in partial)]
    return [step for step in through if re.sub(r"_\d+$", "", step.split()[1]) in LONG]


@pytest.mark.parametrize("name", ASKED)
async def test_queries_scan_no_long_table(name: str) -> None:
    """No query of status, summary, show, claims or a load reads a long table from end to end."""
    async with await open_for_reading(LEDGER) as ledger:
        with statements_of() as statements:
            await ASKED[name](ledger)
    assert statements
    assert [step for step in scanned(statements) if step.split()[1] != READ_WHOLE.get(name)] == []


async def test_every_query_of_the_reader_is_listed() -> None:
    """A new query of the reader has its line above, or scans on purpose."""
    asked = {
        name
        for name in vars(LedgerReader)
        if not name.startswith("_") and name not in {"close", "records_of_many_attempts", "runs_that_sent"}
    }
    assert asked == set(ASKED) - {"loads_after"}


async def test_statements_of_a_load_use_keys(tmp_path: Path) -> None:
    """A load finds rows by keys in a ledger of any size; only staged rows are read in full."""
    path = tmp_path / "batcher.db"
    async with await open_for_writing(path) as ledger:
        load_id = await ledger.start_load("a.csv", "/data/a.csv", ["file_id"])
        with statements_of() as statements:
            for _ in range(2):
                await ledger.add(load_id, "a.csv", rows_of(1, 2, 3), [])
    [find] = {text for text, _ in statements if "FROM staged LEFT JOIN" in text}
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TEMP TABLE staged (place INTEGER PRIMARY KEY, {bulk_insert.STAGED})")
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {find}", {"most": 1})]
    assert [step for step in plan if step.startswith("SCAN s")] == []
