"""Parquet: ids of every exact type, refusal of inexact ones, and types as text."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from support.manifest_files import parquet_of

from batcher.errors import ManifestError
from batcher.manifest.formats.arrow_text import known_column, own_column
from batcher.manifest.formats.parquet import Parquet
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import open_manifest
from batcher.model.submission import InvalidRow, Row

TENCENT = Defaults(vendor="Tencent", definition="10")
NUMBERS = [1397757897438985123, 9007199254740993]
IDS = list(map(str, NUMBERS))


def read(data: bytes) -> tuple[tuple[str, ...], list[Row | InvalidRow]]:
    """The own columns and the rows of a manifest given as bytes."""
    stdin = io.BytesIO(data)
    with open_manifest("-", stdin=stdin, defaults=TENCENT, format_="parquet") as manifest:
        return manifest.columns, list(manifest)


def rows_of(columns: Mapping[str, pa.Array]) -> list[Row | InvalidRow]:
    """The rows of a file of columns."""
    return read(parquet_of(columns))[1]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(IDS),
        pa.array(IDS, pa.large_string()),
        pa.array(IDS).dictionary_encode(),
        pa.array([text.encode() for text in IDS]),
        pa.array(NUMBERS),
        pa.array(NUMBERS, pa.uint64()),
        pa.array(NUMBERS).dictionary_encode(),
        pa.array([Decimal(number) for number in NUMBERS], pa.decimal128(19, 0)),
        pa.array([Decimal(number) for number in NUMBERS], pa.decimal128(30, 4)),
    ],
    ids=lambda column: str(column.type),
)
def test_id_of_every_exact_type_keeps_its_digits(column: pa.Array) -> None:
    """Texts, whole numbers of 64 bits, decimals, and all of them by dictionary."""
    assert [row.file_id for row in rows_of({"file_id": column}) if isinstance(row, Row)] == IDS


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1.4e18]), "its type is double, which keeps 15 to 17 of an id's 19 digits"),
        (pa.array([1.4e18], pa.float32()), "its type is float, which keeps"),
        (pa.array([1.4e18]).dictionary_encode(), "its type is double"),
        (pa.array([True]), "its type is bool; a file id is a string or an int64"),
        (pa.array([["1"]]), "a file id is a string or an int64"),
        (pa.array([dt.date(2024, 1, 1)]), "its type is date32"),
    ],
)
def test_column_that_cannot_hold_ids_is_refused(column: pa.Array, message: str) -> None:
    """Before any row is read, with the column and the reason."""
    with pytest.raises(ManifestError) as caught:
        rows_of({"room": pa.array(["a"]), "FileID": column})
    assert str(caught.value).startswith("stdin, column FileID: ")
    assert message in str(caught.value)


def test_values_of_every_type_become_text() -> None:
    """Missing values are empty, times are ISO 8601, numbers are plain, and nested values are JSON."""
    utc, moment = dt.UTC, dt.datetime.fromisoformat("2024-11-13T06:10:48.250")
    columns = {
        "file_id": pa.array(["12", None, "13"]),
        "definition": pa.array([20.0, None, None]),
        "offsets": pa.array([[1, 2.5], None, []]),
        "at": pa.array([moment, None, None], pa.timestamp("ms")),
        "zoned": pa.array([moment.replace(tzinfo=utc), None, None], pa.timestamp("ms", "UTC")),
        "day": pa.array([dt.date(2024, 11, 13), None, None]),
        "share": pa.array([0.1, float("nan"), None]),
        "exact": pa.array([Decimal("1.10"), None, None]),
        "yes": pa.array([True, None, False]),
        "nested": pa.array([{"a": [1.0, None], "b": "晨"}, None, None]),
        "empty": pa.nulls(3),
        "took": pa.array([dt.timedelta(seconds=90), None, None]),
        "big": pa.array([2**63, 1, 0], pa.uint64()),
    }
    first, missing, third = rows_of(columns)
    assert isinstance(first, Row)
    assert (first.parameters.definition, first.parameters.offsets) == ("20", ("1", "2.5"))
    assert json.loads(first.extra or "") == {
        "at": "2024-11-13T06:10:48.250",
        "zoned": "2024-11-13T06:10:48.250Z",
        "day": "2024-11-13",
        "share": "0.1",
        "exact": "1.10",
        "yes": "true",
        "nested": '{"a": [1, null], "b": "晨"}',
        "empty": "",
        "took": "0:01:30",
        "big": "9223372036854775808",
    }
    assert isinstance(third, Row)
    assert (
        third.line,
        *(json.loads(third.extra or "")[name] for name in ("yes", "big")),
    ) == (3, "false", "0")
    assert isinstance(missing, InvalidRow)
    assert (missing.line, missing.column, missing.reason) == (2, "file_id", "is missing")


def test_blank_row_is_skipped_and_counted() -> None:
    """As a blank line is."""
    columns = {"file_id": pa.array(["1", None, "3"]), "room": pa.array(["a", None, "b"])}
    assert [row.line for row in rows_of(columns)] == [1, 3]


def test_bytes_that_are_not_text_are_a_fault_of_their_row_where_they_have_an_effect() -> None:
    """Those of an own column are hexadecimal text, and the row is sent."""
    columns = {"file_id": pa.array([b"1", b"/\xff.mp4", b"3"]), "room": pa.array([b"a", b"b", b"\xfe\x00"])}
    good, fault, other = rows_of(columns)
    assert isinstance(good, Row)
    assert isinstance(fault, InvalidRow)
    assert (fault.line, fault.column, fault.reason) == (2, "file_id", "/\\xff.mp4 is not UTF-8 text")
    assert isinstance(other, Row)
    assert (other.line, other.extra) == (3, '{"room":"fe00"}')


def test_own_column_of_any_type_is_text() -> None:
    """Values that Python has no type for, and text that is none, never decide whether a row is sent."""
    bad = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff1", b"2"]).buffers())
    columns = {
        "file_id": pa.array(IDS),
        "took": pa.array([1_500_000_001, None], pa.duration("ns")),
        "moment": pa.array([{"at": 1}, None], pa.struct([("at", pa.timestamp("ns"))])),
        "spans": pa.array([[1], []], pa.list_(pa.duration("ns"))),
        "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        "times": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.timestamp("s"))),
        "uuid": pa.array([bytes(range(16)), None], pa.uuid()),
        "digest": pa.array([bytes(range(16)), b"sixteen letters."], pa.binary(16)),
        "nested": pa.array([[b"\xff"], None]),
        "bad": bad,
        "inside": pa.StructArray.from_arrays([bad], names=["x"]),
        "twice": pa.StructArray.from_arrays([pa.array([1, 2]), pa.array([3, 4])], names=["x", "x"]),
        "zone": pa.array([1, None], pa.timestamp("us", "Mars/Base")),
        "day": pa.array([2**30, None], pa.date32()),
        "infinite": pa.array([float("inf"), float("nan")]),
        "large": pa.array([Decimal(10) ** 40, None], pa.decimal256(60, 0)),
    }
    first, second = rows_of(columns)
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    expected = {
        "took": "0:00:01.500000001",
        "moment": '{"at": "1970-01-01T00:00:00.000000001"}',
        "spans": '["0:00:00.000000001"]',
        "map": '[["k", 1]]',
        "times": '[["k", "1970-01-01T00:00:01.000"]]',
        "uuid": "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "digest": "000102030405060708090a0b0c0d0e0f",
        "nested": '["ff"]',
        "bad": "\\xff1",
        "inside": '{"x": "\\\\xff1"}',
        "twice": '{"x": 1, "x": 3}',
        "zone": "1970-01-01T00:00:00.000001Z",
        "infinite": "inf",
        "large": "1" + "0" * 40,
    }
    found = json.loads(first.extra or "")
    assert found.pop("day")
    assert found == expected
    assert json.loads(second.extra or "")["digest"] == "sixteen letters."


@pytest.mark.parametrize("dictionary", [False, True])
def test_long_values_are_read_a_few_rows_at_a_time(dictionary: bool) -> None:
    """Also where a value that repeats is stored once."""
    data = parquet_of(
        {"file_id": pa.array(list(map(str, range(600)))), "long": pa.array(["x" * 100_000] * 600)},
        use_dictionary=dictionary,
    )
    file = Parquet("a", io.BytesIO(data))
    assert max(map(len, (batch[0] for batch in file._batches()))) <= 60
    assert sum(1 for _ in file.records()) == 600


_READ_AND_MEASURE = """
import pathlib, resource, sys
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import open_manifest
with open_manifest(sys.argv[1], defaults=Defaults(vendor="Tencent", definition="10")) as manifest:
    rows = sum(len(row.extra) > 90_000 for row in manifest)
