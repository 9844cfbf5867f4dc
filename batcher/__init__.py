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
    from batcher.api.export import ExportFormat, ExportResult, ExportSettings, export_ledger, export_manifest
    from batcher.api.ledger import Ledger, LedgerView, LoadResult, open_ledger, read_ledger
    from batcher.api.report import ReportSettings, gather_report, write_page
    from batcher.api.status import ledger_status
    from batcher.errors import (
        BatcherError,
        BindingError,
        LedgerBusy,
        LedgerError,
        LedgerMissing,
        LedgerTooNew,
        ManifestError,
        NotALedger,
        SettingsError,
    )
    from batcher.exit_codes import ExitCode
    from batcher.flowcontrol.rate_meter import CurrentRate
    from batcher.manifest import Defaults
    from batcher.manifest.read_options import ReadOptions
    from batcher.model.check import CheckFinding
    from batcher.model.events import Event
    from batcher.model.records import InvalidRowRecord, LoadRecord
    from batcher.model.submission import InDoubtPolicy, State
    from batcher.report.counts import Counts
    from batcher.report.export.results import Result, RowStatus
    from batcher.report.status_summary import LedgerStatus
    from batcher.report.summary import Summary
    from batcher.submit.governor import MaxFailures
    from batcher.submit.runner import RunSettings
    from batcher.zego.client import Account

__all__ = [
    "Account",
    "Audit",
    "BatcherError",
    "BindingError",
    "CheckFinding",
    "Counts",
    "CurrentRate",
    "Defaults",
    "Event",
    "ExitCode",
    "ExportFormat",
    "ExportResult",
    "ExportSettings",
    "InDoubtPolicy",
    "InvalidRowRecord",
    "Ledger",
    "LedgerBusy",
    "LedgerError",
    "LedgerMissing",
    "LedgerStatus",
    "LedgerTooNew",
    "LedgerView",
    "LoadRecord",
    "LoadResult",
    "ManifestError",
    "MaxFailures",
    "NotALedger",
    "ReadOptions",
    "ReportSettings",
    "Result",
    "RowStatus",
    "RunSettings",
    "SettingsError",
    "State",
    "Summary",
    "__version__",
    "audit_ledger",
    "check_ledger",
    "check_service",
    "export_ledger",
    "export_manifest",
    "gather_report",
    "ledger_status",
    "open_ledger",
    "read_ledger",
    "write_page",
]


HOMES = {
    "Account": "batcher.zego.client",
    "Audit": "batcher.api.audit",
    "BatcherError": "batcher.errors",
    "BindingError": "batcher.errors",
    "CheckFinding": "batcher.model.check",
    "Counts": "batcher.report.counts",
    "CurrentRate": "batcher.flowcontrol.rate_meter",
    "Defaults": "batcher.manifest",
    "Event": "batcher.model.events",
    "ExitCode": "batcher.exit_codes",
    "ExportFormat": "batcher.api.export",
    "ExportResult": "batcher.api.export",
    "ExportSettings": "batcher.api.export",
    "InDoubtPolicy": "batcher.model.submission",
    "InvalidRowRecord": "batcher.model.records",
    "Ledger": "batcher.api.ledger",
    "LedgerBusy": "batcher.errors",
    "LedgerError": "batcher.errors",
    "LedgerMissing": "batcher.errors",
    "LedgerStatus": "batcher.report.status_summary",
    "LedgerTooNew": "batcher.errors",
    "LedgerView": "batcher.api.ledger",
    "LoadRecord": "batcher.model.records",
    "LoadResult": "batcher.api.ledger",
    "ManifestError": "batcher.errors",
    "MaxFailures": "batcher.submit.governor",
    "NotALedger": "batcher.errors",
    "ReadOptions": "batcher.manifest.read_options",
    "ReportSettings": "batcher.api.report",
    "Result": "batcher.report.export.results",
    "RowStatus": "batcher.report.export.results",
    "RunSettings": "batcher.submit.runner",
    "SettingsError": "batcher.errors",
    "State": "batcher.model.submission",
    "Summary": "batcher.report.summary",
    "audit_ledger": "batcher.api.audit",
    "check_ledger": "batcher.api.check",
    "check_service": "batcher.api.check_service",
    "export_ledger": "batcher.api.export",
    "export_manifest": "batcher.api.export",
    "gather_report": "batcher.api.report",
    "ledger_status": "batcher.api.status",
    "open_ledger": "batcher.api.ledger",
    "read_ledger": "batcher.api.ledger",
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
