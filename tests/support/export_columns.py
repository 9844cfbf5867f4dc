"""The columns of an export."""

from __future__ import annotations

COLUMNS = [
    "file_id",
    "vendor",
    "type",
    "definition",
    "interval",
    "offsets",
    "status",
    "task_id",
    "code",
    "message",
    "request_id",
    "attempts",
    "first_sent_at",
    "last_answer_at",
    "source",
    "line",
    "possibly_twice",
]
