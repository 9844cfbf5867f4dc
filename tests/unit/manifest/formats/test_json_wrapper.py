"""Objects around plain ids: read if their name says what they are, and refused with a remedy otherwise."""

from __future__ import annotations

import io
import json

import pytest

from batcher.errors import ManifestError
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import open_manifest
from batcher.model.submission import InvalidRow, Row

HUAWEI = Defaults(vendor="Huawei", interval="2")


def rows_of(document: object) -> list[Row | InvalidRow]:
    """The rows of a document, pretty-printed: each id on a line of its own."""
    data = json.dumps(document, indent=1, ensure_ascii=False).encode()
    return list(open_manifest("-", stdin=io.BytesIO(data), format_="json", defaults=HUAWEI))


@pytest.mark.parametrize(
    "document",
    [
        {"recordings": ["/a.mp4", "/b.mp4"]},
        {"File_IDs": ["/a.mp4", "/b.mp4"], "total": 2},
        {"code": 0, "data": {"list": ["/a.mp4", "/b.mp4"], "more": False}},
        {"items": ["/a.mp4", "/b.mp4"], "errors": ["one was left out"], "empty": []},
    ],
)
def test_array_of_ids_in_an_object_is_a_list(document: object) -> None:
    """As the same array alone would be, with the line of each id."""
    rows = rows_of(document)
    assert [getattr(row, "file_id", None) for row in rows] == ["/a.mp4", "/b.mp4"]
    assert rows[1].line == rows[0].line + 1


def test_array_of_ids_and_other_values_has_invalid_rows() -> None:
    """Whole numbers keep their digits; what cannot be an id is named."""
    rows = rows_of({"recordings": ["/a.mp4", 1397757898183024945, None, "nan"]})
    assert [getattr(row, "file_id", None) for row in rows[:2]] == ["/a.mp4", "1397757898183024945"]
    assert [type(row) for row in rows[2:]] == [InvalidRow, InvalidRow]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"errors": ["not found"], "total": 0}, "If the texts in errors are file ids, call that recordings"),
        ({"a": {"tags": ["x"]}}, "If the texts in a.tags are file ids, call that recordings"),
        ({"id": "/a.mp4", "tags": ["x"]}, "no column is named file_id; there are id, tags. Name the one"),
        ({"recordings": ["a"], "files": ["b"]}, "2 arrays hold recordings: recordings, files. Save the one"),
    ],
)
def test_texts_that_may_be_something_else_are_refused(document: object, message: str) -> None:
    """The message says what is wanted: nothing is paid for by a guess."""
    with pytest.raises(ManifestError) as caught:
        rows_of(document)
    assert str(caught.value).startswith("stdin line 1: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "document", [{"file_id": ["/a.mp4"]}, {"file_id": "/a.mp4", "items": ["x"]}, {"offsets": ["1", "2"]}]
)
def test_arrays_that_belong_to_a_recording_are_not_ids(document: object) -> None:
    """Of an object with an id, and of a known column."""
    try:
        rows = rows_of(document)
    except ManifestError:
        return
    assert len(rows) == 1
