"""``batcher show``: everything known of one recording."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from batcher.cli.command import Invocation, command
from batcher.cli.commands.status import _out, _out_wrapped
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.text import fitted
from batcher.config.settings import Settings
from batcher.errors import BatcherError
from batcher.ledger import LedgerReader, ledger_path, open_for_reading
from batcher.model.records import Attempt, Record, TaskRecord, doubt_reason, may_be_unseen
from batcher.model.submission import FileId, State
from batcher.model.task import TaskState
from batcher.report.counts import figures
from batcher.report.formatting import count, moment, one_line
from batcher.zego.codes import meaning


@command("show")
async def show(
    call: Invocation,
    file_id: Annotated[str, typer.Argument(metavar="FILE_ID", help="A recording.")],
) -> int:
    """Say everything known of one recording: what was asked, every attempt, codes and RequestIds.

    Exit codes: 0; 2 settings, or no such recording; 6 there is no ledger, or it cannot be read.

    Example:  batcher show 1397757897438985123
    """
    return await show_recording(call.settings, file_id, call.console)


async def show_recording(settings: Settings, file_id: str, console: Console) -> int:
    """Print everything known of one recording.

    Raises:
        BatcherError: the ledger does not know it.
    """
    async with await open_for_reading(ledger_path(settings.ledger)) as ledger:
        records = await ledger.records_of([FileId(file_id)])
        if not records:
            raise BatcherError(await _unknown(ledger, file_id))
    for number, record in enumerate(records):
        _out(*([""] if number else []))
        _out_wrapped([fitted(one_line(line), console.width) for line in _record_lines(record)])
    return 0


async def _unknown(ledger: LedgerReader, file_id: str) -> str:
    total = figures(await ledger.tallies()).total
    return f"{file_id}: not among the {count(total, 'submission')} of {ledger.path}; load its manifest first"


def _task_lines(task: TaskRecord) -> list[str]:
    """What is known of a task, and its pictures."""
    head = f"  task {task.state.value}" + (f" ({task.status})" if task.status else "")
    if not task.polled_at:
        head += ", never asked about"
    elif task.closed_at:
        head += f", as was learned {moment(task.closed_at)}"
    else:
        head += f", asked about {count(task.polls, 'time')}, last {moment(task.polled_at)}"
    if task.due_at:
        head += f"; due {moment(task.due_at)}"
    lines = [head]
    if task.started_at or task.ended_at:
        began, ended = (moment(at) or "not said" for at in (task.started_at, task.ended_at))
        lines.append(f"    by the vendor's clock begun {began}, ended {ended}")
    lines += [f"    {task.message}"] if task.message else []
    lines += [f"    RequestId {task.request_id}"] if task.request_id else []
    if task.state is TaskState.FINISHED:
        lines.append(f"    {count(len(task.pictures), 'picture')}")
    for picture in task.pictures:
        at = "" if picture.offset_ms is None else f" at {picture.offset_ms / 1000:g} s"
        lines.append(f"      {picture.url}{at}")
    return lines


def _attempt_lines(attempt: Attempt) -> list[str]:
    head = f"  attempt {attempt.number}, run {attempt.run_id}, begun {moment(attempt.begun_at)}"
    if attempt.outcome is None:
        return [head + ": under way, or its run was killed"]
    said = attempt.message or ""
    if may_be_unseen(attempt.outcome, attempt.decision, attempt.code):
        said = doubt_reason(attempt.outcome, attempt.code, attempt.message)
    elif attempt.code is not None:
        said = f"code {attempt.code} ({meaning(attempt.code).text})" + (f": {said}" if said else "")
    took = ""
    if attempt.sent_at and attempt.answered_at:
        took = f", answered after {(attempt.answered_at - attempt.sent_at).total_seconds() * 1000:.0f} ms"
    lines = [f"{head}{took}", f"    {said or attempt.outcome.replace('_', ' ')}"]
    lines[1] += f" → {(attempt.decision or '').replace('_', ' ')}"
    if attempt.request_id:
        lines.append(f"    RequestId {attempt.request_id}")
    if attempt.vendor_request_id:
        lines.append(f"    RequestId {attempt.vendor_request_id} (the vendor's own, which support asks for)")
    return lines


def _record_lines(record: Record) -> list[str]:
    asked = record.parameters
    parts = [
        f"definition {asked.definition}" if asked.definition else "",
        f"interval {asked.interval} s" if asked.interval else "",
        "offsets " + ", ".join(f"{offset} s" for offset in asked.offsets) if asked.offsets else "",
    ]
    state = record.state.value.replace("_", " ")
    if record.state is State.PENDING and record.not_before:
        state += f", not before {moment(record.not_before)}"
    lines = [
        f"{record.file_id}   {asked.vendor.value}, {asked.type.value}, {', '.join(p for p in parts if p)}",
        f"  {state}" + (f", task id {record.task_id}" if record.task_id else ""),
        f"  from {record.place}",
    ]
    if record.extra:
        own = ", ".join(f"{name}: {value}" for name, value in json.loads(record.extra).items())
        lines.append(f"  its other columns: {own}")
    if record.possibly_twice:
        earlier = count(record.possibly_twice, "earlier attempt")
        lines.append(f"  possibly twice: {earlier} may have been accepted as well")
    elif record.doubted:
        lines.append("  an attempt whose answer is missing may have been accepted")
    lines += [line for attempt in record.attempts for line in _attempt_lines(attempt)]
    lines += _task_lines(record.task) if record.task else []
    return lines
