"""The audit: one page whose numbers add up, or that states what does not. Pure.

Called by ``cli/commands/audit.py`` and the library. Takes counted rows and returns text or a JSON object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from batcher.model.audit import Case, CaseKind, Counted
from batcher.model.submission import State
from batcher.model.task import Effect, TaskState
from batcher.report.formatting import count, wrapped

_NUMBER = 12
_LABEL = 50

_HEADINGS = {
    CaseKind.TWICE: "Submitted twice, confirmed by a poll",
    CaseKind.POSSIBLY_TWICE: "Submitted, possibly twice",
    CaseKind.IN_DOUBT: "In doubt",
    CaseKind.UNNAMED: "Rejected or failed, and an earlier attempt may have been accepted",
    CaseKind.TASK_FAILED: "Tasks that failed",
    CaseKind.TASK_UNKNOWN: "Tasks that the service does not know, or that did not end",
    CaseKind.WITHOUT_PICTURES: "Finished without pictures",
    CaseKind.STRANGER: "Tasks named by callbacks that belong to no submission",
}


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One number of the audit."""

    name: str
    """The name in JSON."""
    words: str
    n: int
    depth: int = 0
    """A line of depth 1 is a part of the line of depth 0 above it."""


def balance(counted: Counted) -> list[str]:
    """Return everything that does not add up, in words; an empty list if the audit balances."""
    return [*_by_state(counted), *_by_task(counted)]


def _by_state(counted: Counted) -> Iterator[str]:
    for state in State:
        there, tallied = counted.of(state), counted.tallied.get(state, 0)
        if there != tallied:
            name = state.value.replace("_", " ")
            yield f"{there:,} submissions are {name}, and the tallies say {tallied:,}"
    if (submitted := counted.of(State.SUBMITTED)) != counted.task_ids:
        yield f"{submitted:,} submissions are submitted, and {counted.task_ids:,} attempts brought a task id"


def _by_task(counted: Counted) -> Iterator[str]:
    tasks = sum(counted.tasks.values())
    for state in TaskState:
        there, tallied = counted.tasks.get(state, 0), counted.tasks_tallied.get(state, 0)
        if there != tallied:
            yield f"{there:,} tasks are {state.value}, and the tallies say {tallied:,}"
    if tasks != counted.followed:
        yield f"{count(tasks, 'task')} on record, and {counted.followed:,} submissions are marked as followed"
    if counted.shared_task_ids:
        yield f"{count(counted.shared_task_ids, 'task id')} of more than one submission"


def submission_lines(counted: Counted) -> list[AuditLine]:
    """Return what became of the submissions. The lines of depth 0 add up to all submissions."""
    doubted = counted.of(State.SUBMITTED, doubted=True)
    twice = counted.twice
    unnamed = counted.of(State.REJECTED, State.FAILED, doubted=True)
    waiting = counted.of(State.PENDING, doubted=True)
    return [
        AuditLine("submitted_once", "submitted once", counted.of(State.SUBMITTED, doubted=False)),
        AuditLine("possibly_twice", "submitted, possibly twice", doubted),
        *([AuditLine("twice", "of these, twice for certain", twice, 1)] if twice else []),
        AuditLine("in_doubt", "in doubt: may have been accepted", counted.of(State.IN_DOUBT)),
        AuditLine("rejected", "rejected", counted.of(State.REJECTED)),
        AuditLine("failed", "failed", counted.of(State.FAILED)),
        *([AuditLine("unnamed", "of both, perhaps accepted before", unnamed, 1)] if unnamed else []),
        AuditLine("pending", "still to send", counted.of(State.PENDING)),
        *([AuditLine("pending_doubted", "of these, perhaps accepted before", waiting, 1)] if waiting else []),
        AuditLine("sending", "being sent now, or when a run was killed", counted.of(State.SENDING)),
    ]


def task_lines(counted: Counted) -> list[AuditLine]:
    """Return what became of the tasks. The lines of depth 0 add up to the submissions in state submitted."""
    finished = counted.tasks.get(TaskState.FINISHED, 0)
    lines = [
        AuditLine("finished", "finished with pictures", counted.with_pictures),
        AuditLine("without_pictures", "finished without pictures", finished - counted.with_pictures),
        AuditLine("task_failed", "failed", counted.tasks.get(TaskState.FAILED, 0)),
        AuditLine("task_unknown", "unknown, or not ended in time", counted.tasks.get(TaskState.UNKNOWN, 0)),
        AuditLine("processing", "processing at the vendor", counted.tasks.get(TaskState.PROCESSING, 0)),
        AuditLine("waiting", "waiting", counted.tasks.get(TaskState.WAITING, 0)),
    ]
    if counted.unconfirmed:
        lines.append(AuditLine("unconfirmed", "reported as ended, not confirmed", counted.unconfirmed, 1))
    return [
        *lines,
        AuditLine("not_followed", "never polled", counted.of(State.SUBMITTED) - sum(counted.tasks.values())),
    ]


_EFFECTS = {
    Effect.CLAIMED: "reported the end of a known task",
    Effect.SETTLED: "settled a submission in doubt",
    Effect.CHECKED: "may settle a submission in doubt, not confirmed yet",
    Effect.DOUBLE: "named a second task of a submission",
    Effect.OPEN: "named a task that may still become known",
    Effect.STRANGER: "named a task that belongs to no submission",
    Effect.DENIED: "named a task that the service does not know, or of another recording",
    Effect.AMBIGUOUS: "may belong to several submissions in doubt",
    Effect.ADDED: "became a new submission",
    Effect.KNOWN: "reported a recording that was already submitted",
    Effect.UNUSABLE: "reported a recording that cannot be submitted",
    Effect.NOTED: "needed no action",
}


