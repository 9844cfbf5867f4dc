"""Evidence about the recording that a task belongs to, in the service's answer and in a callback. Pure.

Called by :mod:`batcher.callbacks.confirmer` and :mod:`batcher.ledger.callback_events`. A callback's signature
does not cover the task and the recording that it names. A poll's answer comes from the service itself, so it
decides whether a claim may settle a doubt. A callback whose own pictures belong to another recording is not
even polled for.

Source: ZEGO server API, "Query the status of a media processing task" (``FileId``; ``Event``, which may be
merging or transcoding; the paths of a task's pictures contain Tencent's FileId or the folder of Huawei's
object).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from enum import Enum
from urllib.parse import unquote

from batcher.model.submission import FileId, Vendor
from batcher.model.task import Picture, TaskReport, TaskState


class Evidence(Enum):
    """Evidence about whether a task belongs to a recording."""

    FOR = "for"
    """The answer names the recording, or its pictures are in the recording's folder."""
    AGAINST = "against"
    """The answer names another recording or another kind of task, or its pictures are in another folder."""
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
    if report.event and _SNAPSHOT not in report.event.lower():
        return Evidence.AGAINST
    if report.file_id is not None:
        agrees = _same(report.file_id, file_id) and not contradict(report.pictures, file_id, vendor)
        return Evidence.FOR if agrees else Evidence.AGAINST
    if report.pictures and (part := _part_of_paths(file_id, vendor)):
        return Evidence.FOR if _any_path(part, report.pictures) else Evidence.AGAINST
    is_open = report.state in (TaskState.WAITING, TaskState.PROCESSING)
    return Evidence.LATER if is_open else Evidence.NONE


def contradict(pictures: Iterable[Picture], file_id: FileId, vendor: Vendor) -> bool:
    """Return whether the paths of pictures name another recording, and none of them names this one.

    Weaker than the evidence of a poll: a path that names no recording at all contradicts nothing.
    """
    pictures = tuple(pictures)
    part, other = _part_of_paths(file_id, vendor), _TENCENT_ID if vendor is Vendor.TENCENT else _FOLDER
    return part is not None and not _any_path(part, pictures) and _any_path(other, pictures)


_SNAPSHOT = "snapshot"
"""Part of the name of every event of a snapshot task: ``SnapshotByTimeOffset``, ``SampleSnapshot``."""

_TENCENT_ID = re.compile(r"(?<![0-9A-Za-z])[0-9]{18,20}(?![0-9A-Za-z])")
_FOLDER = re.compile(r"[^/]/")
_HOST = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/]*")


def _any_path(part: re.Pattern[str], pictures: Iterable[Picture]) -> bool:
    return any(part.search(_path(picture)) for picture in pictures)


def _same(one: str, other: str) -> bool:
    return one.lstrip("/") == other.lstrip("/")


def _part_of_paths(file_id: FileId, vendor: Vendor) -> re.Pattern[str] | None:
    """Return the part that the path of every picture of a recording contains; None if there is none."""
    if vendor is Vendor.TENCENT:
        return re.compile(rf"(?<![0-9]){re.escape(file_id)}(?![0-9])")
    folder = posixpath.dirname(file_id).strip("/")
    return re.compile(rf"(^|/){re.escape(folder)}/") if folder else None


def _path(picture: Picture) -> str:
    """Return the path of a picture's address, or the name of its object, without the host."""
    return unquote(_HOST.sub("", picture.url.partition("?")[0]))
