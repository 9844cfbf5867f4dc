"""Many recordings under a mixed load of faults: every row ends in its right state, and the books agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import PICTURES, Cli, serving, tencent_ids
from support.ledger_sql import query
from support.referee import referee

from batcher.sandbox import Sandbox, SandboxSettings

MIXED = dict.fromkeys(
    ("drop-before", "drop-after", "http:500", "html", "code:1", "code:1000", "code:6"), 0.03
)
"""No answer before and after accepting, 5xx, garbage, busy, failed, too frequent: 3 % each."""


@pytest.mark.timeout(1800)
async def test_soak_ends_with_the_right_state_for_every_row(
    cli: Cli, manifest: Callable[..., Path], soak_rows: int
) -> None:
    """The outcomes of a recording's requests decide its state, for each recording by itself."""
    archive = manifest(tencent_ids(soak_rows))
    cli.deadline_s = 1500.0
    async with serving(cli, SandboxSettings(rate_per_s=None, shares=MIXED, seed=11)) as sandbox:
        # The pace stays high: a refusal in a hundred is what this rate is meant to meet here.
        done = await cli("run", archive, *PICTURES, "--rate", "20000", "--progress", "none")
        assert done.code in (0, 1), done.stderr
        rows = await referee(cli, sandbox)
    assert {row["file_id"]: row["status"] for row in rows} == {
        one: _expected(sandbox, one) for one in tencent_ids(soak_rows)
    }
    counts = Counter(row["status"] for row in rows)
    sent_twice = query(
        cli.folder / "batcher.db", "SELECT count(*) FROM submissions WHERE doubted AND state = 'submitted'"
    )[0][0]
    print(f"{counts}, {len(sandbox.log)} requests, {sent_twice} perhaps twice")  # noqa: T201 - for the record


def _expected(sandbox: Sandbox, file_id: str) -> str:
    """The state that the documents give for the outcomes of one recording, in their order."""
    met: Counter[str] = Counter()
    for entry in sandbox.requests_for(file_id):
        fault = str(entry.fault) if entry.fault else ""
        met[fault] += 1
        if not fault:
            return "submitted"
        if met["code:1000"] == 3:
            return "rejected"
        lost = met["drop-before"] + met["drop-after"] + met["http:500"] + met["html"]
        if lost == 5 or (met["code:1"] == 5 and lost):
            return "in_doubt"
        if met["code:1"] == 5:
            return "failed"
    return "pending"
