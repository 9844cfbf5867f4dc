"""The tallies' own statements, within the transaction that moves the submissions."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import bindparam, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from batcher.errors import IllegalMove
from batcher.ledger.tables import NO_CODE, NO_RUN, tallies
from batcher.model import State

Key = tuple[State, int | None, int | None]
"""What a tally counts by: state, last definite code, run that last settled."""

_GAIN = upsert(tallies)
_GAIN = _GAIN.on_conflict_do_update(
    index_elements=["state", "code", "run_id"], set_={"n": tallies.c.n + _GAIN.excluded.n}
)
_LOSE = (
    update(tallies)
    .where(
        tallies.c.state == bindparam("from_state"),
        tallies.c.code == bindparam("from_code"),
        tallies.c.run_id == bindparam("from_run"),
    )
    .values(n=tallies.c.n - bindparam("lost"))
)


async def tally(connection: AsyncConnection, changes: Counter[Key]) -> None:
    """Let the tallies follow; one that would fall below zero breaks a constraint."""
    gained, lost = [], []
    for (state, code, run), n in changes.items():
        code, run = NO_CODE if code is None else code, NO_RUN if run is None else run
        if n > 0:
            gained.append({"state": state, "code": code, "run_id": run, "n": n})
        elif n < 0:
            lost.append({"from_state": state, "from_code": code, "from_run": run, "lost": -n})
    if gained:
        await connection.execute(_GAIN, gained)
    if lost:
        result = await connection.execute(_LOSE, lost)
        if result.rowcount != len(lost):
            raise IllegalMove("submissions were moved from where the tallies know of none")
