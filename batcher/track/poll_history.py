"""History of polls: how often in a row the service did not report a task, and which task it last reported.

Kept by the tracker in memory, and fed with every outcome; :func:`batcher.track.poll_policy.judge` takes its
counts. It reads no clock and decides nothing.
"""

from __future__ import annotations

import math

from batcher.ledger.tasks import Followed
from batcher.model.outcome import NotReported
from batcher.model.submission import SubmissionId, TaskId, Vendor
from batcher.model.task import TaskReport
from batcher.track.poll_policy import BELIEVED_AFTER_S, Missed, is_miss
from batcher.zego.describe_task import NO_TASK


class PollHistory:
    """Counts of polls, by task."""

    def __init__(self) -> None:
        self.reports = 0
        """Reports of all tasks."""
        self.known_task: tuple[TaskId, Vendor] | None = None
        """The task that the service reported last."""
        self._reported_at_ms = -math.inf
        self._missed: dict[SubmissionId, Missed] = {}

    def add(self, task: Followed, outcome: TaskReport | NotReported, *, answers: int, now_ms: int) -> Missed:
        """Count one outcome; return the counts of its task, this outcome included.

        Args:
            task: as it was when it was polled.
            outcome: of the poll.
            answers: answers to all polls so far, this one excluded.
            now_ms: Unix milliseconds.
        """
        if is_miss(outcome):
            missed = self._add_miss(task, now_ms)
        elif isinstance(outcome, TaskReport):
            self._missed.pop(task.id, None)
            self.reports, self._reported_at_ms = self.reports + 1, now_ms
            self.known_task = task.task_id, task.vendor
            return Missed(0, 0)
        else:
            missed = self._add_refusal(task, answers)
        self._missed[task.id] = missed
        return missed

    def forget(self, task: Followed) -> None:
        """Drop the counts of a task that has ended."""
        self._missed.pop(task.id, None)

    def _add_miss(self, task: Followed, now_ms: int) -> Missed:
        """Count in a row; a miss that an earlier tracker has recorded counts once."""
        before = self._missed.get(task.id) or Missed(0, 0)
        if not before.times:
            recorded = (task.status or "").startswith((NO_TASK, "code ", "HTTP "))
            lately = now_ms - self._reported_at_ms < BELIEVED_AFTER_S * 1000
            before = before._replace(times=int(recorded), reports_before=self.reports - lately)
        return before._replace(times=before.times + 1)

    def _add_refusal(self, task: Followed, answers: int) -> Missed:
        before = self._missed.get(task.id) or Missed(0, 0)
        return before._replace(
            refused=before.refused + (answers > before.answers_before),
            answers_before=answers,
            in_a_row=before.in_a_row + 1,
        )
