"""The query about a task, and the report in the answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.specimens import TASK

from batcher.model.submission import TaskId, Vendor
from batcher.model.task import Picture, TaskReport, TaskState
from batcher.zego.describe_task import MAX_ADDRESS_CHARS, encoded_call, read_report

HUAWEI_TASK = TaskId("289665200")
URL = "http://pictures.example/a.jpg?sign=x&t=1"


def body(vendor: Vendor, part: object, **fields: object) -> bytes:
    """A successful answer's body with this part of the vendor's."""
    answer = {"Code": 0, "Message": "success", "RequestId": "outer", "Data": {vendor.value: part}}
    return json.dumps(answer | fields).encode()


def read(vendor: Vendor, **part: object) -> TaskReport:
    """The report that is read from an answer about the vendor's specimen task."""
    task = TASK if vendor is Vendor.TENCENT else HUAWEI_TASK
    report = read_report(body(vendor, {"TaskId": task} | part), task, vendor)
    assert report is not None
    return report


@pytest.mark.parametrize("vendor", Vendor)
def test_query_names_task_and_vendor(vendor: Vendor) -> None:
    """The call has the documented parameters for every task id."""
    asked = parse_qsl(encoded_call(TaskId("1-a+b&c/d"), vendor), strict_parsing=True)
    assert [("Action", "DescribeMediaTask"), ("TaskId", "1-a+b&c/d"), ("Vendor", vendor.value)] == asked


def test_tencent_answer_is_read_completely() -> None:
    """State, status, pictures and the inner RequestId come from Tencent's part."""
    read_now = read(
        Vendor.TENCENT,
        Event="SnapshotByTimeOffset",
        Status="FINISH",
        Message="done",
        ThumbnailsUrl=[URL, URL + "2"],
        RequestId="inner",
        New={"Status": "FAIL"},
    )
    pictures = (Picture(URL), Picture(URL + "2"))
    expected = TaskReport(
        TaskState.FINISHED, "FINISH", "done", pictures, request_id="inner", event="SnapshotByTimeOffset"
    )
    assert expected == read_now


def test_huawei_answer_is_read_completely() -> None:
    """State, times and object names come from Huawei's part; the RequestId is the outer one."""
    read_now = read(
        Vendor.HUAWEI,
        Status="SUCCEEDED",
        CreateTime="20241113061048",
        EndTime="20241113061102",
        FileName=["/record/a/0.jpg"],
    )
    assert (
        TaskReport(
            TaskState.FINISHED,
            "SUCCEEDED",
            "",
            (Picture("/record/a/0.jpg"),),
            datetime(2024, 11, 13, 6, 10, 48, tzinfo=UTC),
            datetime(2024, 11, 13, 6, 11, 2, tzinfo=UTC),
            "outer",
        )
        == read_now
    )


@pytest.mark.parametrize(
    ("vendor", "status", "state"),
    [
        (Vendor.TENCENT, "WAITING", TaskState.WAITING),
        (Vendor.TENCENT, "PROCESSING", TaskState.PROCESSING),
        (Vendor.TENCENT, "FINISH", TaskState.FINISHED),
        (Vendor.TENCENT, "FAIL", TaskState.FAILED),
        (Vendor.HUAWEI, "NO_TASK", TaskState.UNKNOWN),
        (Vendor.HUAWEI, "WAITING", TaskState.WAITING),
        (Vendor.HUAWEI, "PROCESSING", TaskState.PROCESSING),
        (Vendor.HUAWEI, "SUCCEEDED", TaskState.FINISHED),
        (Vendor.HUAWEI, "FAILED", TaskState.FAILED),
        (Vendor.HUAWEI, "CANCELED", TaskState.FAILED),
        (Vendor.HUAWEI, " succeeded ", TaskState.FINISHED),
        (Vendor.TENCENT, "PAUSED", TaskState.UNKNOWN),
    ],
)
def test_every_status_has_a_state(vendor: Vendor, status: str, state: TaskState) -> None:
    """Documented and unknown statuses have a state, next to the vendor's own word."""
    report = read(vendor, Status=status)
    assert (report.state, report.status) == (state, status.strip())


@pytest.mark.parametrize("vendor", Vendor)
def test_both_shapes_are_read_for_queried_task(vendor: Vendor) -> None:
    """In a list of objects, the one about the task of the query counts."""
    part = {"TaskId": TASK, "Status": "PROCESSING"}
    listed = [None, "text", {"TaskId": "another", "Status": "FAIL"}, part]
    assert read_report(body(vendor, part), TASK, vendor) == read_report(body(vendor, listed), TASK, vendor)
    assert read_report(body(vendor, part), TASK, vendor) is not None


@pytest.mark.parametrize("named", [{}, {"TaskId": 289665200}, {"task_id": "289665200"}, {"TaskId": ""}])
def test_task_may_be_named_in_every_form(named: dict[str, object]) -> None:
    """The id in the answer may be a number, under either name, or missing."""
    part = named | {"Status": "WAITING"}
    assert read_report(body(Vendor.HUAWEI, part), HUAWEI_TASK, Vendor.HUAWEI) is not None


@pytest.mark.parametrize(
    "part",
    [
        None,
        [],
        "text",
        {},
        {"Status": ""},
        {"Status": 1.5},
        {"Status": ["FINISH"]},
        {"TaskId": "another", "Status": "FINISH"},
    ],
)
def test_answer_without_status_of_task_is_no_report(part: object) -> None:
    """An unreadable status, or another task's, is no report."""
    assert read_report(body(Vendor.TENCENT, part), TASK, Vendor.TENCENT) is None


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (None, ()),
        ([], ()),
        ("", ()),
        (URL, (Picture(URL),)),
        ([URL, None, 7, "  ", ["x"], URL], (Picture(URL), Picture(URL))),
        ([{"url": URL, "offset": 2500}, {"Url": URL}], (Picture(URL, 2500), Picture(URL))),
        (json.dumps([{"url": URL, "offset": "2500"}]), (Picture(URL, 2500),)),
        ("[not json", ()),
        (["x" * (MAX_ADDRESS_CHARS + 1), "x" * 3000], (Picture("x" * 3000),)),
    ],
)
def test_pictures_are_read_in_every_shape(listed: object, expected: tuple[Picture, ...]) -> None:
    """Text, objects, or a list as text are read; everything else is left out, and nothing is cut."""
    assert expected == read(Vendor.TENCENT, Status="FINISH", ThumbnailsUrl=listed).pictures


@pytest.mark.parametrize("moment", ["", None, "2024", "20241313061048", "2024-11-13T06:10:48Z", 7, "9" * 14])
def test_unreadable_time_is_none(moment: object) -> None:
    """An unreadable time affects nothing else."""
    report = read(Vendor.HUAWEI, Status="FAILED", CreateTime=moment, EndTime=moment)
    assert (report.started_at, report.ended_at) == (None, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["Tencent", "TaskId", "Status", "Message", "ThumbnailsUrl", "url", "offset"]),
            inner,
        )
    ),
)


@given(JSON, JSON)
def test_any_answer_is_read_without_error(data: object, pictures: object) -> None:
    """Every JSON value is a report that can be stored, or None."""
    part = {"Status": "FINISH", "ThumbnailsUrl": pictures}
    for answer in ({"Code": 0, "Data": data}, {"Code": 0, "Data": {"Tencent": part}}):
        report = read_report(json.dumps(answer).encode(), TASK, Vendor.TENCENT)
        assert (
            report is None or "".join([report.message, *(one.url for one in report.pictures)]).encode() or 1
        )
