"""Cells of delimited text: quotes, lines, and quotes that do not match."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batcher.errors import ManifestError
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import open_manifest
from batcher.manifest.text.lines import MAX_LINE, split_lines
from batcher.model.submission import InvalidRow, Row

TENCENT = Defaults(vendor="Tencent", definition="10")
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@contextmanager
def limit(characters: int) -> Iterator[None]:
    """The longest cell that the standard library's reader takes, for the whole process."""
    before = csv.field_size_limit(characters)
    try:
        yield
        assert characters == csv.field_size_limit()
    finally:
        csv.field_size_limit(before)


def outcome(text: str) -> list[Row | InvalidRow] | str:
    """The rows of a manifest, or why it cannot be used."""
    try:
        return rows_of(text)
    except ManifestError as exc:
        return str(exc)


def rows_of(text: str) -> list[Row | InvalidRow]:
    """Read a manifest given as text."""
    return list(open_manifest("-", stdin=io.BytesIO(text.encode()), defaults=TENCENT))


@given(
    st.lists(st.tuples(CELLS, CELLS), max_size=5),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
@example([("a\x85b", "\u2028"), ("\x1c", "\x0b")], ",", "utf-8", "\n")
def test_written_columns_are_read_back(
    rows: list[tuple[str, str]], delimiter: str, encoding: str, line_end: str
) -> None:
    """Own columns are read verbatim, with any content and any quoting."""
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerow(["one", "file_id", "other"])
    for number, (one, other) in enumerate(rows, 1):
        writer.writerow([one, str(number), other])
    data = written.getvalue().encode(encoding)
    named = encoding if encoding == "gb18030" else None
    read = list(open_manifest("-", stdin=io.BytesIO(data), encoding=named, defaults=TENCENT))
    extras = [json.loads(row.extra or "") for row in read if isinstance(row, Row)]
    assert [{"one": one, "other": other} for one, other in rows] == extras


@given(st.text(st.sampled_from('a,"\n\r\x85\u2028\x0c'), max_size=60))
def test_lines_end_at_line_ends_of_csv_only(text: str) -> None:
    """No other character ends a line, and nothing is lost between lines."""
    assert io.StringIO(text, newline="").readlines() == split_lines(text)


@given(st.text(st.sampled_from('1a,"\n'), max_size=80))
def test_stray_quotes_lose_no_line(body: str) -> None:
    """Every line that holds something is part of some row, good or bad, or the manifest is refused."""
    lines = body.split("\n")
    try:
        rows = rows_of(f"file_id,x,y,z\n{body}\n")
    except ManifestError:
        return
    begun = {row.line for row in rows}
    covered: set[int] = set()
    for row in rows:
        held = row.cells if isinstance(row, InvalidRow) else (json.loads(row.extra or "{}").values())
        spanned = sum(str(cell).count("\n") for cell in held)
        covered.update(range(row.line, row.line + spanned + 1))
    assert begun <= covered
    unread = [line for number, line in enumerate(lines, 2) if number not in covered]
    assert all(not line.strip(' ,"') for line in unread)


def test_row_with_a_stray_quote_is_invalid_alone() -> None:
    """The rows on both sides are read."""
    rows = rows_of('file_id,room\n1,a\n2,"b" c\n3,"d"\n')
    assert [row.line for row in rows] == [2, 3, 4]
    fault = rows[1]
    assert isinstance(fault, InvalidRow)
    assert (fault.column, fault.cells) == ("row", ("2", '"b" c'))
    assert fault.reason.startswith(
        "its quotes do not match: text follows the closing quote in the column room."
    )


def test_stray_quote_beyond_the_header_names_no_column() -> None:
    """There is no column to name."""
    fault = rows_of('file_id\n1,"b" c\n')[0]
    assert isinstance(fault, InvalidRow)
    assert fault.reason.startswith("its quotes do not match: text follows the closing quote. ")


def test_quote_left_open_loses_its_row_only() -> None:
    """When a later quote closes it, only the row in which it opens is lost."""
    rows = rows_of('file_id,room\n1,a\n2,"b\n3,c\n\n4,"d"\n5,"e\nf"\n6,g\n')
    assert [(2, Row), (3, InvalidRow), (4, Row), (6, Row), (7, Row), (9, Row)] == [
        (row.line, type(row)) for row in rows
    ]
    fault = rows[1]
    assert isinstance(fault, InvalidRow)
    assert "text follows the closing quote on line 6 in the column room." in fault.reason


def test_many_quotes_left_open_are_each_reported() -> None:
    """A whole file of them is read to its end."""
    count = 3_000
    rows = rows_of("file_id,room\n" + '1,"a\n' * count + '2,b"\n' + "3,c\n")
    assert [row.line for row in rows[:3]] == [2, 3, 4]
    assert isinstance(rows[-1], Row)
    assert len(rows) >= count


def test_quoted_value_beyond_the_limit_of_a_row_names_the_limit() -> None:
    """It does close, later than a row may end; the message does not say that it never does."""
    text = 'file_id,note\n1,a\n2,"' + f"{'b' * 100}\n" * (MAX_LINE // 50) + '"\n3,c\n'
    with pytest.raises(
        ManifestError, match=r"^stdin line 3: .* within 1,048,576 characters, the limit"
    ) as caught:
        rows_of(text)
    assert "never" not in str(caught.value)


@pytest.mark.parametrize("rows_after", [0, 3, 20_000])
def test_quote_that_never_closes_ends_the_reading(rows_after: int) -> None:
    """The message names the line where it opens, also when that is not the first line of its row."""
    text = 'file_id,note,room\n1,"two\nlines",a\n2,"two\nlines","b\n' + "3,c,d\n" * rows_after
    seen: list[Row | InvalidRow] = []
    with pytest.raises(ManifestError, match=r'^stdin line 5: a quote \("\) opens here and never closes'):
        seen.extend(open_manifest("-", stdin=io.BytesIO(text.encode()), defaults=TENCENT))
    assert [row.line for row in seen] == [2]


@pytest.mark.parametrize("line_ends", ["", "\n"])
def test_line_that_is_too_long_ends_the_reading(line_ends: str) -> None:
    """It is never held as a whole; the message names its number."""
    text = f"file_id,room\n1,a\n2,{'b' * (10 * MAX_LINE)}{line_ends}"
    seen: list[Row | InvalidRow] = []
    with pytest.raises(ManifestError, match=r"^stdin line 3: longer than 1,048,576 characters"):
        seen.extend(open_manifest("-", stdin=io.BytesIO(text.encode()), defaults=TENCENT))
    assert [row.line for row in seen] == [2]


def test_long_cell_is_accepted() -> None:
    """A cell may be as long as a line."""
    (row,) = rows_of(f"file_id,room\n1,{'b' * (MAX_LINE - 10)}\n")
    assert isinstance(row, Row)
    assert row.extra is not None
    assert len(row.extra) > MAX_LINE - 10


PIECES = st.lists(st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", "a", "bc ", ";"]), max_size=30).map(
    "".join
)


@given(PIECES)
@example('1,"a\nb"c\n2,"d"\n')
@example('1,"a\n\n""b""\n",\n2,x')
@example('1,"a')
@example("1,\n\n2")
def test_limit_of_the_process_has_no_effect(text: str) -> None:
    """Rows and faults are the same for any limit of the process, which is not changed."""
    manifest = f"file_id,own\n{text}"
    with limit(1 << 30):
        expected = outcome(manifest)
    for characters in (0, 1, 3):
        with limit(characters):
            assert expected == outcome(manifest)


def test_long_cell_is_read_with_the_default_limit_of_the_process() -> None:
    """Cells beyond the limit that a process begins with are read, and the rows after them too."""
    long, lines = "x" * 300_000, "y\n" * 150_000
    with limit(131_072):
        rows = rows_of(f'file_id,{long}\n1,{long}\n2,"{lines}"\n3,z\n')
    assert [(row.line, row.file_id) for row in rows if isinstance(row, Row)] == [
        (2, "1"),
        (3, "2"),
        (150_004, "3"),
    ]
    assert [{long: long}, {long: lines}, {long: "z"}] == [
        json.loads(row.extra or "") for row in rows if isinstance(row, Row)
    ]
