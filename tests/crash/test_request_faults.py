"""Each fault of the sandbox on the Nth request: the run ends as documented, and the records agree."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cli import Cli, serving, tencent_ids, write_manifest
from support.library_run import run_here
from support.referee import referee

from batcher.exit_codes import ExitCode
from batcher.model.submission import InDoubtPolicy
from batcher.sandbox import Fault, SandboxSettings

ROWS = 3

IN_DOUBT = (
    "drop-before",
    "drop-after",
    "hang",
    "hang-before",
    "http:500",
    "http-after:502",
    "html",
    "cut",
    "cut-json",
    "empty",
    "no-code",
)
AGAIN = (
    *("code:1", "code:1000", "code:77777", "code:6", "code:207", "code:100000012"),
    *("http:302", "http:404", "http:429", "http:503:0", "slow:50"),
)
REJECTED = ("code:2", "code:4", "code:41003")
DENYING = ("code:3", "code:5")
"""These halt before the first success; after it one recording that gets them is sent again."""
HALTING = ("code:100000005", "code:100000011", "code:100000017")


@pytest.mark.parametrize("fault", [*IN_DOUBT, *AGAIN, *REJECTED, *DENYING, *HALTING, "no-task-id"])
async def test_fault_of_any_request_ends_its_submission_as_documented(
    cli: Cli, tmp_path: Path, fault: str
) -> None:
    """Every other recording is submitted."""
    manifest = write_manifest(tmp_path / "rows.csv", ([one] for one in tencent_ids(ROWS)))
    for n in range(1, ROWS + 1):
        ledger = tmp_path / f"{n}.db"
        settings = SandboxSettings(rate_per_s=None, script={n: Fault.parse(fault)})
        async with serving(cli, settings) as sandbox:
            ending = await run_here(ledger, str(sandbox.url), [manifest], timeout_s=0.3)
            struck = sandbox.log[n - 1].file_id
            if fault in HALTING or (fault in DENYING and ending.exit == ExitCode.HALTED):
                assert ending.exit == ExitCode.HALTED, ending.reason
                assert len(sandbox.log) <= n + 3  # requests already in flight
                ending = await run_here(ledger, str(sandbox.url))
            ends_well = fault not in REJECTED and fault != "no-task-id"
            assert ending.exit == (ExitCode.DONE if ends_well else ExitCode.TROUBLE), ending.reason
            rows = await referee(cli, sandbox, ledger=ledger.name)
            expected = (
                "rejected" if fault in REJECTED else "in_doubt" if fault == "no-task-id" else "submitted"
            )
            assert {row["file_id"]: row["status"] for row in rows} == {
                one: expected if one == struck else "submitted" for one in tencent_ids(ROWS)
            }
            assert len(sandbox.requests_for(struck)) == (1 if not ends_well or fault == "slow:50" else 2)


@pytest.mark.parametrize("fault", IN_DOUBT)
async def test_lost_answer_under_hold_is_sent_once(cli: Cli, tmp_path: Path, fault: str) -> None:
    """A submission without an answer was sent once and stays in doubt, in this run and the next."""
    manifest = write_manifest(tmp_path / "rows.csv", ([one] for one in tencent_ids(ROWS)))
    settings = SandboxSettings(rate_per_s=None, script={2: Fault.parse(fault)})
    async with serving(cli, settings) as sandbox:
        for expected in (ExitCode.TROUBLE, ExitCode.DONE):  # it is news once
            ending = await run_here(
                tmp_path / "batcher.db",
                str(sandbox.url),
                [manifest],
                policy=InDoubtPolicy.HOLD,
                timeout_s=0.3,
            )
            assert ending.exit == expected, ending.reason
        rows = await referee(cli, sandbox)
        assert len(sandbox.log) == ROWS
    assert sorted(row["status"] for row in rows) == ["in_doubt", "submitted", "submitted"]
