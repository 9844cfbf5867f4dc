"""Tallies tell every code from no code; ends of loads, attempts by task id, and possible
doubles have indexes.

The tallies are counted anew: in an older ledger a code of -1 and no code were one tally.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_COUNTED = """
INSERT INTO tallies (state, code, run_id, coded, n)
SELECT state, coalesce(code, -1), coalesce(run_id, 0), code IS NOT NULL, count(*)
FROM submissions GROUP BY 1, 2, 3, 4
"""


def upgrade() -> None:
    op.drop_table("tallies")
    coded: sa.Column[bool] = sa.Column(
        "coded", sa.Boolean(create_constraint=False), server_default=sa.text("0"), nullable=False
    )
    op.create_table(
        "tallies",
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        coded,
        sa.Column("n", sa.Integer(), nullable=False),
        sa.CheckConstraint("n >= 0", name="tallies_n_not_negative_check"),
        sa.PrimaryKeyConstraint("state", "code", "run_id", "coded", name="tallies_pkey"),
        sqlite_with_rowid=False,
    )
    op.execute(_COUNTED)
    ended, unended = sa.text("ended_at_ms IS NOT NULL"), sa.text("ended_at_ms IS NULL")
    op.create_index("loads_ended", "loads", ["path", "id"], sqlite_where=ended)
    op.create_index("loads_unended", "loads", ["path", "id"], sqlite_where=unended)
    named = sa.text("task_id IS NOT NULL")
    op.create_index("attempts_task_id", "attempts", ["task_id"], sqlite_where=named)
    possibly_twice = sa.text("doubted AND state = 'submitted'")
    op.create_index("submissions_possibly_twice", "submissions", ["id"], sqlite_where=possibly_twice)
