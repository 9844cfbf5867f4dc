"""JSON manifests: exact numbers, lines with names of their own, and broken documents."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import pytest

from batcher.errors import ManifestError
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import Manifest, open_manifest
from batcher.manifest.rounded_ids import HEAD_ROWS
from batcher.model.submission import InvalidRow, Row

TENCENT = Defaults(vendor="Tencent", definition="10")
ID = "1397757897438985123"


def opened(text: str | bytes, format_: str = "jsonl", defaults: Defaults = TENCENT) -> Manifest:
    """A manifest given as text."""
    data = text.encode() if isinstance(text, str) else text
    return open_manifest("-", stdin=io.BytesIO(data), defaults=defaults, format_=format_)


def summaries(rows: Sequence[Row | InvalidRow]) -> list[tuple[int, str, str]]:
    """Line and id of a good row; line, column and reason of an invalid one."""
    return [
        (row.line, row.column, row.reason) if isinstance(row, InvalidRow) else (row.line, row.file_id, "")
        for row in rows
    ]


def extra(row: Row | InvalidRow) -> dict[str, str]:
    """A good row's own columns that hold anything."""
    assert isinstance(row, Row), row
    return {name: text for name, text in json.loads(row.extra or "{}").items() if text}


@pytest.mark.parametrize(
    "written", [ID, f'"{ID}"', f'{{"file_id": {ID}}}', f'{{"FileID": "{ID}", "note": null}}']
)
@pytest.mark.parametrize("format_", ["jsonl", "json"])
def test_id_in_any_notation_keeps_its_digits(written: str, format_: str) -> None:
    """As a number above 2^53 or a text, in an object or by itself."""
    assert summaries(list(opened(f"{written}\n", format_))) == [(1, ID, "")]


@pytest.mark.parametrize(
    ("written", "column", "reason"),
    [
        ("1.39776E+18", "file_id", "1.39776E+18 has lost its digits: a spreadsheet took the id for a number"),
        (
            '{"Key": 1397757897438985100.0, "vendor": "hw"}',
            "Key",
            "1397757897438985100.0 has lost its digits",
        ),
        ('{"file_id": 1e18}', "file_id", "1e18 has lost its digits"),
        ('{"file_id": -12}', "file_id", "-12 is not a Tencent file id"),
        ('{"file_id": true, "vendor": "hw"}', "file_id", "is true, not a file id"),
        ('{"file_id": ["12"], "vendor": "hw"}', "file_id", "is an array, not a file id"),
        ('{"file_id": {"a": 1}}', "file_id", "is an object, not a file id"),
        ('{"file_id": null, "room": "a"}', "file_id", "is missing"),
        ("{}", "row", "holds nothing"),
        ('""', "file_id", "is missing"),
        ("null", "row", "is null; an object or a file id is expected"),
        ('["12"]', "row", "is an array; an object or a file id is expected"),
        ('{"file_id": "12"', "row", "is not JSON: expecting ',' delimiter at character 17"),
        ('{"file_id": "12"} {"file_id": "13"}', "row", "is not JSON: extra data"),
        ('{"file_id": NaN}', "file_id", "NaN is a placeholder for a missing value"),
        ("file_id: 12", "row", "is not JSON: expecting value at character 1"),
        ('{"file_id": "12', "row", "is not JSON: unterminated string starting at character 13"),
        ("[" * 100_000, "row", "is nested too deeply"),
        ('{"file_id": "12", "file_id": "13"}', "row", "the object has the name file_id twice"),
        ('{"FileID": "12", "Key": "13"}', "row", "FileID and Key both mean file_id; leave one of them out"),
        ('{"file_id": "12", "type": "a\\ud83d"}', "type", "a\\ud83d holds a NUL or half a character"),
        ('{"file_id": "/a\\u0000.mp4", "vendor": "hw"}', "file_id", "/a\\x00.mp4 holds a NUL or half"),
        ('{"file_id": "12", "offsets": "soon"}', "offsets", "soon is not a plain number"),
        ('{"file_id": "12", "offsets": ["1"]}', "offsets", '["1"] is not a JSON array of numbers'),
        ('{"file_id": "12", "definition": false}', "definition", "false is not a plain number"),
    ],
)
def test_faulty_line_is_an_invalid_row(written: str, column: str, reason: str) -> None:
    """It has its line, reason and content, and the lines around it are read."""
    before, fault, after = opened(f'{{"file_id": "1"}}\n\n{written}\n{{"file_id": "2"}}\n')
    assert summaries([before, after]) == [(1, "1", ""), (4, "2", "")]
    assert isinstance(fault, InvalidRow)
    assert (3, column) == (fault.line, fault.column)
    assert reason in fault.reason
    assert any(fault.cells) or written in ("{}", '""', "null")
    json.dumps(fault).encode()


