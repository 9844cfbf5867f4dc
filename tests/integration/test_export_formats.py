"""Exports as Parquet and XLSX: their content, their targets, and interruptions."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.cli import PICTURES, Cli, Done, serving, tencent_ids, until, write_manifest
from support.pipes import named_pipe

from batcher.report.export.parquet import GROUP_ROWS, ParquetTable
from batcher.report.export.rows import COLUMNS, Cell, ExportRow
from batcher.report.export.xlsx import CELL_CHARACTERS, Workbook
from batcher.sandbox import Fault, SandboxSettings

IDS = tencent_ids(4)
MISSING = {"ledger": "", "manifest": "; 2 rows invalid, 1 row not loaded"}
HEADER = ["FileID", "room", "status", "note"]
ROWS = [
    [IDS[0], "0012", "old", '=HYPERLINK("x")'],
    [IDS[1], "1E5", "", "-5"],
    [IDS[0], "twice", "", "@a"],
    ["room-1", "晨会 😀", "", "+1"],
    [IDS[2], "1397757890123456789", "", "a\nb _x000D_ \x01"],
    ["", "none", "", "  blanks  "],
]
FAULTS = SandboxSettings(rate_per_s=None, by_file={IDS[2]: Fault.parse("code:41003")})
OWN = ["room", "manifest_status", "note"]
NUMBERS = ["code", "attempts", "line", "possibly_twice"]
TIMES = ["first_sent_at", "last_answer_at"]


@pytest.fixture
async def archive(cli: Cli) -> Path:
    """An archive that was run, with one row more than was loaded."""
    path = write_manifest(cli.folder / "archive.csv", ROWS, HEADER)
    async with serving(cli, FAULTS):
        assert (await cli.run(path, *PICTURES)).code == 1
    return write_manifest(path, [*ROWS, [IDS[3], "late", "", ""]], HEADER)


async def raw(cli: Cli, *args: str | Path) -> tuple[int, bytes, str]:
    """Run a command whose stdout is no text: exit code, stdout, stderr."""
    process = await cli.start(*args)
    async with asyncio.timeout(cli.deadline_s):
        out, err = await process.communicate(b"")
    assert process.returncode is not None
    return process.returncode, out, err.decode()


async def manifest_or_ledger(cli: Cli, archive: Path, which: str) -> tuple[tuple[str | Path, ...], list[Any]]:
    """The subject of an export, and its export as JSON lines."""
    args: tuple[str | Path, ...] = (archive, *PICTURES) if which == "manifest" else ()
    return args, await cli.export(*args)


@pytest.mark.parametrize("which", ["manifest", "ledger"])
async def test_parquet_has_the_rows_of_other_formats(cli: Cli, archive: Path, which: str) -> None:
    """Ids and own columns are text, numbers are numbers, times are times."""
    args, expected = await manifest_or_ledger(cli, archive, which)
    done = await cli("export", *args, "-o", "results.parquet")
    assert (done.code, done.stderr.strip()) == (0, f"results.parquet: {len(expected)} rows{MISSING[which]}")
    table = pq.read_table(cli.folder / "results.parquet")
    assert [*COLUMNS, *OWN] == table.column_names
    types = {name: table.schema.field(name).type for name in table.column_names}
    assert {types.pop(name) for name in NUMBERS} == {pa.int64()}
    assert {types.pop(name) for name in TIMES} == {pa.timestamp("ms", "UTC")}
    assert set(types.values()) == {pa.string()}
    rows = table.to_pylist()
    assert {row["first_sent_at"].tzinfo is not None for row in rows if row["first_sent_at"]} == {True}
    assert expected == [row | {name: in_words(row[name]) for name in TIMES} for row in rows]


def in_words(at: datetime | None) -> str | None:
    """A time as the other formats write it."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


