"""Loads keep the options by which they were read, and how many of their rows repeat an earlier one.
Invalid rows keep the last load that had them.

Rows of an older ledger are taken as mended by nothing: their last load is the newest of their path.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_COPY = """
INSERT INTO invalid_rows (id, load_id, file_name, digest, line, "column", reason, content, last_load_id)
SELECT i.id, i.load_id, i.file_name, i.digest, i.line, i."column", i.reason, i.content,
    (SELECT max(l.id) FROM loads AS l WHERE l.path = (SELECT path FROM loads WHERE id = i.load_id))
FROM invalid_rows_before AS i ORDER BY i.id
"""


def upgrade() -> None:
    op.add_column("loads", sa.Column("options", sa.Text()))
    repeated: sa.Column[int] = sa.Column(
        "repeated", sa.Integer(), server_default=sa.text("0"), nullable=False
    )
    op.add_column("loads", repeated)
    op.rename_table("invalid_rows", "invalid_rows_before")
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
        sa.Column("last_load_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["load_id"], ["loads.id"], name="invalid_rows_load_id_fkey"),
        sa.ForeignKeyConstraint(["last_load_id"], ["loads.id"], name="invalid_rows_last_load_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="invalid_rows_pkey"),
        sa.UniqueConstraint("file_name", "digest", "reason", name="invalid_rows_file_name_digest_reason_key"),
        sqlite_autoincrement=True,
    )
    op.execute(_COPY)
    op.drop_table("invalid_rows_before")
