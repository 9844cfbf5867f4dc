"""Evidence in the service's answer about the recording that a task belongs to. Pure.

Called by :mod:`batcher.callbacks.confirmer`. A callback's signature does not cover the task and the
recording that it names. A poll's answer comes from the service itself, so it decides whether a claim may
settle a doubt.

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
    """Evidence about whether a task belongs to a recording."""

    FOR = "for"
    """The answer names the recording, or its pictures are in the recording's folder."""
    AGAINST = "against"
    """The answer names another recording, or its pictures are in another folder."""
    LATER = "later"
    """No evidence yet: the task is not finished."""
    NONE = "none"
    """No evidence, and none will come."""


def evidence_of(report: TaskReport, file_id: FileId, vendor: Vendor) -> Evidence:
    """Return whether a report is about a task of a recording.

    Args:
        report: the service's answer about the task.
        file_id: the recording that a callback named for the task.
        vendor: the vendor of the recording.
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
    """Return the part that the path of every picture of a recording contains; None if there is none."""
    if vendor is Vendor.TENCENT:
        return re.compile(rf"(?<![0-9]){re.escape(file_id)}(?![0-9])")
    folder = posixpath.dirname(file_id).strip("/")
    return re.compile(rf"(^|/){re.escape(folder)}/") if folder else None


def _path(picture: Picture) -> str:
    return unquote(picture.url.partition("?")[0])