def test_values_have_the_same_effect_as_in_a_table() -> None:
    """Numbers, arrays and names in any spelling ask for the same as the cells of CSV."""
    line = '{"FILE-ID": 12, "Template": 20.0, "ExtTimeOffsetSet[]": [1, 2.50], "interval": null}'
    [row] = opened(line)
    assert isinstance(row, Row)
    assert (row.parameters.definition, row.parameters.offsets) == ("20", ("1", "2.5"))


def test_own_values_are_kept_verbatim() -> None:
    """Texts verbatim, numbers with their digits, true and false, and nested values as JSON."""
    [row] = opened(
        '{"file_id": 12, "a": 1.10, "b": 12345678901234567890, "c": true, "d": [1.0, {"x": null, "y": "é"}], '
        '"e": " x ", "f": null, "100% of": "%s", "g": "line\\nend"}'
    )
    assert extra(row) == {
        "a": "1.10",
        "b": "12345678901234567890",
        "c": "true",
        "d": '[1.0, {"x": null, "y": "é"}]',
        "e": " x ",
        "100% of": "%s",
        "g": "line\nend",
    }


def test_lines_may_have_names_of_their_own() -> None:
    """The columns are all names of the first lines; two spellings are one column."""
    manifest = opened('{"FileID": 1, "a": 1}\n"2"\n{"ObsObject": "3", "b": 2}\n{"FileID": "x", "c": ""}\n')
    assert manifest.columns == ("a", "b", "c")
    rows = list(manifest)
    assert [extra(row) for row in rows[:3]] == [{"a": "1"}, {}, {"b": "2"}]
    assert summaries(rows[3:]) == [(4, "file_id", "x is not a Tencent file id, which is digits only")]
    fault = rows[3]
    assert isinstance(fault, InvalidRow)
    assert manifest.cells_of(fault)["file_id"] == "x"


def test_late_names_are_kept() -> None:
    """After the first lines a new own name is kept in one column for all, and a known one has its effect."""
    first = '{"file_id": 1, "room": "a", "more": "m"}\n' * HEAD_ROWS
    manifest = opened(first + '{"file_id": 2, "late": [1.0], "later": "x\\"", "offsets": [7]}\n')
    assert manifest.columns == ("room", "more", "more_2")
    *_, last = manifest
    assert isinstance(last, Row)
    assert last.parameters.offsets == ("7",)
    assert json.loads(extra(last)["more_2"]) == {"late": "[1.0]", "later": 'x"'}


def test_late_name_with_a_second_spelling_is_a_fault() -> None:
    """A spelling that the first lines did not have is recognized, too."""
    manifest = opened('{"file_id": 1}\n' * HEAD_ROWS + '{"ObsObject": "2"}\n{"Key": "3", "file_id": 3}\n')
    *_, good, bad = manifest
    reason = "Key and file_id both mean file_id; leave one of them out"
    assert [(10_001, "2", ""), (10_002, "row", reason)] == summaries([good, bad])


