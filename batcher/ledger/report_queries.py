"""A survey of a whole ledger at one moment: everything that its report is drawn from.

Called by ``report``. All of it is read in one transaction, so that its numbers belong to one moment also
during a run.
"""

from __future__ import annotations

from typing import Self

from batcher.ledger.queries import cases, history
from batcher.ledger.reader import LedgerReader, asked, open_reads
from batcher.model.ledger_name import LedgerName


class Survey(LedgerReader):
    """A ledger at one moment. Open it with :meth:`open`; use it as an async context manager."""

    @classmethod
    async def open(cls, name: LedgerName) -> Self:
        """Open an existing ledger, and upgrade an older one's schema first.

        Raises:
            LedgerError: there is no ledger, it is something else, from a newer version, or cannot be read.
            LedgerBusy: it must be upgraded and a run of an older version holds it.
        """
        survey = cls(await open_reads(name))
        await survey.reads.begin()
        return survey

    task_tallies = asked(history.task_states)
    history = asked(history.history)
    troubled = asked(cases.troubled)
    doubted = asked(cases.doubted)
    tasks_without_pictures = asked(cases.tasks_without_pictures)
    pictured = asked(cases.pictured)
