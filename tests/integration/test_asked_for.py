"""Announcements of what a run will ask for, and warnings about misspelt variables and columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, Cli, serving, tencent_ids, write_manifest

from batcher.manifest.rounded_ids import HEAD_ROWS
from batcher.sandbox import SandboxSettings

ASKED = "Tencent SnapshotByTimeOffset, definition 10, offsets 1;2"


async def test_load_reports_what_is_newly_asked_for(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The number, vendor, type and parameters are reported; known submissions are not counted again."""
    ids = tencent_ids(1_787)
    assert f"1,786 {ASKED}" in (await cli("load", manifest(ids[:-1]), *PICTURES)).stderr
    again = await cli("load", manifest(ids), *PICTURES)
    assert f"1 {ASKED}" in again.stderr
    assert "1,786 Tencent" not in again.stderr


async def test_groups_are_listed_largest_first_in_bounded_lines(cli: Cli, tmp_path: Path) -> None:
    """Many sets of parameters are a few lines and a sum; the same in load, dry run and run."""
    ids = tencent_ids(60)
    rows = [(one, "Tencent", str(n) if n < 40 else "7") for n, one in enumerate(ids)]
    rows.append(("record/1.mp4", "Huawei", ""))
    archive = write_manifest(tmp_path / "mixed.csv", rows, ("file_id", "vendor", "definition"))
    options = ("--offset", "1", "--interval", "5")
    dry = await cli("run", archive, *options, "--dry-run", "--json")
    async with serving(cli, ledger_made=False):
        ran = await cli("run", archive, *options, *FAST, "--limit", "1")
    loaded = await cli("load", archive, *options, "-l", "other.db")
    for said in (dry.stderr, ran.stderr, loaded.stderr):
        lines = [line.strip() for line in said.splitlines()]
        at = lines.index("21 Tencent SnapshotByTimeOffset, definition 7, offsets 1")
        assert lines[at + 5] == "36 under 36 other sets of parameters"
    assert dry.data["asked"]["new"][0] == {
        "n": 21,
        "vendor": "Tencent",
        "type": "SnapshotByTimeOffset",
        "definition": "7",
        "interval": None,
        "offsets": "1",
    }


async def test_run_reports_what_it_will_ask_for_before_it_sends(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Open submissions and those that the manifest adds are reported before the first answer."""
    ids = tencent_ids(8)
    assert (await cli("load", manifest(ids[:5], "old.csv"), *PICTURES)).code == 0
    async with serving(cli, SandboxSettings(latency_ms=3_000), ledger_made=False) as sandbox:
        process = await cli.start("run", manifest(ids), *PICTURES, "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.log) >= 1, 30)
        process.kill()
        done = await cli.finish(process)
    assert f"Left to send: 5 {ASKED}" in done.stderr
    assert f"New in {cli.folder / 'archive.csv'}: 3 {ASKED}" in done.stderr


async def test_run_of_a_long_stream_reports_what_its_first_rows_ask_for(cli: Cli) -> None:
    """Sending begins before everything was read, so the report covers the rows that have arrived."""
    ids = tencent_ids(10)
    rows = "".join(f"{ids[n % 10]}\n" for n in range(HEAD_ROWS + 5))
    async with serving(cli):
        done = await cli.run("-", *PICTURES, stdin=f"file_id\n{rows}".encode())
    assert done.code == 0, done.stderr
    assert f"New in the first {HEAD_ROWS:,} rows of stdin: 10 {ASKED}" in done.stderr


COMMANDS = {
    "run": ["run", "archive.csv", *PICTURES, *FAST],
    "dry run": ["run", "archive.csv", *PICTURES, "--dry-run"],
    "load": ["load", "archive.csv", *PICTURES, "-q"],
    "export": ["export", "archive.csv", *PICTURES],
    "verify-ids": ["verify-ids", "archive.csv"],
}


@pytest.mark.parametrize("command", COMMANDS)
async def test_misspelt_column_is_a_warning_in_every_command_that_reads_it(
    cli: Cli, tmp_path: Path, command: str
) -> None:
    """Columns within two letters of a known one are named with it; others are not, and nothing is refused."""
    header = ("file_id", "Vendr", "definiton", "ofsets", "time", "room")
    write_manifest(
        tmp_path / "archive.csv", [(one, "a", "b", "c", "d", "e") for one in tencent_ids(2)], header
    )
    async with serving(cli):
        done = await cli(*COMMANDS[command])
    for own, known in (("Vendr", "vendor"), ("definiton", "definition"), ("ofsets", "offsets")):
        assert f"the column {own} has no effect; if {known} is meant" in done.stderr
    assert done.stderr.count("has no effect") == 3
    assert done.code in (0, 1), done.stderr


@pytest.mark.parametrize(
    "args",
    [
        *(["run", "archive.csv", *PICTURES, *FAST], ["load", "archive.csv", *PICTURES, "-q"], ["status"]),
        *(["export"], ["retry"], ["audit"], ["check"], ["ledger", "info"], ["show", tencent_ids(1)[0]]),
    ],
    ids=" ".join,
)
async def test_misspelt_variable_is_a_warning_in_every_command(
    cli: Cli, manifest: Callable[..., Path], args: list[str]
) -> None:
    """The variable that may be meant is named, from the environment and from .env."""
    manifest(tencent_ids(1))
    (cli.folder / ".env").write_text("BATCHER_RAET=5\n")
    async with serving(cli):
        assert (await cli.run("archive.csv", *PICTURES)).code == 0
        done = await cli(*args, env={"BATCHER_OFFSETS": "1;2"})
    assert done.code == 0, done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert "BATCHER_OFFSETS: there is no such setting, and it has no effect" in said
    assert "BATCHER_OFFSET is meant" in said
    assert "BATCHER_RATE is meant" in said


@pytest.mark.parametrize("offsets", ["1,2", "1;2", "1, 2", "1|2", "[1,2]"])
async def test_offsets_take_commas_in_rows_options_and_variables(
    cli: Cli, tmp_path: Path, offsets: str
) -> None:
    """However they are separated and wherever they are given, the same thing is asked for."""
    rows = [(tencent_ids(1)[0], "Tencent", "10", offsets)]
    write_manifest(tmp_path / "rows.csv", rows, ("file_id", "vendor", "definition", "offsets"))
    write_manifest(tmp_path / "ids.csv", [rows[0][:1]])
    asked = ("--vendor", "Tencent", "--definition", "10")
    assert (await cli("load", "rows.csv")).code == 0
    if not offsets.startswith("["):
        option = await cli("load", "ids.csv", *asked, "--offset", offsets)
        variable = await cli("load", "ids.csv", *asked, env={"BATCHER_OFFSET": offsets})
        assert "0 new submissions, 1 known" in option.stderr
        assert "0 new submissions, 1 known" in variable.stderr
    assert [row["offsets"] for row in await cli.export()] == ["1;2"]
