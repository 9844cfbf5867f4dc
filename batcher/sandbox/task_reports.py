"""DescribeMediaTask: the check of a query, and the report of a task.

`service` asks here once a call has passed the gateway and the limit. `tasks` has the state of a task; here
it gets the vendor's words and form.

Source: service documentation, "Query a task" (DescribeMediaTask).
"""

from __future__ import annotations

from datetime import UTC, datetime

from .tasks import ENDED, SandboxTask, Tasks
from .validation import Call

Json = dict[str, object]

_HUAWEI = {"FINISH": "SUCCEEDED", "FAIL": "FAILED"}


def task_problem(call: Call) -> str | None:
    """Return what is wrong with the parameters of DescribeMediaTask; None if they are valid."""
    if call.one("Vendor") not in ("Tencent", "Huawei"):
        return "Vendor must be Tencent or Huawei"
    if not call.one("TaskId") or len(call.parameters["TaskId"]) != 1:
        return "TaskId is required, once"
    return None


def task_report(tasks: Tasks, task_id: str, vendor: str, request_id: str) -> Json | None:
    """Return the vendor's part of DescribeMediaTask's answer; None if Tencent does not know the task."""
    task = tasks.get(task_id, vendor)
    if vendor == "Huawei":
        return _no_task(task_id) if task is None else _huawei_report(tasks, task)
    return None if task is None else _tencent_report(tasks, task, request_id)


def _tencent_report(tasks: Tasks, task: SandboxTask, request_id: str) -> Json:
    status = tasks.status(task)
    return {
        "TaskId": task.task_id,
        "FileId": task.file_id,
        "Event": task.type,
        "Status": status,
        "Message": tasks.problem(task) if status == "FAIL" else "success" if status == "FINISH" else "",
        "ReplayUrl": "",  # of merging and transcoding
        "ThumbnailsUrl": [url for url, _ in tasks.pictures(task)],
        "RequestId": request_id,
    }


def _huawei_report(tasks: Tasks, task: SandboxTask) -> Json:
    status = tasks.status(task)
    return {
        "TaskId": task.task_id,
        "Status": _HUAWEI.get(status, status),
        "CreateTime": _compact(task.accepted_at_s),
        "EndTime": _compact(task.accepted_at_s + tasks.time_s) if status in ENDED else "",
        "FileName": [name for name, _ in tasks.pictures(task)],
    }


def _no_task(task_id: str) -> Json:
    return {"TaskId": task_id, "Status": "NO_TASK", "CreateTime": "", "EndTime": "", "FileName": []}


def _compact(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%d%H%M%S")
