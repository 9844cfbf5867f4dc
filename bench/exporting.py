"""The speed of an export, against the `sqlite3` command writing the same tables as CSV.

1,000,000 submissions, half of them submitted; whole processes. `sqlite3` joins submissions, parameters,
loads and attempts and writes what it finds; it chooses no telling attempt and writes no times as text.

    python -m bench.exporting [--repeat N] [--scale SHARE]
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from bench.archive import BATCHER, Archive, environment
from bench.figures import show
from bench.measuring import Effort, Row, Skipped, measure, ratios, take_turns

ROWS = 1_000_000

_JOINED = (
    "SELECT s.file_id, p.vendor, p.type, p.definition, p.interval, p.offsets, s.state, a.task_id, s.code, "
    "a.message, a.vendor_request_id, s.attempts, a.sent_at_ms, a.answered_at_ms, l.source, s.line, s.extra "
    "FROM submissions s JOIN parameters p ON p.id = s.parameters_id JOIN loads l ON l.id = s.load_id "
    "LEFT JOIN attempts a ON a.submission_id = s.id ORDER BY s.id"
)


def figure(effort: Effort, made: Archive) -> Iterator[Row | Skipped]:
    """Rows per second by format, and CSV's ratio in time to `sqlite3 -csv`."""
    rows = effort.rows(ROWS, least=10_000)
    ledger = made.ledger(rows, done=rows // 2)

    def seconds(command: Sequence[str | Path]) -> float:
        return measure(command, env=environment(ledger), cwd=made.folder).wall_s

    formats = ["csv", "jsonl", *(["parquet"] if importlib.util.find_spec("pyarrow") else [])]
    contenders: dict[str, Callable[[], float]] = {
        to: partial(seconds, (*BATCHER, "export", "--format", to)) for to in formats
    }
    if shutil.which("sqlite3"):
        contenders["sqlite3 -csv"] = lambda: seconds(("sqlite3", "-csv", ledger, _JOINED))
    taken = take_turns(contenders, effort.repetitions)
    for name, figures in taken.items():
        how = f"{rows:,} rows, whole process"
        yield Row(f"export: {name}", "", [rows / one for one in figures], "rows/s", how)
    if "sqlite3 -csv" in taken:
        ratio = ratios(taken["csv"], taken["sqlite3 -csv"])
        yield Row("export as CSV to sqlite3 -csv", "", ratio, "× the time", "in turn")
    else:
        yield Skipped("export to sqlite3 -csv", "the sqlite3 command is not installed")


if __name__ == "__main__":
    show(figure)
