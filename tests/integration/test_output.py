"""Output for programs and users: status, export, show, retry, codes, the summary, the samples."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, SAMPLES, Cli, serving, tencent_ids, write_manifest
from support.drawn import Drawn, Ending
from support.export_columns import COLUMNS
from support.ledger_place import ledger_text
from support.referee import referee

from batcher.sandbox import Fault, SandboxSettings

STATES = {"pending", "sending", "submitted", "rejected", "failed", "in_doubt"}

IDS = tencent_ids(4)
HEADER = ["FileID", "room", "status", "manifest_status", "note"]
ROWS = [
    [IDS[0], "晨会", "old", "older", '=HYPERLINK("x")'],
    [IDS[1], "b", "", "", "-5"],
    [IDS[0], "twice", "", "", ""],
    ["room-1", "bad", "", "", "kept"],
    [IDS[2], "rejected", "", "", "a\nb"],
    ["", "none", "", "", ""],
]


def archive_of(cli: Cli) -> Path:
    """A manifest with everything in it that an export has to cope with."""
    return write_manifest(cli.folder / "archive.csv", ROWS, HEADER)


FAULTS = SandboxSettings(rate_per_s=None, by_file={IDS[2]: Fault.parse("code:41003")})


async def test_export_of_a_manifest_has_its_rows(cli: Cli) -> None:
    """Duplicates show their submission's result; invalid and unloaded rows say so; all columns are kept."""
    archive = archive_of(cli)
    async with serving(cli, FAULTS) as sandbox:
        assert (await cli.run(archive, *PICTURES)).code == 1
        await referee(cli, sandbox)
        write_manifest(archive, [*ROWS, [IDS[3], "late", "", "", ""]], HEADER)
        done = await cli("export", archive, *PICTURES)
        assert done.code == 0, done.stderr
        rows = done.table
        lines = await cli.export(archive, *PICTURES)
    own = ["room", "manifest_status", "manifest_manifest_status", "note"]
    assert done.stdout.splitlines()[0] == ",".join([*COLUMNS, *own])
    expected = ["submitted", "submitted", "submitted", "invalid", "rejected", "invalid", "not_loaded"]
    assert [row["status"] for row in rows] == expected
    assert [row["room"] for row in rows] == ["晨会", "b", "twice", "bad", "rejected", "none", "late"]
    assert rows[0]["manifest_status"] == "old"
    assert rows[0]["manifest_manifest_status"] == "older"
    assert rows[4]["note"] == "a\nb"
    assert rows[2]["task_id"] == rows[0]["task_id"] != ""
    assert [row["line"] for row in rows] == ["2", "3", "4", "5", "6", "8", "9"]
    assert rows[3]["message"].startswith("FileID: room-1")
    assert rows[3]["file_id"] == "room-1"
    assert (rows[4]["code"], rows[6]["code"], rows[0]["code"]) == ("41003", "", "0")
    assert [row["attempts"] for row in rows] == ["1", "1", "1", "0", "1", "0", "0"]
    assert [
        {name: "" if value is None else str(value) for name, value in line.items()} for line in lines
    ] == rows
    assert lines[3]["task_id"] is None
    sent, answered = (datetime.fromisoformat(rows[0][name]) for name in ("first_sent_at", "last_answer_at"))
    assert sent.tzinfo is not None
    assert sent.utcoffset() == answered.utcoffset()
    assert sent <= answered


async def test_export_of_a_ledger_has_each_submission_once(cli: Cli) -> None:
    """Without a manifest there is one row for each submission, with the columns of all manifests."""
    archive = archive_of(cli)
    other = write_manifest(cli.folder / "other.csv", [[IDS[3], "x"]], ["file_id", "colour"])
    async with serving(cli, FAULTS) as sandbox:
        assert (await cli.run(archive, other, *PICTURES)).code == 1
        await referee(cli, sandbox)
        done = await cli("export")
    assert [row["file_id"] for row in done.table] == [IDS[0], IDS[1], IDS[2], IDS[3]]
    assert list(done.table[0]) == [
        *COLUMNS,
        "room",
        "manifest_status",
        "manifest_manifest_status",
        "note",
        "colour",
    ]
    assert [row["colour"] for row in done.table] == ["", "", "", "x"]


