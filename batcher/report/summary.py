"""The closing summary of a run or a load: what happened, and what to do next. Pure.

Built by :mod:`batcher.submit.run_setup`; shown by ``cli/commands/run.py``, ``load.py`` and notifications.
The keys of :func:`summary_json` are public.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from batcher.errors import RunError, RunHalted, RunIncomplete, RunTroubled
from batcher.exit_codes import ExitCode, RunOutcome
from batcher.model.outcome import Outage
from batcher.model.records import InvalidRowRecord, Meaning, Record
from batcher.model.submission import STANDARD_INPUT, TROUBLED, State
from batcher.model.task import TaskState
from batcher.report.command_lines import ledger_option, next_lines
from batcher.report.counts import Counts
from batcher.report.estimate import rest
from batcher.report.formatting import (
    at_least_a_second,
    count,
    noted,
    one_line,
    paragraph,
    sentence,
    wrapped,
)
from batcher.report.tracking_summary import (
    TrackingSummary,
    outage_json,
    tasks_in_words,
    tracking_json,
    tracking_lines,
    trouble_lines,
)

FIRST_INVALID_ROWS = 5
FIRST_IN_DOUBT = 5
ENOUGH_SENT = 100
"""The fewest requests from which a run's rate is a reliable measure."""


@dataclass(frozen=True, slots=True)
class InvalidRows:
    """Rows of manifests that cannot be sent."""

    total: int = 0
    new: int = 0
    """Not reported by an earlier run with exit code 0 or 1."""
    first: tuple[InvalidRowRecord, ...] = ()
    """The first of the new ones."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The facts of a closing summary."""

    exit_code: int
    reason: str
    ledger: str
    app_id: int | None
    run_id: int
    sent: int
    seconds: float
    now: Counts
    this_run: Counts
    new: Counts
    """Settled after the last run that reported everything."""
    invalid_rows: InvalidRows
    meanings: Mapping[int, Meaning]
    """The meaning of every code in the counts."""
    rate_per_s: float = 20.0
    window_s: float | None = None
    """The longest duration of the run in seconds; None without a limit."""
    doubtful: int = 0
    """Pending submissions that may have been accepted already, because an answer was lost."""
    http_refusals: Mapping[int, int] = field(default_factory=dict)
    """Submissions last refused without a code, by HTTP status."""
    new_http_refusals: Mapping[int, int] = field(default_factory=dict)
    """Those settled after the last run that reported everything."""
    possibly_twice: int = 0
    """Submitted submissions of which an earlier attempt may have been accepted as well."""
    open_tasks: int = 0
    """Tasks of submitted submissions that have not ended, as far as the ledger knows."""
    finished_tasks: int = 0
    """Tasks that have ended with pictures."""
    in_doubt: tuple[Record, ...] = ()
    """The first submissions in doubt, and the first that are sent again because of a doubt."""
    manifests: tuple[str, ...] = ()
    row_options: str = ""
    """The options for reading rows, as written on a command line."""
    unfinished: tuple[str, ...] = ()
    """Manifests that were not read to the end."""
    changes: tuple[str, ...] = ()
    """Manifests that have changed since they were last read to the end, one line each."""
    unrecorded: tuple[str, ...] = ()
    """Attempts whose result the ledger could not record, in words. They are recorded nowhere else."""
    outage: Outage | None = None
    """The outage during which the run ended."""
    cut_off: tuple[str, ...] = ()
    """Manifests that had not arrived when the time limit was reached."""
    unusable: bool = False
    """Whether a manifest proved unusable during the run."""
    warnings: tuple[str, ...] = field(default=())
    tracking: TrackingSummary | None = None
    """The results of the tasks; None if the run did not follow them."""

    @property
    def outcome(self) -> RunOutcome:
        """The end of the run in a word."""
        return RunOutcome.of(self.exit_code)

    def raise_for_outcome(self, *, allow_trouble: bool = False) -> None:
        """Raise unless the run is done.

        Args:
            allow_trouble: return, too, when everything was sent and some of it met trouble.

        Raises:
            RunTroubled: everything was sent, with trouble.
            RunIncomplete: work is left.
            RunHalted: the service refuses the account, or too many submissions failed.
            RunError: a manifest or the ledger could not be used, or batcher has a defect.
        """
        outcome = self.outcome
        if outcome is RunOutcome.DONE or (allow_trouble and outcome is RunOutcome.TROUBLE):
            return
        raise _ERRORS.get(outcome, RunError)(self.reason, outcome, self.exit_code)

    @property
    def blocked_by_outage(self) -> bool:
        """Whether work is left that the run could not do; otherwise it is left on purpose."""
        tracking_outage = self.tracking is not None and self.tracking.outage is not None
        return self.outage is not None or bool(self.cut_off) or self.unusable or tracking_outage

    @property
    def only_tasks_left(self) -> bool:
        """Whether everything was read and sent, and only tasks are open, which end by themselves."""
        left = self.tracking is not None and self.tracking.exit_code == ExitCode.WORK_LEFT
        return left and not (self.now.open or self.unfinished or self.blocked_by_outage)


