"""The messages of ``discover``: progress and figures in, one line of text out.

Called by the command ``discover``. Pure functions.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from batcher.api.discover import DiscoveryFilter, DiscoveryProgress
from batcher.flowcontrol.findings import outage_text
from batcher.model.outcome import Outage
from batcher.model.submission import Archive
from batcher.report.formatting import count


def progress_text(progress: DiscoveryProgress) -> str:
    """The progress line."""
    at = f", created before {_utc(progress.at_s)}" if progress.at_s else ""
    return f"{count(progress.listed, 'recording')} so far{at}"


def stopped(output: Path | None, n_kept: int) -> str:
    """Return what is kept of a list that was stopped, and how to resume it."""
    listed = count(n_kept, "recording")
    if output is None:
        return f"stopped after {listed}; with -o FILE a later call can resume"
    return f"stopped after {listed}, kept in {output}.part: run the same command again to resume"


def in_outage(outage: Outage | None) -> str:
    """The outage in which the time limit was reached; empty when the service answered."""
    if outage is None:
        return ""
    return f" while {outage_text(outage)}"


def finished(criteria: DiscoveryFilter, output: Path | None, progress: DiscoveryProgress) -> str:
    """The closing line."""
    text = f"{output}: " if output else ""
    text += count(progress.listed, "recording")
    if criteria.since is not None:
        text += f", created since {_utc(progress.since_s)}"
    if progress.left_out:
        text += f"; {count(progress.left_out, 'other', 'others')} left out by the options"
    if progress.unmeasured:
        text += f"; {progress.unmeasured:,} listed without a known duration"
    if criteria.archive is Archive.WS:
        text += "; the service takes no snapshots of recordings at Ws"
    if progress.shortfalls:
        text += f"; incomplete, see the {count(len(progress.shortfalls), 'warning')}"
    return text


def _utc(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
