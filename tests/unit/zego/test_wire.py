"""The query of a submission, and the fields of an answer."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.specimens import AT_1_AND_2_S, EVERY_2_S, HUAWEI_ID, TASK, TENCENT_ID

from batcher.model.outcome import HttpRefusal, ReplyLost
from batcher.model.submission import FileId, Parameters, ReplyShape, SnapshotType, Vendor
from batcher.zego.wire import Envelope, encoded, harmless, media_thumbnails, read_answer, read_without_code

# The documentation's own examples, MediaThumbnails.
EXAMPLE_HUAWEI = (
    "Action=MediaThumbnails&Vendor=Huawei"
    "&FileId=/record/pickrecord/command_record/clarechen_test/2024-11-13-06-10-48.mp4"
    "&Interval=2&Type=SampleSnapshot"
)
EXAMPLE_TENCENT = (
    "Action=MediaThumbnails&Vendor=Tencent&FileId=1397757897438985100&Definition=10"
    "&ExtTimeOffsetSet[]=1&ExtTimeOffsetSet[]=2&Type=SnapshotByTimeOffset"
)
EXAMPLE_ANSWER = """{
    "Code":0,
    "Message":"success",
    "Data":{
        "Tencent":{
            "TaskId":"1500030200-procedurev2-afc1fe7dfe51cd88a5d588cacba53393tt0",
            "RequestId":"474284b3-d722-490a-ba2c-de0b472eab83"}
    }
}"""
INNER = "474284b3-d722-490a-ba2c-de0b472eab83"


@pytest.mark.parametrize(
    ("example", "file_id", "asked"),
    [(EXAMPLE_HUAWEI, HUAWEI_ID, EVERY_2_S), (EXAMPLE_TENCENT, TENCENT_ID, AT_1_AND_2_S)],
)
def test_documented_requests_have_documented_parameters(
    example: str, file_id: FileId, asked: Parameters
) -> None:
    """The documentation's example requests have the same parameters in the same order."""
    expected = [tuple(part.split("=", 1)) for part in example.split("&")]
    assert expected == media_thumbnails(file_id, asked)
    assert expected == parse_qsl(encoded(media_thumbnails(file_id, asked)), strict_parsing=True)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (Parameters(Vendor.TENCENT, SnapshotType.SAMPLE, "10"), ["Definition", "Type"]),
        (
            Parameters(Vendor.HUAWEI, SnapshotType.BY_TIME_OFFSET, "", "2", ("1",)),
            ["Interval", "ExtTimeOffsetSet[]", "Type"],
        ),
    ],
)
def test_only_effective_parameters_are_sent(asked: Parameters, names: list[str]) -> None:
    """A vendor gets only the parameters that it uses."""
    assert ["Action", "Vendor", "FileId", *names] == [name for name, _ in media_thumbnails(TENCENT_ID, asked)]


def test_harmless_call_has_no_recording() -> None:
    """The call that proves the credentials cannot start a task, because it has no FileId."""
    assert harmless() == [("Action", "MediaThumbnails")]


@pytest.mark.parametrize(
    "file_id",
    [
        "/a b/c+d.mp4",
        "/a%20b.mp4",
        "/a&FileId=other&b",
        "/a=b;c?d#e.mp4",
        "/录制/中文 文件.mp4",
        "/emoji/😀.mp4",
        "//double//slashes/../dots",
        "'\"<>\\^`{|}~[]@:!$()*,",
        "a\u00a0b\u3000c",
    ],
)
def test_any_file_id_arrives_unchanged(file_id: str) -> None:
    """Every character of a file id survives the query string."""
    query = media_thumbnails(FileId(file_id), EVERY_2_S)
    assert dict(parse_qsl(encoded(query), strict_parsing=True))["FileId"] == file_id


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), min_size=1))
def test_any_query_round_trips_as_ascii(query: list[tuple[str, str]]) -> None:
    """A query string is ASCII without blanks, and reads back as its names and values."""
    text = encoded(query)
    assert text.isascii()
    assert not set(text) & set(" +#?\"'<>[]")
    assert query == parse_qsl(text, strict_parsing=True)


def test_documented_answer_is_read() -> None:
    """The documentation's example answer, an object without a RequestId, yields both inner ids."""
    assert Envelope(0, "success", None, INNER, TASK) == read_answer(EXAMPLE_ANSWER.encode(), Vendor.TENCENT)


PARTS = {
    Vendor.TENCENT: {"TaskId": TASK, "RequestId": INNER},
    Vendor.HUAWEI: {"task_id": "289665200"},
}


def answer(**fields: object) -> bytes:
    """A successful answer's body with fields replaced."""
    return json.dumps({"Code": 0, "Message": "success", "RequestId": "outer"} | fields).encode()