_ERRORS: dict[RunOutcome, type[RunError]] = {
    RunOutcome.TROUBLE: RunTroubled,
    RunOutcome.WORK_LEFT: RunIncomplete,
    RunOutcome.INTERRUPTED: RunIncomplete,
    RunOutcome.TERMINATED: RunIncomplete,
    RunOutcome.HALTED: RunHalted,
}

_LABELS = {
    State.SUBMITTED: "submitted",
    State.REJECTED: "rejected",
    State.FAILED: "failed",
    State.IN_DOUBT: "in doubt",
    State.PENDING: "still to send",
}


def summary_text(summary: RunSummary, *, width: int, problems_only: bool = False) -> str:
    """Return the summary as text; with ``problems_only``, an empty text if no action is needed."""
    counts = summary.new if problems_only else summary.now
    # What earlier runs got is no reason of a halt.
    codes = summary.this_run.codes if summary.exit_code == ExitCode.HALTED else counts.codes
    only_new = problems_only or summary.exit_code == ExitCode.HALTED
    refusals = summary.new_http_refusals if only_new else summary.http_refusals
    problems = [*_codes(summary, codes, refusals, width), *_in_doubt(summary, width)]
    if problems_only:
        if not _needs_reading(summary):
            return ""
        problems += _invalid(summary, width) if summary.invalid_rows.new else []
        problems += trouble_lines(summary.tracking, width) if summary.tracking else []
        return "\n".join([f"batcher: {one_line(_in_one_line(summary))}", *problems, *_next(summary, width)])
    problems += _invalid(summary, width)
    # The reason of a usage error may begin with a file's name.
    reason = summary.reason if summary.exit_code == ExitCode.USAGE else sentence(summary.reason)
    lines = ["", wrapped(reason, width), "", *_counts(summary, width), ""]
    lines += [paragraph("", line, width=width) for line in _effort(summary)]
    lines += [line for change in summary.changes for line in ("", paragraph("", change, width=width))]
    if summary.tracking is not None:
        lines += ["", "Tasks", *tracking_lines(summary.tracking, width)]
    lines += problems
    return "\n".join([*lines, *_next(summary, width)])


def summary_json(summary: RunSummary) -> dict[str, Any]:
    """Return the summary as JSON values."""
    return {
        "exit_code": summary.exit_code,
        "reason": summary.reason,
        "ledger": summary.ledger,
        "app_id": summary.app_id,
        "run": {"id": summary.run_id, "sent": summary.sent, "seconds": round(summary.seconds, 3)},
        "submissions": {"total": summary.now.total, **_states(summary.now)},
        "this_run": _states(summary.this_run),
        "new": {state.value: summary.new.by_state[state] for state in TROUBLED},
        "codes": {str(code): n for code, n in summary.now.codes.items()},
        "http_refusals": {str(status): n for status, n in summary.http_refusals.items()},
        "invalid_rows": {"total": summary.invalid_rows.total, "new": summary.invalid_rows.new},
        "doubtful": summary.doubtful,
        "possibly_twice": summary.possibly_twice,
        "outage": outage_json(summary.outage),
        "unfinished_loads": list(summary.unfinished),
        "changed_manifests": list(summary.changes),
        **(tracking_json(summary.tracking) if summary.tracking else {}),
    }


