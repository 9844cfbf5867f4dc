"""Callbacks: what the service tells of a task, a recording or a merged file, as bytes.

Where it stands: `callback_sender` sends what is written here. It decides nothing and waits for nothing.

Source: service documentation, "Callbacks": their signature, `snapshot`, `record` and `compose`.
"""

from __future__ import annotations

import json
from hashlib import sha1
from urllib.parse import quote, urlencode

from .recordings import SandboxRecording
from .tasks import SandboxTask
from .validation import BY_OFFSET
from .variants import CallbackBody

Json = dict[str, object]

JSON_TYPE, FORM_TYPE = "application/json", "application/x-www-form-urlencoded"


def signature(secret: str, timestamp: str, nonce: str) -> str:
    """Sign a callback."""
    text = "".join(sorted([secret, timestamp, nonce]))
    return sha1(text.encode(), usedforsecurity=False).hexdigest()


def snapshot(task: SandboxTask, pictures: list[tuple[str, int]]) -> Json:
    """Say that a task has ended; `pictures` are addresses and times in milliseconds."""
    with_offset = task.vendor == "Tencent" and task.type == BY_OFFSET
    listed = [
        {"url": url, "offset": float(at_ms)} if with_offset else {"url": url} for url, at_ms in pictures
    ]
    fields: Json = {
        "event": "snapshot",
        "task_id": task.task_id,
        "vendor": "tencent" if task.vendor == "Tencent" else "hw",
        "snapshot_pic_list": json.dumps(listed, separators=(",", ":")),
    }
    # "field_id" is what the documents call it, and they mean the file id.
    return fields | ({"field_id": task.file_id} if task.vendor == "Tencent" else {})


def record(recording: SandboxRecording, vendor: str, task_id: str) -> Json:
    """Say that a recording was written."""
    duration_s = round(recording.duration_s)
    extra: Json = {"Duration": duration_s}
    if vendor == "Tencent":
        extra |= {"TaskId": task_id, "FileID": recording.file_id}
    else:
        extra |= {"ObsObject": recording.key, "FileSize": recording.size_bytes}
    return {
        "event": "record",
        "stream_alias": recording.stream_id,
        "replay_url": recording.url,
        "begin_time": str(recording.created_s - duration_s),
        "end_time": str(recording.created_s),
        "extra_params": json.dumps(extra, ensure_ascii=False),  # a text, as the documents say
    }


def compose(file_id: str, task_id: str, code: str, message: str) -> Json:
    """Say that files were merged into one; `file_id` is empty for a vendor other than Tencent."""
    fields: Json = {
        "event": "compose",
        "task_id": task_id,
        "code": code,
        "message": message,
        "replay_url": f"https://recordings.example/composed/{task_id}.mp4",
    }
    return fields | ({"file_id": file_id} if file_id else {})


def signed(fields: Json, app_id: int, secret: str, timestamp: int, nonce: str) -> Json:
    """Add what every callback carries."""
    return fields | {
        "appid": str(app_id),
        "timestamp": timestamp,
        "nonce": nonce,
        "signature": signature(secret, str(timestamp), nonce),
    }


def encoded(fields: Json, body: CallbackBody) -> tuple[str, bytes]:
    """Write the body of a callback, and its Content-Type."""
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    match body:
        case CallbackBody.JSON:
            return JSON_TYPE, text.encode()
        case CallbackBody.URLENCODED:
            return JSON_TYPE, quote(text, safe="").encode()
        case CallbackBody.FORM:
            texts = {
                name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()
            }
            return FORM_TYPE, urlencode(texts).encode()
