"""The audit of a ledger: the rows counted and compared with the tallies; works while a run writes.

Called by programs and by ``batcher audit``. Reads the whole ledger in a thread.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from batcher.config.ledger_names import ledger_named
from batcher.exit_codes import ExitCode
from batcher.ledger.audit_queries import audited
from batcher.ledger.reader import open_for_reading
from batcher.model.audit import Counted
from batcher.model.ledger_name import LedgerName
from batcher.report.audit_page import balance


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit."""

    ledger: LedgerName
    counted: Counted
    problems: tuple[str, ...]
    """Everything that does not add up."""

    @property
    def exit_code(self) -> ExitCode:
        """``TROUBLE`` if something does not add up."""
        return ExitCode.TROUBLE if self.problems else ExitCode.DONE


async def audit_ledger(path: str | os.PathLike[str], *, cases: int = 10) -> Audit:
    """Count everything in a ledger, and compare it with the tallies.

    Args:
        path: the ledger.
        cases: how many cases of each kind to name, with their RequestIds.

    Raises:
        LedgerMissing: there is no ledger.
        LedgerError: it cannot be read.
    """
    place = ledger_named(path)
    async with await open_for_reading(place):
        pass  # upgrades an older schema, which the queries below do not know
    counted = await asyncio.to_thread(audited, place, cases)
    return Audit(place, counted, tuple(balance(counted)))
