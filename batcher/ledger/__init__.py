"""The ledger: the only truth about what was asked and what came back."""

from batcher.ledger.loading import Added
from batcher.ledger.opening import ledger_path
from batcher.ledger.reader import LedgerReader, open_for_reading
from batcher.ledger.store import Ledger, open_for_writing

__all__ = [
    "Added",
    "Ledger",
    "LedgerReader",
    "ledger_path",
    "open_for_reading",
    "open_for_writing",
]
