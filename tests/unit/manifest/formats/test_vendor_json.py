"""The vendor's own documents as manifests: answers of SearchMedia, and collected callbacks."""

from __future__ import annotations

import io
import json
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest

from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import Manifest, open_manifest
from batcher.model.submission import InvalidRow, Row, Vendor

DEFAULTS = Defaults(definition="10", interval="5")

TENCENT_MEDIA = {
    "FileId": "1397757897438985123",
    "BasicInfo": {
        "Name": "晨会",
        "CreateTime": "2024-11-13T06:10:48Z",
        "Type": "mp4",
        "Category": "Video",
        "Status": "Normal",
        "MediaUrl": "https://example.com/a.mp4",
        "StorageClass": "STANDARD",
        "Vid": "",
    },
    "TranscodeInfo": {
        "TranscodeSet": [
            {"Definition": 20, "Duration": 1, "Width": 1},
            {"Definition": 0, "Duration": 63.5, "Width": 1280, "Height": 720},
        ]
    },
}
HUAWEI_MEDIA = {
    "Key": "record/a b/2024-11-13-06-10-48.mp4",
    "LastModified": "2024-11-13T06:20:00Z",
    "Size": 12345678901,
    "ETag": '"abc"',
    "MediaUrl": "https://example.com/b.mp4",
}


def answer(**data: object) -> dict[str, Any]:
    """An answer of SearchMedia."""
    return {"Code": 0, "Message": "success", "RequestId": "r", "Data": data}


PAGE = answer(Tencent={"TotalCount": 2, "MediaInfoSet": [TENCENT_MEDIA, {"FileId": "1397757897438985124"}]})
OBS = answer(Huawei={"Keys": [HUAWEI_MEDIA], "NextMarker": ""})


def opened(data: bytes | str, format_: str, defaults: Defaults = DEFAULTS) -> Manifest:
    """A manifest given as bytes."""
    raw = data.encode() if isinstance(data, str) else data
    return open_manifest("-", stdin=io.BytesIO(raw), defaults=defaults, format_=format_)


def own(row: Row | InvalidRow) -> dict[str, str]:
    """The own values of a row."""
    assert isinstance(row, Row), row
    return {name: text for name, text in json.loads(row.extra or "{}").items() if text}


@pytest.mark.parametrize(
    ("format_", "data"),
    [
        ("json", json.dumps(PAGE, ensure_ascii=False) + json.dumps(OBS)),
        ("json", json.dumps([PAGE, OBS], indent=4)),
        ("json", json.dumps(PAGE, indent=2) + "\n" + json.dumps(OBS, indent=2)),
        ("jsonl", json.dumps(PAGE) + "\n" + json.dumps(OBS) + "\n"),
        ("json", json.dumps(answer(Tencent=[PAGE["Data"]["Tencent"]], Huawei=[OBS["Data"]["Huawei"]]))),
        (
            "json",
            json.dumps(answer(Tencent=[PAGE["Data"]["Tencent"]], Huawei=OBS["Data"]["Huawei"]), indent=1),
        ),
    ],
)
def test_answers_of_searchmedia_are_manifests(format_: str, data: str) -> None:
    """The vendor follows from the answer; columns that help the user are kept."""
    first, second, third = opened(data, format_)
    assert isinstance(first, Row)
    assert isinstance(third, Row)
    assert (first.file_id, first.parameters.vendor) == ("1397757897438985123", Vendor.TENCENT)
    assert (third.file_id, third.parameters.vendor) == ("record/a b/2024-11-13-06-10-48.mp4", Vendor.HUAWEI)
    assert own(second) == {}
    assert own(first) == {
        "name": "晨会",
        "created_at": "2024-11-13T06:10:48Z",
        "category": "Video",
        "media_status": "Normal",
        "url": "https://example.com/a.mp4",
        "storage_class": "STANDARD",
        "duration": "63.5",
        "width": "1280",
        "height": "720",
    }
    assert own(third) == {
        "modified_at": "2024-11-13T06:20:00Z",
        "size": "12345678901",
        "etag": '"abc"',
        "url": "https://example.com/b.mp4",
    }


@pytest.mark.parametrize("shape", ["object", "array"])
def test_recordings_are_numbered_by_their_own_lines(shape: str) -> None:
    """In an answer over several lines each has the line on which it begins."""
    part: Any = {"MediaInfoSet": [{"FileId": "1"}, {"FileId": "x"}, {"FileId": "3"}]}
    text = json.dumps(answer(Tencent=part if shape == "object" else [part]), indent=1)
    names = [number for number, line in enumerate(text.splitlines(), 1) if '"FileId"' in line]
    assert [name - 1 for name in names] == [row.line for row in opened(text, "json")]
    assert len(names) == 3


