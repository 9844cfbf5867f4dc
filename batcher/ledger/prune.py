"""Pruning: deleting attempts that no export, tally or decision needs; their number is kept.

Called by ``ledger prune``; the writer deletes, a page of submissions in each transaction. It never
touches a submission that is still open, and no export, tally or decision changes by it. Loads, runs and
invalid rows stay: they are few, and later loads are compared with them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from batcher.ledger.connection import Connection
from batcher.ledger.reader import LedgerReader
from batcher.model.records import Attempt
from batcher.model.submission import SubmissionId

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Pruned:
    """The amount that was pruned, or would be."""

    attempts: int = 0
    submissions: int = 0


@dataclass(frozen=True, slots=True)
class Prunable:
    """Attempts of one submission that may be deleted."""

    submission_id: SubmissionId
    attempts: Sequence[Attempt]


_DELETE = """
DELETE FROM attempts WHERE (submission_id, number) IN
    (SELECT item.id, item.number FROM json_to_recordset(:items) AS item (id BIGINT, number INTEGER))
"""

_COUNT = """
UPDATE submissions SET pruned = pruned + item.n
FROM json_to_recordset(:items) AS item (id BIGINT, n INTEGER) WHERE submissions.id = item.id
"""


async def prune(
    ledger: LedgerReader, before: datetime, forget: Callable[[Sequence[Prunable]], Awaitable[None]] | None
) -> Pruned:
    """Delete the attempts begun before a time that are no longer needed, page by page.

    Args:
        ledger: where they are found.
        before: younger attempts stay.
        forget: deletes attempts; None when they are only counted.

    Raises:
        LedgerError: the ledger cannot be written; what was pruned so far is.
    """
    found, last = Pruned(), 0
    while page := await ledger.records_of_many_attempts(after_id=last, limit=PAGE):
        prunable = [
            Prunable(record.id, superfluous) for record in page if (superfluous := record.superfluous(before))
        ]
        if prunable and forget is not None:
            await forget(prunable)
        n_attempts = sum(len(one.attempts) for one in prunable)
        found = Pruned(found.attempts + n_attempts, found.submissions + len(prunable))
        last = page[-1].id
    return found


def forget(connection: Connection, page: Sequence[Prunable]) -> None:
    """Delete attempts, and keep how many requests they were."""
    gone = [{"id": one.submission_id, "number": attempt.number} for one in page for attempt in one.attempts]
    left = [
        {"id": one.submission_id, "n": sum(attempt.may_have_left for attempt in one.attempts)} for one in page
    ]
    connection.run(_DELETE, items=gone)
    connection.run(_COUNT, items=left)
