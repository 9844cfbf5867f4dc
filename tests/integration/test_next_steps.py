"""The way of a first-time user: every message leads to the next command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, Cli, said, serving, tencent_ids

from batcher.sandbox import SandboxSettings


@pytest.mark.parametrize("command", [("status",), ("export",), ("show", "7"), ("retry",), ("track",)])
async def test_command_without_a_ledger_names_the_commands_that_make_one(
    cli: Cli, command: tuple[str, ...]
) -> None:
    """In an empty folder the message leads to load and run."""
    cli.use("http://127.0.0.1:9/")
    done = await cli(*command)
    assert done.code == 6, done.stderr
    assert "there is no ledger here. Make one with `batcher load MANIFEST`" in done.stderr
    assert "`batcher run MANIFEST`" in done.stderr


async def test_run_without_ledger_and_manifest_names_the_command(cli: Cli) -> None:
    """There is nothing to resume."""
    cli.use("http://127.0.0.1:9/")
    done = await cli("run")
    assert done.code == 6
    assert done.stderr.endswith("there is no ledger to resume; name a manifest: batcher run MANIFEST\n")


async def test_run_without_an_account_names_the_demo(cli: Cli) -> None:
    """Only while no part of an account is set."""
    done = await cli("run")
    assert done.code == 2
    assert "without an account, `batcher demo` shows a run" in done.stderr
    done = await cli("run", env={"BATCHER_APP_ID": "7"})
    assert done.code == 2
    assert "batcher demo" not in done.stderr


async def test_program_without_arguments_names_the_first_steps(cli: Cli) -> None:
    """The help has the commands in the order in which they are needed."""
    done = await cli()
    text = " ".join((done.stdout + done.stderr).split())
    assert "First steps: batcher demo (no account), batcher check, batcher load MANIFEST, batcher run" in text


@pytest.mark.about_files
async def test_each_command_leads_to_the_next(cli: Cli, manifest: Callable[..., Path]) -> None:
    """From load to run, track, fetch and report; the results are offered from the run on."""
    manifest(tencent_ids(3))
    export = "  for results   batcher export -o results.csv"
    async with serving(cli, SandboxSettings(rate_per_s=None)):
        done = await cli("load", "archive.csv", *PICTURES)
        assert "3 submissions to send: batcher run\n" in done.stderr
        done = await cli("run", *FAST)
        assert done.stderr.endswith(f"Next\n  for tasks     batcher track\n{export}\n"), done.stderr
        done = await cli("track", "--progress", "none")
        assert done.stderr.endswith(f"Next\n  for pictures  batcher fetch -o pictures\n{export}\n")
        done = await cli("fetch", "-o", "pictures", "--progress", "none")
        report = "  for a report  batcher report -o report.html --pictures pictures"
        assert done.stderr.endswith(f"Next\n{report}\n{export}\n"), done.stderr


@pytest.mark.about_files
async def test_offered_export_works_without_the_options_of_the_run(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """The ledger remembers how the manifest was read."""
    archive = manifest(tencent_ids(3))
    async with serving(cli, SandboxSettings(rate_per_s=None)):
        done = await cli("run", archive.name, *PICTURES, *FAST)
    assert "  for results   batcher export archive.csv -o results.csv\n" in done.stderr
    done = await cli("export", "archive.csv", "-o", "results.csv")
    assert done.code == 0, done.stderr
    assert (cli.folder / "results.csv").read_text("utf-8").count(",submitted,") == 3


async def test_loads_of_stdin_have_names(cli: Cli) -> None:
    """In the output of load, of status and in its JSON."""
    loaded = await cli("load", "-", *PICTURES, stdin=b"file_id\n1397757890000000001\n")
    assert "stdin: 1 new submission, 0 known already, 0 invalid" in loaded.stderr
    status = await cli.status()
    [load] = status["loads"]
    assert load["source"] == "-"
    assert load["name"].startswith("stdin, 20")
    assert "stdin: 1 new, 0 known, 0 invalid" in (await cli("status")).stdout


async def test_status_tells_a_run_that_goes_on_from_one_that_was_killed(
    cli: Cli, manifest: Callable[..., Path], ledger_kind: str
) -> None:
    """The ledger's lock, or its server, shows the process, also while the run waits for the service."""
    archive = manifest(tencent_ids(3))
    async with serving(cli):
        pass  # its address is known, and no server answers there any more
    process = await cli.start("run", archive, *PICTURES, *FAST)
    await said(process, "does not answer")
    running = (await cli.status())["running"]
    assert (running["command"], running["pid"]) == ("batcher run", process.pid)
    text = (await cli("status")).stdout
    if ledger_kind == "sqlite":  # runs in PostgreSQL are listed one by one
        assert f"Running now (process {process.pid} on " in text
    assert f"(process {process.pid}" in text
    assert "is still running" in text
    process.kill()
    await process.wait()
    assert (await cli.status())["running"] is None
    assert "was killed: nothing holds the ledger now" in (await cli("status")).stdout
