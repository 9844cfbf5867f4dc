"""DescribeMediaTask: a query about a task as parameters, an answer as a report. No I/O.

Called by :mod:`batcher.zego.client`.

Source: ZEGO server API, "Query the status of a media processing task" (DescribeMediaTask).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from batcher.model.submission import FileId, TaskId, Vendor
from batcher.model.task import Picture, TaskReport, TaskState
from batcher.zego.wire import encoded, id_of, milliseconds_of, parsed_body, parts_of, text_of

NO_TASK = "NO_TASK"
"""The status of a task that the service does not know."""

STATES: dict[str, TaskState] = {
    "WAITING": TaskState.WAITING,
    "PROCESSING": TaskState.PROCESSING,
    "FINISH": TaskState.FINISHED,
    "SUCCEEDED": TaskState.FINISHED,
    "FAIL": TaskState.FAILED,
    "FAILED": TaskState.FAILED,
    "CANCELED": TaskState.FAILED,
    NO_TASK: TaskState.UNKNOWN,
}
"""The vendors' words for the state of a task."""

MAX_ADDRESS_CHARS = 8_000
"""The longest address of a picture or name of an object; longer ones are ignored."""

_MOMENT = re.compile(r"[0-9]{14}")


def encoded_call(task_id: TaskId, vendor: Vendor) -> str:
    """Return the query string of one DescribeMediaTask call, without the public parameters."""
    return encoded([("Action", "DescribeMediaTask"), ("TaskId", task_id), ("Vendor", vendor.value)])


def read_report(body: bytes, task_id: TaskId, vendor: Vendor) -> TaskReport | None:
    """Read a successful answer; None if it has no readable part about this task.

    Args:
        body: the body of an answer with code 0.
        task_id: the task of the query; an answer about another task is ignored.
        vendor: the vendor whose part of ``Data`` is read.
    """
    answer = parsed_body(body)
    for part in parts_of(answer.get("Data"), vendor):
        status = text_of(part.get("Status"))
        if status is None or not _is_about(part, task_id):
            continue
        return TaskReport(
            state=STATES.get(status.upper(), TaskState.UNKNOWN),
            status=status,
            message=text_of(part.get("Message")) or "",
            pictures=tuple(_pictures(part.get("ThumbnailsUrl") or part.get("FileName"))),
            started_at=_moment(part.get("CreateTime")),
            ended_at=_moment(part.get("EndTime")),
            request_id=text_of(part.get("RequestId")) or text_of(answer.get("RequestId")),
            file_id=_file_id(part),
            event=text_of(part.get("Event")),
        )
    return None


def _file_id(part: dict[str, object]) -> FileId | None:
    named = id_of(part.get("FileId")) or id_of(part.get("FileID"))
    return FileId(named) if named else None


def _is_about(part: dict[str, object], task_id: TaskId) -> bool:
    """Return whether a part names the task, or no task."""
    named = [part[name] for name in ("TaskId", "task_id") if part.get(name) not in (None, "")]
    return all(id_of(value) == task_id for value in named)


def _pictures(listed: object) -> Iterator[Picture]:
    """Yield the readable pictures in the order of the answer: addresses or names, or objects with them.

    The list may come as text that holds it, as in the vendor's callbacks.
    """
    for item in _items(listed):
        found: dict[str, object] = {}
        if isinstance(item, dict):
            found = {str(name).lower(): value for name, value in item.items()}
        else:
            found["url"] = item
        address = found.get("url")
        if isinstance(address, str) and (address := address.strip()) and len(address) <= MAX_ADDRESS_CHARS:
            offset_ms = milliseconds_of(found.get("offset"))
            yield Picture(address.encode("utf-8", "replace").decode().replace("\0", ""), offset_ms)


def _items(listed: object) -> list[object]:
    if isinstance(listed, str) and listed.lstrip().startswith("["):
        try:
            listed = json.loads(listed)
        except (ValueError, RecursionError):
            return []
    return listed if isinstance(listed, list) else [listed]


def _moment(value: object) -> datetime | None:
    """Read a time in Huawei's format, ``YYYYMMDDHHMMSS`` in UTC; None for anything else."""
    text = text_of(value) or ""
    if not _MOMENT.fullmatch(text):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
