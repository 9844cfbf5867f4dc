"""A program reads a ledger with the library: state, audit, exports, history and checks."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from support.cli import Cli

import batcher
from batcher.api.status import submissions_of
from batcher.model.check import CheckLevel
from batcher.model.submission import State

HUAWEI = batcher.ReadOptions(batcher.Defaults(vendor="Huawei", interval="5"))


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    """A ledger with three open submissions and an invalid row."""
    manifest, path = tmp_path / "archive.csv", tmp_path / "l.db"
    manifest.write_text("file_id\na/1.mp4\na/2.mp4\nnan\na/3.mp4\n", "utf-8")
    async with batcher.open_ledger(path) as ledger:
        await ledger.load(manifest, how=HUAWEI)
    return path


async def test_ledger_status_of_a_new_ledger_counts_the_open_submissions(ledger: Path) -> None:
    """The state has the counts, the loads, and the time left at a rate."""
    status = await batcher.ledger_status(ledger)
    assert status.counts.by_state[State.PENDING] == status.counts.total
    assert (len(status.loads), status.loads_total, status.last_run) == (1, 1, None)
    assert status.seconds_left(0.5) == 2 * status.counts.total


async def test_audit_of_a_whole_ledger_balances(ledger: Path) -> None:
    """Nothing is wrong with a ledger that was only loaded."""
    audit = await batcher.audit_ledger(ledger)
    assert (audit.problems, audit.exit_code) == ((), batcher.ExitCode.DONE)


@pytest.mark.parametrize("form", [batcher.ExportFormat.CSV, batcher.ExportFormat.JSONL])
async def test_export_writes_one_row_per_submission(ledger: Path, form: batcher.ExportFormat) -> None:
    """The rows go to the open file of the program."""
    file = io.BytesIO()
    done = await batcher.export_ledger(ledger, file, batcher.ExportSettings(form))
    lines = file.getvalue().decode().splitlines()
    assert done.rows == len(lines) - (form is batcher.ExportFormat.CSV)
    if form is batcher.ExportFormat.JSONL:
        assert {json.loads(line)["status"] for line in lines} == {"pending"}


async def test_export_of_a_manifest_has_a_row_for_each_of_its_rows(ledger: Path) -> None:
    """Invalid rows are there, too."""
    file, manifest = io.BytesIO(), str(ledger.with_name("archive.csv"))
    done = await batcher.export_manifest(ledger, manifest, file, batcher.ExportSettings(), read=HUAWEI)
    assert done.rows == 4


def test_export_settings_that_contradict_each_other_are_refused() -> None:
    """The message names the parameter."""
    with pytest.raises(batcher.SettingsError, match=r"^excel: "):
        batcher.ExportSettings(batcher.ExportFormat.JSONL, excel=True)


async def test_submissions_of_an_unknown_recording_raise(ledger: Path) -> None:
    """The message says how many submissions there are."""
    assert [record.file_id for record in await submissions_of(ledger, "a/1.mp4")] == ["a/1.mp4"]
    with pytest.raises(batcher.BatcherError, match="not among the"):
        await submissions_of(ledger, "b.mp4")


async def test_check_ledger_of_a_missing_ledger_warns(tmp_path: Path) -> None:
    """A missing ledger is a warning, since a run creates it; one that is there is fine."""
    findings = await batcher.check_ledger(str(tmp_path / "none.db"))
    assert (findings[0].about, findings[0].level) == ("ledger", CheckLevel.WARN)


@pytest.mark.parametrize(
    "command", [("export",), ("audit",), ("audit", "--json"), ("export", "--format", "jsonl")]
)
async def test_output_named_dash_is_stdout(cli: Cli, command: tuple[str, ...]) -> None:
    """``-o -`` writes to stdout and makes no file of that name."""
    (cli.folder / "a.csv").write_text("file_id\na/1.mp4\n", "utf-8")
    assert (await cli("load", "a.csv", "--vendor", "Huawei", "--interval", "5")).code == 0
    plain, dash = await cli(*command), await cli(*command, "-o", "-")
    assert (dash.code, dash.stdout) == (plain.code, plain.stdout)
    assert dash.stdout
    assert not (cli.folder / "-").exists()
