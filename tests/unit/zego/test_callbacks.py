"""Bodies of callbacks: every documented form is read, and nothing else does harm."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batcher.errors import UnreadableCallback
from batcher.model.callbacks import Composed, Other, Recorded, Seal, Snapshot, event_of
from batcher.model.submission import Vendor
from batcher.model.task import Picture
from batcher.zego.callbacks import MAX_FIELDS, is_signed, read_callback, signature_of

SEALED = {"appid": "1234567890", "timestamp": 1470820198, "nonce": "123412", "signature": "5bd59fd6"}
SEAL = Seal(1470820198, "123412", "5bd59fd6", 1234567890)

PICTURES = [{"url": "https://p.example/1.jpg?a=b&c=d+e", "offset": 2500}, {"url": "https://p.example/2.jpg"}]
SNAPSHOT: dict[str, Any] = {
    **SEALED,
    "event": "snapshot",
    "task_id": "1500030200-procedurev2-afc1fe7dfe51cd88a5d588cacba53393tt0",
    "vendor": "tencent",
    "field_id": "1397757897438985123",
    "snapshot_pic_list": json.dumps(PICTURES),
}


def bodies(fields: dict[str, Any]) -> dict[str, bytes]:
    """The same fields in every form that callbacks come in."""
    text = json.dumps(fields, ensure_ascii=False)
    form = {name: json.dumps(one) if isinstance(one, dict | list) else one for name, one in fields.items()}
    return {
        "json": text.encode(),
        "with a mark": b"\xef\xbb\xbf" + text.encode(),
        "url-encoded": quote(text, safe="").encode(),
        "url-encoded, blanks as plus": quote(text, safe=" ").replace(" ", "+").encode(),
        "form": urlencode(form).encode(),
    }


BODIES = list(bodies(SNAPSHOT))


@pytest.mark.parametrize("kind", BODIES)
def test_snapshot_is_read_from_every_form(kind: str) -> None:
    """Task, vendor, recording and pictures are the same in every form of the body."""
    read = read_callback(bodies(SNAPSHOT)[kind])
    pictures = (Picture("https://p.example/1.jpg?a=b&c=d+e", 2500), Picture("https://p.example/2.jpg"))
    assert read == Snapshot(
        SEAL,
        SNAPSHOT["task_id"],
        Vendor.TENCENT,
        SNAPSHOT["field_id"],
        pictures,
    )
    assert event_of(read) == "snapshot"


@pytest.mark.parametrize("extra_as", ["object", "text"])
@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(
    ("extra", "vendor", "file_id"),
    [
        (
            {"TaskId": "t-1", "FileID": 1397757897438985123, "Duration": 61},
            Vendor.TENCENT,
            "1397757897438985123",
        ),
        (
            {"Duration": 61, "ObsObject": "/record/a/b c+d.mp4", "FileSize": 9007199254740993},
            Vendor.HUAWEI,
            "/record/a/b c+d.mp4",
        ),
        ({"Duration": 61}, None, None),
    ],
)
def test_recording_is_read_by_its_parameters(
    extra: dict[str, Any], vendor: Vendor | None, file_id: str | None, kind: str, extra_as: str
) -> None:
    """FileID means Tencent, ObsObject means Huawei, and no digit above 2^53 is lost."""
    fields = {**SEALED, "event": "record", "stream_alias": "课堂 1", "extra_params": extra}
    if extra_as == "text":
        fields["extra_params"] = json.dumps(extra)
    read = read_callback(bodies(fields)[kind])
    assert isinstance(read, Recorded)
    assert (read.vendor, read.file_id) == (vendor, file_id)
    assert read.facts["stream_alias"] == "课堂 1"
    assert read.facts["duration"] == "61"
    assert read.facts.get("size", "9007199254740993") == "9007199254740993"


def test_merged_file_is_read() -> None:
    """Its code and file id are text in every notation."""
    fields = {**SEALED, "event": "compose", "task_id": "c-1", "file_id": 1397757897438985123, "code": 0}
    read = read_callback(json.dumps(fields).encode())
    assert isinstance(read, Composed)
    assert (read.code, read.vendor, read.file_id) == ("0", Vendor.TENCENT, "1397757897438985123")


@pytest.mark.parametrize(
    ("code", "succeeded"), [(None, True), ("", True), ("0", True), (0, True), ("70000", False)]
)
def test_merged_file_without_code_is_success(code: object, succeeded: bool) -> None:
    """Only Tencent sends a code."""
    fields = {**SEALED, "event": "compose", "task_id": "c-1", "replay_url": "https://r.example/1.mp4"}
    read = read_callback(json.dumps(fields | ({} if code is None else {"code": code})).encode())
    assert isinstance(read, Composed)
    assert read.succeeded is succeeded


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (2500, 2500),
        (2500.0, 2500),
        (2499.6, 2500),
        ("2500.4", 2500),
        ("2500", 2500),
        (None, None),
        ("x", None),
        (float("inf"), None),
        (float("nan"), None),
        (True, None),
        ([1], None),
        ("9" * 400, None),
    ],
)
def test_time_in_recording_may_have_fraction(offset: object, expected: int | None) -> None:
    """Offsets of pictures are fractional milliseconds."""
    listed = json.dumps([{"url": "https://p.example/1.jpg", "offset": offset}])
    read = read_callback(json.dumps({**SNAPSHOT, "snapshot_pic_list": listed}).encode())
    assert isinstance(read, Snapshot)
    assert read.pictures == (Picture("https://p.example/1.jpg", expected),)


@pytest.mark.parametrize("event", ["procedure", "stream_create", "a new one"])
def test_other_event_is_accepted(event: str) -> None:
    """A callback of another kind has no effect."""
    assert read_callback(json.dumps({**SEALED, "event": event, "code": None}).encode()) == Other(SEAL, event)


def test_unknown_fields_are_ignored() -> None:
    """Unknown fields, vendors, events and unreadable pictures are ignored."""
    fields = {**SNAPSHOT, "vendor": "someone", "snapshot_pic_list": "no list", "new": {"deep": [1]}}
    fields.pop("field_id")
    read = read_callback(json.dumps(fields).encode())
    assert read == Snapshot(SEAL, SNAPSHOT["task_id"])
    assert read_callback(json.dumps({**SEALED, "event": "stream_close"}).encode()) == Other(
        SEAL, "stream_close"
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not a JSON object"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[1]", "not a JSON object"),
        (b'{"event": "snapshot"', "not a JSON object"),
        (b"%7B%22event", "not a JSON object"),
        (b"[" * 100_000, "not a JSON object"),
        (b"{" + b'"a":{' * 60_000, "not a JSON object"),
        (json.dumps({"event": "snapshot", "task_id": "t"}).encode(), "no timestamp, nonce or signature"),
        (json.dumps({**SEALED, "timestamp": "soon", "event": "x"}).encode(), "no timestamp"),
        (json.dumps({**SEALED, "timestamp": 10**30, "event": "x"}).encode(), "no timestamp"),
        (json.dumps({**SEALED, "timestamp": True, "event": "x"}).encode(), "no timestamp"),
        (json.dumps(SEALED).encode(), "names no event"),
        (json.dumps({**SEALED, "event": "snapshot"}).encode(), "names no task"),
        ("&".join(f"f{n}=1" for n in range(MAX_FIELDS + 1)).encode(), "too many fields"),
    ],
)
def test_other_body_is_refused_with_reason(body: bytes, why: str) -> None:
    """The error states what is missing."""
    with pytest.raises(UnreadableCallback, match=why):
        read_callback(body)


@pytest.mark.parametrize("damaged", ["x" * 10_000, "a\0b", "a\ud800", "a\nb"])
@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({**SNAPSHOT}, "task_id"),
        ({**SNAPSHOT}, "field_id"),
        ({**SEALED, "event": "compose", "code": "0"}, "file_id"),
        ({**SEALED, "event": "record"}, "FileID"),
        ({**SEALED, "event": "record"}, "ObsObject"),
    ],
)
def test_body_with_damaged_id_is_refused(fields: dict[str, Any], name: str, damaged: str) -> None:
    """A repaired id would name another task or recording."""
    changed = {"extra_params": {name: damaged}} if fields["event"] == "record" else {name: damaged}
    with pytest.raises(UnreadableCallback, match=f"its {name} cannot be read"):
        read_callback(json.dumps(fields | changed).encode())


def test_documented_signature_is_computed() -> None:
    """The example of the documentation yields its signature, and only with its secret."""
    assert signature_of("secret", "1470820198", "123412") == "5bd59fd62953a8059fb7eaba95720f66d19e4517"
    seal = Seal(1470820198, "123412", "5bd59fd62953a8059fb7eaba95720f66d19e4517")
    assert is_signed(seal, "secret")
    assert not is_signed(seal, "other")
    assert not is_signed(Seal(1470820199, seal.nonce, seal.signature), "secret")


@pytest.mark.parametrize("signature", ["", "é" * 40, "\ud800", "5BD59FD62953A8059FB7EABA95720F66D19E4517"])
def test_malformed_signature_is_wrong(signature: str) -> None:
    """A malformed signature is compared and found wrong."""
    assert not is_signed(Seal(1470820198, "123412", signature), "secret")


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = sorted({*SNAPSHOT, "extra_params", "code", "file_id", "replay_url", "message"})
FIELDS = st.dictionaries(st.sampled_from(NAMES), JSON | st.sampled_from(["snapshot", "record", "compose"]))


@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))
    | st.builds(lambda fields: json.dumps({**SEALED, **fields}).encode(), FIELDS)
    | st.builds(lambda fields: quote(json.dumps({**SEALED, **fields})).encode(), FIELDS)
    | st.builds(lambda fields: urlencode({**SEALED, **fields}, errors="replace").encode(), FIELDS)
)
@settings(max_examples=300, deadline=None)
def test_any_body_is_read_or_refused(body: bytes) -> None:
    """Every body is a callback with a checkable signature, or unreadable."""
    try:
        read = read_callback(body)
    except UnreadableCallback:
        return
    is_signed(read.seal, "secret")
    json.dumps(event_of(read)).encode("utf-8")
