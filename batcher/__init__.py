"""batcher: an async batch job runner for thumbnails of recordings in the ZEGO cloud.

For programs: the names below are the library, and all that is promised. Each is imported on
first use.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from batcher._version import __version__

if TYPE_CHECKING:
    from batcher.api.ledger import Ledger, LedgerView, open_ledger, read_ledger
    from batcher.api.load import LoadResult
    from batcher.errors import (
        BatcherError,
        BindingError,
        LedgerBusy,
        LedgerError,
        LedgerMissing,
        LedgerTooNew,
        ManifestError,
        NotALedger,
        RunError,
        RunHalted,
        RunIncomplete,
        RunTroubled,
        SettingsError,
    )
    from batcher.exit_codes import ExitCode, RunOutcome
    from batcher.flowcontrol.rate_meter import CurrentRate
    from batcher.manifest import Defaults
    from batcher.manifest.read_options import ReadOptions
    from batcher.model.account import Account
    from batcher.model.events import Event
    from batcher.model.records import InvalidRowRecord, LoadRecord
    from batcher.model.submission import InDoubtPolicy, State
    from batcher.report.counts import Counts
    from batcher.report.export.results import Result, RowStatus
    from batcher.report.summary import RunSummary
    from batcher.submit.settings import MaxFailures, RunSettings

__all__ = [
    "Account",
    "BatcherError",
    "BindingError",
    "Counts",
    "CurrentRate",
    "Defaults",
    "Event",
    "ExitCode",
    "InDoubtPolicy",
    "InvalidRowRecord",
    "Ledger",
    "LedgerBusy",
    "LedgerError",
    "LedgerMissing",
    "LedgerTooNew",
    "LedgerView",
    "LoadRecord",
    "LoadResult",
    "ManifestError",
    "MaxFailures",
    "NotALedger",
    "ReadOptions",
    "Result",
    "RowStatus",
    "RunError",
    "RunHalted",
    "RunIncomplete",
    "RunOutcome",
    "RunSettings",
    "RunSummary",
    "RunTroubled",
    "SettingsError",
    "State",
    "__version__",
    "open_ledger",
    "read_ledger",
]

HOMES = {
    "Account": "batcher.model.account",
    "BatcherError": "batcher.errors",
    "BindingError": "batcher.errors",
    "Counts": "batcher.report.counts",
    "CurrentRate": "batcher.flowcontrol.rate_meter",
    "Defaults": "batcher.manifest",
    "Event": "batcher.model.events",
    "ExitCode": "batcher.exit_codes",
    "InDoubtPolicy": "batcher.model.submission",
    "InvalidRowRecord": "batcher.model.records",
    "Ledger": "batcher.api.ledger",
    "LedgerBusy": "batcher.errors",
    "LedgerError": "batcher.errors",
    "LedgerMissing": "batcher.errors",
    "LedgerTooNew": "batcher.errors",
    "LedgerView": "batcher.api.ledger",
    "LoadRecord": "batcher.model.records",
    "LoadResult": "batcher.api.load",
    "ManifestError": "batcher.errors",
    "MaxFailures": "batcher.submit.settings",
    "NotALedger": "batcher.errors",
    "ReadOptions": "batcher.manifest.read_options",
    "Result": "batcher.report.export.results",
    "RowStatus": "batcher.report.export.results",
    "RunError": "batcher.errors",
    "RunHalted": "batcher.errors",
    "RunIncomplete": "batcher.errors",
    "RunOutcome": "batcher.exit_codes",
    "RunSettings": "batcher.submit.settings",
    "RunSummary": "batcher.report.summary",
    "RunTroubled": "batcher.errors",
    "SettingsError": "batcher.errors",
    "State": "batcher.model.submission",
    "open_ledger": "batcher.api.ledger",
    "read_ledger": "batcher.api.ledger",
}
"""The module in which each name is defined."""

RENAMED = {
    "Exit": "ExitCode",
    "Figures": "Counts",
    "HowToRead": "ReadOptions",
    "Load": "LoadRecord",
    "Loaded": "LoadResult",
    "Notice": "Event",
    "OpenLedger": "Ledger",
    "Pace": "CurrentRate",
    "ReadLedger": "LedgerView",
    "Summary": "RunSummary",
}
"""Names of 0.1 and what they are called now; the old ones go with the next version."""


def __getattr__(name: str) -> object:
    """Import a name of the library when it is first used."""
    if name in RENAMED:
        warnings.warn(f"batcher.{name} is now batcher.{RENAMED[name]}", DeprecationWarning, stacklevel=2)
        name = RENAMED[name]
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
