"""Each load says what the numbers of its rows count: lines of a text, or rows of what has no lines.

Earlier loads are told by the names of their files.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_LOADS = sa.table("loads", sa.column("source"), sa.column("counted_by"))
_WITHOUT_LINES = ("parquet", "xlsx", "xlsm")


def upgrade() -> None:
    line = sa.text("'line'")
    op.add_column("loads", sa.Column("counted_by", sa.Text(), server_default=line, nullable=False))
    for ending in _WITHOUT_LINES:
        for pattern in (f"%.{ending}", f"%.{ending}.gz", f"%.{ending}.zst", f"%.{ending}?%"):
            named_so = sa.func.lower(_LOADS.c.source).like(pattern)
            op.execute(_LOADS.update().where(named_so).values(counted_by="row"))
