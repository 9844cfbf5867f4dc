"""Tallies equal the sums of the submissions, for any codes in any grouping."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from support.ledger_place import copy_ledger, empty_ledger
from support.ledger_sql import writing

from batcher.ledger.run_ledger import RunLedger, open_for_writing
from batcher.ledger.sqlite.database import SqliteDatabase
from batcher.ledger.verify import verify
from batcher.model.outcome import Answer, Decision, Disposition, Settlement
from batcher.model.submission import (
    Claim,
    FileId,
    Parameters,
    Row,
    RunId,
    SnapshotType,
    State,
    Tries,
    Vendor,
)

LEDGERS = Path(__file__).parents[2] / "ledgers"

ASKED = Parameters(Vendor.TENCENT, SnapshotType.SAMPLE, "10", "", ())

LEAST, MOST = -(2**63), 2**63 - 1

CODES = st.sampled_from([None, -1, 0, 1, -2, LEAST, MOST, 1000]) | st.integers(LEAST, MOST)
ENDS = st.sampled_from([State.PENDING, State.REJECTED, State.FAILED, State.IN_DOUBT])
STEPS = st.lists(st.lists(st.tuples(CODES, ENDS), min_size=1, max_size=8), min_size=1, max_size=5)
"""Rounds of attempts; those of one round are begun together, and settled together."""


def settled(claim: Claim, code: int | None, end: State) -> Settlement:
    """An attempt that was settled with a code."""
    now = datetime.now(UTC)
    outcome = Answer(code or 0, "as it came")
    decision = {
        State.PENDING: Decision.AGAIN,
        State.REJECTED: Decision.REJECTED,
        State.FAILED: Decision.FAILED,
        State.IN_DOUBT: Decision.IN_DOUBT,
    }[end]
    disposition = Disposition(decision, end, Tries(), code=code)
    return Settlement(claim, outcome, disposition, now, now)


async def one_round(ledger: RunLedger, run: RunId, ends: Sequence[tuple[int | None, State]]) -> None:
    """Begin some open submissions in one group, then settle them in one group."""
    claims = (await ledger.fresh(after_id=0, limit=len(ends)))[: len(ends)]
    await asyncio.gather(*(ledger.begin(claim, run) for claim in claims))
    await asyncio.gather(
        *(ledger.settle(settled(claim, *end), run) for claim, end in zip(claims, ends, strict=False))
    )


async def lived(path: Path, rounds: Sequence[Sequence[tuple[int | None, State]]]) -> None:
    """Give a ledger rounds of attempts, with retries of everything that failed in between."""
    async with await open_for_writing(path) as ledger:
        load = await ledger.start_load("archive.csv", "-", ("file_id",))
        rows = [Row(line, FileId(f"r{line}"), ASKED, None) for line in range(1, 21)]
        await ledger.add(load, "archive.csv", rows, [])
        for ends in rounds:
            run = await ledger.start_run(20.0, "test")
            await one_round(ledger, run, ends)
            await ledger.retry([State.FAILED, State.REJECTED], [-1, LEAST])


@given(STEPS)
@settings(max_examples=40, deadline=None)
def test_tallies_after_any_codes_in_any_grouping_are_the_sums_of_rows(
    rounds: list[list[tuple[int | None, State]]],
) -> None:
    """The tallies equal the counted submissions, and their sum is the number of rows."""

    async def tried() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = copy_ledger(await empty_ledger(), Path(folder) / "batcher.db")
            await lived(path, rounds)
            assert list(verify(path, lambda *_: None)) == []
            async with await open_for_writing(path) as ledger:
                assert sum(tally.n for tally in await ledger.tallies()) == 20

    asyncio.run(tried())


async def test_tallies_of_code_minus_one_and_of_no_code_are_separate(tmp_path: Path) -> None:
    """A code of -1 is read back as a code."""
    path = copy_ledger(await empty_ledger(), tmp_path / "batcher.db")
    await lived(path, [[(-1, State.PENDING), (None, State.PENDING), (-1, State.PENDING)]])
    async with await open_for_writing(path) as ledger:
        found = {(tally.code, tally.n) for tally in await ledger.tallies() if tally.run_id is not None}
    assert found == {(-1, 2), (None, 1)}


@pytest.mark.about_files
@pytest.mark.parametrize("revision", ["0001", "0004"])
async def test_upgrade_of_ledger_with_code_minus_one_counts_anew(tmp_path: Path, revision: str) -> None:
    """A ledger with wrong tallies of an older program is whole after its upgrade."""
    path = Path(shutil.copy(LEDGERS / f"{revision}.db", tmp_path / "batcher.db"))
    with writing(path) as connection:
        connection.execute("UPDATE submissions SET code = -1 WHERE state = 'pending' AND id % 2")
        connection.execute("UPDATE tallies SET n = n + 3 WHERE state = 'pending'")
        connection.commit()
    assert list(verify(path, lambda *_: None)) != []
    SqliteDatabase(path).bring_up_to_date()
    assert list(verify(path, lambda *_: None)) == []
