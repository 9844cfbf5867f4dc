"""Standard streams, names and encodings as machines have them: a good run ends well, 70 is for defects."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, Cli, serving, tencent_ids, write_manifest
from support.environments import in_environment
from support.referee import referee

UNWRITABLE = Path("/dev/full")
needs_full_device = pytest.mark.skipif(not UNWRITABLE.exists(), reason="this system has no /dev/full")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
async def test_run_with_closed_streams_submits_everything(
    cli: Cli, manifest: Callable[..., Path], closed: str
) -> None:
    """Whichever standard streams are closed at start, a run does its work and exits with 0."""
    archive = manifest(tencent_ids(5))
    async with serving(cli) as sandbox:
        done = await in_environment(cli, ["run", archive, *PICTURES, *FAST], redirected=closed)
        assert done.code == 0, done.stderr
        await referee(cli, sandbox)
    assert len(sandbox.accepted()) == 5


@needs_full_device
@pytest.mark.parametrize(
    "args",
    [
        *(["status"], ["status", "--json"], ["export"], ["export", "--format", "parquet"]),
        *(["codes", "7"], ["--version"], ["--help"], ["check", "--json"], ["run", "--json", *FAST]),
    ],
    ids=" ".join,
)
async def test_unwritable_stdout_gives_one_message_and_exit_code_6(
    cli: Cli, manifest: Callable[..., Path], args: list[str]
) -> None:
    """A full disk under stdout ends every command with 6 and one message."""
    archive = manifest(tencent_ids(2))
    async with serving(cli):
        assert (await cli.run(archive, *PICTURES)).code == 0
        done = await in_environment(cli, args, redirected=f"> {UNWRITABLE}")
    assert done.code == 6, done.stderr
    assert done.stderr.count("stdout cannot be written") == 1
    assert "defect" not in done.stderr


@pytest.mark.parametrize("args", [["status"], ["--help"], ["export"]], ids=" ".join)
async def test_closed_stdout_gives_exit_code_0_and_no_message(
    cli: Cli, manifest: Callable[..., Path], args: list[str]
) -> None:
    """A reader that has gone is no fault, for help as for data."""
    archive = manifest(tencent_ids(2))
    async with serving(cli):
        assert (await cli.run(archive, *PICTURES)).code == 0
    reading, writing = os.pipe()
    os.close(reading)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "batcher", *args),
        cwd=cli.folder,
        env={**cli.env, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=writing,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(writing)
    _, err = await asyncio.wait_for(process.communicate(), cli.deadline_s)
    assert (process.returncode, err) == (0, b"")


ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "ascii locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_streams_that_cannot_encode_chinese_get_escapes(
    cli: Cli, tmp_path: Path, encoding: str
) -> None:
    """Every command works, JSON stays JSON, and an export is UTF-8 all the same."""
    [file_id] = tencent_ids(1)
    write_manifest(tmp_path / "录像😀.csv", [(file_id, "晨会é😀")], ("file_id", "课程"))
    env = ENCODINGS[encoding]
    async with serving(cli):
        for args in (
            *(["run", "录像😀.csv", *PICTURES, *FAST], ["run", "录像😀.csv", *PICTURES, "--dry-run"]),
            *(["status"], ["show", file_id], ["codes", "1000"], ["--help"]),
        ):
            done = await in_environment(cli, args, env=env)
            assert done.code == 0, (args, done.stderr)
        loads = (await in_environment(cli, ["status", "--json"], env=env)).data["loads"]
        [row] = (await in_environment(cli, ["export", "--format", "jsonl"], env=env)).lines
        missing = await in_environment(cli, ["load", "没有.csv"], env=env)
    assert row["课程"] == "晨会é😀"
    assert missing.code == 2
    if encoding != "ascii locale":  # there even the command line is bytes
        assert {load["source"] for load in loads} == {"录像😀.csv"}


BYTES = os.fsdecode(b"\xff\xc4")
"""A name that is not UTF-8, as GBK archives leave behind."""


@pytest.mark.about_files
async def test_names_that_are_not_utf_8_work_everywhere(cli: Cli) -> None:
    """A manifest, a ledger and a folder may have any name: requests, ledger and output are right."""
    folder = cli.folder / BYTES
    folder.mkdir()
    write_manifest(folder / f"{BYTES}.csv", [[one] for one in tencent_ids(3)])
    ledger = ["-l", f"{BYTES}.db"]
    cli.folder = folder
    async with serving(cli, ledger_made=False) as sandbox:
        for args in (
            *(["load", f"{BYTES}.csv", *PICTURES, *ledger], ["run", *FAST, *ledger]),
            ["run", f"{BYTES}.csv", *PICTURES, *ledger, *FAST, "--log-format", "json"],
            ["run", f"{BYTES}.csv", *PICTURES, *ledger, "--dry-run"],
            *(["status", *ledger], ["check", *ledger], ["audit", *ledger], ["ledger", "info", *ledger]),
            *(["ledger", "verify", *ledger], ["ledger", "backup", *ledger, f"{BYTES}.backup"]),
            *(
                ["export", *ledger, "-o", f"{BYTES}-out.csv"],
                ["load", f"*{BYTES[0]}*.csv", *PICTURES, *ledger],
            ),
        ):
            done = await cli(*args)
            assert done.code == 0, (args, done.stderr)
        status = (await cli("status", "--json", *ledger)).data
        rows = (await cli("export", f"{BYTES}.csv", *PICTURES, *ledger, "--format", "jsonl")).lines
    assert status["submissions"]["submitted"] == len(sandbox.accepted()) == 3
    assert [row["status"] for row in rows] == ["submitted"] * 3
    assert [load["unfinished"] for load in status["loads"]] == [False] * len(status["loads"])


WORDS = {
    "show": (["show", BYTES], 2),
    "vendor": (["load", "archive.csv", "--vendor", BYTES], 2),
    "definition": (["load", "archive.csv", "--vendor", "Tencent", "--definition", BYTES], 2),
    "encoding": (["load", "archive.csv", "--encoding", BYTES], 2),
    "option": (["load", "archive.csv", f"--{BYTES}"], 2),
    "command": ([BYTES], 2),
    "until": (["run", "--until", BYTES], 2),
    "config": (["run", "--config", BYTES], 2),
    "state": (["retry", "--state", BYTES], 2),
    "no such manifest": (["load", BYTES], 2),
    "no such pattern": (["load", f"*{BYTES}"], 2),
    "no such ledger": (["status", "-l", BYTES], 6),
}


@pytest.mark.parametrize("case", WORDS)
async def test_arguments_that_are_not_utf_8_are_refused_with_a_message(
    cli: Cli, manifest: Callable[..., Path], case: str
) -> None:
    """An argument of any bytes that means nothing gets a message, and the exit code of what is wrong."""
    args, code = WORDS[case]
    manifest(tencent_ids(1))
    async with serving(cli):
        done = await cli(*args)
    assert done.code == code, done.stderr
    assert "defect" not in done.stderr
    assert done.stderr.strip()


HUGE = "9" * 23

NUMBERS = {
    "retry --code": (["retry", "--code", HUGE], 2),
    "retry --code below": (["retry", "--code", f"-{HUGE}"], 2),
    "codes": (["codes", HUGE], 0),
    "run --limit": (["run", "archive.csv", *PICTURES, *FAST, "--limit", HUGE], 0),
    "run --max-failures": (["run", "archive.csv", *PICTURES, *FAST, "--max-failures", HUGE], 0),
    "run --max-duration": (["run", "archive.csv", *PICTURES, *FAST, "--max-duration", f"{HUGE}h"], 0),
    "run --concurrency": (["run", "archive.csv", *PICTURES, *FAST, "--concurrency", HUGE], 2),
    "load --definition": (["load", "archive.csv", "--vendor", "Tencent", "--definition", HUGE], 2),
    "load --interval": (["load", "archive.csv", "--vendor", "Huawei", "--interval", HUGE], 2),
    "load --offset": (["load", "archive.csv", *PICTURES, "--offset", HUGE], 2),
    "audit --cases": (["audit", "--cases", HUGE], 2),
    "sandbox --port": (["sandbox", "--port", HUGE], 2),
    "listen --port": (["listen", "--port", HUGE], 2),
}


@pytest.mark.parametrize("case", NUMBERS)
async def test_numbers_beyond_64_bits_are_no_defect(
    cli: Cli, manifest: Callable[..., Path], case: str
) -> None:
    """A number that no column can hold is refused or means what it says."""
    args, code = NUMBERS[case]
    manifest(tencent_ids(1))
    async with serving(cli):
        done = await cli(*args)
    assert done.code == code, done.stderr
    assert "defect" not in done.stderr


@pytest.mark.parametrize(
    "variable", ["BATCHER_APP_ID", "BATCHER_NOTIFY", "BATCHER_PING_URL", "BATCHER_VENDOR"]
)
async def test_variables_that_are_not_utf_8_are_no_defect(
    cli: Cli, manifest: Callable[..., Path], variable: str
) -> None:
    """With any bytes in a variable, a run has one of its own exit codes."""
    archive = manifest(tencent_ids(1))
    async with serving(cli):
        done = await cli("run", archive, *FAST, env={variable: f"json://{BYTES}/"})
    assert done.code in (1, 2), done.stderr
    assert "defect" not in done.stderr


async def test_missing_folder_for_temporary_files_gives_exit_code_6(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Where nothing temporary can be written, the message says which variable names another place."""
    archive = manifest(tencent_ids(1))
    code = (
        "import sys, tempfile\n"
        "tempfile._candidate_tempdir_list = lambda: ['/nonexistent']\n"
        "from batcher.cli import main; main()"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "run", str(archive), *PICTURES, "--dry-run"),
        cwd=cli.folder,
        env={**cli.env, "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), cli.deadline_s)
    assert process.returncode == 6, err
    assert b"TMPDIR" in err
    assert b"defect" not in err


async def test_exception_outside_a_command_is_a_defect_with_70(cli: Cli) -> None:
    """An unexpected exception gives exit code 70 anywhere; -v shows its place."""
    code = (
        "import batcher.cli.command as program\n"
        "def broken(*args): raise RuntimeError('private')\n"
        "program.Invocation = broken\n"
        "from batcher.cli import main; main()"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "retry"),
        cwd=cli.folder,
        env={**cli.env, "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), cli.deadline_s)
    assert process.returncode == 70, err
    assert b"a defect in batcher, RuntimeError" in err
    assert b"private" not in err
