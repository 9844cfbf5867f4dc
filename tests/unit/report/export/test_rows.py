"""The columns of an export, for a submission and for a manifest's row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.specimens import AT_1_AND_2_S, EVERY_2_S, HUAWEI_ID, TASK, TENCENT_ID

from batcher.model.records import Attempt, Record
from batcher.model.submission import InvalidRow, Row, RunId, State, SubmissionId
from batcher.report.export.rows import COLUMNS, Cell, ExportRow, header, manifest_row, record_row
from batcher.report.export.text_tables import CsvTable, JsonLines

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def attempt(number: int, outcome: str | None = "answer", code: int | None = None) -> Attempt:
    """An attempt begun so many seconds after the first moment, sent and answered a little later."""
    begun = AT + timedelta(seconds=number)
    left = outcome not in (None, "not_sent")
    return Attempt(
        number=number,
        run_id=RunId(1),
        begun_at=begun,
        sent_at=begun + timedelta(milliseconds=50) if left else None,
        answered_at=begun + timedelta(milliseconds=150) if outcome == "answer" else None,
        outcome=outcome,
        decision=None if outcome is None else "again",
        http_status=200 if outcome == "answer" else None,
        code=code,
        task_id=TASK if code == 0 else None,
        request_id=f"outer {number}",
        vendor_request_id=f"inner {number}" if code == 0 else None,
        message=f"message {number}",
    )


def record_of(*attempts: Attempt, state: State = State.PENDING, code: int | None = None) -> Record:
    """A submission with these attempts."""
    return Record(
        SubmissionId(1), TENCENT_ID, AT_1_AND_2_S, state, code, False, None, "a.csv", 7, None, attempts
    )


def named(row: ExportRow, own: Mapping[str, str] | None = None) -> dict[str, Cell]:
    """A row by its columns."""
    return dict(zip([*COLUMNS, *(own or {}).values()], row, strict=True))


def row_of(*own: Cell, **cells: Cell) -> ExportRow:
    """A row with these cells; all others are empty."""
    assert set(cells) <= set(COLUMNS)
    return (*(cells.get(name) for name in COLUMNS), *own)


def csv_of(*rows: ExportRow, excel: bool, own: Sequence[str] = ()) -> str:
    """Rows as CSV, without the header."""
    file = io.BytesIO()
    table = CsvTable(file, [*COLUMNS, *own], excel=excel)
    file.seek(0)
    file.truncate()
    table.write(rows)
    table.close()
    return file.getvalue().decode()


def cells_of(row: ExportRow, *, excel: bool) -> dict[str, str]:
    """A row as a reader of its CSV gets it."""
    (cells,) = csv.reader(io.StringIO(csv_of(row, excel=excel), newline=""))
    return dict(zip(COLUMNS, cells, strict=True))


def test_columns_are_the_promised_ones() -> None:
    """Names and order of the columns are public."""
    promised = (
        "file_id, vendor, type, definition, interval, offsets, status, task_id, code, message, request_id, "
        "attempts, first_sent_at, last_answer_at, source, line, possibly_twice"
    )
    assert promised == ", ".join(COLUMNS)
    assert len(COLUMNS) == len(record_row(record_of(), {}))


def test_submitted_row_has_its_task() -> None:
    """A submitted submission has its task id, code 0, the vendor's RequestId and its times."""
    attempts = (attempt(1, "not_sent"), attempt(2, code=1), attempt(3, code=0))
    row = named(record_row(record_of(*attempts, state=State.SUBMITTED, code=0), {}))
    expected = {
        "file_id": TENCENT_ID,
        "vendor": "Tencent",
        "type": "SnapshotByTimeOffset",
        "definition": "10",
        "interval": None,
        "offsets": "1;2",
        "status": "submitted",
        "task_id": TASK,
        "code": 0,
        "message": "message 3",
        "request_id": "inner 3",
        "attempts": 2,
        "first_sent_at": AT + timedelta(seconds=2.05),
        "last_answer_at": AT + timedelta(seconds=3.15),
        "source": "a.csv",
        "line": 7,
        "possibly_twice": 0,
    }
    assert expected == row


@pytest.mark.parametrize(
    ("attempts", "code", "expected"),
    [
        ((), None, (None, None, None, 0, None)),
        ((attempt(1, None),), None, (None, None, None, 1, AT + timedelta(seconds=1))),
        ((attempt(1, "not_sent"),), None, (None, "message 1", "outer 1", 0, None)),
        (
            (attempt(1, code=1000), attempt(2, "reply_lost")),
            1000,
            (1000, "message 1", "outer 1", 2, AT + timedelta(seconds=1.05)),
        ),
        (
            (attempt(1, "reply_lost"), attempt(2, None)),
            None,
            (None, "message 1", "outer 1", 2, AT + timedelta(seconds=1.05)),
        ),
    ],
)
def test_row_has_last_definite_answer(
    attempts: tuple[Attempt, ...], code: int | None, expected: tuple[object, ...]
) -> None:
    """Code, message and RequestId are of the last definite answer; requests that may have left count."""
    row = named(record_row(record_of(*attempts, code=code), {}))
    names = ("code", "message", "request_id", "attempts", "first_sent_at")
    assert expected == tuple(row[name] for name in names)


