"""The contents of a ledger's file, as text and as JSON. Pure.

Called by ``batcher ledger info``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batcher.model.submission import EndpointKind
from batcher.report.formatting import PLACES, moment, noted, size, wrapped

if TYPE_CHECKING:
    from batcher.model.records import Inspected


def info_json(found: Inspected) -> dict[str, object]:
    """The file and its tables as one object."""
    return {
        "ledger": str(found.ledger),
        "schema": found.revision,
        "bytes": found.file_bytes,
        "wal_bytes": found.wal_bytes,
        "free_bytes": found.free_bytes,
        "app_id": found.bound[0] if found.bound else None,
        "place": found.bound[1] if found.bound else None,
        "first_run_at": _time(found.runs[0]) or None,
        "last_run_at": _time(found.runs[1]) or None,
        "tables": {
            part.name: {"rows": part.rows, "bytes": part.bytes, "estimated": part.estimated}
            for part in found.parts
        },
    }


def info_lines(found: Inspected, width: int) -> Iterator[str]:
    """The file and its tables as lines of text, wrapped at a width."""
    to = f"AppId {found.bound[0]} and {PLACES[EndpointKind(found.bound[1])]}" if found.bound else "no run yet"
    yield wrapped(f"{found.ledger}   schema {found.revision}   {to}", width)
    yield ""
    file = f"  {'file':<14}{size(found.file_bytes):>12}"
    yield noted(file, f"of which {size(found.free_bytes)} are free", width)
    yield f"  {'write-ahead':<14}{size(found.wal_bytes):>12}"
    yield ""
    yield f"  {'table':<14}{'rows':>12}{'size':>14}"
    for part in sorted(found.parts, key=lambda part: -part.bytes):
        table = f"  {part.name:<14}{part.rows:>12,}{size(part.bytes):>14}"
        yield noted(table, "estimated, without indexes", width) if part.estimated else table
    if found.runs[0] is not None:
        yield ""
        yield wrapped(f"Runs from {_time(found.runs[0])} to {_time(found.runs[1])}", width)


def _time(ms: int | None) -> str:
    return "" if ms is None else moment(datetime.fromtimestamp(ms / 1000, UTC))