@pytest.mark.parametrize(
    "text",
    [
        '[{"file_id": 1, "a": "x"}, "2", 3]',
        '[\n {"file_id": 1,\n "a": "x"}\n,\n"2",3\n]\n',
        '{"file_id": 1, "a": "x"}{"file_id": 2}\n\n[3]',
        '\ufeff[]{"file_id": 1, "a": "x"}\r\n"2"\t3',
        '[{"file_id": 1, "a": "x"}]\n\ufeff["2", 3]',
    ],
)
@pytest.mark.parametrize("block", [1, 5, 1 << 18])
def test_documents_may_be_laid_out_in_any_way(monkeypatch: pytest.MonkeyPatch, text: str, block: int) -> None:
    """Arrays, values one after the other, over lines or not, and however the bytes come in."""
    monkeypatch.setattr("batcher.manifest.sources.local.BLOCK_BYTES", block)
    rows = list(opened(text, "json"))
    assert [row.file_id for row in rows if isinstance(row, Row)] == ["1", "2", "3"]
    assert extra(rows[0]) == {"a": "x"}


def test_elements_are_numbered_by_the_line_on_which_they_begin() -> None:
    """Any white space may separate them."""
    text = '\n[\n  {\n    "file_id": 1,\n    "note": "a"\n  },\n\n  2 ,\n  {"file_id": "x"}]\n'
    text += '{"file_id":\n 4}\n5'
    assert [row.line for row in opened(text, "json")] == [3, 8, 9, 10, 12]


@pytest.mark.parametrize(
    ("text", "format_", "message"),
    [
        (
            "file_id,room\n1,a\n",
            "jsonl",
            "line 1: is not JSON: expecting value at character 1. Nothing in it",
        ),
        ('{\n"file_id": 1\n}\n', "jsonl", "line 1: is not JSON"),
        ('[{"file_id": 1}\n{"file_id": 2}]', "json", "line 2: is not JSON: a comma or ] is missing between"),
        ("[1,\n2", "json", "line 2: is not JSON: a comma or ] is missing between values at the end"),
        ('{"file_id": 1}\n\n{"file_id": \n"2\n', "json", "line 3: is not JSON: invalid control character"),
        ('[{"file_id": 1},\n]', "json", "line 2: is not JSON: expecting value on line 2"),
        ('{"file_id": 1} oops', "json", "line 1: is not JSON: expecting value on line 1"),
        (
            '{"name": "a", "room": "b"}',
            "jsonl",
            "no column is named file_id; there are name, room. Name the one",
        ),
        ("[" * 100_000, "json", "it is nested too deeply"),
    ],
)
def test_unusable_document_is_refused(text: str, format_: str, message: str) -> None:
    """The message says on which line and why."""
    with pytest.raises(ManifestError) as caught:
        list(opened(text, format_))
    assert message in str(caught.value)
    assert str(caught.value).startswith("stdin")


def test_value_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is longer than any answer of the service is refused before it fills the memory."""
    monkeypatch.setattr("batcher.manifest.formats.json_stream.MAX_VALUE", 1 << 20)
    with pytest.raises(
        ManifestError, match=r"line 2: is not JSON: a value is longer than 1,048,576 characters"
    ):
        list(opened('1\n{"file_id": "' + "1" * 9_000_000, "json"))


def test_fault_of_the_encoding_comes_after_the_rows_before_it() -> None:
    """As in text of any other format."""
    data = b'{"file_id": "1"}\n' * 20_000 + '{"file_id": "2", "room": "晨会"}\n'.encode("gb18030")
    seen: list[Row | InvalidRow] = []
    with pytest.raises(
        ManifestError, match=r"^stdin line 20001: not UTF-8 text. As GB18030 reads it:\n.*晨会"
    ):
        seen.extend(opened(data))
    assert len(seen) == 20_000
    assert summaries(list(opened('{"file_id": 3}'.encode("utf-16")))) == [(1, "3", "")]
