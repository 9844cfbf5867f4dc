"""The state of a ledger as values, as text for a terminal and as JSON. Pure.

Made by :func:`batcher.api.status.ledger_status`, shown by ``batcher status``. The JSON keys are a
promise to scripts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from batcher.model.records import LoadRecord, Meaning, Record, RunRecord
from batcher.model.submission import EndpointKind, State
from batcher.report.counts import Counts, TaskFigures
from batcher.report.formatting import PLACES, count, duration, moment, paragraph, sentence
from batcher.report.manifest_changes import changes_text
from batcher.report.summary import http_refusal_line, in_doubt_lines

_LABEL = 14
_NUMBER = 10


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """The state of a ledger at one moment."""

    ledger: Path
    bound: tuple[int, EndpointKind] | None
    """The AppId and kind of endpoint it belongs to; None before its first run."""
    counts: Counts
    tasks: TaskFigures
    doubtful: int
    """Pending submissions that may have been accepted: an answer was lost."""
    possibly_twice: int
    """Submitted submissions of which an earlier attempt may have been accepted as well."""
    invalid_rows: int
    in_doubt: tuple[Record, ...]
    """The first submissions that may have been accepted."""
    loads: tuple[LoadRecord, ...]
    """The last loads, oldest first."""
    loads_total: int
    last_run: RunRecord | None
    meanings: Mapping[int, Meaning]
    """The meaning of every code in the counts."""
    http_refusals: Mapping[int, int] = field(default_factory=dict)
    """Submissions last refused without a code, by HTTP status."""

    def seconds_left(self, rate_per_s: float) -> float:
        """Return the time that the open submissions take at a rate."""
        return self.counts.open / rate_per_s


def status_json(status: LedgerStatus, rate_per_s: float) -> dict[str, Any]:
    """The state as one object."""
    return {
        "ledger": str(status.ledger),
        "app_id": status.bound[0] if status.bound else None,
        "submissions": {
            "total": status.counts.total,
            **{state.value: n for state, n in status.counts.by_state.items()},
        },
        "tasks": {state.value: n for state, n in status.tasks.by_state.items()},
        "doubtful": status.doubtful,
        "possibly_twice": status.possibly_twice,
        "invalid_rows": status.invalid_rows,
        "codes": {str(code): n for code, n in status.counts.codes.items()},
        "http_refusals": {str(one): n for one, n in status.http_refusals.items()},
        "loads": [_load_json(load) for load in status.loads],
        "last_run": _run_json(status.last_run),
        "seconds_left": round(status.seconds_left(rate_per_s), 1),
    }


def status_lines(status: LedgerStatus, rate_per_s: float, width: int) -> Iterator[str]:
    """The state as lines of text, wrapped at a width."""
    bound = status.bound
    yield f"{status.ledger}   " + (f"AppId {bound[0]} and {PLACES[bound[1]]}" if bound else "no run yet")
    yield ""
    yield from _count_lines(status)
    if status.tasks.followed:
        yield from ("", "Tasks of what was submitted")
        yield from (_count_line(state.value, n) for state, n in status.tasks.by_state.items())
    if status.counts.codes or status.http_refusals:
        yield from ("", "Codes that came back")
    for code, n in status.counts.codes.items():
        yield paragraph(f"code {code}", f"{n:,} × {status.meanings[code].text}", width=width, label_width=15)
    for http_status, n in status.http_refusals.items():
        yield http_refusal_line(http_status, n, width)
    if status.in_doubt:
        yield from ("", "In doubt, the first of them")
        for state in (State.IN_DOUBT, State.PENDING):
            yield from in_doubt_lines(status.in_doubt, state, width)
    yield from _load_lines(status, width)
    if status.last_run is not None:
        yield from ("", "Last run", paragraph("", sentence(_run_text(status.last_run)), width=width))
    if status.counts.open:
        left = duration(status.seconds_left(rate_per_s))
        yield ""
        yield f"{count(status.counts.open, 'submission')} to send: about {left} at {rate_per_s:g} a second"


def _count_lines(status: LedgerStatus) -> Iterator[str]:
    for state, n in status.counts.by_state.items():
        yield _count_line(state.value.replace("_", " "), n)
    yield _count_line("total", status.counts.total)
    for label, n, note in (
        ("answers lost", status.doubtful, "of the pending; may have been accepted already"),
        (
            "possibly twice",
            status.possibly_twice,
            "of the submitted; an earlier attempt may have been accepted as well",
        ),
        ("invalid rows", status.invalid_rows, "never sent"),
    ):
        if n:
            yield f"{_count_line(label, n)}   {note}"


def _count_line(label: str, n: int) -> str:
    return f"  {label:<{_LABEL}}{n:>{_NUMBER},}"


def _load_lines(status: LedgerStatus, width: int) -> Iterator[str]:
    shown, total = len(status.loads), status.loads_total
    yield ""
    if not shown:
        yield "Nothing loaded yet"
        return
    yield "Loads" + (f", the last {shown} of {total:,}" if shown < total else "")
    for load in status.loads:
        yield paragraph(_minute(load.started_at) + " ", _load_text(load), width=width)


def _load_text(load: LoadRecord) -> str:
    if load.unfinished:
        end = "unfinished: " + (load.error or "run it again to read the rest")
    elif load.ended_at is None:
        end = "was read to its end later"
    else:
        end = "read to its end"
    return f"{load.source}: {load.new:,} new, {load.duplicates:,} known, {load.invalid:,} invalid; {end}" + (
        f"; changed: {changes_text(load)}" if load.differs else ""
    )


def _run_text(run: RunRecord) -> str:
    began = f"began {_minute(run.started_at)} on {run.host}"
    slow = f"; pace {run.pace_per_s:.1f}/s, since {run.why_slow}" if run.why_slow else ""
    if run.ended_at is None:
        return f"{began} (process {run.pid}), has not ended: it is still running, or was killed{slow}"
    return f"{began}, ended {_minute(run.ended_at)} with exit code {run.exit_code}: {run.reason}{slow}"


def _minute(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def _load_json(load: LoadRecord) -> dict[str, Any]:
    return {
        "source": load.source,
        "started_at": moment(load.started_at),
        "ended_at": moment(load.ended_at) or None,
        "rows": load.rows,
        "new": load.new,
        "duplicates": load.duplicates,
        "invalid": load.invalid,
        "finished": load.ended_at is not None,
        "unfinished": load.unfinished,
        "error": load.error,
        "compared_with": moment(load.since) or None,
        "rows_new": load.appeared,
        "rows_gone": load.gone,
        "rows_changed": load.changed,
    }


def _run_json(run: RunRecord | None) -> dict[str, Any] | None:
    if run is None:
        return None
    shown = asdict(run)
    del shown["invalid_rows_seen"]
    return shown | {"started_at": moment(run.started_at), "ended_at": moment(run.ended_at) or None}
