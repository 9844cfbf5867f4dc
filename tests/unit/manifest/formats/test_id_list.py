"""Plain text: one file id a line; other content is refused, because every line would become a request."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from batcher.errors import ManifestError
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import open_manifest
from batcher.model.submission import InvalidRow, Row

TENCENT = Defaults(vendor="Tencent", definition="10")
HUAWEI = Defaults(vendor="Huawei", interval="5")


def rows_of(text: str, defaults: Defaults = HUAWEI) -> list[Row | InvalidRow]:
    """Read a list given as text."""
    return list(open_manifest("-", stdin=io.BytesIO(text.encode()), defaults=defaults, format_="text"))


def test_line_of_text_is_the_whole_id() -> None:
    """Commas, semicolons, quotes, blanks and marks inside are the object's name; the line end is not."""
    ids = ["record/a,b;c d.mp4", '"q".mp4', "'tis.mp4", '="x"', "/数学 #1.mp4", "{a}.mp4", "file_id,x"]
    text = "\r\n".join(["", *ids, "  \t/padded.mp4 \u3000"])
    assert [*enumerate(ids, 2), (9, "/padded.mp4")] == [
        (row.line, row.file_id) for row in rows_of(text) if isinstance(row, Row)
    ]


def test_blank_lines_are_skipped_and_counted() -> None:
    """As in CSV, also before the first id; the last line needs no end."""
    assert [row.line for row in rows_of("\n \t\n12\n\n\n13", TENCENT)] == [3, 6]


def test_wrong_id_is_an_invalid_row() -> None:
    """The rules and reasons are those of CSV."""
    good, fault, lost = rows_of("12\n1 3\n1.4E+18\n", TENCENT)
    assert isinstance(good, Row)
    assert good.extra is None
    assert isinstance(fault, InvalidRow)
    assert isinstance(lost, InvalidRow)
    assert (fault.line, fault.column, fault.cells) == (2, "file_id", ("1 3",))
    assert "digits only" in fault.reason
    assert "has lost its digits: a spreadsheet took the id for a number" in lost.reason


@pytest.mark.parametrize(
    ("text", "named", "message"),
    [
        ("file_id\n12\n", True, "line 1: file_id is a header, and text has none"),
        ("\nKey\n12\n", True, "line 2: Key is a header"),
        (
            "room\tFileId\na\t12\n",
            False,
            "is a header, and text has none: every line is a file id. Give --format csv",
        ),
        ("file_id;room\n12;a\n", False, "line 1: file_id;room is a header"),
        (
            '{"event": "record"}\n',
            False,
            "looks like JSON, and a list is read as one file id a line. Give --form",
        ),
        ("%7B%22event%22\n", False, "looks like JSON"),
        ('["12",\n"13"]\n', False, "looks like JSON"),
    ],
)
def test_first_line_of_another_format_is_refused(
    tmp_path: Path, text: str, named: bool, message: str
) -> None:
    """Every line would be sent as an id, so a header or JSON in a .txt stops everything."""
    path = tmp_path / "ids.txt"
    path.write_text(text)
    with pytest.raises(ManifestError) as caught:
        open_manifest(str(path), defaults=HUAWEI, format_="text" if named else None)
    assert message in str(caught.value)


def test_bytes_are_checked_as_those_of_csv(tmp_path: Path) -> None:
    """Another encoding is refused with its lines as GB18030 reads them, and read when it is named."""
    path = tmp_path / "ids.list"
    path.write_bytes("/1.mp4\n/数学.mp4\n".encode("gb18030"))
    with open_manifest(str(path), defaults=HUAWEI) as manifest, pytest.raises(ManifestError) as caught:
        manifest.check()
    assert "line 2: /数学.mp4\nIf that reads well, use --encoding gb18030" in str(caught.value)
    with open_manifest(str(path), defaults=HUAWEI, encoding="gb18030") as manifest:
        manifest.check()
        assert [row.file_id for row in manifest if isinstance(row, Row)] == ["/1.mp4", "/数学.mp4"]
