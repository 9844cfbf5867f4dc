"""The bodies of callbacks: about a task, a recording or a merged file, as bytes.

`callback_sender` sends what is written here.

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
    """Return the callback about an ended task; `pictures` are addresses and times in milliseconds."""
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
    # The documents spell it "field_id" and mean the file id.
    return fields | ({"field_id": task.file_id} if task.vendor == "Tencent" else {})


def record(recording: SandboxRecording, vendor: str, task_id: str) -> Json:
    """Return the callback about a recording that was written."""
    duration_s = round(recording.duration_s)
    extra: Json = {"Duration": duration_s}
    if vendor == "Tencent":
        extra |= {"TaskId": task_id, "FileID": recording.file_id}
    elif vendor == "Ws":
        extra |= {"PersistentId": f"persistent-{task_id}", "FileSize": recording.size_bytes}
    else:
        extra |= {"ObsObject": recording.key, "FileSize": recording.size_bytes}
    return {
        "event": "record",
        "stream_alias": recording.stream_id,
        "replay_url": recording.url,
        "begin_time": str(recording.created_s - duration_s),
        "end_time": str(recording.created_s),
        "extra_params": json.dumps(extra, ensure_ascii=False),  # text, as documented
    }


def compose(file_id: str, task_id: str, code: str, message: str) -> Json:
    """Return the callback about merged files; `file_id` is empty for a vendor other than Tencent.

    Only Tencent's has a file id, a code and a message.
    """
    fields: Json = {
        "event": "compose",
        "task_id": task_id,
        "replay_url": f"https://recordings.example/composed/{task_id}.mp4",
    }
    return fields | ({"file_id": file_id, "code": code, "message": message} if file_id else {})


def procedure(file_id: str, task_id: str) -> Json:
    """Return the callback about a file that was transcoded."""
    return {"event": "procedure", "task_id": task_id, "status": "SUCCESS", "fileId": file_id}


def signed(fields: Json, app_id: int, secret: str, timestamp: int, nonce: str) -> Json:
    """Add the fields of every callback."""
    return fields | {
        "appid": str(app_id),
        "timestamp": timestamp,
        "nonce": nonce,
        "signature": signature(secret, str(timestamp), nonce),
    }


def encoded(fields: Json, body: CallbackBody) -> tuple[str, bytes]:
    """Return the body of a callback, and its Content-Type."""
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
