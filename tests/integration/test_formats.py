"""Manifests of every format, through the command line: loaded, sent, and handed back row by row."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from support.cli import NO_LIMIT, PICTURES, Cli, serving, tencent_ids
from support.ledger_place import is_there, with_paths
from support.ledger_sql import query
from support.manifest_files import FORMATS, PACKINGS, as_csv, as_jsonl, as_text, workbook_of
from support.raw_workbooks import excel, ods, row, text
from support.referee import referee

IDS = tencent_ids(12)
TABLE = [{"file_id": one, "room": f"room {number},\n晨会"} for number, one in enumerate(IDS)]
TABLE[5] = {"file_id": "1.39776E+18", "room": "broken"}


COUNTED = {
    "csv": ("line", 12),
    "text": ("line", 6),
    "jsonl": ("line", 6),
    "json": ("line", 22),
    "parquet": ("row", 6),
    "xlsx": ("row", 7),
}
"""Where the broken row stands, as a person finds it."""


@pytest.mark.parametrize(
    ("format_", "packing"), [(one, "plain") for one in FORMATS] + [("jsonl", "gzip"), ("parquet", "zstd")]
)
async def test_manifest_of_every_format_is_loaded_sent_and_exported(
    cli: Cli, tmp_path: Path, format_: str, packing: str
) -> None:
    """Good rows are sent once, the bad row is reported, and an export has the rows in their order."""
    (extension, write), (suffix, pack) = FORMATS[format_], PACKINGS[packing]
    archive = tmp_path / f"archive{extension}{suffix}"
    archive.write_bytes(pack(write(TABLE)))
    async with serving(cli, NO_LIMIT) as sandbox:
        done = await cli.run(archive.name, *PICTURES)
        assert done.code == 1, done.stderr
        word, number = COUNTED[format_]
        assert f"{archive.name} {word} {number}, " in done.stderr
        assert "file_id: 1.39776E+18 has lost its digits" in done.stderr
        rows = await referee(cli, sandbox)
        assert (await cli.run(archive.name, *PICTURES)).code == 0
        assert len(sandbox.log) == len(rows) == 11
        piped = await cli.run("-", *PICTURES, "--format", format_, stdin=archive.read_bytes())
        assert piped.code in (0, 1), piped.stderr
        assert len(sandbox.log) == 11
    exported = await cli.export(archive.name, *PICTURES)
    assert [row["file_id"] for row in TABLE] == [row["file_id"] for row in exported]
    assert [row["room"] for row in TABLE] == [row["room"] for row in exported]
    assert [row["status"] for row in exported] == ["submitted"] * 5 + ["invalid"] + ["submitted"] * 6
    [(path,)] = query(tmp_path / "batcher.db", "SELECT DISTINCT path FROM loads WHERE path <> '-'")
    assert path == str(archive)


@pytest.mark.parametrize(
    ("format_", "word", "first"), [("parquet", "row", 1), ("xlsx", "row", 2), ("csv", "line", 2)]
)
async def test_messages_number_rows_as_the_file_does(
    cli: Cli, tmp_path: Path, format_: str, word: str, first: int
) -> None:
    """Every message calls the rows of a Parquet file or a sheet rows, under any file name."""
    extension, write = FORMATS[format_]
    good, rounded = tmp_path / f"good{extension}", tmp_path / "rounded"
    good.write_bytes(write([{"file_id": one, "room": "4711"} for one in IDS]))
    rounded.write_bytes(
        write([{"file_id": f"{n}{'0' * 6}", "room": "4711"} for n in range(10**12, 10**12 + 30)])
    )
    done = await cli("load", rounded, *PICTURES, "--format", format_)
    assert f"first on {word} {first}: " in done.stderr
    bad = tmp_path / "bad"
    bad.write_bytes(write([{"file_id": IDS[0], "room": "4711"}, {"file_id": "x", "room": "4711"}]))
    done = await cli("load", bad, good, *PICTURES, "--format", format_)
    assert f"bad {word} {first + 1}, file_id: x" in " ".join(done.stderr.split())
    assert f"bad {word} {first}\n" in (await cli("show", IDS[0])).stdout
    assert f"good{extension} {word} {first + 1}\n" in (await cli("show", IDS[1])).stdout
    done = await cli("load", good, "--definition", "20", *PICTURES[:2], *PICTURES[4:])
    assert f"For example {word} {first}, {IDS[0]}" in " ".join(done.stderr.split())


async def test_text_and_the_vendors_own_documents(cli: Cli, tmp_path: Path) -> None:
    """A list of ids, answers of SearchMedia and collected callbacks are loaded together, in one command."""
    (tmp_path / "ids.txt").write_bytes(as_text(TABLE[:2]))
    media = [{"FileId": int(one), "BasicInfo": {"Name": "n"}} for one in IDS[2:4]]
    answers = [{"Code": 0, "Data": {"Tencent": {"MediaInfoSet": media}}}, {"Code": 6, "Message": "slower"}]
    found = "\n".join(json.dumps(one, indent=1) for one in answers)
    (tmp_path / "found.json").write_text(found)
    line = found[: found.index('"Code": 6')].count("\n")
    bodies = [
        {"event": "record", "nonce": "1", "signature": "s", "extra_params": {"ObsObject": "a b/c.mp4"}},
        {"event": "snapshot", "nonce": "1", "signature": "s", "task_id": "1"},
    ]
    (tmp_path / "callbacks.jsonl").write_text("".join(json.dumps(one) + "\n" for one in bodies))
    async with serving(cli, NO_LIMIT) as sandbox:
        done = await cli.run("ids.txt", "found.json", "callbacks.jsonl", *PICTURES, "--interval", "5")
        assert done.code == 1, done.stderr
        assert (
            f"found.json line {line}, Code: is an answer with code 6 (slower) and holds no recordings"
            in done.stderr
        )
        assert "callbacks.jsonl: passed over, no new recordings: 1 × snapshot callback" in done.stderr
        rows = await referee(cli, sandbox)
    assert {*IDS[:4], "a b/c.mp4"} == {row["file_id"] for row in rows}
    assert {row["vendor"] for row in rows if row["file_id"] == "a b/c.mp4"} == {"Huawei"}


async def test_patterns_are_expanded_by_us(cli: Cli, tmp_path: Path) -> None:
    """A quoted pattern's files are loaded in their order, each once; an export takes one of them."""
    (tmp_path / "new").mkdir()
    for number, name in enumerate(("b.csv", "a.csv", "c.jsonl")):
        write = as_jsonl if name.endswith("l") else as_csv
        (tmp_path / "new" / name).write_bytes(write(TABLE[number : number + 2]))
    done = await cli("load", "new/c.*", "new/*", "new/a.csv", *PICTURES)
    assert done.code == 0, done.stderr
    loads = query(tmp_path / "batcher.db", "SELECT source, new FROM loads ORDER BY id")
    assert loads == [("new/c.jsonl", 2), ("new/a.csv", 1), ("new/b.csv", 1)]
    several = await cli("export", "new/*.csv", *PICTURES)
    assert several.code == 2
    assert "new/*.csv: 2 files match this pattern" in several.stderr
    assert len(await cli.export("new/c*", *PICTURES)) == 2


