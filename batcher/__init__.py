"""batcher: an async batch job runner for thumbnails of recordings in the ZEGO cloud.

For programs: the names below are the library, and all that is promised. Each is imported on
first use.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from batcher._version import __version__

if TYPE_CHECKING:
    from batcher.api.discover import Discovery, DiscoveryFilter, DiscoveryProgress, RecordingPage
    from batcher.api.fetch import PictureFetch
    from batcher.api.ledger import Ledger, LedgerView, LoadResult, open_ledger, read_ledger
    from batcher.api.listen import CallbackListener, ListenSettings
    from batcher.api.verify_ids import IdFault, IdVerification, KnownRecordings
    from batcher.errors import (
        BatcherError,
        BindingError,
        FolderError,
        LedgerBusy,
        LedgerError,
        LedgerMissing,
        LedgerTooNew,
        ManifestError,
        NotALedger,
        Refused,
        SettingsError,
    )
    from batcher.exit_codes import ExitCode
    from batcher.flowcontrol.rate_meter import CurrentRate
    from batcher.manifest import Defaults
    from batcher.manifest.read_options import ReadOptions
    from batcher.model.events import Event, FetchProgress, ListeningStarted
    from batcher.model.records import InvalidRowRecord, LoadRecord
    from batcher.model.submission import Archive, InDoubtPolicy, Recording, State
    from batcher.report.counts import Counts
    from batcher.report.export.results import Result, RowStatus
    from batcher.report.fetch_summary import FetchSummary
    from batcher.report.summary import Summary
    from batcher.submit.governor import MaxFailures
    from batcher.submit.runner import RunSettings
    from batcher.zego.client import Account

__all__ = [
    "Account",
    "Archive",
    "BatcherError",
    "BindingError",
    "CallbackListener",
    "Counts",
    "CurrentRate",
    "Defaults",
    "Discovery",
    "DiscoveryFilter",
    "DiscoveryProgress",
    "Event",
    "ExitCode",
    "FetchProgress",
    "FetchSummary",
    "FolderError",
    "IdFault",
    "IdVerification",
    "InDoubtPolicy",
    "InvalidRowRecord",
    "KnownRecordings",
    "Ledger",
    "LedgerBusy",
    "LedgerError",
    "LedgerMissing",
    "LedgerTooNew",
    "LedgerView",
    "ListenSettings",
    "ListeningStarted",
    "LoadRecord",
    "LoadResult",
    "ManifestError",
    "MaxFailures",
    "NotALedger",
    "PictureFetch",
    "ReadOptions",
    "Recording",
    "RecordingPage",
    "Refused",
    "Result",
    "RowStatus",
    "RunSettings",
    "SettingsError",
    "State",
    "Summary",
    "__version__",
    "open_ledger",
    "read_ledger",
]


HOMES = {
    "Account": "batcher.zego.client",
    "Archive": "batcher.model.submission",
    "BatcherError": "batcher.errors",
    "BindingError": "batcher.errors",
    "CallbackListener": "batcher.api.listen",
    "Counts": "batcher.report.counts",
    "CurrentRate": "batcher.flowcontrol.rate_meter",
    "Defaults": "batcher.manifest",
    "Discovery": "batcher.api.discover",
    "DiscoveryFilter": "batcher.api.discover",
    "DiscoveryProgress": "batcher.api.discover",
    "Event": "batcher.model.events",
    "ExitCode": "batcher.exit_codes",
    "FetchProgress": "batcher.model.events",
    "FetchSummary": "batcher.report.fetch_summary",
    "FolderError": "batcher.errors",
    "IdFault": "batcher.api.verify_ids",
    "IdVerification": "batcher.api.verify_ids",
    "InDoubtPolicy": "batcher.model.submission",
    "InvalidRowRecord": "batcher.model.records",
    "KnownRecordings": "batcher.api.verify_ids",
    "Ledger": "batcher.api.ledger",
    "LedgerBusy": "batcher.errors",
    "LedgerError": "batcher.errors",
    "LedgerMissing": "batcher.errors",
    "LedgerTooNew": "batcher.errors",
    "LedgerView": "batcher.api.ledger",
    "ListenSettings": "batcher.api.listen",
    "ListeningStarted": "batcher.model.events",
    "LoadRecord": "batcher.model.records",
    "LoadResult": "batcher.api.ledger",
    "ManifestError": "batcher.errors",
    "MaxFailures": "batcher.submit.governor",
    "NotALedger": "batcher.errors",
    "PictureFetch": "batcher.api.fetch",
    "ReadOptions": "batcher.manifest.read_options",
    "Recording": "batcher.model.submission",
    "RecordingPage": "batcher.api.discover",
    "Refused": "batcher.errors",
    "Result": "batcher.report.export.results",
    "RowStatus": "batcher.report.export.results",
    "RunSettings": "batcher.submit.runner",
    "SettingsError": "batcher.errors",
    "State": "batcher.model.submission",
    "Summary": "batcher.report.summary",
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
