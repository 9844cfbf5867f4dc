"""Pictures that several fetches share: each takes some for a while, so that no two fetch the same.

Called by :class:`batcher.ledger.pictures.PictureLedger` on a database that keeps several processes apart.
What a killed fetch has taken is free again when its time is over. Fetching one twice does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence

from batcher.ledger.connection import Connection
from batcher.ledger.shared_runs import NOW_MS

TAKEN_FOR_MS = 900_000
"""How long a fetch has the pictures that it took: longer than a few dozen downloads last."""

TAKEN_TOGETHER = 64
"""Pictures that a fetch takes at a time."""

_TAKE = f"""
WITH next AS MATERIALIZED (
    SELECT k.submission_id, k.number FROM pictures AS k JOIN tasks AS t ON t.submission_id = k.submission_id
    WHERE k.state IS NULL AND {{confirmed}} AND (k.submission_id, k.number) > (:after_id, :after_number)
        AND coalesce(k.taken_until_ms, 0) <= {NOW_MS}{{of_recordings}}
    ORDER BY k.submission_id, k.number LIMIT :limit FOR UPDATE OF k SKIP LOCKED)
UPDATE pictures SET taken_until_ms = {NOW_MS} + :for_ms FROM next
WHERE pictures.submission_id = next.submission_id AND pictures.number = next.number
RETURNING pictures.submission_id, pictures.number
"""  # noqa: S608 - ours

_RELEASE = """
UPDATE pictures SET taken_until_ms = NULL
FROM json_to_recordset(:places) AS item (id BIGINT, number INTEGER)
WHERE pictures.submission_id = item.id AND pictures.number = item.number
"""


def take(
    connection: Connection,
    after: tuple[int, int],
    confirmed: str,
    of_recordings: str,
    values: dict[str, object],
) -> list[tuple[int, int]]:
    """Take the next pictures that no other fetch has; returns their places.

    Args:
        connection: within a transaction.
        after: the place after which to look.
        confirmed: the condition on the tasks of pictures that may be fetched.
        of_recordings: the condition on their recordings, if any.
        values: the parameters of that condition.
    """
    query = _TAKE.format(confirmed=confirmed, of_recordings=of_recordings)
    place = {"after_id": after[0], "after_number": after[1]}
    rows = connection.rows(query, limit=TAKEN_TOGETHER, for_ms=TAKEN_FOR_MS, **place, **values)
    return sorted((row.submission_id, row.number) for row in rows)


def release(connection: Connection, places: Sequence[tuple[int, int]]) -> None:
    """Let other fetches have pictures that were taken and not fetched."""
    connection.run(_RELEASE, places=[{"id": id_, "number": number} for id_, number in places])
