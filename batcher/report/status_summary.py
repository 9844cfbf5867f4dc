"""The state of a ledger as values, as text for a terminal and as JSON. Pure.

Made by :func:`batcher.api.status.ledger_status`, shown by ``batcher status``. The JSON keys are a
promise to scripts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from batcher.model.ledger_name import LedgerName
from batcher.model.outcome import WAITING
from batcher.model.records import LoadRecord, Meaning, Record, RunningCommand, RunRecord, SharingRun
from batcher.model.submission import STANDARD_INPUT, EndpointKind, State, source_name
from batcher.report.counts import Counts, TaskFigures
from batcher.report.formatting import (
    PLACES,
    at_least_a_second,
    count,
    moment,
    noted,
    paragraph,
    sentence,
    wrapped,
)
from batcher.report.manifest_changes import changes_text
from batcher.report.summary import http_refusal_line, in_doubt_lines

_LABEL = 14
_NUMBER = 10
_SAME_DAY_S = 12 * 3600
"""A time of day is that of today, if it is not longer ago."""


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """The state of a ledger at one moment."""

    ledger: LedgerName
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
    running: RunningCommand | None = None
    """The command that writes the ledger at this moment."""
    runs: tuple[SharingRun, ...] = ()
    """The runs that have not ended, where several may send on one ledger."""

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
        "running": _running_json(status.running),
        "runs": [_sharing_json(run) for run in status.runs],
        "seconds_left": round(status.seconds_left(rate_per_s), 1),
    }


def status_lines(status: LedgerStatus, rate_per_s: float, width: int) -> Iterator[str]:
    """The state as lines of text, wrapped at a width."""
    bound = status.bound
    to = f"AppId {bound[0]} and {PLACES[bound[1]]}" if bound else "no run yet"
    yield wrapped(f"{status.ledger}   {to}", width)
    if status.runs:
        yield from (paragraph("", _sharing_text(run), width=width, indent=0) for run in status.runs)
    elif status.running is not None:
        yield paragraph("", _running_text(status.running), width=width, indent=0)
    yield ""
    yield from _count_lines(status, width)
    if status.tasks.followed:
        yield from ("", "Tasks of what was submitted")
        yield from (_count_line(state.value, n) for state, n in status.tasks.by_state.items())
    if status.counts.codes or status.http_refusals:
        yield from ("", "Codes that came back")
    for code, n in status.counts.codes.items():
        yield paragraph(f"code {code}", f"{n:,} × {status.meanings[code].text}", width=width, label_width=15)
    for http_status, n in status.http_refusals.items():
        yield http_refusal_line(http_status, n, width)
    for state, heading in ((State.PENDING, "Answers lost"), (State.IN_DOUBT, "In doubt")):
        if named := in_doubt_lines(status.in_doubt, state, width):
            yield from ("", f"{heading}, the first of them", *named)
    yield from _load_lines(status, width)
    if status.last_run is not None:
        text = sentence(_run_text(status.last_run, _command_of(status.last_run, status)))
        yield from ("", "Last run", paragraph("", text, width=width))
    if status.counts.open:
        yield from ("", wrapped(_left_text(status, rate_per_s), width))


def _left_text(status: LedgerStatus, rate_per_s: float) -> str:
    """What is left to send, and how long it takes; no time while the run waits for the service."""
    to_send, run = f"{count(status.counts.open, 'submission')} to send", status.last_run
    if (
        run is not None
        and _is_running(run, _command_of(run, status))
        and (why := run.why_slow or "").startswith(WAITING)
    ):
        return f"{to_send}: {why}"
    left = at_least_a_second(status.seconds_left(rate_per_s))
    about = "" if left.startswith("less") else "about "
    return f"{to_send}: {about}{left} at {rate_per_s:g} a second"


def _count_lines(status: LedgerStatus, width: int) -> Iterator[str]:
    """The number of submissions in each state, which add up to the total, and notes on parts of them."""
    notes = {
        State.PENDING: (
            "answers lost",
            status.doubtful,
            "of the pending; may have been accepted, and are sent again after all others",
        ),
        State.SUBMITTED: (
            "possibly twice",
            status.possibly_twice,
            "of the submitted; an earlier attempt may have been accepted as well",
        ),
    }
    in_doubt = "may have been accepted; sent again only by `batcher retry --state in_doubt`"
    for state, n in status.counts.by_state.items():
        note = in_doubt if state is State.IN_DOUBT and n else ""
        yield _noted_line(state.value.replace("_", " "), n, note, width)
        if state in notes and notes[state][1]:
            yield _noted_line(*notes[state], width)
    yield _count_line("total", status.counts.total)
    if status.invalid_rows:
        yield _noted_line(
            "invalid rows", status.invalid_rows, "of manifests, never sent; not in the total", width
        )


def _noted_line(label: str, n: int, note: str, width: int) -> str:
    line = _count_line(label, n)
    return noted(line, note, width) if note else line


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
    repeated = f"{count(load.repeated, 'duplicate')}, " if load.repeated else ""
    counts = f"{load.new:,} new, {load.known:,} known, {repeated}{load.invalid:,} invalid"
    changed = f"; changed: {changes_text(load)}" if load.differs else ""
    return f"{source_name(load.source)}: {counts}; {end}{changed}"


def _run_text(run: RunRecord, running: RunningCommand | None) -> str:
    began, slow = f"began {_minute(run.started_at)} on {run.host}", ""
    is_running, waits = _is_running(run, running), (run.why_slow or "").startswith(WAITING)
    if waits and run.ended_at is None:
        slow = f"; {'it is' if is_running else 'it was'} {run.why_slow}"
    elif run.why_slow and not waits:  # else the reason of its end names the outage
        slow = f"; pace {run.pace_per_s:.1f}/s, since {run.why_slow}"
    if run.ended_at is not None:
        return f"{began}, ended {_minute(run.ended_at)} with exit code {run.exit_code}: {run.reason}{slow}"
    if is_running:
        return f"{began} (process {run.pid}), is still running{slow}"
    if running is None:
        return f"{began} (process {run.pid}), was killed: nothing holds the ledger now{slow}"
    return f"{began} (process {run.pid}), has not ended: it is still running, or was killed{slow}"


def _is_running(run: RunRecord, running: RunningCommand | None) -> bool:
    """Whether a run is the command that holds the ledger."""
    return running is not None and (run.ended_at, run.pid, run.host) == (None, running.pid, running.host)


def _command_of(run: RunRecord, status: LedgerStatus) -> RunningCommand | None:
    """Return the command that holds the ledger; the run itself, if it is one of several that send."""
    if any(other.id == run.id and not other.is_lost for other in status.runs):
        return RunningCommand("batcher run", run.pid, run.host, run.started_at)
    return status.running


def _sharing_text(run: SharingRun) -> str:
    where = f"Run {run.id} on {run.host}"
    if not run.is_lost:
        seen = at_least_a_second(run.seen_s)
        return f"{where} (process {run.pid}): {run.share_per_s:g} a second, last heard of {seen} ago"
    verb = "is" if run.unanswered == 1 else "are"
    doubt = f"; {run.unanswered:,} of its requests {verb} in doubt" if run.unanswered else ""
    if run.seen_at is None:
        return f"{where} was killed before this ledger was copied{doubt}"
    form = "%H:%M:%S" if run.seen_s < _SAME_DAY_S else "%Y-%m-%d %H:%M:%S"
    return f"{where} has not been heard of since {run.seen_at.astimezone():{form}}{doubt}"


def _sharing_json(run: SharingRun) -> dict[str, Any]:
    return {
        "run": run.id,
        "host": run.host,
        "pid": run.pid,
        "started_at": moment(run.started_at),
        "share_per_s": round(run.share_per_s, 3),
        "seen_at": moment(run.seen_at) or None,
        "lost": run.is_lost,
        "unanswered": run.unanswered,
    }


def _running_text(running: RunningCommand) -> str:
    if running.pid is None or running.since is None:
        return "A command is writing this ledger now; its process is unknown"
    place = f"process {running.pid} on {running.host}, since {_minute(running.since)}"
    return f"Running now ({place}): {running.command}"


def _running_json(running: RunningCommand | None) -> dict[str, Any] | None:
    if running is None:
        return None
    return asdict(running) | {"since": moment(running.since) or None}


def _minute(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def _load_name(load: LoadRecord) -> str:
    """The name of a load; the loads of stdin are told apart by their times."""
    name = source_name(load.source)
    return f"{name}, {_minute(load.started_at)}" if load.source == STANDARD_INPUT else name


def _load_json(load: LoadRecord) -> dict[str, Any]:
    return {
        "source": load.source,
        "name": _load_name(load),
        "started_at": moment(load.started_at),
        "ended_at": moment(load.ended_at) or None,
        "rows": load.rows,
        "new": load.new,
        "duplicates": load.duplicates,
        "repeated": load.repeated,
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
