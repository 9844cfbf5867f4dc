"""What is said of a manifest that is not what it was when it was last read to its end. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from batcher.model.records import LoadRecord
from batcher.report.formatting import count


def changes_lines(loads: Iterable[LoadRecord]) -> list[str]:
    """One line for each load whose file has changed; none where nothing has, or nothing is known."""
    return [_line(load) for load in loads if load.differs]


def changes_text(load: LoadRecord) -> str:
    """The numbers alone: ``312 rows new, 5 gone, 2 changed``."""
    return f"{count(load.appeared or 0, 'row')} new, {load.gone or 0:,} gone, {load.changed or 0:,} changed"


def _line(load: LoadRecord) -> str:
    since = "" if load.since is None else f" since {load.since:%Y-%m-%d %H:%M} UTC"
    before = bool(load.gone or load.changed)
    stays = (
        "; what was asked for before stays in the ledger, and is sent where it is still open"
        if before
        else ""
    )
    return f"{load.source} has changed{since}: {changes_text(load)}{stays}"
