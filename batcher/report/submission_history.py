"""The history of one submission as text: what was asked for, every attempt, and its task. Pure.

Called by ``batcher show``. Each line may be wider than a terminal; the caller wraps it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from batcher.model.records import Attempt, Meaning, Record, TaskRecord, doubt_reason, may_be_unseen
from batcher.model.submission import Parameters, State
from batcher.model.task import TaskState
from batcher.report.formatting import count, moment

FIRST_PICTURES = 10
"""The pictures of a task that are named."""


def history_lines(record: Record, meanings: Mapping[int, Meaning]) -> Iterator[str]:
    """The history of a submission.

    Args:
        record: the submission.
        meanings: the meaning of every code that its attempts got.
    """
    yield f"{record.file_id}   {_asked_for(record.parameters)}"
    yield f"  {_state(record)}" + (f", task id {record.task_id}" if record.task_id else "")
    yield f"  from {record.place}"
    if record.extra:
        own = ", ".join(f"{name}: {value}" for name, value in json.loads(record.extra).items())
        yield f"  its other columns: {own}"
    if record.possibly_twice:
        earlier = count(record.possibly_twice, "earlier attempt")
        yield f"  possibly twice: {earlier} may have been accepted as well"
    elif record.doubted:
        yield "  an attempt whose answer is missing may have been accepted"
    for attempt in record.attempts:
        yield from _attempt_lines(attempt, meanings)
    if record.task:
        yield from _task_lines(record.task)


def _asked_for(parameters: Parameters) -> str:
    parts = [
        parameters.vendor.value,
        parameters.type.value,
        f"definition {parameters.definition}" if parameters.definition else "",
        f"interval {parameters.interval} s" if parameters.interval else "",
        "offsets " + ", ".join(f"{offset} s" for offset in parameters.offsets) if parameters.offsets else "",
    ]
    return ", ".join(part for part in parts if part)


def _state(record: Record) -> str:
    state = record.state.value.replace("_", " ")
    if record.state is State.PENDING and record.not_before:
        state += f", not before {moment(record.not_before)}"
    return state


def _attempt_lines(attempt: Attempt, meanings: Mapping[int, Meaning]) -> Iterator[str]:
    head = f"  attempt {attempt.number}, run {attempt.run_id}, begun {moment(attempt.begun_at)}"
    if attempt.outcome is None:
        yield head + ": under way, or its run was killed"
        return
    took = ""
    if attempt.sent_at and attempt.answered_at:
        took = f", answered after {(attempt.answered_at - attempt.sent_at).total_seconds() * 1000:.0f} ms"
    yield head + took
    decision = (attempt.decision or "").replace("_", " ")
    yield f"    {_outcome(attempt, meanings)} → {decision}"
    if attempt.request_id:
        yield f"    RequestId {attempt.request_id}"
    if attempt.vendor_request_id:
        yield f"    RequestId {attempt.vendor_request_id} (the vendor's own, which support asks for)"


def _outcome(attempt: Attempt, meanings: Mapping[int, Meaning]) -> str:
    text = attempt.message or ""
    if may_be_unseen(attempt.outcome, attempt.decision, attempt.code):
        text = doubt_reason(attempt.outcome, attempt.code, attempt.message)
    elif attempt.code is not None:
        text = f"code {attempt.code} ({meanings[attempt.code].text})" + (f": {text}" if text else "")
    return text or (attempt.outcome or "").replace("_", " ")


def _task_lines(task: TaskRecord) -> Iterator[str]:
    head = f"  task {task.state.value}" + (f" ({task.status})" if task.status else "")
    if not task.polled_at:
        head += ", never polled"
    elif task.closed_at:
        head += f", as was learned {moment(task.closed_at)}"
    else:
        head += f", polled {count(task.polls, 'time')}, last {moment(task.polled_at)}"
    yield head + (f"; due {moment(task.due_at)}" if task.due_at else "")
    if task.started_at or task.ended_at:
        began, ended = (moment(at) or "not reported" for at in (task.started_at, task.ended_at))
        yield f"    by the vendor's clock begun {began}, ended {ended}"
    if task.message:
        yield f"    {task.message}"
    if task.request_id:
        yield f"    RequestId {task.request_id}"
    if task.state is TaskState.FINISHED:
        yield f"    {count(len(task.pictures), 'picture')}"
    for picture in task.pictures[:FIRST_PICTURES]:
        at = "" if picture.offset_ms is None else f" at {picture.offset_ms / 1000:g} s"
        yield f"      {picture.url}{at}"
    if (more := len(task.pictures) - FIRST_PICTURES) > 0:
        yield f"      {more:,} more; batcher export lists all in the column picture_urls"