async def test_spreadsheet_opens_it_without_damage(cli: Cli) -> None:
    """``--excel`` has a byte-order mark, and ids and leading ``= + - @`` are protected."""
    archive = archive_of(cli)
    async with serving(cli, FAULTS):
        assert (await cli.run(archive, *PICTURES)).code == 1
    done = await cli("export", archive, *PICTURES, "--excel", "-o", "results.csv")
    assert done.code == 0, done.stderr
    assert done.stdout == ""
    raw = (cli.folder / "results.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    content = raw.decode("utf-8-sig")
    assert f'"=""{IDS[0]}"""' in content
    assert "'-5" in content
    assert "'=HYPERLINK" in content
    plain = await cli("export", archive, *PICTURES)
    assert not plain.stdout.startswith("\ufeff")
    assert f"\n{IDS[1]},Tencent," in plain.stdout


async def test_reader_never_sees_half_a_file(cli: Cli, manifest: Callable[..., Path]) -> None:
    """``-o`` replaces a file as a whole, with the usual mode, and leaves the old one when it cannot."""
    archive = manifest(tencent_ids(5))
    assert (await cli("load", archive, *PICTURES)).code == 0
    results = cli.folder / "results.csv"
    results.write_text("old\n")
    before = results.stat().st_ino
    done = await cli("export", "-o", "results.csv")
    assert done.code == 0, done.stderr
    mask = os.umask(0o022)
    os.umask(mask)
    assert stat.S_IMODE(results.stat().st_mode) == 0o666 & ~mask
    assert results.stat().st_ino != before
    assert len(results.read_text().splitlines()) == 6
    refused = await cli("export", "nowhere.csv", "-o", "results.csv")
    assert refused.code == 2
    assert len(results.read_text().splitlines()) == 6
    refused = await cli("export", "-o", "nowhere/results.csv")
    assert refused.code == 2
    assert "nowhere/results.csv" in refused.stderr
    assert sorted(path.name for path in cli.folder.glob("*results*")) == ["results.csv"]


async def test_closed_pipe_ends_an_export_quietly(cli: Cli, manifest: Callable[..., Path]) -> None:
    """``batcher export | head`` says nothing on stderr."""
    archive = manifest(tencent_ids(5000))
    assert (await cli("load", archive, *PICTURES)).code == 0
    process = await asyncio.create_subprocess_shell(
        f"'{cli.python}' -m batcher export | head -n 1",
        cwd=cli.folder,
        env=cli.env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert out.decode().startswith("file_id,vendor,")
    assert err == b""


async def test_reading_commands_work_during_a_run(cli: Cli) -> None:
    """``status``, ``export`` and ``show`` work in the midst of a run, and their figures add up."""
    ids = tencent_ids(61)
    last = ids.pop()
    begin = "file_id\n" + "".join(f"{ids[n % 60]}\n" for n in range(11_000))
    async with serving(cli) as sandbox:
        process = await cli.start("run", "-", *PICTURES, "--rate", "40", "--progress", "none")
        assert process.stdin is not None
        process.stdin.write(begin.encode())  # the load continues until the pipe is closed
        await sandbox.wait_for(lambda: len(sandbox.accepted()) >= 3, 20)
        status, rows, shown = await asyncio.gather(cli.status(), cli.export(), cli("show", ids[0]))
        assert process.returncode is None
        assert sum(status["submissions"][state] for state in STATES) == status["submissions"]["total"] == 60
        assert status["last_run"]["ended_at"] is None
        assert [row["file_id"] for row in rows] == ids
        assert next(iter(sandbox.accepted())) in shown.stdout
        done = await cli.finish(process, f"{last}\n".encode())
        assert done.code == 0, done.stderr
        await referee(cli, sandbox)
    assert len(sandbox.log) == 61


async def test_status_has_all_keys(cli: Cli) -> None:
    """The JSON of ``status`` holds what is promised, before and after a run."""
    archive = archive_of(cli)
    assert (await cli("load", archive, *PICTURES)).code == 1
    before = await cli.status()
    assert before["app_id"] is None
    assert before["last_run"] is None
    async with serving(cli, FAULTS) as sandbox:
        assert (await cli.run()).code == 1
        await referee(cli, sandbox)
        after = await cli.status()
        people = await cli("status")
    expected = {"ledger", "app_id", "submissions", "invalid_rows", "codes", "loads", "last_run"}
    assert set(before) >= expected
    assert set(after) >= expected
    assert after["app_id"] == int(cli.env["BATCHER_APP_ID"])
    assert after["submissions"] == dict.fromkeys(STATES, 0) | {"total": 3, "submitted": 2, "rejected": 1}
    assert after["codes"] == {"41003": 1}
    assert after["invalid_rows"] == 2
    assert after["last_run"]["exit_code"] == 1
    assert [(load["rows"], load["new"], load["duplicates"], load["invalid"]) for load in after["loads"]] == [
        (6, 3, 1, 2)
    ]
    assert "code 41003" in people.stdout


async def test_show_names_the_first_pictures_of_a_task(cli: Cli) -> None:
    """Ten are enough to look at; the rest is counted, with the command that lists all."""
    ledger = Drawn(cli.folder / "batcher.db")
    await ledger.make()
    ledger.run([Ending()])
    ledger.task(1, "finished", [(None, None)] * 406)
    [row] = await cli.export()
    shown = (await cli("show", row["file_id"])).stdout
    assert (shown.count("https://pictures.example/"), "396 more; " in shown) == (10, True)


async def test_show_lists_every_attempt(cli: Cli, manifest: Callable[..., Path]) -> None:
    """``show`` lists task id, codes and RequestIds of each attempt; an unknown recording exits 2."""
    archive = manifest(ids := tencent_ids(1))
    faults = {ids[0]: [Fault.parse("code:1000")]}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)) as sandbox:
        assert (await cli.run(archive, *PICTURES)).code == 0
        [row] = await referee(cli, sandbox)
    done = await cli("show", ids[0])
    assert done.code == 0
    for words in (
        "code 1000",
        row["task_id"],
        row["request_id"],
        "attempt 1",
        "attempt 2",
        "archive.csv line 2",
    ):
        assert words in done.stdout
    unknown = await cli("show", "1397757890000000001")
    assert unknown.code == 2
    assert "1397757890000000001" in unknown.stderr


