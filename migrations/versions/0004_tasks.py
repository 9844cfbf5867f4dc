"""What becomes of tasks: their states, their pictures, and what callbacks have said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TASK_STATES = "'waiting', 'processing', 'finished', 'failed', 'unknown'"
_PICTURE_STATES = "'whole', 'blank', 'black', 'broken', 'refused', 'missing'"
_VENDORS = "'Tencent', 'Huawei'"
_EFFECTS = (
    "'claimed', 'open', 'checked', 'settled', 'double', 'denied', 'stranger', 'ambiguous', 'added', 'known', "
    "'unusable', 'noted'"
)
_ZERO = sa.text("0")


def upgrade() -> None:
    tracked: sa.Column[bool] = sa.Column(
        "tracked", sa.Boolean(create_constraint=False), server_default=_ZERO, nullable=False
    )
    op.add_column("submissions", tracked)
    op.add_column("loads", sa.Column("digest", sa.Text()))
    untracked = sa.text("state = 'submitted' AND NOT tracked")
    op.create_index("submissions_untracked", "submissions", ["id"], sqlite_where=untracked)
    op.create_table(
        "tasks",
        sa.Column("submission_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("status", sa.Text()),
        sa.Column("message", sa.Text()),
        sa.Column("request_id", sa.Text()),
        sa.Column("submitted_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("polls", sa.Integer(), server_default=_ZERO, nullable=False),
        sa.Column("polled_at_ms", sa.BigInteger()),
        sa.Column("due_at_ms", sa.BigInteger()),
        sa.Column("started_at_ms", sa.BigInteger()),
        sa.Column("ended_at_ms", sa.BigInteger()),
        sa.Column("closed_at_ms", sa.BigInteger()),
        sa.Column("claimed_at_ms", sa.BigInteger()),
        sa.Column("pictures", sa.Integer(), server_default=_ZERO, nullable=False),
        sa.CheckConstraint(
            "(due_at_ms IS NULL) = (closed_at_ms IS NOT NULL)", name="tasks_due_until_closed_check"
        ),
        sa.CheckConstraint(f"state IN ({_TASK_STATES})", name="tasks_state_check"),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"], name="tasks_submission_id_fkey"),
        sa.PrimaryKeyConstraint("submission_id", name="tasks_pkey"),
    )
    op.create_index("tasks_task_id", "tasks", ["task_id"])
    op.create_index("tasks_due", "tasks", ["due_at_ms"], sqlite_where=sa.text("due_at_ms IS NOT NULL"))
    troubled = sa.text("state IN ('failed', 'unknown') AND closed_at_ms IS NOT NULL")
    op.create_index("tasks_troubled", "tasks", ["closed_at_ms"], sqlite_where=troubled)
    claimed = sa.text("claimed_at_ms IS NOT NULL AND due_at_ms IS NOT NULL")
    op.create_index("tasks_claimed", "tasks", ["due_at_ms"], sqlite_where=claimed)
    op.create_table(
        "pictures",
        sa.Column("submission_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("offset_ms", sa.Integer()),
        sa.Column("state", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("tries", sa.Integer(), server_default=_ZERO, nullable=False),
        sa.Column("file", sa.Text()),
        sa.Column("bytes", sa.Integer()),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("fetched_at_ms", sa.BigInteger()),
        sa.CheckConstraint(f"state IN ({_PICTURE_STATES})", name="pictures_state_check"),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["tasks.submission_id"], name="pictures_submission_id_fkey"
        ),
        sa.PrimaryKeyConstraint("submission_id", "number", name="pictures_pkey"),
        sqlite_with_rowid=False,
    )
    unfetched = sa.text("state IS NULL")
    op.create_index("pictures_unfetched", "pictures", ["submission_id", "number"], sqlite_where=unfetched)
    op.create_table(
        "callbacks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("vendor", sa.Text()),
        sa.Column("task_id", sa.Text()),
        sa.Column("file_id", sa.Text()),
        sa.Column("submission_id", sa.Integer()),
        sa.Column("effect", sa.Text(), nullable=False),
        sa.Column("held", sa.Boolean(create_constraint=False), server_default=_ZERO, nullable=False),
        sa.Column("tries", sa.Integer(), server_default=_ZERO, nullable=False),
        sa.Column("due_at_ms", sa.BigInteger()),
        sa.Column("content", sa.Text()),
        sa.CheckConstraint(f"vendor IN ({_VENDORS})", name="callbacks_vendor_check"),
        sa.CheckConstraint(f"effect IN ({_EFFECTS})", name="callbacks_effect_check"),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"], name="callbacks_submission_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="callbacks_pkey"),
        sa.UniqueConstraint("nonce", "timestamp", name="callbacks_nonce_timestamp_key"),
        sqlite_autoincrement=True,
    )
    due = sa.text("due_at_ms IS NOT NULL")
    op.create_index("callbacks_due", "callbacks", ["due_at_ms"], sqlite_where=due)
    op.create_table(
        "task_tallies",
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("told", sa.Integer(), server_default=_ZERO, nullable=False),
        sa.CheckConstraint("n >= 0", name="task_tallies_n_not_negative_check"),
        sa.PrimaryKeyConstraint("state", name="task_tallies_pkey"),
        sqlite_with_rowid=False,
    )
