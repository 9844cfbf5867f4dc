"""What the service's own answer says of the recording that a task belongs to. Pure.

A callback's signature does not cover the task and the recording that it names. A poll's answer comes from the
service itself, so it decides whether a claim may settle a doubt.

Source: ZEGO server API, "Query the status of a media processing task" (``FileId``; the paths of a task's
pictures contain Tencent's FileId or the folder of Huawei's object).
"""

from __future__ import annotations

import posixpath
import re
from enum import Enum
from urllib.parse import unquote

from batcher.model.submission import FileId, Vendor
from batcher.model.task import Picture, TaskReport, TaskState


class Evidence(Enum):
    """Whether a task belongs to a recording, as far as an answer shows it."""

    FOR = "for"
    """The answer names the recording, or its pictures lie where the recording's pictures do."""
    AGAINST = "against"
    """The answer names another recording, or its pictures lie elsewhere."""
    LATER = "later"
    """The answer says nothing yet: the task is not finished."""
    NONE = "none"
    """The answer says nothing, and will not say more."""


def evidence_of(report: TaskReport, file_id: FileId, vendor: Vendor) -> Evidence:
    """Whether a report is about a task of this recording.

    Args:
        report: the service's answer about the task.
        file_id: the recording that a callback has named for it.
        vendor: where the recording is kept.
    """
    if report.file_id is not None:
        return Evidence.FOR if _same(report.file_id, file_id) else Evidence.AGAINST
    if report.pictures and (part := _part_of_paths(file_id, vendor)):
        found = any(part.search(_path(picture)) for picture in report.pictures)
        return Evidence.FOR if found else Evidence.AGAINST
    is_open = report.state in (TaskState.WAITING, TaskState.PROCESSING)
    return Evidence.LATER if is_open else Evidence.NONE


def _same(one: str, other: str) -> bool:
    return one.lstrip("/") == other.lstrip("/")


def _part_of_paths(file_id: FileId, vendor: Vendor) -> re.Pattern[str] | None:
    """What the path of every picture of a recording contains; None where nothing has to be in it."""
    if vendor is Vendor.TENCENT:
        return re.compile(rf"(?<![0-9]){re.escape(file_id)}(?![0-9])")
    folder = posixpath.dirname(file_id).strip("/")
    return re.compile(rf"(^|/){re.escape(folder)}/") if folder else None


def _path(picture: Picture) -> str:
    return unquote(picture.url.partition("?")[0])
