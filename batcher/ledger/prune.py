"""Pruning: attempts that nobody has to look at any more leave the ledger; what they add up to stays.

Stands beside the writer, in whose transactions it happens, a page of submissions at a time. It never
touches a submission that is still open, and no export, tally or decision changes by it. Loads, runs and
invalid rows stay: they are few, and what is new is known by them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from batcher.ledger.connection import Connection
from batcher.model.records import Attempt, Record
from batcher.model.submission import SubmissionId

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was pruned, or would be."""

    attempts: int = 0
    submissions: int = 0


@dataclass(frozen=True, slots=True)
class Surplus:
    """Attempts of one submission that may go."""

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


class Attempted(Protocol):
    """What is asked of the ledger."""

    async def records_of_many_attempts(self, *, after_id: int, limit: int) -> list[Record]:
        """Submissions that have ended after more than one attempt, in order."""


async def prune(
    ledger: Attempted, before: datetime, forget: Callable[[Sequence[Surplus]], Awaitable[None]] | None
) -> Pruned:
    """Go through the attempts begun before a time, and let go of what is surplus, page by page.

    Args:
        ledger: where they are found.
        before: what is younger stays.
        forget: lets go of some; None when they are only to be counted.

    Raises:
        LedgerError: the ledger cannot be written; what was pruned so far is.
    """
    found, last = Pruned(), 0
    while page := await ledger.records_of_many_attempts(after_id=last, limit=PAGE):
        some = [
            Surplus(record.id, superfluous) for record in page if (superfluous := record.superfluous(before))
        ]
        if some and forget is not None:
            await forget(some)
        found = Pruned(found.attempts + sum(len(one.attempts) for one in some), found.submissions + len(some))
        last = page[-1].id
    return found


def forget(connection: Connection, items: Sequence[Sequence[Surplus]]) -> list[None]:
    """Let go of attempts, and keep how many requests they were."""
    for page in items:
        gone = [
            {"id": one.submission_id, "number": attempt.number} for one in page for attempt in one.attempts
        ]
        left = [
            {"id": one.submission_id, "n": sum(attempt.may_have_left for attempt in one.attempts)}
            for one in page
        ]
        connection.run(_DELETE, items=gone)
        connection.run(_COUNT, items=left)
    return [None] * len(items)
