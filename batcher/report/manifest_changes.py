"""Messages about manifests that have changed since they were last read to the end. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from batcher.model.records import LoadRecord
from batcher.model.submission import source_name
from batcher.report.formatting import count


def changes_lines(loads: Iterable[LoadRecord]) -> list[str]:
    """Return one line for each load whose file has changed."""
    return [_line(load) for load in loads if load.differs]


def changes_text(load: LoadRecord) -> str:
    """Return the numbers: ``312 rows new, 5 gone, 2 changed``."""
    return f"{count(load.appeared or 0, 'row')} new, {load.gone or 0:,} gone, {load.changed or 0:,} changed"


def _line(load: LoadRecord) -> str:
    since = "" if load.since is None else f" since {load.since:%Y-%m-%d %H:%M} UTC"
    before = bool(load.gone or load.changed)
    stays = "; earlier submissions stay in the ledger, and open ones are still sent" if before else ""
    return f"{source_name(load.source)} has changed{since}: {changes_text(load)}{stays}"