def _needs_reading(summary: RunSummary) -> bool:
    """Return whether the user must be informed; work left on purpose, for the next run, needs no action."""
    if summary.exit_code == ExitCode.WORK_LEFT:
        return summary.blocked_by_outage or not (summary.now.open or summary.only_tasks_left)
    return summary.exit_code != ExitCode.DONE


def _in_one_line(summary: RunSummary) -> str:
    """Return one line that is enough to decide what to do."""
    if summary.exit_code != ExitCode.TROUBLE:
        return summary.reason
    new = [f"{n:,} {_LABELS[state]}" for state in TROUBLED if (n := summary.new.by_state[state])]
    rows = [count(summary.invalid_rows.new, "invalid row")] if summary.invalid_rows.new else []
    tasks = [tasks_in_words(summary.tracking)] if summary.tracking and summary.tracking.new else []
    details = f"batcher {_details(summary)}"
    counts = [text for text in (*new, *rows, *tasks) if text not in summary.reason]
    return f"{summary.reason}{': ' if counts else ''}{', '.join(counts)}. Details: {details}"


def _details(summary: RunSummary) -> str:
    """Return the command that shows what needs reading. Invalid rows are in the export of their manifest."""
    ledger = ledger_option(summary.ledger)
    sources = {row.source for row in summary.invalid_rows.first}
    if not summary.invalid_rows.new or len(summary.manifests) == 1:
        return f"export{ledger}{_results(summary)}"
    if len(sources) == 1 and STANDARD_INPUT not in sources:
        return f"export{ledger} {shlex.quote(sources.pop())} -o results.csv"
    return f"report{ledger} -o report.html"


def _states(counts: Counts) -> dict[str, int]:
    return {state.value: n for state, n in counts.by_state.items()}


def _counts(summary: RunSummary, width: int) -> list[str]:
    widest = len(f"{summary.now.total:,}")
    lines = []
    for state, label in _LABELS.items():
        n = summary.now.open if state is State.PENDING else summary.now.by_state[state]
        if not n and state is not State.SUBMITTED:
            continue
        here = summary.this_run.by_state[state]
        of_run = f"   {here:,} in this run" if state is not State.PENDING and here != n else ""
        lines.append(f"  {label:<15}{n:>{widest},}{of_run}")
        if state is State.SUBMITTED and summary.possibly_twice:
            of = "of these; an earlier attempt may have been accepted as well"
            lines.append(noted(f"  {'possibly twice':<15}{summary.possibly_twice:>{widest},}", of, width))
    if summary.invalid_rows.total:
        lines.append(f"  {'invalid rows':<15}{summary.invalid_rows.total:>{widest},}   never sent")
    return lines


def _effort(summary: RunSummary) -> list[str]:
    if not summary.sent:
        return ["Nothing was sent."]
    rate_per_s = summary.sent / summary.seconds if summary.seconds >= 1 else 0.0
    pace = f", {rate_per_s:.1f} a second" if rate_per_s else ""
    lasted = at_least_a_second(summary.seconds)
    lines = [f"Sent {count(summary.sent, 'request')} in {lasted}{pace}."]
    if summary.now.open and summary.exit_code == ExitCode.WORK_LEFT:
        measured = (rate_per_s if summary.sent >= ENOUGH_SENT else 0.0) or summary.rate_per_s
        lines.append(f"The rest takes {rest(summary.now.open, measured, summary.window_s)}.")
    return lines


def http_refusal_line(status: int, n: int, width: int, *, remedy: bool = False) -> str:
    """Return the count of refusals without a code, in the columns of the codes."""
    text = f"{n:,} × refused without a return code"
    if remedy:
        cause = _THROTTLED if status in (429, 503) else _IN_BETWEEN
        text = f"{text}. {cause}"
    return paragraph(f"HTTP {status}", text, width=width, label_width=15)


_THROTTLED = "No action: batcher slows down by itself; lower --rate if other programs share the AppId."
_IN_BETWEEN = "Check BATCHER_ENDPOINT, and the proxy or firewall on the way to it."