def callback_lines(counted: Counted) -> list[AuditLine]:
    """Return the effects of the callbacks, without effects that never happened."""
    return [
        AuditLine(effect.value, words, n)
        for effect, words in _EFFECTS.items()
        if (n := counted.callbacks.get(effect))
    ]


def audit_json(counted: Counted, ledger: str) -> dict[str, Any]:
    """Return the audit as JSON values."""
    problems = balance(counted)
    return {
        "ledger": ledger,
        "app_id": counted.app_id,
        "balances": not problems,
        "problems": problems,
        "requests": counted.attempts,
        "submissions": {"total": counted.total, **_named(submission_lines(counted))},
        "tasks": {"total": counted.of(State.SUBMITTED), **_named(task_lines(counted))},
        "callbacks": {effect.value: counted.callbacks.get(effect, 0) for effect in Effect},
        "cases": {
            kind.value: {
                "total": _how_many(counted)[kind],
                "named": [asdict(case) for case in counted.cases.get(kind, ())],
            }
            for kind in CaseKind
        },
    }


def audit_text(counted: Counted, ledger: str, width: int) -> str:
    """Return the audit as text: one page, followed by the cases that were looked up."""
    of = f"AppId {counted.app_id}" if counted.app_id else "no run yet"
    callbacks = callback_lines(counted)
    requests = f"{count(counted.attempts, 'request')} that may have left"
    lines = [wrapped(f"{ledger}   {of}   {requests}", width), ""]
    lines += _block("Submissions", submission_lines(counted), counted.total, width)
    lines += [
        "",
        *_block("Tasks of those submitted", task_lines(counted), counted.of(State.SUBMITTED), width),
    ]
    if callbacks:
        lines += ["", *_block("Callbacks", callbacks, sum(counted.callbacks.values()), width)]
    lines += ["", *_verdict(balance(counted), counted.total, width)]
    for kind, heading in _HEADINGS.items():
        lines += _case_lines(heading, counted.cases.get(kind, ()), _how_many(counted)[kind], width)
    return "\n".join(lines)


def _named(lines: list[AuditLine]) -> Mapping[str, int]:
    return {line.name: line.n for line in lines}


def _block(heading: str, lines: list[AuditLine], total: int, width: int) -> list[str]:
    shown = [heading]
    for line in lines:
        number = f"{line.n:,}" if line.depth == 0 else f"({line.n:,})"
        shown.append(_numbered(line.words, number, width, line.depth))
    together = sum(line.n for line in lines if line.depth == 0)
    shown.append(_numbered("together", f"{together:,}", width))
    if together != total:
        shown.append(_numbered("there are", f"{total:,}", width))
    return shown


def _numbered(words: str, number: str, width: int, depth: int = 0) -> str:
    """Return words and their number in its column; long words wrap before it."""
    room, indent = min(_LABEL, width - _NUMBER), "  " * (depth + 1)
    *first, last = wrapped(words, room, head=indent, indent=indent + "  ").split("\n")
    return "\n".join([*first, f"{last:<{room}}{number:>{_NUMBER}}"])


def _verdict(problems: list[str], total: int, width: int) -> list[str]:
    if not problems:
        return [f"It balances: {count(total, 'submission')}, each counted once."]
    tallied = [wrapped(problem + ".", width, head="  - ", indent="    ") for problem in problems]
    then = "Run batcher ledger verify to see which rows these are."
    return ["It does not balance:", *tallied, then]


def _how_many(counted: Counted) -> dict[CaseKind, int]:
    finished = counted.tasks.get(TaskState.FINISHED, 0)
    return {
        CaseKind.TWICE: counted.callbacks.get(Effect.DOUBLE, 0),
        CaseKind.POSSIBLY_TWICE: counted.of(State.SUBMITTED, doubted=True),
        CaseKind.IN_DOUBT: counted.of(State.IN_DOUBT),
        CaseKind.UNNAMED: counted.of(State.REJECTED, State.FAILED, doubted=True),
        CaseKind.TASK_FAILED: counted.tasks.get(TaskState.FAILED, 0),
        CaseKind.TASK_UNKNOWN: counted.tasks.get(TaskState.UNKNOWN, 0),
        CaseKind.WITHOUT_PICTURES: finished - counted.with_pictures,
        CaseKind.STRANGER: counted.callbacks.get(Effect.STRANGER, 0),
    }


def _case_lines(heading: str, cases: tuple[Case, ...], total: int, width: int) -> list[str]:
    if not total:
        return []
    rest = f", the first {len(cases):,} of {total:,}" if len(cases) < total else f", {total:,}"
    lines = ["", wrapped(heading + rest, width)]
    for case in cases:
        named = [case.file_id or "recording not named", case.vendor.value if case.vendor else ""]
        named += [f"task {case.task_id}"] if case.task_id else []
        lines.append(wrapped(", ".join(one for one in named if one), width, head="  ", indent="    "))
        if case.request_ids:
            ids = "RequestId " + ", ".join(case.request_ids)
            lines.append(wrapped(ids, width, head="    ", indent="      "))
        if case.said:
            lines.append(wrapped(case.said, width, head="    ", indent="      "))
    return lines