@pytest.mark.parametrize("vendor", Vendor)
@pytest.mark.parametrize("shape", ["object", "list", "list with others"])
def test_both_shapes_of_vendor_part_are_read(vendor: Vendor, shape: str) -> None:
    """The vendor's part may be an object or a list of objects; unknown fields are ignored."""
    part = PARTS[vendor] | {"New": {"TaskId": "not this"}, "Others": [1]}
    shaped = {"object": part, "list": [part], "list with others": [None, "text", part, {"TaskId": "late"}]}
    read = read_answer(answer(Data={vendor.value: shaped[shape], "More": []}, Extra=[1]), vendor)
    expected = PARTS[vendor].get("TaskId") or PARTS[vendor]["task_id"]
    assert read is not None
    assert ("outer", expected) == (read.request_id, read.task_id)


@pytest.mark.parametrize("vendor", Vendor)
def test_other_vendors_part_is_not_read(vendor: Vendor) -> None:
    """A task id in another vendor's part, or outside the parts, is ignored."""
    (other,) = set(Vendor) - {vendor}
    read = read_answer(answer(Data={other.value: PARTS[other], "TaskId": "1"}, TaskId="2"), vendor)
    assert Envelope(0, "success", "outer", None, None) == read


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("289665200", "289665200"),
        ("  289665200\n", "289665200"),
        (289665200, "289665200"),
        (1397757897438985100123, "1397757897438985100123"),
        (0, "0"),
        ("", None),
        ("   ", None),
        (None, None),
        (True, None),
        (1.5, None),
        ([1], None),
        ({"id": 1}, None),
    ],
)
@pytest.mark.parametrize("vendor", Vendor)
def test_task_id_is_text_or_whole_number(vendor: Vendor, value: object, expected: str | None) -> None:
    """Anything else is not a readable task id."""
    name = "TaskId" if vendor is Vendor.TENCENT else "task_id"
    read = read_answer(answer(Data={vendor.value: {name: value}}), vendor)
    assert read is not None
    assert expected == read.task_id


@pytest.mark.parametrize(
    "value",
    [
        "x" * 2001,
        "x" * 10_000,
        "task\0id",
        "\0",
        "task\ud800",
        f"task{chr(0xFFFD)}",
        "task\nid",
        "\x1b[31mtask",
        10**3000,
    ],
)
@pytest.mark.parametrize("vendor", Vendor)
def test_task_id_that_cannot_be_kept_whole_is_not_readable(vendor: Vendor, value: object) -> None:
    """Cutting or repairing it would name another task."""
    name = "TaskId" if vendor is Vendor.TENCENT else "task_id"
    read = read_answer(answer(Data={vendor.value: {name: value}}), vendor)
    assert read is not None
    assert (read.code, read.task_id) == (0, None)


def test_task_id_of_ten_thousand_digits_is_an_answer_without_a_task_id() -> None:
    """The code beside it is read; without it the submission would be sent again."""
    body = b'{"Code":0,"Data":{"Tencent":{"TaskId":' + b"9" * 10_000 + b"}}}"
    read = read_answer(body, Vendor.TENCENT)
    assert read is not None
    assert (read.code, read.task_id) == (0, None)


def test_list_of_answers_is_read_to_its_end() -> None:
    """The task id and the RequestId may be in any object of the list."""
    parts = [{}, {"RequestId": INNER}, {"TaskId": "\0"}, {"TaskId": TASK}, {"TaskId": "later"}]
    read = read_answer(answer(Data={"Tencent": parts}), Vendor.TENCENT)
    assert read is not None
    assert (read.task_id, read.vendor_request_id) == (TASK, INNER)


def test_refusal_has_no_task_id() -> None:
    """A task id with a code other than 0 is ignored."""
    read = read_answer(answer(Code=1000, Data={"Tencent": PARTS[Vendor.TENCENT]}), Vendor.TENCENT)
    assert Envelope(1000, "success", "outer", INNER, None) == read


@pytest.mark.parametrize(
    "data", [None, [], "text", 7, {"Tencent": None}, {"Tencent": "x"}, {"Tencent": []}, {"Tencent": [[]]}]
)
def test_success_without_readable_part_has_no_task_id(data: object) -> None:
    """Code and message stay readable, and the task id is empty."""
    expected = Envelope(0, "success", "outer", None, None)
    assert expected == read_answer(answer(Data=data), Vendor.TENCENT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("-1", -1),
        ("0.0", 0),
        ("1e3", 1000),
        ('"1000"', 1000),
        ('" 7 "', 7),
        ('"7\\u001f"', 7),
        ('"-1"', -1),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ('"-9223372036854775808"', -(2**63)),
        ("9223372036854775808", None),
        ("-9223372036854775809", None),
        ("100000004", 100000004),
        ("1.5", None),
        ("true", None),
        ("false", None),
        ("null", None),
        ("[0]", None),
        ('{"Code":0}', None),
        ('""', None),
        ('"-"', None),
        ('"zero"', None),
        ('"--5"', None),
        ('"0x10"', None),
        ("NaN", None),
        ("Infinity", None),
        ("1e400", None),
    ],
)
def test_code_is_whole_number_or_its_text(text: str, expected: int | None) -> None:
    """Any other value is not a readable Code."""
    read = read_answer(f'{{"Code":{text},"Message":"m"}}'.encode(), None)
    assert expected == (read.code if read else None)