async def test_retry_puts_back_the_named_states(cli: Cli, manifest: Callable[..., Path]) -> None:
    """By default failed and rejected, by state or code on request, in doubt only when named."""
    archive = manifest(ids := tencent_ids(4))
    faults = {
        ids[0]: Fault.parse("code:41003"),
        ids[1]: Fault.parse("code:4"),
        ids[2]: Fault.parse("drop-before"),
    }
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)) as sandbox:
        hold = ("--in-doubt", "hold")
        assert (await cli.run(archive, *PICTURES, *hold)).code == 1

        async def requests_after(*args: str) -> list[int]:
            assert (await cli("retry", *args)).code == 0
            done = await cli.run(*hold)
            assert done.code in (0, 1), done.stderr
            return [len(sandbox.requests_for(one)) for one in ids]

        assert await requests_after("--code", "4") == [1, 2, 1, 1]
        assert await requests_after("--state", "failed") == [1, 2, 1, 1]
        assert await requests_after() == [2, 3, 1, 1]
        assert await requests_after("--state", "in_doubt") == [2, 3, 2, 1]
        await referee(cli, sandbox)


async def test_retry_gives_a_fresh_budget(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A submission rejected after three tries gets three more, all on record."""
    archive = manifest(ids := tencent_ids(1))
    faults = {ids[0]: Fault.parse("code:1000")}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)) as sandbox:
        assert (await cli.run(archive, *PICTURES)).code == 1
        assert (await cli("retry", "--code", "1000")).code == 0
        assert (await cli.run()).code == 1
        [row] = await referee(cli, sandbox)
    assert len(sandbox.log) == row["attempts"] == 6


async def test_summary_for_programs_is_one_object(cli: Cli) -> None:
    """``run --json`` prints one JSON object on stdout and nothing else; people read stderr."""
    archive = archive_of(cli)
    async with serving(cli, FAULTS) as sandbox:
        done = await cli.run(archive, *PICTURES, "--json")
        await referee(cli, sandbox)
    assert done.code == 1
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout)["exit_code"] == 1
    assert "41003" in done.stderr


async def test_codes_are_explained(cli: Cli) -> None:
    """``codes`` lists all, ``codes N`` explains one, documented or not."""
    every, one, unknown = await asyncio.gather(cli("codes"), cli("codes", "1000"), cli("codes", "424242"))
    assert every.code == one.code == unknown.code == 0
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 1000, 41003, 100000005, 30002):
        assert f"code {code}:" in every.stdout
    assert one.stdout.startswith("code 1000:")
    assert "not in the documentation" in unknown.stdout


SAMPLE_COUNTS = [
    ("tencent.csv", PICTURES, 12, 0),
    ("huawei.csv", (), 10, 0),
    ("mixed.csv", (), 12, 0),
    ("nightly.tsv", (), 8, 0),
    ("damaged.csv", (), 6, 22),
    ("demo.csv", (), 56, 4),
]


@pytest.mark.parametrize(("name", "args", "good", "invalid"), SAMPLE_COUNTS)
async def test_samples_load(cli: Cli, name: str, args: tuple[str, ...], good: int, invalid: int) -> None:
    """Each sample manifest loads with the rows it is meant to have."""
    done = await cli("load", SAMPLES / name, *args)
    assert done.code == (1 if invalid else 0), done.stderr
    status = await cli.status()
    assert (status["submissions"]["total"], status["invalid_rows"]) == (good, invalid)


async def test_file_of_settings_and_dotenv_are_read(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Flag, then environment, then ``.env``, then ``batcher.toml``: the first that speaks is heard."""
    archive = manifest(tencent_ids(3))
    (cli.folder / "batcher.toml").write_text(
        'vendor = "Huawei"\ndefinition = 10\ninterval = 2\noffset = [1, 2]\n'
        f'ledger = "{ledger_text(cli.folder / "other.db")}"\n'
    )
    (cli.folder / ".env").write_text("BATCHER_VENDOR=Tencent\nBATCHER_DEFINITION=20\n")
    async with serving(cli) as sandbox:
        cli.env["BATCHER_DEFINITION"] = "30"
        done = await cli("run", archive, *FAST, "--offset", "7")
        assert done.code == 0, done.stderr
        await referee(cli, sandbox, ledger="other.db")
    asked = {(entry.vendor, entry.definition, entry.offsets) for entry in sandbox.log}
    assert asked == {("Tencent", "30", ("7",))}