@pytest.mark.parametrize(
    ("document", "column", "reason"),
    [
        (
            {"Code": 100000005, "Message": "signature wrong"},
            "Code",
            "with code 100000005 (signature wrong) and",
        ),
        (
            {"Code": 3, "Message": "", "Data": {}},
            "Code",
            "is an answer with code 3 (no message) and holds no rec",
        ),
        (
            answer(Tencent={"TaskId": "t"}),
            "row",
            "it has none of Data.Tencent.MediaInfoSet, Data.Huawei.Keys and Data.Ws.Keys",
        ),
        (answer(Huawei={"Keys": ["a"]}), "row", "Keys holds a text where an object is expected"),
        (answer(Huawei={"Keys": [{"Size": 1}]}), "Key", "is missing"),
        (answer(Tencent={"MediaInfoSet": [{"FileId": 1.4e18}]}), "FileId", "has lost its digits"),
        (answer(Ws={"Keys": [{"Key": "a.mp4"}]}), "vendor", "Ws is not one of Tencent, Huawei"),
    ],
)
def test_answer_without_recordings_is_a_fault(document: dict[str, Any], column: str, reason: str) -> None:
    """An error among the answers, or an answer of another call, is an invalid row with its reason."""
    rows = list(opened(json.dumps(document) + "\n" + json.dumps(PAGE), "jsonl"))
    fault = rows[0]
    assert isinstance(fault, InvalidRow)
    assert (1, column) == (fault.line, fault.column)
    assert reason in fault.reason
    assert len(rows) == 3


def test_empty_page_is_accepted() -> None:
    """The last page of a search is empty."""
    assert list(opened(json.dumps(answer(Huawei={"Keys": [], "NextMarker": ""})), "json")) == []


def callback(**changed: object) -> dict[str, Any]:
    """The body of a ``record`` callback."""
    body: dict[str, Any] = {
        "event": "record",
        "appid": "1",
        "timestamp": "1470820198",
        "nonce": "123412",
        "signature": "5bd59fd62953a8059fb7eaba95720f66d19e4517",
        "stream_alias": "room 4711+b",
        "replay_url": "https://example.com/a.mp4?x=1&y=2",
        "begin_time": "1470820000",
        "end_time": "1470820100",
        "extra_params": {"TaskId": "t", "FileID": "1397757897438985123", "Duration": 100},
    }
    return body | changed


def as_form(body: dict[str, Any], *, bracketed: bool) -> str:
    """The fields of a form."""
    flat = {name: value for name, value in body.items() if name != "extra_params"}
    extra = body["extra_params"]
    if bracketed:
        return urlencode(flat | {f"extra_params[{name}]": value for name, value in extra.items()})
    return urlencode(flat | {"extra_params": json.dumps(extra)})


TEXT = json.dumps(callback(), ensure_ascii=False)


@pytest.mark.parametrize(
    "line",
    [
        TEXT,
        quote(TEXT, safe=""),
        quote_plus(TEXT),
        quote(TEXT, safe=":,&=/?+"),
        as_form(callback(), bracketed=False),
        as_form(callback(), bracketed=True),
        json.dumps(callback(extra_params=json.dumps(callback()["extra_params"]))),
        json.dumps(callback(extra_params={"TaskId": "t", "FileID": 1397757897438985123, "Duration": 100})),
    ],
    ids=["JSON", "percent", "plus", "encodeURI", "form", "form with brackets", "params as text", "number"],
)
def test_record_callbacks_are_manifests(line: str) -> None:
    """One body a line, as JSON or encoded: id and vendor are its parameters, the rest is kept."""
    [row] = opened(line + "\n", "jsonl")
    assert isinstance(row, Row)
    assert (row.file_id, row.parameters.vendor) == ("1397757897438985123", Vendor.TENCENT)
    assert own(row) == {
        "stream_alias": "room 4711+b",
        "url": "https://example.com/a.mp4?x=1&y=2",
        "begin_time": "1470820000",
        "end_time": "1470820100",
        "duration": "100",
        "record_task_id": "t",
    }


def test_callbacks_of_both_vendors_and_of_other_events() -> None:
    """An ObsObject is Huawei's; other events are passed over and counted; a body without an id is invalid."""
    obs = callback(extra_params={"Duration": 5, "ObsObject": "record/a.mp4", "FileSize": 10})
    bodies = [
        obs,
        callback(event="snapshot", snapshot_pic_list="[]"),
        callback(event="snapshot"),
        callback(event="compose", file_id="12", code="0"),
        callback(extra_params={}),
        callback(extra_params="{broken"),
    ]
    manifest = opened("".join(json.dumps(body) + "\n" for body in bodies), "jsonl")
    first, no_id, broken = manifest
    assert isinstance(first, Row)
    assert (
        first.file_id,
        first.parameters.vendor,
        own(first)["size"],
    ) == ("record/a.mp4", Vendor.HUAWEI, "10")
    assert isinstance(no_id, InvalidRow)
    assert (
        no_id.line,
        no_id.column,
        no_id.reason,
    ) == (5, "file_id", "is missing: extra_params holds neither FileID nor ObsObject")
    assert isinstance(broken, InvalidRow)
    assert "extra_params is not JSON" in broken.reason
    assert dict(manifest.passed_over) == {"snapshot callback": 2, "compose callback": 1}


def test_only_other_events_are_a_manifest_without_rows() -> None:
    """A night in which nothing was recorded."""
    manifest = opened(json.dumps(callback(event="snapshot")) + "\n", "jsonl")
    assert list(manifest) == []
    assert dict(manifest.passed_over) == {"snapshot callback": 1}


def test_own_column_named_event_is_not_a_callback() -> None:
    """A manifest may have a column of that name, or one named Code or Data."""
    [row] = opened(
        '{"file_id": "12", "vendor": "Tencent", "event": "lesson", "Code": 5, "Data": {"a": 1}}', "jsonl"
    )
    assert own(row) == {"event": "lesson", "Code": "5", "Data": '{"a": 1}'}