def _codes(
    summary: RunSummary, codes: Mapping[int, int], refusals: Mapping[int, int], width: int
) -> list[str]:
    if not codes and not refusals:
        return []
    lines = ["", "Return codes"]
    for code, n in codes.items():
        what = summary.meanings[code]
        lines.append(
            paragraph(
                f"code {code}",
                f"{n:,} × {what.text}. {sentence(_capital(what.remedy))}",
                width=width,
                label_width=15,
            )
        )
    lines += [http_refusal_line(status, n, width, remedy=True) for status, n in refusals.items()]
    if any("RequestId" in summary.meanings[code].remedy for code in codes):
        show = f"`batcher show{ledger_option(summary.ledger)} FILE_ID` prints the RequestIds of a recording."
        lines.append(paragraph("", one_line(show), width=width))
    return lines


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _in_doubt(summary: RunSummary, width: int) -> list[str]:
    n = summary.now.by_state[State.IN_DOUBT]
    lines = []
    if summary.doubtful:
        text = (
            f"{summary.doubtful:,} of those still to send may have been accepted already: their answers were "
            "lost. They are sent again after all others, unless you give --in-doubt hold."
        )
        lines = ["", "Answers lost", paragraph("", text, width=width)]
    lines += in_doubt_lines(summary.in_doubt, State.PENDING, width)
    if not n:
        return lines
    text = (
        f"{count(n, 'submission')} may have been accepted: no readable answer came. "
        "They are not sent again automatically; `batcher retry --state in_doubt` sends them again, "
        "and some may be paid for twice."
    )
    lines += ["", "In doubt", paragraph("", text, width=width)]
    return lines + in_doubt_lines(summary.in_doubt, State.IN_DOUBT, width)


def in_doubt_lines(records: Iterable[Record], state: State, width: int) -> list[str]:
    """Return the submissions of a state that are in doubt, with the reason."""
    return [
        paragraph("", f"{record.file_id}: {record.why_in_doubt}", width=width, indent=4, hang=2)
        for record in records
        if record.state is state and record.why_in_doubt
    ]


def invalid_line(row: InvalidRowRecord, width: int) -> str:
    """Return the place of an invalid row, and the reason."""
    return paragraph("", f"{row.place}, {row.column}: {row.reason}", width=width, hang=2)


def invalid_heading(new: int, listed: int) -> str:
    """Return the heading of the new invalid rows that are listed."""
    return count(new, "new invalid row") + ("" if new <= listed else f", the first {listed}")


def _invalid(summary: RunSummary, width: int) -> list[str]:
    rows = summary.invalid_rows
    if not rows.total:
        return []
    if not rows.new:
        return ["", f"{count(rows.total, 'invalid row')} from earlier runs."]
    return [
        "",
        invalid_heading(rows.new, len(rows.first)),
        *(invalid_line(row, width) for row in rows.first),
    ]


def _next(summary: RunSummary, width: int) -> list[str]:
    ledger = ledger_option(summary.ledger)
    steps = []
    if summary.now.open or summary.unfinished:
        names = "".join(f" {shlex.quote(name)}" for name in summary.unfinished)
        names += summary.row_options if names else ""
        steps.append((f"batcher run{ledger}{names}", "to resume"))
    tasks = summary.tracking.tasks if summary.tracking is not None else None
    if tasks.open if tasks else summary.open_tasks:
        steps.append((f"batcher track{ledger}", "for tasks"))
    if tasks.by_state[TaskState.FINISHED] if tasks else summary.finished_tasks:
        steps.append((f"batcher fetch{ledger} -o pictures", "for pictures"))
    steps.append((f"batcher export{ledger}{_results(summary)}", "for results"))
    retriable = summary.now.by_state[State.FAILED] + summary.now.by_state[State.REJECTED]
    if retriable and summary.exit_code != ExitCode.HALTED:
        steps.append((f"batcher retry{ledger} && batcher run{ledger}", "to try again"))
    return ["", f"Ledger: {one_line(summary.ledger)}", *next_lines(steps, width)]


def _results(summary: RunSummary) -> str:
    if len(summary.manifests) == 1 and summary.manifests[0] != "-":
        options = summary.row_options if summary.cut_off else ""  # else the ledger has them
        return f" {shlex.quote(summary.manifests[0])}{options} -o results.csv"
    return " -o results.csv"
