"""Several runs may share a ledger: leases, shares and duties. Submissions may be cancelled.

SQLite keeps the text of a table's definition. The list of states is replaced in that text, as SQLite's
documentation describes it for checks: the rows stay as they are, also of a table of millions.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_STATES = "('pending', 'sending', 'submitted', 'rejected', 'failed', 'in_doubt')"
_MORE_STATES = _STATES.removesuffix(")") + ", 'cancelled')"


def upgrade() -> None:
    for name in ("halted_at_ms", "held_until_ms"):
        op.add_column("binding", sa.Column(name, sa.BigInteger()))
    op.add_column("binding", sa.Column("halted_why", sa.Text()))
    op.add_column("runs", _counter("seq", sa.BigInteger()))
    op.add_column("runs", sa.Column("leased_until_ms", sa.BigInteger()))
    op.add_column("runs", sa.Column("lost_at_ms", sa.BigInteger()))
    op.add_column("runs", _counter("share", sa.Integer()))
    op.add_column("runs", _counter("held", sa.Integer()))
    op.add_column("runs", sa.Column("wanted", sa.Integer()))
    op.add_column("runs", sa.Column("process", sa.Text()))
    op.execute(
        "ALTER TABLE loads ADD COLUMN run_id INTEGER CONSTRAINT loads_run_id_fkey REFERENCES runs (id)"
    )
    op.add_column("loads", _counter("batches", sa.Integer()))
    op.add_column("pictures", sa.Column("taken_until_ms", sa.BigInteger()))
    op.create_table(
        "duties",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("leased_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="duties_pkey"),
        sqlite_with_rowid=False,
    )
    _allow_cancelled()


def _counter(name: str, kind: sa.types.TypeEngine[int]) -> sa.Column[int]:
    return sa.Column(name, kind, server_default=sa.text("0"), nullable=False)


def _allow_cancelled() -> None:
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    replaced = connection.execute(
        sa.text(
            "UPDATE sqlite_master SET sql = replace(sql, :before, :after) "
            "WHERE type = 'table' AND name = 'submissions' AND instr(sql, :before) > 0"
        ),
        {"before": _STATES, "after": _MORE_STATES},
    )
    if replaced.rowcount != 1:
        raise RuntimeError("the definition of submissions has no list of states")
    connection.exec_driver_sql(f"PRAGMA schema_version = {int(version) + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