@pytest.mark.parametrize("command", ["run", "load"])
async def test_pattern_without_a_match_exits_2(cli: Cli, tmp_path: Path, command: str) -> None:
    """The message says so, and nothing of the other manifests is loaded."""
    (tmp_path / "a.csv").write_bytes(as_csv(TABLE))
    async with serving(cli, ledger_made=False) as sandbox:
        done = await cli(command, "a.csv", "2024-*.csv", *PICTURES)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == f"batcher: {tmp_path}/2024-*.csv: no file matches this pattern\n"
    assert sandbox.log == []
    assert not is_there(tmp_path / "batcher.db")


async def test_thousand_manifests_are_not_held_open(cli: Cli, tmp_path: Path) -> None:
    """One command takes more files than a process may have open."""
    (tmp_path / "new").mkdir()
    for number in range(300):
        (tmp_path / "new" / f"{number:03}.txt").write_text(f"{IDS[0]}{number}\n")
    start = tmp_path / "start.py"
    start.write_text(
        "import resource\nfrom batcher.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\nmain()\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(start), "load", "new/*.txt", *PICTURES, "-q"),
        cwd=tmp_path,
        env=cli.env,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert (process.returncode, with_paths(stderr.decode())) == (0, f"new ledger {tmp_path / 'batcher.db'}\n")
    assert query(tmp_path / "batcher.db", "SELECT count(*) FROM submissions") == [(300,)]


@pytest.mark.parametrize(
    ("name", "data", "args", "words"),
    [
        (
            "a.xlsx",
            workbook_of({"S": [["file_id"], [int(IDS[0])], [int(IDS[1])]]}),
            [],
            ["sheet S row 2", "15 of its"],
        ),
        ("a.xlsx", workbook_of({"S": [["file_id"]], "T": [["Key"]]}), [], ["--sheet", "S, T"]),
        ("a.xlsx", workbook_of({"S": [["file_id"]]}), ["--sheet", "X"], ["no sheet --sheet 'X'", "S"]),
        (
            "a.csv",
            FORMATS["parquet"][1](TABLE),
            [],
            ["a Parquet file, and its name says CSV", "--format parquet"],
        ),
        (
            "a.csv.gz",
            PACKINGS["gzip"][1](as_csv(TABLE))[:-9],
            [],
            ["a.csv.gz line 25: the gzip data is cut off here"],
        ),
        ("a.json", b'[{"file_id": "1"},\n{]', [], ["a.json line 2: is not JSON"]),
        (
            "a.csv",
            as_csv(TABLE),
            ["--format", "xml"],
            ["--manifest-format xml", "csv, text, jsonl, json, parquet"],
        ),
    ],
)
async def test_unusable_manifest_is_refused_before_a_ledger_is_created(
    cli: Cli, tmp_path: Path, name: str, data: bytes, args: list[str], words: list[str]
) -> None:
    """Exit code 2 and one message; no ledger is created."""
    (tmp_path / name).write_bytes(data)
    async with serving(cli, ledger_made=False) as sandbox:
        done = await cli.run(name, *PICTURES, *args)
    assert (done.code, done.stdout) == (2, "")
    assert all(word in done.stderr for word in words), done.stderr
    assert done.stderr.count("\n") == 1
    assert sandbox.log == []
    assert not is_there(tmp_path / "batcher.db")


async def test_format_and_the_sheet_may_be_settings(cli: Cli, tmp_path: Path) -> None:
    """The file of settings may set both; export has another flag for the first."""
    (tmp_path / "archive").write_bytes(workbook_of({"A": [["file_id"], ["x"]], "B": [["file_id"], [IDS[0]]]}))
    assert (await cli("load", "archive", *PICTURES, "--format", "xlsx", "--sheet", "B")).code == 0
    (tmp_path / "batcher.toml").write_text('sheet = "B"\nmanifest-format = "xlsx"\n')
    [row] = await cli.export("archive", *PICTURES)
    assert (row["file_id"], row["status"]) == (IDS[0], "pending")
    (tmp_path / "batcher.toml").unlink()
    done = await cli(
        "export", "archive", *PICTURES, "--manifest-format", "xlsx", "--sheet", "B", "--format", "jsonl"
    )
    assert done.lines == [row]


async def test_workbook_is_loaded_with_what_the_user_may_not_see(cli: Cli, tmp_path: Path) -> None:
    """Hidden rows, kinds that show less, formulas without a value: each once on stderr, none silently."""
    formula = row("<c><f>A2</f><v/></c>", text("r"))
    hidden = row(text(IDS[1]), text("r"), more=' hidden="1"')
    (tmp_path / "new").mkdir()
    sheet = row(text("file_id"), text("room")) + row(text(IDS[0]), text("r")) + hidden + formula
    (tmp_path / "new" / "a.xlsx").write_bytes(excel(sheet))
    (tmp_path / "new" / "b.ods").write_bytes(ods([["file_id"], [IDS[2]]]))
    (tmp_path / "new" / "~$a.xlsx").write_bytes(b"\x04Wang" + bytes(160))
    done = await cli("load", "new/*", *PICTURES)
    assert done.code == 1
    said = " ".join(done.stderr.split())
    for words in (
        "new/a.xlsx: 2 new submissions, 0 known already, 1 invalid",
        "new/b.ods: 1 new submission, 0 known already, 0 invalid",
        "row 4, file_id: =A2 is a formula without a stored value: open and save the workbook once",
        "warning: new/a.xlsx sheet S: hidden rows are read as all others; there are 1.",
        "warning: new/b.ods: in a workbook of the kind ods, formulas without a stored value",
    ):
        assert said.count(words) == 1, said


async def test_exported_workbook_is_read_back_as_the_same_rows(cli: Cli, tmp_path: Path) -> None:
    """Ids, parameters and own columns come back: nothing is new, and the results of its rows are found."""
    table = [{"file_id": one, "room": "晨会 _x0041_ =1"} for one in IDS[:3]]
    (tmp_path / "a.csv").write_bytes(as_csv(table))
    assert (await cli("load", "a.csv", *PICTURES)).code == 0
    assert (await cli("export", "-o", "results.xlsx")).code == 0
    done = await cli("load", "results.xlsx")
    assert (done.code, "0 new submissions, 3 known already, 0 invalid" in done.stderr) == (0, True), (
        done.stderr
    )
    assert [one["status"] for one in await cli.export("results.xlsx")] == ["pending"] * 3
    assert [one["room"] for one in await cli.export("results.xlsx")] == ["晨会 _x0041_ =1"] * 3
