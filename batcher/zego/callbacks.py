"""Callbacks: a body as a value, and the check of its signature. No I/O, no clock.

Called by :mod:`batcher.callbacks.receiver`. Anyone can send a body, so nothing in it is trusted: the
signature covers a time and a nonce, and nothing else.

Source: ZEGO server API, "Callback on the completion of a snapshot task", "… of a recording", "… of merging
files", and "Callback description" (bodies, signature).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from batcher.errors import UnreadableCallback
from batcher.model.callbacks import Callback, Composed, Other, Recorded, Seal, Snapshot
from batcher.model.submission import FileId, TaskId, Vendor
from batcher.model.task import Picture
from batcher.zego.wire import id_of, integer_of, milliseconds_of, text_of

MAX_FIELDS = 100
"""The most fields of a form."""

_VENDORS = {"tencent": Vendor.TENCENT, "hw": Vendor.HUAWEI, "huawei": Vendor.HUAWEI}
_FACTS = {
    "stream_alias": "stream_alias",
    "url": "replay_url",
    "begin_time": "begin_time",
    "end_time": "end_time",
    "record_task_id": "task_id",
}
_EXTRA_FACTS = {
    "duration": "Duration",
    "size": "FileSize",
    "record_task_id": "TaskId",
    "persistent_id": "PersistentId",
}


def signature_of(secret: str, timestamp: str, nonce: str) -> str:
    """Return the signature of a callback, 40 lower-case hex digits."""
    # The service signs with SHA-1. A poll confirms everything that this protects.
    signed = "".join(sorted((secret, timestamp, nonce))).encode("utf-8", "replace")
    return hashlib.sha1(signed, usedforsecurity=False).hexdigest()


def is_signed(seal: Seal, secret: str) -> bool:
    """Return whether a callback was signed with the secret; takes the same time in both cases."""
    expected = signature_of(secret, str(seal.timestamp), seal.nonce)
    return hmac.compare_digest(expected.encode(), seal.signature.encode("utf-8", "replace"))


def read_callback(body: bytes) -> Callback:
    """Read a body: JSON, URL-encoded JSON, or a form. Unknown fields are ignored.

    Raises:
        UnreadableCallback: the body has another form, or lacks event, time, nonce, signature or task.
    """
    fields = _fields(body)
    seal, event = _seal(fields), text_of(fields.get("event"))
    if event is None:
        raise UnreadableCallback("it names no event")
    match event:
        case "snapshot":
            return _snapshot(fields, seal)
        case "record":
            return _recorded(fields, seal)
        case "compose":
            return _composed(fields, seal)
    return Other(seal, event)


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        text = body.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise UnreadableCallback("it is not UTF-8") from None
    for candidate in (text, unquote_plus(text) if "%" in text else ""):
        if candidate.startswith("{"):
            value = _parsed(candidate)
            if isinstance(value, dict):
                return value
    if not text or text.startswith(("{", "[", '"', "%7B", "%7b")):
        raise UnreadableCallback("it is not a JSON object")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise UnreadableCallback("it is a form of too many fields") from None
    return dict(pairs)


def _parsed(text: str) -> object:
    """Return a JSON value with all digits of whole numbers; None for anything else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _embedded(value: object) -> object:
    """Return a value that may come as text which holds it in JSON, URL-encoded or not."""
    if not isinstance(value, str):
        return value
    parsed = _parsed(value)
    return _parsed(unquote_plus(value)) if parsed is None and "%" in value else parsed


def _seal(fields: Mapping[str, Any]) -> Seal:
    timestamp = integer_of(fields.get("timestamp"))
    nonce, signature = text_of(fields.get("nonce")), text_of(fields.get("signature"))
    if timestamp is None or nonce is None or signature is None:
        raise UnreadableCallback("it has no timestamp, nonce or signature")
    return Seal(timestamp, nonce, signature, integer_of(fields.get("appid")))


def _id(fields: Mapping[str, Any], name: str) -> str | None:
    """Return an id in a body; None if the body has none.

    Raises:
        UnreadableCallback: the id cannot be read.
    """
    value = fields.get(name)
    if not isinstance(value, str | int) or not str(value).strip():
        return None
    if (text := id_of(value)) is None:
        raise UnreadableCallback(f"its {name} cannot be read")
    return text


def _snapshot(fields: Mapping[str, Any], seal: Seal) -> Snapshot:
    task_id = _id(fields, "task_id")
    if task_id is None:
        raise UnreadableCallback("it names no task")
    vendor = _VENDORS.get((text_of(fields.get("vendor")) or "").lower())
    # The service's own spelling is field_id.
    file_id = _id(fields, "field_id") or _id(fields, "file_id")
    if vendor is None and file_id:
        vendor = Vendor.TENCENT  # the only vendor that names it
    pictures = _pictures(fields.get("snapshot_pic_list"))
    return Snapshot(seal, TaskId(task_id), vendor, FileId(file_id) if file_id else None, pictures)


def _pictures(value: object) -> tuple[Picture, ...]:
    """Return the pictures in an array, or in a text that holds an array; a poll supplies the others."""
    listed = _embedded(value)
    pictures = []
    for item in listed if isinstance(listed, list) else []:
        url = text_of(item.get("url")) if isinstance(item, dict) else None
        if url:
            pictures.append(Picture(url, milliseconds_of(item.get("offset"))))
    return tuple(pictures)


def _recorded(fields: Mapping[str, Any], seal: Seal) -> Recorded:
    given = _embedded(fields.get("extra_params"))
    extra = given if isinstance(given, dict) else {}
    facts = _facts(fields, _FACTS) | _facts(extra, _EXTRA_FACTS)
    for name, vendor in (
        ("FileID", Vendor.TENCENT),
        ("FileId", Vendor.TENCENT),
        ("ObsObject", Vendor.HUAWEI),
    ):
        if file_id := _id(extra, name):
            return Recorded(seal, vendor, FileId(file_id), facts)
    return Recorded(seal, facts=facts)


def _composed(fields: Mapping[str, Any], seal: Seal) -> Composed:
    code, file_id = _fact(fields.get("code")), _id(fields, "file_id")
    vendor = Vendor.TENCENT if file_id else None  # the only vendor that names it
    return Composed(seal, code, vendor, FileId(file_id) if file_id else None, _facts(fields, _FACTS))


def _facts(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    found = {ours: _fact(fields.get(theirs)) for ours, theirs in names.items()}
    return {name: text for name, text in found.items() if text}


def _fact(value: object) -> str | None:
    return f"{value:g}" if isinstance(value, float) else text_of(value)
