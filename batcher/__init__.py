"""batcher: an async batch job runner for thumbnails of recordings in the ZEGO cloud.

For programs: the names below are the library, and all that is promised. Each is imported on
first use.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from batcher._version import __version__

if TYPE_CHECKING:
    from batcher.api.audit import Audit, audit_ledger
    from batcher.api.check import check_ledger
    from batcher.api.check_service import check_service
    from batcher.api.discover import Discovery, DiscoveryFilter, DiscoveryProgress, RecordingPage
    from batcher.api.dry_run import Forecast, forecast
    from batcher.api.export import ExportFormat, ExportResult, ExportSettings, export_ledger, export_manifest
    from batcher.api.fetch import PictureFetch
    from batcher.api.ledger import Ledger, LedgerView, open_ledger, read_ledger
    from batcher.api.listen import CallbackListener, ListenSettings
    from batcher.api.load import LoadResult
    from batcher.api.report import ReportSettings, gather_report, write_page
    from batcher.api.status import ledger_status
    from batcher.api.track import track
    from batcher.api.verify_ids import IdFault, IdVerification, KnownRecordings
    from batcher.errors import (
        BatcherError,
        BindingError,
        FolderError,
        LedgerBusy,
        LedgerError,
        LedgerMissing,
        LedgerTooNew,
        LimitBusy,
        ManifestError,
        NotALedger,
        Refused,
        RunError,
        RunHalted,
        RunIncomplete,
        RunTroubled,
        SettingsError,
    )
    from batcher.exit_codes import ExitCode, RunOutcome
    from batcher.flowcontrol.rate_meter import CurrentRate
    from batcher.manifest.parameters import Defaults
    from batcher.manifest.read_options import ReadOptions
    from batcher.model.account import Account
    from batcher.model.check import CheckFinding
    from batcher.model.events import (
        CallbackRefused,
        CallbackTaken,
        ClaimChecked,
        DefectMet,
        Event,
        FetchProgress,
        Halted,
        LedgerHeld,
        ListeningStarted,
        Message,
        NotSubmitted,
        OutageBegan,
        OutageOver,
        PaceChanged,
        PassedOver,
        Progress,
        Rejected,
        RunStarted,
        SendingPaused,
        Severity,
        Submitted,
        TrackingProgress,
    )
    from batcher.model.records import InvalidRowRecord, LoadRecord
    from batcher.model.submission import Archive, InDoubtPolicy, Recording, State
    from batcher.report.counts import Counts
    from batcher.report.export.results import Result, RowStatus
    from batcher.report.fetch_summary import FetchSummary
    from batcher.report.status_summary import LedgerStatus
    from batcher.report.summary import RunSummary
    from batcher.report.tracking_summary import TrackingSummary
    from batcher.submit.settings import MaxFailures, RunSettings
    from batcher.track.settings import TrackSettings

__all__ = [
    "Account",
    "Archive",
    "Audit",
    "BatcherError",
    "BindingError",
    "CallbackListener",
    "CallbackRefused",
    "CallbackTaken",
    "CheckFinding",
    "ClaimChecked",
    "Counts",
    "CurrentRate",
    "Defaults",
    "DefectMet",
    "Discovery",
    "DiscoveryFilter",
    "DiscoveryProgress",
    "Event",
    "ExitCode",
    "ExportFormat",
    "ExportResult",
    "ExportSettings",
    "FetchProgress",
    "FetchSummary",
    "FolderError",
    "Forecast",
    "Halted",
    "IdFault",
    "IdVerification",
    "InDoubtPolicy",
    "InvalidRowRecord",
    "KnownRecordings",
    "Ledger",
    "LedgerBusy",
    "LedgerError",
    "LedgerHeld",
    "LedgerMissing",
    "LedgerStatus",
    "LedgerTooNew",
    "LedgerView",
    "LimitBusy",
    "ListenSettings",
    "ListeningStarted",
    "LoadRecord",
    "LoadResult",
    "ManifestError",
    "MaxFailures",
    "Message",
    "NotALedger",
    "NotSubmitted",
    "OutageBegan",
    "OutageOver",
    "PaceChanged",
    "PassedOver",
    "PictureFetch",
    "Progress",
    "ReadOptions",
    "Recording",
    "RecordingPage",
    "Refused",
    "Rejected",
    "ReportSettings",
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
    "Severity",
    "State",
    "Submitted",
    "TrackSettings",
    "TrackingProgress",
    "TrackingSummary",
    "__version__",
    "audit_ledger",
    "check_ledger",
    "check_service",
    "export_ledger",
    "export_manifest",
    "forecast",
    "gather_report",
    "ledger_status",
    "open_ledger",
    "read_ledger",
    "track",
    "write_page",
]

HOMES = {
    "Account": "batcher.model.account",
    "Archive": "batcher.model.submission",
    "Audit": "batcher.api.audit",
    "BatcherError": "batcher.errors",
    "BindingError": "batcher.errors",
    "CallbackListener": "batcher.api.listen",
    "CallbackRefused": "batcher.model.events",
    "CallbackTaken": "batcher.model.events",
    "CheckFinding": "batcher.model.check",
    "ClaimChecked": "batcher.model.events",
    "Counts": "batcher.report.counts",
    "CurrentRate": "batcher.flowcontrol.rate_meter",
    "Defaults": "batcher.manifest.parameters",
    "DefectMet": "batcher.model.events",
    "Discovery": "batcher.api.discover",
    "DiscoveryFilter": "batcher.api.discover",
    "DiscoveryProgress": "batcher.api.discover",
    "Event": "batcher.model.events",
    "ExitCode": "batcher.exit_codes",
    "ExportFormat": "batcher.api.export",
    "ExportResult": "batcher.api.export",
    "ExportSettings": "batcher.api.export",
    "FetchProgress": "batcher.model.events",
    "FetchSummary": "batcher.report.fetch_summary",
    "FolderError": "batcher.errors",
    "Forecast": "batcher.api.dry_run",
    "Halted": "batcher.model.events",
    "IdFault": "batcher.api.verify_ids",
    "IdVerification": "batcher.api.verify_ids",
    "InDoubtPolicy": "batcher.model.submission",
    "InvalidRowRecord": "batcher.model.records",
    "KnownRecordings": "batcher.api.verify_ids",
    "Ledger": "batcher.api.ledger",
    "LedgerBusy": "batcher.errors",
    "LedgerError": "batcher.errors",
    "LedgerHeld": "batcher.model.events",
    "LedgerMissing": "batcher.errors",
    "LedgerStatus": "batcher.report.status_summary",
    "LedgerTooNew": "batcher.errors",
    "LedgerView": "batcher.api.ledger",
    "LimitBusy": "batcher.errors",
    "ListenSettings": "batcher.api.listen",
    "ListeningStarted": "batcher.model.events",
    "LoadRecord": "batcher.model.records",
    "LoadResult": "batcher.api.load",
    "ManifestError": "batcher.errors",
    "MaxFailures": "batcher.submit.settings",
    "Message": "batcher.model.events",
    "NotALedger": "batcher.errors",
    "NotSubmitted": "batcher.model.events",
    "OutageBegan": "batcher.model.events",
    "OutageOver": "batcher.model.events",
    "PaceChanged": "batcher.model.events",
    "PassedOver": "batcher.model.events",
    "PictureFetch": "batcher.api.fetch",
    "Progress": "batcher.model.events",
    "ReadOptions": "batcher.manifest.read_options",
    "Recording": "batcher.model.submission",
    "RecordingPage": "batcher.api.discover",
    "Refused": "batcher.errors",
    "Rejected": "batcher.model.events",
    "ReportSettings": "batcher.api.report",
    "Result": "batcher.report.export.results",
    "RowStatus": "batcher.report.export.results",
    "RunError": "batcher.errors",
    "RunHalted": "batcher.errors",
    "RunIncomplete": "batcher.errors",
    "RunOutcome": "batcher.exit_codes",
    "RunSettings": "batcher.submit.settings",
    "RunStarted": "batcher.model.events",
    "RunSummary": "batcher.report.summary",
    "RunTroubled": "batcher.errors",
    "SendingPaused": "batcher.model.events",
    "SettingsError": "batcher.errors",
    "Severity": "batcher.model.events",
    "State": "batcher.model.submission",
    "Submitted": "batcher.model.events",
    "TrackSettings": "batcher.track.settings",
    "TrackingProgress": "batcher.model.events",
    "TrackingSummary": "batcher.report.tracking_summary",
    "audit_ledger": "batcher.api.audit",
    "check_ledger": "batcher.api.check",
    "check_service": "batcher.api.check_service",
    "export_ledger": "batcher.api.export",
    "export_manifest": "batcher.api.export",
    "forecast": "batcher.api.dry_run",
    "gather_report": "batcher.api.report",
    "ledger_status": "batcher.api.status",
    "open_ledger": "batcher.api.ledger",
    "read_ledger": "batcher.api.ledger",
    "track": "batcher.api.track",
    "write_page": "batcher.api.report",
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