def test_own_columns_get_free_names() -> None:
    """A manifest's own column keeps its name unless an export has a column with that name."""
    own = header(["title", "status", "manifest_status", "title"])
    assert own == {
        "title": "title",
        "status": "manifest_status",
        "manifest_status": "manifest_manifest_status",
    }
    record = replace(record_of(), extra='{"title":"A","status":"new","other":"x"}')
    row = named(record_row(record, own), own)
    assert tuple(row[name] for name in own.values()) == ("A", "new", None)
    assert row["status"] == "pending"


def test_manifest_row_has_result_of_its_submission() -> None:
    """A duplicate row has the result of its submission, and its own place and columns."""
    record = record_of(attempt(1, code=0), state=State.SUBMITTED, code=0)
    row = manifest_row(Row(9, TENCENT_ID, AT_1_AND_2_S, '{"t":"B"}'), record, "b.csv", {"t": "t"}, {})
    expected = named(record_row(record, {})) | {"source": "b.csv", "line": 9, "t": "B"}
    assert expected == named(row, {"t": "t"})


def test_row_without_submission_has_its_status() -> None:
    """A row not loaded yet has what it asks for; an invalid row has the reason."""
    fresh = named(manifest_row(Row(9, HUAWEI_ID, EVERY_2_S, None), None, "b.csv", {}, {}))
    assert tuple(
        fresh[name] for name in ("status", "file_id", "interval", "offsets", "attempts", "line")
    ) == ("not_loaded", HUAWEI_ID, "2", None, 0, 9)
    bad = InvalidRow(3, "FileId", "is missing", ("", "x"))
    row = named(manifest_row(bad, None, "b.csv", {"t": "t"}, {"t": "x"}), {"t": "t"})
    assert tuple(row[name] for name in ("status", "message", "t", "attempts", "line")) == (
        "invalid",
        "FileId: is missing",
        "x",
        0,
        3,
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@a", "'@a"),
        ("\ta", "'\ta"),
        ("\na", "'\na"),
        ("\n=1+1", "'\n=1+1"),
        ("＝1+1", "'＝1+1"),
        ("＋1", "'＋1"),
        ("－1", "'－1"),
        ("＠a", "'＠a"),
        ("﹣1", "'﹣1"),
        ("﹦1", "'﹦1"),
        ("截图", "截图"),
        ("－", "'－"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_spreadsheet_runs_no_cell(value: str, expected: str) -> None:
    """With excel, text that a spreadsheet would run is marked as text; plain CSV is unchanged."""
    for excel, cell in ((True, expected), (False, value)):
        assert cells_of(row_of(message=value), excel=excel)["message"] == cell


def test_spreadsheet_keeps_every_digit() -> None:
    """With excel, ids of digits are written so that none is rounded."""
    row = row_of(file_id=TENCENT_ID, task_id="289665200", line=7)
    cells = cells_of(row, excel=True)
    expected = (f'="{TENCENT_ID}"', '="289665200"', "7")
    assert expected == tuple(cells[name] for name in ("file_id", "task_id", "line"))
    assert csv_of(row, excel=False).startswith(f"{TENCENT_ID},,")


def test_any_text_survives_both_formats() -> None:
    """Delimiters, quotes, line ends and every script round-trip."""
    text = 'a,"b"\n图 😀;\t'
    row = row_of(message=text, line=7)
    assert cells_of(row, excel=False)["message"] == text
    [line] = json_of(row)
    assert json.loads(line) == dict.fromkeys(COLUMNS) | {"message": text, "line": 7}


def test_lone_surrogate_is_escaped() -> None:
    """A text without UTF-8 form is written as its escape, which JSON reads back."""
    row = row_of(message="a\ud83d")
    assert cells_of(row, excel=False)["message"] == "a\\ud83d"
    assert json.loads(json_of(row)[0])["message"] == "a\ud83d"


def test_times_are_utc_to_the_millisecond() -> None:
    """Both text formats write ISO 8601, and leave out missing times."""
    row = row_of(first_sent_at=AT + timedelta(milliseconds=50))
    cells = cells_of(row, excel=False)
    assert (cells["first_sent_at"], cells["last_answer_at"]) == ("2026-01-02T03:04:05.050Z", "")
    parsed = json.loads(json_of(row)[0])
    assert (parsed["first_sent_at"], parsed["last_answer_at"]) == ("2026-01-02T03:04:05.050Z", None)


def json_of(*rows: ExportRow) -> list[str]:
    """Rows as lines of JSON."""
    file = io.BytesIO()
    JsonLines(file, COLUMNS).write(rows)
    return file.getvalue().decode().splitlines()


def test_carriage_return_is_protected() -> None:
    """A spreadsheet skips it and takes the rest for a formula."""
    assert cells_of(row_of(message="\r=1+1"), excel=True)["message"] == "'\r=1+1"
