"""Values of the model out of columns: times, and what was asked of a recording."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from batcher.ledger.connection import ResultRow
from batcher.model.submission import Parameters, SnapshotType, Vendor


def time_of(ms: int) -> datetime:
    """Return the time of Unix milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def time_or_none(ms: int | None) -> datetime | None:
    """Return the time of Unix milliseconds; None for None."""
    return None if ms is None else time_of(ms)


PARAMETERS = "p.vendor, p.type, p.definition, p.interval, p.offsets"
"""The columns that :func:`parameters_of` reads, of a table named ``p``."""


def parameters_of(row: ResultRow) -> Parameters:
    """Return the parameters of a row that has their columns."""
    return _parameters(row.vendor, row.type, row.definition, row.interval, row.offsets)


@lru_cache(maxsize=10_000)
def _parameters(vendor: str, kind: str, definition: str, interval: str, offsets: str) -> Parameters:
    """Millions of submissions share a handful of parameters."""
    return Parameters(
        Vendor(vendor), SnapshotType(kind), definition, interval, tuple(offsets.split(";")) if offsets else ()
    )