@pytest.mark.parametrize("which", ["manifest", "ledger"])
async def test_xlsx_has_the_rows_of_other_formats(cli: Cli, archive: Path, which: str) -> None:
    """Every cell except real numbers is text; no formula, no lost digit; the header is frozen."""
    args, expected = await manifest_or_ledger(cli, archive, which)
    done = await cli("export", *args, "-o", "results.xlsx")
    assert (done.code, done.stderr.strip()) == (0, f"results.xlsx: {len(expected)} rows{MISSING[which]}")
    book = openpyxl.load_workbook(cli.folder / "results.xlsx")
    [sheet] = book.worksheets
    assert sheet.freeze_panes == "A2"
    header, *cells = sheet.iter_rows()
    names = [cell.value for cell in header]
    assert [*COLUMNS, *OWN] == names
    rows = [{name: unescaped(cell.value) for name, cell in zip(names, row, strict=True)} for row in cells]
    assert expected == rows
    kinds = {
        (str(name) in NUMBERS, cell.data_type)
        for row in cells
        for name, cell in zip(names, row, strict=True)
        if cell.value is not None
    }
    assert kinds == {(True, "n"), (False, "s")}
    assert {sheet.column_dimensions[letter].number_format for letter in "AHK"} == {"@"}
    assert sheet.column_dimensions["A"].width > len(IDS[0])


def unescaped(value: object) -> object:
    """A cell's text as a spreadsheet shows it: the library that reads leaves escapes as they are."""
    return openpyxl.utils.escape.unescape(value) if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("args", "magic"),
    [
        (("-o", "r.parquet"), b"PAR1"),
        (("-o", "R.XLSX"), b"PK\x03\x04"),
        (("-o", "r.jsonl"), b'{"file_id"'),
        (("-o", "r.csv"), b"file_id,"),
        (("-o", "r.txt"), b"file_id,"),
        (("-o", "r.txt", "--format", "parquet"), b"PAR1"),
    ],
)
async def test_file_name_selects_format(
    cli: Cli, manifest: Callable[..., Path], args: tuple[str, ...], magic: bytes
) -> None:
    """Without --format the name decides between the formats."""
    assert (await cli("load", manifest(IDS), *PICTURES)).code == 0
    done = await cli("export", *args)
    assert done.code == 0, done.stderr
    assert (cli.folder / args[1]).read_bytes().startswith(magic)


async def test_export_of_manifest_counts_rows_without_a_submission(cli: Cli, tmp_path: Path) -> None:
    """stderr says how many rows are invalid and how many the ledger lacks, also when stdout has the rows."""
    path = tmp_path / "archive.csv"
    path.write_text("\n".join(["file_id", *IDS[:3], "x", ""]))
    assert (await cli("load", path, *PICTURES)).code == 1
    path.write_text("\n".join(["file_id", *IDS, "x", "y", ""]))
    done = await cli("export", path)
    assert (done.code, len(done.stdout.splitlines())) == (0, len(IDS) + 3)
    assert f"{path}: 2 rows invalid, {len(IDS) - 3} row not loaded" in done.stderr
    whole = await cli("export")
    assert "invalid" not in whole.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--format", "csv", "-o", "r.parquet"), "--format csv -o r.parquet: the name says parquet"),
        (("--format", "xlsx", "-o", "r.csv"), "--format xlsx -o r.csv: the name says csv"),
        (("--format", "parquet", "-o", "r.xlsx"), "the name says xlsx"),
        (("--format", "jsonl", "-o", "r.csv"), "--format jsonl -o r.csv: the name says csv"),
        (("-o", "r.json"), "-o r.json: csv in a file that ends in .json would mislead"),
        (
            ("-o", "r.csv.gz"),
            "-o r.csv.gz: results are written without compression; name it r.csv, and compress",
        ),
        (("-o", "r.jsonl.zst"), "name it r.jsonl, and compress it afterwards"),
        (("--format", "parquet", "-o", "r.zip"), "name it r.parquet, and compress"),
        (("-o", "r.csv.json"), "would mislead other programs; name it r.csv"),
        (("--format", "parquet", "-o", "r.xls"), "name it r.parquet"),
        (("--format", "ods"), "--format ods: give csv, jsonl, parquet or xlsx"),
        (("--excel", "-o", "r.xlsx"), "--excel: goes with format csv; xlsx needs no protection"),
        (("--excel", "--format", "jsonl"), "--excel: goes with format csv"),
    ],
)
async def test_contradiction_of_name_and_format_is_refused(
    cli: Cli, manifest: Callable[..., Path], args: tuple[str, ...], said: str
) -> None:
    """A file with a misleading name would mislead later programs."""
    assert (await cli("load", manifest(IDS), *PICTURES)).code == 0
    done = await cli("export", *args)
    assert done.code == 2
    assert said in done.stderr
    assert list(cli.folder.glob("r.*")) == []