@pytest.mark.parametrize("text", ["1e300", "1" + "0" * 30, '"' + "9" * 30 + '"', '"' + "9" * 5000 + '"'])
def test_code_beyond_64_bits_is_not_readable(text: str) -> None:
    """Such a Code could not be stored."""
    assert read_answer(f'{{"Code":{text}}}'.encode(), None) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"<html><body>502 Bad Gateway</body></html>",
        b"{}",
        b"[]",
        b"0",
        b'"Code"',
        b"null",
        b'{"code":0}',
        b'{"Message":"success"}',
        EXAMPLE_ANSWER.encode()[:-2],
        EXAMPLE_ANSWER.encode()[:40],
        b'{"Code":0,"Message":"\xff\xfe"}',
        b"\x00\x01\x02",
        b"[" * 100_000,
        b'{"Code":0,"Data":' + b"[" * 100_000,
        b'{"Code":' + b"9" * 10_000 + b"}",
    ],
)
def test_body_without_readable_code_is_no_answer(body: bytes) -> None:
    """A body that is not complete JSON with a Code is not an answer."""
    assert read_answer(body, Vendor.TENCENT) is None


def test_byte_order_mark_is_ignored() -> None:
    """An answer that begins with a byte-order mark is read."""
    read = read_answer(b"\xef\xbb\xbf" + EXAMPLE_ANSWER.encode(), Vendor.TENCENT)
    assert read is not None
    assert read.task_id == TASK


def test_texts_of_answer_can_be_stored() -> None:
    """A lone surrogate in an answer's texts never reaches the ledger."""
    body = (
        rb'{"Code":0,"Message":"\ud800","RequestId":"\udfff",'
        rb'"Data":{"Tencent":{"TaskId":"t","RequestId":"\ud800"}}}'
    )
    read = read_answer(body, Vendor.TENCENT)
    assert read is not None
    "".join([read.message, read.request_id or "", read.vendor_request_id or ""]).encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["Tencent", "Huawei", "TaskId", "task_id", "RequestId"]), inner)
    ),
)


@given(st.dictionaries(st.sampled_from(["Code", "Message", "RequestId", "Data"]), JSON))
def test_any_json_is_read_without_error(body: dict[str, object]) -> None:
    """Every JSON value is an envelope with a whole number as its code, or no answer."""
    read = read_answer(json.dumps(body).encode(), Vendor.TENCENT)
    assert read is None or type(read.code) is int


@given(st.binary())
def test_any_bytes_are_read_without_error(body: bytes) -> None:
    """Reading any bytes raises nothing."""
    read = read_answer(body, Vendor.HUAWEI)
    assert read is None or type(read.code) is int


@pytest.mark.parametrize(
    ("status", "body", "location", "expected", "detail"),
    [
        (302, b"", "https://login.example/a?token=s#x", HttpRefusal, "HTTP 302 to https://login.example/a"),
        (301, b"", "https://user:pw@h.example:8443/a", HttpRefusal, "HTTP 301 to https://h.example:8443/a"),
        (307, b"", None, HttpRefusal, "HTTP 307 to an address it does not name"),
        (404, b"", None, HttpRefusal, "HTTP 404 without a Code"),
        (503, b"", None, HttpRefusal, "HTTP 503 without a Code"),
        (408, b"", None, ReplyLost, "HTTP 408 with an empty body and no readable Code"),
        (200, b"<title> Log  in </title>", None, ReplyLost, 'HTTP 200 with a page "Log in" and no'),
        (200, b'{"code":0}', None, ReplyLost, 'HTTP 200 with {"code":0} and no readable Code'),
        (502, b"\x00\xff" * 500, None, ReplyLost, "HTTP 502 with "),
    ],
)
def test_answer_without_code_describes_its_body(
    status: int, body: bytes, location: str | None, expected: type, detail: str
) -> None:
    """A redirect names its target without secrets, and a page its title."""
    outcome = read_without_code(status, body, location=location)
    assert type(outcome) is expected
    assert outcome.detail.startswith(detail)
    assert outcome.detail.isprintable()
    assert len(outcome.detail) < 200


@pytest.mark.parametrize(
    ("status", "body", "shape"),
    [
        (200, b'{"code":0}', ReplyShape.OTHER_JSON),
        (200, b"[]", ReplyShape.OTHER_JSON),
        (200, b'{"Code":', ReplyShape.NOTHING),
        (200, b"", ReplyShape.NOTHING),
        (200, b"<html></html>", ReplyShape.NOTHING),
        (502, b'{"code":0}', ReplyShape.NOTHING),
    ],
)
def test_only_complete_json_is_answer_of_another_kind(status: int, body: bytes, shape: ReplyShape) -> None:
    """Complete JSON without a Code is distinguished from pages and truncated bodies."""
    outcome = read_without_code(status, body)
    assert isinstance(outcome, ReplyLost)
    assert outcome.shape is shape
