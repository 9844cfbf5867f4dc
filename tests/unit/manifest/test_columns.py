"""Headers: their meaning, and their refusal."""

from __future__ import annotations

import io

import pytest

from batcher.errors import ManifestError
from batcher.manifest.columns import KnownColumn, meaning, read_columns
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import open_manifest
from batcher.model.submission import Row

ALL_DEFAULTS = Defaults(vendor="hw", interval="2")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("file_id", KnownColumn.FILE_ID),
        ("FileId", KnownColumn.FILE_ID),
        ("FileID", KnownColumn.FILE_ID),
        ("file-id", KnownColumn.FILE_ID),
        (" File ID ", KnownColumn.FILE_ID),
        ("\ufefffile_id", KnownColumn.FILE_ID),
        ("'file_id'", KnownColumn.FILE_ID),
        ("ObsObject", KnownColumn.FILE_ID),
        ("obs_object", KnownColumn.FILE_ID),
        ("Key", KnownColumn.FILE_ID),
        ("Vendor", KnownColumn.VENDOR),
        ("CDN", KnownColumn.VENDOR),
        ("TYPE", KnownColumn.TYPE),
        ("Definition", KnownColumn.DEFINITION),
        ("template", KnownColumn.DEFINITION),
        ("Interval", KnownColumn.INTERVAL),
        ("offsets", KnownColumn.OFFSETS),
        ("ExtTimeOffsetSet", KnownColumn.OFFSETS),
        ("ExtTimeOffsetSet[]", KnownColumn.OFFSETS),
        ("ext_time_offset_set[]", KnownColumn.OFFSETS),
        ("room", None),
        ("id", None),
        ("", None),
    ],
)
def test_known_columns_have_more_than_one_name(cell: str, expected: KnownColumn | None) -> None:
    """Case, blanks, underscores, hyphens and quotes do not count in a column's name."""
    assert expected == meaning(cell)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("file_id,room", ("room",)),
        ("room,file_id,备注", ("room", "备注")),
        ("file_id;room, floor;host", ("room, floor", "host")),
        ("file_id\troom;floor\thost, guest", ("room;floor", "host, guest")),
        ("file_id", ()),
        ('"file_id"; "a,b,c,d"', ('"a,b,c,d"',)),
        ("file_id,note,note,Note,note_2,note", ("note", "note_3", "Note", "note_2", "note_4")),
        ("file_id,,column_2,,room", ("column_2_2", "column_2", "column_4", "room")),
        ("\n\n ,, \n;;\nfile_id, room ", ("room",)),
        ('file_id,"two\nlines"', ("two\nlines",)),
    ],
)
def test_own_columns_are_recognized(header: str, expected: tuple[str, ...]) -> None:
    """The delimiter is the one that makes a header of the first row; own columns keep distinct names."""
    manifest = open_manifest("-", stdin=io.BytesIO(f"{header}\n".encode()))
    assert sorted(expected) == sorted(manifest.columns)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiter_is_found_in_the_header(delimiter: str) -> None:
    """Comma, semicolon and tab separated rows read alike."""
    text = f"file_id{delimiter}offsets{delimiter}room\n/a.mp4{delimiter}1|2{delimiter}x\n"
    (row,) = open_manifest("-", stdin=io.BytesIO(text.encode()), defaults=ALL_DEFAULTS)
    assert isinstance(row, Row)
    assert (row.file_id, row.parameters.offsets, row.extra) == ("/a.mp4", ("1", "2"), '{"room":"x"}')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,room\n1,2\n", "stdin line 1: no column is named file_id; there are id, room."),
        ("\n\nid;room\n", "stdin line 3: no column is named file_id; there are id, room."),
        (
            "1397757897438985123,a\n",
            "stdin line 1: there is no header; the file begins with 1397757897438985123",
        ),
        ("/record/a.mp4\n", "stdin line 1: there is no header; the file begins with /record/a.mp4"),
        ("file_id,Key\n", "stdin line 1: the columns 'file_id' and 'Key' both mean file_id."),
        ("file_id,vendor,CDN\n", "stdin line 1: the columns 'vendor' and 'CDN' both mean vendor."),
        ('"file_id" x,"room"y\n1,2\n', "stdin line 1: the quotes of the header do not match."),
        ('\nfile_id,"room\n1,2\n', 'stdin line 2: a quote (") opens here and never closes'),
    ],
)
def test_header_that_cannot_be_used_is_refused(text: str, message: str) -> None:
    """The message has the place, the content and the remedy."""
    with pytest.raises(ManifestError) as caught:
        open_manifest("-", stdin=io.BytesIO(text.encode()))
    assert message in str(caught.value)


def test_column_without_values_may_have_no_name() -> None:
    """An unnamed column is called by its position, so that its data are kept."""
    columns = read_columns("a.csv line 1", ["file_id", "room", "", ""])
    assert columns.names == ("file_id", "room", "column_3", "column_4")
