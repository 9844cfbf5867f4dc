"""Manifests as other programs leave them, through the command line: read rightly, or named."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest
import zstandard
from support.cli import Cli
from support.ledger_sql import query
from support.manifest_files import parquet_of

A, B = "1397757898183024945", "1397757897438985123"
TENCENT = ("--vendor", "Tencent", "--definition", "10", "--offset", "1")
HUAWEI = ("--vendor", "Huawei", "--interval", "5")


class Case(NamedTuple):
    """A manifest and what becomes of it."""

    name: str
    content: bytes
    code: int
    ids: tuple[str, ...]
    """The submissions, in their order."""
    words: tuple[str, ...] = ()
    """What the user is told."""
    options: tuple[str, ...] = TENCENT


def zipped(**files: bytes) -> bytes:
    """A ZIP archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return file.getvalue()


def windowed(content: bytes) -> bytes:
    """A frame of zstd with a window of 256 MiB."""
    parameters = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=False)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packer.compress(content) + packer.flush()


PLACEHOLDERS = ["nan", "NaN", "NULL", "None", "\\N", "#N/A", "<NA>", "-", "undefined", "#REF!", "n/a", "--"]
INVISIBLE = "\u200b\u200e\u202e\u00ad\ufeff\u2060\u180e\u3164\u034f\x7f\u0085\u2028"

