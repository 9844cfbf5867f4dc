"""batcher: an async batch job runner for thumbnails of recordings in the ZEGO cloud.

For programs: the names below are the library, and are what is promised; :mod:`batcher.api` documents them.
Nothing of it is imported before one of them is asked for.
"""

import warnings
from typing import TYPE_CHECKING

from batcher._version import __version__

if TYPE_CHECKING:
    from batcher.api import (
        Account,
        BatcherError,
        BindingError,
        CallbackRefused,
        CallbackTaken,
        ClaimChecked,
        Counts,
        CurrentRate,
        Defaults,
        DefectMet,
        Event,
        ExitCode,
        Halted,
        InDoubtPolicy,
        InvalidRowRecord,
        Ledger,
        LedgerBusy,
        LedgerError,
        LedgerHeld,
        LedgerMissing,
        LedgerTooNew,
        LedgerView,
        LoadRecord,
        LoadResult,
        ManifestError,
        MaxFailures,
        NotALedger,
        NotSubmitted,
        OutageBegan,
        OutageOver,
        PaceChanged,
        PassedOver,
        Progress,
        ReadOptions,
        Rejected,
        Result,
        RowStatus,
        RunError,
        RunHalted,
        RunIncomplete,
        RunOutcome,
        RunSettings,
        RunStarted,
        RunSummary,
        RunTroubled,
        SendingPaused,
        SettingsError,
        State,
        Submitted,
        open_ledger,
        read_ledger,
    )

__all__ = [
    "Account",
    "BatcherError",
    "BindingError",
    "CallbackRefused",
    "CallbackTaken",
    "ClaimChecked",
    "Counts",
    "CurrentRate",
    "Defaults",
    "DefectMet",
    "Event",
    "ExitCode",
    "Halted",
    "InDoubtPolicy",
    "InvalidRowRecord",
    "Ledger",
    "LedgerBusy",
    "LedgerError",
    "LedgerHeld",
    "LedgerMissing",
    "LedgerTooNew",
    "LedgerView",
    "LoadRecord",
    "LoadResult",
    "ManifestError",
    "MaxFailures",
    "NotALedger",
    "NotSubmitted",
    "OutageBegan",
    "OutageOver",
    "PaceChanged",
    "PassedOver",
    "Progress",
    "ReadOptions",
    "Rejected",
    "Result",
    "RowStatus",
    "RunError",
    "RunHalted",
    "RunIncomplete",
    "RunOutcome",
    "RunSettings",
    "RunStarted",
    "RunSummary",
    "RunTroubled",
    "SendingPaused",
    "SettingsError",
    "State",
    "Submitted",
    "__version__",
    "open_ledger",
    "read_ledger",
]


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
    """Import the library with the first of its names that is used."""
    if name in RENAMED:
        warnings.warn(f"batcher.{name} is now batcher.{RENAMED[name]}", DeprecationWarning, stacklevel=2)
        name = RENAMED[name]
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from batcher import api

    value: object = getattr(api, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