if sys.platform == "linux":  # where the other figure begins with that of the process that forked this one
    status = pathlib.Path("/proc/self/status").read_text()
    kibibytes = int(status.partition("VmHWM:")[2].split()[0])
else:
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
print(rows, kibibytes >> 10)
"""


def test_columns_with_large_pages_are_not_unpacked_side_by_side(tmp_path: Path) -> None:
    """Six columns with pages of 16 MB take little more memory than one."""
    count = 1_024
    columns = {f"c{at}": pa.array([os.urandom(8_000).hex() for _ in range(count)]) for at in range(6)}
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet_of({"file_id": pa.array(list(map(str, range(1, 1 + count)))), **columns}))
    done = subprocess.run(
        [sys.executable, "-c", _READ_AND_MEASURE, path], capture_output=True, text=True, check=True
    )
    rows, mebibytes = map(int, done.stdout.split())
    assert rows == count
    assert mebibytes < 200


@pytest.mark.parametrize("row_group_size", [70, 100])
def test_columns_read_apart_stay_in_their_rows(row_group_size: int) -> None:
    """Of any type, in any order of the columns, over several row groups."""
    numbers = range(200)
    data = parquet_of(
        {
            "b": pa.array([f"b{number}" + "x" * 300_000 * (number % 3) for number in numbers]),
            "c": pa.array([[{"v": f"c{number}" + "y" * 200_000}] for number in numbers]),
            "file_id": pa.array([str(number) for number in numbers]),
            "a": pa.array([None if number % 7 else b"z" * 400_000 for number in numbers]),
        },
        row_group_size=row_group_size,
        compression="none",
        use_dictionary=False,
    )
    file = Parquet("a", io.BytesIO(data))
    assert len(file._read_together(0)) > 1
    seen = 0
    for (number, cells, fault), expected in zip(file.records(), numbers, strict=True):
        assert (number, fault, cells[2]) == (expected + 1, None, str(expected))
        assert cells[0].rstrip("x") == f"b{expected}"
        assert cells[1].startswith(f'[{{"v": "c{expected}y')
        assert len(cells[3]) == (0 if expected % 7 else 400_000)
        seen += 1
    assert seen == len(numbers)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (pa.timestamp("s"), 253402300800, "10000-01-01T00:00:00"),
        (pa.timestamp("ms"), -62135596800001, "0000-12-31T23:59:59.999"),
        (pa.timestamp("us"), 2**62, "4611686018427387904 us since 1970-01-01"),
        (pa.timestamp("s", "UTC"), 2**62, "4611686018427387904 s since 1970-01-01T00:00:00Z"),
        (pa.timestamp("s", "Asia/Shanghai"), -(2**62), "-4611686018427387904 s since 1970-01-01T00:00:00Z"),
        (pa.timestamp("s", "Mars/Base"), 2**62, "4611686018427387904 s since 1970-01-01T00:00:00Z"),
        (pa.date32(), 2**30, "1073741824 days since 1970-01-01"),
        (pa.date64(), 86_400_000 * 2**31, "185542587187200000 ms since 1970-01-01"),
        (pa.time32("s"), 90_000, "90000 s since midnight"),
        (pa.time64("ns"), 86_399_999_999_999, "23:59:59.999999999"),
    ],
    ids=str,
)
def test_time_beyond_the_calendar_keeps_its_value(kind: pa.DataType, value: int, text: str) -> None:
    """Its count of units, alone, beside ordinary times and inside other values."""
    raw = pa.array([value, 0], pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)
    inside = pa.StructArray.from_arrays([raw], names=["x"])
    assert own_column(raw)[0] == text
    assert own_column(raw)[1].startswith(("1970-01-01", "00:00:00"))
    assert json.loads(own_column(inside)[0]) == {"x": text}


@pytest.mark.parametrize("kind", [pa.decimal128(9, 2), pa.decimal256(60, 2)], ids=str)
def test_decimal_keeps_its_places_where_it_has_no_effect(kind: pa.DataType) -> None:
    """A price of 1.10 stays that, also inside of others; an interval of 10.00 is 10."""
    prices = pa.array([Decimal("1.10"), Decimal("100.00")], kind)
    assert own_column(prices) == ["1.10", "100.00"]
    assert own_column(prices.dictionary_encode()) == ["1.10", "100.00"]
    assert own_column(pa.ListArray.from_arrays([0, 2], prices)) == ["[1.10, 100.00]"]
    assert known_column(prices).texts == ["1.1", "100"]


def test_string_column_of_other_bytes_is_a_fault() -> None:
    """Some writers do not check the bytes of string columns."""
    bad = pa.Array.from_buffers(pa.string(), 2, pa.array([b"1", b"\xff2"]).buffers())
    rows = rows_of({"file_id": bad})
    assert [Row, InvalidRow] == list(map(type, rows))


@pytest.mark.parametrize("spoil", ["cut", "page", "footer"])
def test_damaged_file_is_refused(tmp_path: Path, spoil: str) -> None:
    """The message has its name, and the row at which reading failed."""
    data = parquet_of(
        {"file_id": pa.array([str(number) for number in range(20_000)])},
        row_group_size=10_000,
        compression="zstd",
        use_dictionary=False,
    )
    if spoil == "cut":
        data = data[:-10_000]
    elif spoil == "page":
        at = len(data) * 3 // 4
        data = data[:at] + bytes(200) + data[at + 200 :]
    else:
        data = data[:-8] + b"\xff\xff\xff\x00" + data[-4:]
    path = tmp_path / "a.parquet"
    path.write_bytes(data)
    with pytest.raises(ManifestError) as caught, open_manifest(str(path), defaults=TENCENT) as manifest:
        list(manifest)
    place = f"{path} row " if spoil == "page" else f"{path}: "
    assert str(caught.value).startswith(place), caught.value
    assert "the Parquet file cannot be read" in str(caught.value)


def test_file_without_rows_is_a_manifest_without_rows() -> None:
    """A night without work is not a mistake."""
    empty = parquet_of({"file_id": pa.array([], pa.string()), "room": pa.array([], pa.string())})
    assert read(empty) == (("room",), [])
