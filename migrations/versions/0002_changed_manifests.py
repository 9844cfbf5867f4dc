"""What a manifest's rows stood for when it was last read, so that the next reading can tell what has changed.

Submissions count the requests that are no longer kept one by one.

The index of troubled submissions asks a cheaper question first: it is asked of every row that is loaded.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_IS_TROUBLED = "attempts > 0 AND state IN ('rejected', 'failed', 'in_doubt')"


def upgrade() -> None:
    for name in ("appeared", "gone", "changed"):
        op.add_column("loads", sa.Column(name, sa.Integer(), nullable=True))
    op.create_table(
        "seen",
        sa.Column("load_id", sa.Integer(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("checks", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["load_id"], ["loads.id"], name=op.f("seen_load_id_fkey")),
        sa.PrimaryKeyConstraint("load_id", "page", name=op.f("seen_pkey")),
    )
    none = sa.text("0")
    op.add_column("submissions", sa.Column("pruned", sa.Integer(), server_default=none, nullable=False))
    op.drop_index("submissions_troubled", table_name="submissions")
    op.create_index(
        "submissions_troubled",
        "submissions",
        ["state", "code"],
        unique=False,
        sqlite_where=sa.text(_IS_TROUBLED),
        postgresql_where=sa.text(_IS_TROUBLED),
    )