CASES = [
    # -- byte-order marks and encodings
    Case(
        "bom_lines.txt",
        "\ufeff/a.mp4\n/b.mp4\n\ufeff/c.mp4\n".encode(),
        0,
        ("/a.mp4", "/b.mp4", "/c.mp4"),
        (),
        HUAWEI,
    ),
    Case(
        "bom_header.csv",
        "\ufeffKey\n/a.mp4\n\ufeffKey\n/b.mp4\n".encode(),
        1,
        ("/a.mp4", "/b.mp4"),
        ("line 3, row: names columns, as a header does",),
        HUAWEI,
    ),
    Case("bom_blank.csv", f"\n\n\ufefffile_id\n{A}\n".encode(), 0, (A,)),
    Case("bom_lines.jsonl", f'\ufeff{{"file_id":"{A}"}}\n\ufeff{{"file_id":"{B}"}}\n'.encode(), 0, (A, B)),
    Case(
        "utf16.csv",
        codecs.BOM_UTF16_LE
        + f"file_id\n{A}\n".encode("utf-16-le")
        + codecs.BOM_UTF16_LE
        + f"{B}\n".encode("utf-16-le"),
        0,
        (A, B),
    ),
    # -- Huawei ids
    Case(
        "placeholders.csv",
        ("Key,room\n/a.mp4,1\n" + "".join(f"{one},2\n" for one in PLACEHOLDERS)).encode(),
        1,
        ("/a.mp4",),
        ("line 3, Key: nan is a placeholder for a missing value", f"{len(PLACEHOLDERS)} invalid"),
        HUAWEI,
    ),
    Case(
        "invisible.csv",
        ("Key\n/a.mp4\n" + "".join(f'"/x{one}y.mp4"\n' for one in INVISIBLE)).encode(),
        1,
        ("/a.mp4",),
        (f"{len(INVISIBLE)} invalid", "holds an invisible character (U+200B)"),
        HUAWEI,
    ),
    Case(
        "urls.csv",
        b"Key\nobs://bucket/a.mp4\nhttps://x.example/b.mp4?Signature=1\nobs:/bucket/a.mp4\n/c.mp4\n",
        1,
        ("/c.mp4",),
        ("obs://bucket/a.mp4 is a URL", "3 invalid"),
        HUAWEI,
    ),
    Case(
        "quoted.txt",
        '“/a.mp4”\n\'/b.mp4\'\n"/c.mp4"\n「/d.mp4」\n/it\'s "e".mp4\n'.encode(),
        1,
        ('/it\'s "e".mp4',),
        ("“/a.mp4” is in quotation marks", "4 invalid"),
        HUAWEI,
    ),
    Case(
        "backslash.csv",
        b"Key\n\\record\\d.mp4\n/e.mp4\n",
        2,
        (),
        ("1 of 2 Huawei ids are written with backslashes", "--trust-ids"),
        HUAWEI,
    ),
    Case("trusted.csv", b"Key\n\\record\\d.mp4\n", 0, ("\\record\\d.mp4",), (), (*HUAWEI, "--trust-ids")),
    Case(
        "percent.txt",
        b"".join(b"/record/%%E6%%95%%B0%d.mp4\n" % n for n in range(30)),
        2,
        (),
        ("30 of 30 Huawei ids are percent-encoded (first on line 1", "--trust-ids"),
        HUAWEI,
    ),
    Case(
        "slashes.csv",
        b"Key\n/a.mp4\na.mp4\n",
        0,
        ("/a.mp4", "a.mp4"),
        ("with and without a leading / (first on line 2",),
        HUAWEI,
    ),
    Case("emoji.csv", "Key\n/❤️ 👩‍💻 1️⃣.mp4\n".encode(), 0, ("/❤️ 👩‍💻 1️⃣.mp4",), (), HUAWEI),
    # -- Tencent ids
    Case(
        "point.csv",
        f"file_id\n{A}.0\n1397757897438985100.0\n".encode(),
        1,
        (),
        (
            "Its digits may be whole",
            "1397757897438985100.0 has lost its digits: a spreadsheet took the id for a number",
        ),
    ),
    Case("blanks.csv", f"file_id\n{A} \n{B}\u00a0\n１３９７\n".encode(), 1, (A, B), ("digits only",)),
    # -- the end
    Case(
        "cut_row.csv",
        f"file_id,room\n{A},r1\n13977578".encode(),
        1,
        (A,),
        ("line 3, row: the file ends within this row, after 1 of 2 cells and without a line end",),
    ),
    Case("cut_id.csv", f"file_id\n{A}\n13977578".encode(), 1, (A,), ("shorter than the id before it",)),
    Case("cut_id.txt", f"{A}\n13977578".encode(), 1, (A,), ("shorter than the id before it",)),
    Case("no_end.txt", f"{A}\n{B}".encode(), 0, (A, B), ("line 2, the last one, has no line end",)),
    Case("own_end.csv", f"file_id,room\n{A},r".encode(), 0, (A,)),
    Case("returns.csv", f"file_id,room\r{A},a\r{B}".encode(), 1, (A,), ("line 3, row: the file ends",)),
    # -- delimiters and first lines
    Case("sep.csv", f"sep=;\nfile_id;room\n{A};r\n".encode(), 0, (A,)),
    Case("sep_quoted.csv", f'"sep=;"\r\nfile_id;room\r\n{A};"a;b"\r\n'.encode(), 0, (A,)),
    Case("sep_tab.csv", f"\ufeffsep=\t\nfile_id\troom\n{A}\tr\n".encode(), 0, (A,)),
    Case("type.csv", f'#TYPE System.Object\n"file_id","room"\n"{A}","r"\n'.encode(), 0, (A,)),
    Case("pipe.csv", f"file_id|vendor|definition|offsets\n{A}|Tencent|10|1\n".encode(), 0, (A,)),
    Case(
        "twice.csv", f"file_id,room\n{A},r\nfile_id,room\n{B},r\n".encode(), 1, (A, B), ("as a header does",)
    ),
    # -- JSON
    Case(
        "surrogate_name.jsonl",
        f'{{"file_id":"{A}","x \\ud83d":1}}\n{{"file_id":"{B}"}}\n'.encode(),
        0,
        (A, B),
    ),
    Case("surrogate_value.jsonl", f'{{"file_id":"{A}","x":"cut \\ud83d"}}\n'.encode(), 0, (A,)),
    Case(
        "surrogate_id.jsonl", b'{"file_id":"1\\ud83d"}\n{"file_id":"2"}\n', 1, ("2",), ("half a character",)
    ),
    Case(
        "nan.jsonl",
        f'{{"file_id":"{A}","x":NaN}}\n{{"file_id":NaN}}\n'.encode(),
        1,
        (A,),
        ("line 2, file_id: NaN",),
    ),
    Case("double.jsonl", f'{{"file_id":"{A}","x":1,"x":2}}\n'.encode(), 0, (A,)),
    Case(
        "double_id.jsonl",
        f'{{"file_id":"1"}}\n{{"file_id":"{A}","file_id":"{B}"}}\n'.encode(),
        1,
        ("1",),
        ("twice",),
    ),
    Case("deep.jsonl", f'{{"file_id":"{A}","x":{"[" * 900}{"]" * 900}}}\n'.encode(), 0, (A,)),
    Case(
        "deeper.jsonl",
        f'{{"file_id":"1"}}\n{{"x":{"[" * 9000}{"]" * 9000}}}\n'.encode(),
        1,
        ("1",),
        ("nested too deeply",),
    ),
    Case(
        "wrapped.json",
        json.dumps({"recordings": [{"file_id": A}, {"file_id": B}], "total": 2}).encode(),
        0,
        (A, B),
    ),
    Case("wrapped_twice.json", json.dumps({"data": {"list": [{"Key": A}], "n": 1}}).encode(), 0, (A,)),
    Case(
        "two_arrays.json",
        json.dumps({"a": [{"file_id": A}], "b": {"c": [{"file_id": B}]}}).encode(),
        2,
        (),
        ("line 1: 2 arrays hold recordings: a, b.c",),
    ),
    # -- compression and archives
    Case("packed.csv.bz2", bz2.compress(f"file_id\n{A}\n".encode()), 0, (A,)),
    Case(
        "one.csv.zip",
        zipped(a_csv=b"file_id\n1\n"),
        2,
        (),
        ("this is a ZIP archive, not a workbook: it holds a.csv", "Unpack it"),
    ),
    Case("gz.csv.zip", zipped(a_csv_gz=gzip.compress(b"")), 2, (), ("it holds a.csv.gz",)),
    Case(
        "large.csv.zst",
        windowed(f"file_id\n{A}\n".encode() * 9999),
        2,
        (),
        ("more than 128 MiB", "zstd -d --long=31"),
    ),
    Case("tar.csv", b"a.csv".ljust(257, b"\0") + b"ustar\x0000" + bytes(300), 2, (), ("a tar archive",)),
    Case("seven.csv", b"7z\xbc\xaf\x27\x1c" + bytes(40), 2, (), ("a 7z archive",)),
    Case("page.txt", b"<!DOCTYPE html><html>\n", 2, (), ("a web page",), HUAWEI),
    Case("page.csv", b"<html>\n", 2, (), ("a web page",)),
    # -- vendors
    Case(
        "vendors.csv",
        f"file_id,vendor\n/a.mp4,华为\n/b.mp4,Huawei_Cloud\n{A},腾讯\n{B},Tencent Cloud\n".encode(),
        0,
        ("/a.mp4", "/b.mp4", A, B),
        (),
        ("--definition", "10", "--interval", "5", "--offset", "1,2"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_odd_manifest_is_read_or_named(cli: Cli, tmp_path: Path, case: Case) -> None:
    """Right rows are loaded, wrong ones are invalid, and the user is told what is wrong and where."""
    (tmp_path / case.name).write_bytes(case.content)
    done = await cli("load", case.name, *case.options)
    assert done.code == case.code, done.stderr
    said = " ".join(done.stderr.split())
    assert [word for word in case.words if word not in said] == [], said
    loaded = (
        query(cli.folder / "batcher.db", "SELECT file_id FROM submissions ORDER BY id")
        if done.code < 2
        else []
    )
    assert tuple(row[0] for row in loaded) == case.ids


EMPTY = {
    "nothing.csv": b"",
    "nothing.jsonl": b"",
    "nothing.json": b"",
    "nothing.txt": b"",
    "nothing.parquet": b"",
    "nothing.xlsx": b"",
    "nothing.csv.gz": gzip.compress(b""),
    "blank.csv": b"\n\n",
    "blank.txt": b" \r\n",
    "mark.csv": codecs.BOM_UTF8,
    "header.csv": b"file_id,room\n",
    "array.json": b"[]\n",
    "wrapped.json": b'{"recordings": [], "total": 0}',
    "header.parquet": parquet_of({"file_id": pa.array([], pa.string())}),
}


@pytest.mark.parametrize("name", EMPTY)
async def test_empty_manifest_is_a_manifest_without_rows(cli: Cli, tmp_path: Path, name: str) -> None:
    """The same in every format; without even a header, the user is warned."""
    (tmp_path / name).write_bytes(EMPTY[name])
    done = await cli("load", name, *TENCENT)
    assert done.code == 0, done.stderr
    assert f"{name}: 0 new submissions, 0 known already, 0 invalid" in done.stderr
    assert ("is empty" in done.stderr) == name.startswith(("nothing", "blank", "mark"))


async def test_keys_with_and_without_slash_in_one_ledger_are_a_warning(cli: Cli, tmp_path: Path) -> None:
    """Whether the other key came from this manifest or from an earlier one; a second load has no other."""
    (tmp_path / "a.txt").write_bytes(b"/a.mp4\n/b.mp4\n")
    (tmp_path / "b.txt").write_bytes(b"b.mp4\n/c.mp4\n")
    first = await cli("load", "a.txt", *HUAWEI)
    second = await cli("load", "b.txt", *HUAWEI)
    dry = await cli("run", "--dry-run", "b.txt", *HUAWEI)
    assert "leading /" not in first.stderr
    for done in (second, dry):
        assert done.code == 0, done.stderr
        assert (
            "b.txt: 1 of 2 Huawei ids are in the ledger or here with and without a leading /" in done.stderr
        )
        assert "line 1: b.mp4 and /b.mp4" in done.stderr


async def test_duplicates_in_a_manifest_are_counted_as_such(cli: Cli, tmp_path: Path) -> None:
    """Rows are new, known already, duplicates or invalid, in a load, a repeated load and a dry run."""
    manifest = tmp_path / "a.csv"
    manifest.write_text(f"file_id\n{A}\n{B}\n{A}\n{A}\nx\n")
    dry = await cli("run", "--dry-run", "--json", "a.csv", *TENCENT)
    assert {name: dry.data[name] for name in ("rows", "new", "distinct", "invalid")} == {
        "rows": 5,
        "new": 2,
        "distinct": 2,
        "invalid": 1,
    }
    assert "duplicates 2" in " ".join(dry.stderr.split())
    first, again = [await cli("load", "a.csv", *TENCENT) for _ in range(2)]
    assert "a.csv: 2 new submissions, 0 known already, 2 duplicates, 1 invalid" in first.stderr
    assert "a.csv: 0 new submissions, 2 known already, 2 duplicates, 1 invalid" in again.stderr
    stream = await cli("load", "-", *TENCENT, stdin=manifest.read_bytes())
    assert "stdin: 0 new submissions, 2 known already, 2 duplicates, 1 invalid" in stream.stderr


async def test_own_columns_come_back_as_text(cli: Cli, tmp_path: Path) -> None:
    """Bytes, nanoseconds and halves of characters have no influence on what is sent, and can be exported."""
    columns = {
        "file_id": pa.array([A, B]),
        "lesson": pa.array([b"\xc8" * 16, bytes(range(16))], pa.binary(16)),
        "took": pa.array([1, None], pa.duration("ns")),
        "meta": pa.array([{"at": 1}, None], pa.struct([("at", pa.timestamp("ns"))])),
    }
    (tmp_path / "a.parquet").write_bytes(parquet_of(columns))
    (tmp_path / "b.jsonl").write_text(f'{{"file_id":"{int(A) + 1}","x \\ud83d":"\\ud83d y"}}\n')
    done = await cli("load", "a.parquet", "b.jsonl", *TENCENT)
    assert done.code == 0, done.stderr
    first, second, third = (await cli("export")).table
    assert (first["lesson"], second["lesson"]) == ("c8" * 16, bytes(range(16)).hex())
    assert (first["took"], second["took"]) == ("0:00:00.000000001", "")
    assert json.loads(first["meta"]) == {"at": "1970-01-01T00:00:00.000000001"}
    assert third["x \\ud83d"] == "\\ud83d y"
