"""The end of a text that may have been cut off: its last line has no line end. Pure.

Called by the formats that have no other mark of their end, CSV and lists of ids, with their last record. Many
programs write no line end there, so this alone is no fault. A cut-off id names another recording, or none.
"""

from __future__ import annotations

from collections.abc import Sequence

from batcher.manifest.columns import Columns, KnownColumn
from batcher.manifest.display import shown
from batcher.manifest.formats.table import RecordFault, whole
from batcher.model.submission import CountedBy

_LONG_ID = 15
"""From this length on, the ids of an archive have about the same length."""


def is_unfinished(line: str) -> bool:
    """Whether a line has no line end."""
    return not line.endswith(("\n", "\r"))


def cut_fault(columns: Columns, cells: Sequence[str], before: Sequence[str]) -> RecordFault | None:
    """Return why the last record cannot be a row, when its last line has no line end.

    Args:
        columns: the columns of the table.
        cells: the last record.
        before: the record before it; empty when there is none.
    """
    if not any(map(str.strip, cells)):
        return None
    if len(cells) < len(columns.names):
        return whole(
            f"the file ends within this row, after {len(cells)} of {len(columns.names)} cells and without a "
            "line end: it was cut off. Fetch or export it again"
        )
    id_at = columns.known[KnownColumn.FILE_ID]
    if id_at != len(cells) - 1 or len(before) <= id_at:
        return None
    last, earlier = cells[id_at].strip(), before[id_at].strip()
    if last.isdecimal() and earlier.isdecimal() and len(last) < len(earlier) >= _LONG_ID:
        return RecordFault(
            columns.names[id_at],
            f"{shown(last)} is shorter than the id before it, and the file ends here without a line end: it "
            "was cut off. Fetch or export it again",
        )
    return None


def cut_warnings(name: str, columns: Columns, line: int) -> list[str]:
    """Return the warning about a last line without an end; none where its last value has no effect."""
    if len(columns.names) - 1 in columns.own:
        return []
    return [
        f"{name}: {CountedBy.LINE.numbered(line)}, the last one, has no line end. If the file was cut off, "
        f"its last {columns.names[-1]} is incomplete"
    ]