@pytest.mark.parametrize("name", ["parquet", "xlsx"])
async def test_binary_format_to_terminal_is_refused(
    cli: Cli, manifest: Callable[..., Path], name: str
) -> None:
    """The message has the remedy."""
    assert (await cli("load", manifest(IDS), *PICTURES)).code == 0
    ours, theirs = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(cli.python, "-m", "batcher", "export", "--format", name),
            stdout=theirs,
            stderr=asyncio.subprocess.PIPE,
            cwd=cli.folder,
            env=cli.env,
        )
        _, err = await process.communicate()
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 2
    assert f"add -o results.{name}" in err.decode()


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize("name", ["parquet", "xlsx"])
async def test_pipe_gets_the_whole_file(cli: Cli, name: str) -> None:
    """A pipe gets the same bytes that -o would write."""
    code, out, err = await raw(cli, "export", "--format", name)
    assert (code, err) == (0, "")
    expected = [row["file_id"] for row in await cli.export()]
    if name == "parquet":
        ids = pq.read_table(io.BytesIO(out)).column("file_id").to_pylist()
    else:
        _, *cells = openpyxl.load_workbook(io.BytesIO(out)).active.iter_rows(max_col=1, values_only=True)
        ids = [cell[0] for cell in cells]
    assert expected == ids
    assert sorted(path.name for path in cli.folder.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("name", ["csv", "jsonl", "parquet", "xlsx"])
async def test_closed_pipe_ends_every_format_quietly(
    cli: Cli, manifest: Callable[..., Path], name: str
) -> None:
    """``batcher export | head -c 1`` prints nothing on stderr and leaves no file."""
    assert (await cli("load", manifest(tencent_ids(3000)), *PICTURES)).code == 0
    waiting = cli.folder / "tmp"
    waiting.mkdir()
    process = await asyncio.create_subprocess_shell(
        f"'{cli.python}' -m batcher export --format {name} | head -c 1",
        cwd=cli.folder,
        env=cli.env | {"TMPDIR": str(waiting)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (len(out), err) == (1, b"")
    assert list(waiting.iterdir()) == []


@pytest.mark.parametrize(
    ("package", "name", "requirement"),
    [("pyarrow", "parquet", "pyarrow>=18"), ("xlsxwriter", "xlsx", "XlsxWriter>=3.2")],
)
async def test_missing_package_is_named(
    cli: Cli, manifest: Callable[..., Path], package: str, name: str, requirement: str
) -> None:
    """The message has the install command; the other formats work."""
    assert (await cli("load", manifest(IDS), *PICTURES)).code == 0
    without = f"import sys; sys.modules[{package!r}] = None; from batcher.cli import main; main()"

    async def export(wanted: str) -> Done:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", without, "export", "--format", wanted, "-o", f"r.{wanted}"),
            stderr=asyncio.subprocess.PIPE,
            cwd=cli.folder,
            env=cli.env,
        )
        _, err = await process.communicate()
        return Done(process.returncode or 0, "", err.decode())

    refused = await export(name)
    assert refused.code == 2
    assert f"pip install '{requirement}'" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (cli.folder / f"r.{name}").exists()
    assert (await export("csv")).code == 0


@pytest.mark.parametrize("name", ["csv", "parquet", "xlsx"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_signal_leaves_no_temporary_file(
    cli: Cli, manifest: Callable[..., Path], name: str, number: signal.Signals, code: int
) -> None:
    """An interrupted export removes its temporary file and leaves the old file unchanged."""
    assert (await cli("load", manifest(IDS), *PICTURES)).code == 0
    results = cli.folder / f"results.{name}"
    results.write_bytes(b"old")
    before = {path.name for path in cli.folder.iterdir()}
    process = await cli.start("export", "-", *PICTURES, "-o", results.name)
    assert process.stdin is not None
    process.stdin.write(b"file_id\n" + b"".join(f"{one}\n".encode() for one in tencent_ids(20_000)))
    await until(lambda: any(path.name.startswith(".") for path in cli.folder.iterdir()))
    process.send_signal(number)
    async with asyncio.timeout(cli.deadline_s):
        _, err = await process.communicate()
    assert (process.returncode, err) == (code, b"")
    assert before == {path.name for path in cli.folder.iterdir()}
    assert results.read_bytes() == b"old"


async def test_special_file_is_written_into(cli: Cli, manifest: Callable[..., Path]) -> None:
    """``-o`` replaces only regular files: a named pipe and a link stay as they are."""
    assert (await cli("load", manifest(IDS), *PICTURES)).code == 0
    pipe, link, real = (cli.folder / name for name in ("pipe", "link.csv", "real.csv"))
    with named_pipe(pipe):
        reading = asyncio.create_task(asyncio.to_thread(pipe.read_bytes))
        done = await cli("export", "-o", pipe, "--format", "parquet")
        assert done.code == 0, done.stderr
        assert pq.read_table(io.BytesIO(await reading)).column("file_id").to_pylist() == IDS
    assert pipe.is_fifo()
    real.write_text("old")
    link.symlink_to(real)
    assert (await cli("export", "-o", link)).code == 0
    assert link.is_symlink()
    assert real.read_text().startswith("file_id,")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
async def test_full_disk_is_reported(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The message has the place and the reason, for every format."""
    assert (await cli("load", manifest(IDS), *PICTURES)).code == 0
    for name in ("csv", "jsonl", "parquet", "xlsx"):
        done = await cli("export", "--format", name, "-o", "/dev/full")
        assert done.code == 6
        assert "--output /dev/full: cannot be written: the disk is full" in done.stderr


def row_of(**cells: Cell) -> ExportRow:
    """A row with these cells."""
    return tuple(cells.get(name) for name in COLUMNS)


def test_full_sheet_is_followed_by_another(tmp_path: Path) -> None:
    """The next sheet has the header again, and no row is lost."""
    file = io.BytesIO()
    with Workbook(file, COLUMNS, tmp_path, sheet_rows=4) as book:
        for n in range(7):
            book.write([row_of(file_id=str(n), line=n)])
        book.close()
    sheets = openpyxl.load_workbook(file).worksheets
    assert [sheet.title for sheet in sheets] == ["results", "results 2", "results 3"]
    assert {sheet.freeze_panes for sheet in sheets} == {"A2"}
    columns = [[cell.value for cell in sheet["A"]] for sheet in sheets]
    assert columns == [["file_id", "0", "1", "2"], ["file_id", "3", "4", "5"], ["file_id", "6"]]


async def test_overlong_cell_is_cut_and_reported(cli: Cli) -> None:
    """The cell is cut between characters, counted as spreadsheets count."""
    notes = ["a" * CELL_CHARACTERS, "b" * (CELL_CHARACTERS + 1), "😀" * 16_384]
    path = write_manifest(cli.folder / "long.csv", zip(IDS[:3], notes, strict=True), ("file_id", "note"))
    assert (await cli("load", path, *PICTURES)).code == 0
    done = await cli("export", "-o", "results.xlsx")
    assert done.code == 0
    assert "3 rows; 2 cells held more than a cell of a spreadsheet can, and lost the end" in done.stderr
    cells = [cell.value for cell in openpyxl.load_workbook(cli.folder / "results.xlsx").active["R"]]
    assert ["note", notes[0], notes[1][:-1], notes[2][:-1]] == cells


def test_parquet_is_written_in_bounded_groups() -> None:
    """Rows are written group by group, so that memory is bounded."""
    file, at = io.BytesIO(), [4]
    with ParquetTable(file, COLUMNS) as table:
        for begin in range(0, 2 * GROUP_ROWS + 500, 500):
            table.write([row_of(file_id=str(n), line=n) for n in range(begin, begin + 500)])
            at.append(file.tell())
        table.close()
    assert len(set(at)) == 3, "the file grows with each full group, not before"
    written = pq.ParquetFile(file)
    sizes = [written.metadata.row_group(n).num_rows for n in range(written.metadata.num_row_groups)]
    assert sizes == [GROUP_ROWS, GROUP_ROWS, 500]
    assert written.read().column("line").to_pylist() == list(range(2 * GROUP_ROWS + 500))


async def test_empty_ledger_is_an_empty_table(cli: Cli) -> None:
    """Without a row the columns and their types exist."""
    async with serving(cli):
        pass
    for name in ("parquet", "xlsx"):
        assert (await cli("export", "-o", f"results.{name}")).code == 0
    assert list(COLUMNS) == pq.read_schema(cli.folder / "results.parquet").names
    sheet = openpyxl.load_workbook(cli.folder / "results.xlsx").active
    assert [list(COLUMNS)] == [list(row) for row in sheet.iter_rows(values_only=True)]
    assert json.loads((await cli("status", "--json")).stdout)["submissions"]["total"] == 0
