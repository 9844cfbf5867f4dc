"""Tasks that are polled, and the outcomes of their polls."""

from __future__ import annotations

from batcher.ledger.tasks import Followed
from batcher.model.outcome import NotReported
from batcher.model.submission import FileId, SubmissionId, TaskId, Vendor
from batcher.model.task import Picture, TaskReport, TaskState

SUBMITTED_MS = 1_700_000_000_000
FINISHED = TaskReport(TaskState.FINISHED, "FINISH", pictures=(Picture("http://a/1.jpg"),))
FAILED = TaskReport(TaskState.FAILED, "FAIL", "decoding failed")
PROCESSING = TaskReport(TaskState.PROCESSING, "PROCESSING")
NO_TASK = TaskReport(TaskState.UNKNOWN, "NO_TASK")
STRANGE = TaskReport(TaskState.UNKNOWN, "PAUSED")

Outcome = TaskReport | NotReported


def task(id_: int = 1, *, polls: int = 0, claimed_at_ms: int | None = None) -> Followed:
    """A task that is tracked."""
    return Followed(
        SubmissionId(id_),
        SUBMITTED_MS + 2000,
        TaskId(f"task-{id_}"),
        FileId(f"{id_}"),
        Vendor.HUAWEI,
        None,
        SUBMITTED_MS,
        polls,
        claimed_at_ms,
    )
