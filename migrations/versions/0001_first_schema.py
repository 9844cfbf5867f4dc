"""The first schema: what was asked, what came back, and where the work came from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "binding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.CheckConstraint("place IN ('zego', 'other')", name=op.f("binding_place_check")),
        sa.CheckConstraint("id = 1", name=op.f("binding_single_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("binding_pkey")),
    )
    op.create_table(
        "loads",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("rows", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("new", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("duplicates", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("invalid", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("rows = new + duplicates + invalid", name=op.f("loads_adds_up_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("loads_pkey")),
    )
    op.create_index(op.f("loads_path"), "loads", ["path"], unique=False)
    op.create_table(
        "parameters",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("vendor", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("interval", sa.Text(), nullable=False),
        sa.Column("offsets", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "type IN ('SnapshotByTimeOffset', 'SampleSnapshot')", name=op.f("parameters_type_check")
        ),
        sa.CheckConstraint("vendor IN ('Tencent', 'Huawei')", name=op.f("parameters_vendor_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("parameters_pkey")),
        sa.UniqueConstraint(
            "vendor",
            "type",
            "definition",
            "interval",
            "offsets",
            name=op.f("parameters_vendor_type_definition_interval_offsets_key"),
        ),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("rate_per_s", sa.Float(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("pace_per_s", sa.Float(), nullable=True),
        sa.Column("why_slow", sa.Text(), nullable=True),
        sa.Column("invalid_rows_seen", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("runs_pkey")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tallies",
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.CheckConstraint("n >= 0", name=op.f("tallies_n_not_negative_check")),
        sa.PrimaryKeyConstraint("state", "code", "run_id", name=op.f("tallies_pkey")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "invalid_rows",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("load_id", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("column", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["load_id"], ["loads.id"], name=op.f("invalid_rows_load_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("invalid_rows_pkey")),
        sa.UniqueConstraint(
            "file_name", "digest", "reason", name=op.f("invalid_rows_file_name_digest_reason_key")
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "submissions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("parameters_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tries_busy", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tries_unknown", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tries_doubt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("doubted", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("not_before_ms", sa.BigInteger(), nullable=True),
        sa.Column("load_id", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("extra", sa.Text(), nullable=True),
        sa.CheckConstraint("file_id <> ''", name=op.f("submissions_file_id_given_check")),
        sa.CheckConstraint(
            "not_before_ms IS NULL OR state = 'pending'", name=op.f("submissions_not_before_is_pending_check")
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'sending', 'submitted', 'rejected', 'failed', 'in_doubt')",
            name=op.f("submissions_state_check"),
        ),
        sa.ForeignKeyConstraint(["load_id"], ["loads.id"], name=op.f("submissions_load_id_fkey")),
        sa.ForeignKeyConstraint(
            ["parameters_id"], ["parameters.id"], name=op.f("submissions_parameters_id_fkey")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("submissions_run_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("submissions_pkey")),
        sa.UniqueConstraint("file_id", "parameters_id", name=op.f("submissions_file_id_parameters_id_key")),
    )
    op.create_index(
        "submissions_delayed",
        "submissions",
        ["not_before_ms"],
        unique=False,
        sqlite_where=sa.text("not_before_ms IS NOT NULL"),
        postgresql_where=sa.text("not_before_ms IS NOT NULL"),
    )
    op.create_index(
        "submissions_open",
        "submissions",
        ["tries_doubt", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "submissions_sending",
        "submissions",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'sending'"),
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.create_index(
        "submissions_troubled",
        "submissions",
        ["state", "code"],
        unique=False,
        sqlite_where=sa.text("state IN ('rejected', 'failed', 'in_doubt')"),
        postgresql_where=sa.text("state IN ('rejected', 'failed', 'in_doubt')"),
    )
    op.create_table(
        "attempts",
        sa.Column("submission_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("begun_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sent_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("answered_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("task_id", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("vendor_request_id", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(decision = 'submitted') = (task_id IS NOT NULL)",
            name=op.f("attempts_submitted_has_task_id_check"),
        ),
        sa.CheckConstraint(
            "decision IN ('submitted', 'again', 'rejected', 'failed', 'in_doubt', 'slow_down', 'halt', "
            "'probe')",
            name=op.f("attempts_decision_check"),
        ),
        sa.CheckConstraint(
            "outcome IN ('answer', 'http_refusal', 'reply_lost', 'not_sent')",
            name=op.f("attempts_outcome_check"),
        ),
        sa.CheckConstraint(
            "(outcome IS NULL) = (decision IS NULL)", name=op.f("attempts_settled_whole_check")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("attempts_run_id_fkey")),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["submissions.id"], name=op.f("attempts_submission_id_fkey")
        ),
        sa.PrimaryKeyConstraint("submission_id", "number", name=op.f("attempts_pkey")),
        sqlite_with_rowid=False,
    )
