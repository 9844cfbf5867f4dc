"""The query that adds up everything that was sent and fetched, for the report.

Long tables are read page by page in the order of their keys, so that neither a sort nor the memory grows with
them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from batcher.ledger.connection import Connection, ResultRow
from batcher.model.history import Cell, Doubt, History, RunTimeline, doubt_of
from batcher.model.records import RunRecord
from batcher.model.submission import State
from batcher.model.task import PictureState, TaskState

PAGE = 20_000
"""Submissions read together: what is grouped of them fits any cache."""

CELLS = 2_048
"""The number of intervals for all drawn runs; more than a drawing has dots."""

WITHOUT_PICTURES = "(state IN ('failed', 'unknown') OR (state = 'finished' AND pictures = 0))"
"""The condition of a task that has ended without a picture."""

_PAGE = "submission_id BETWEEN :first AND :last"
_SENT_AT = "coalesce(sent_at_ms, begun_at_ms)"
_ANSWERED = "coalesce(outcome, '') IN ('answer', 'http_refusal')"


def _number_of(condition: str) -> str:
    return f"sum(CASE WHEN {condition} THEN 1 ELSE 0 END)"


_SENDS = f"""
SELECT run_id, ({_SENT_AT} - coalesce(began_at_ms, {_SENT_AT})) / :width_ms AS cell,
    {_number_of("coalesce(outcome, '') <> 'not_sent'")} AS sent,
    {_number_of("decision = 'submitted'")} AS submitted,
    {_number_of("decision IN ('slow_down', 'probe')")} AS refused,
    {_number_of(_ANSWERED)} AS answered,
    {_number_of(f"NOT {_ANSWERED}")} AS unanswered
FROM attempts LEFT JOIN json_to_recordset(:spans) AS span (id INTEGER, began_at_ms BIGINT) ON span.id = run_id
WHERE {_PAGE} GROUP BY 1, 2
"""  # noqa: S608 - ours

_LATENCIES = f"""
SELECT answered_at_ms - sent_at_ms AS ms, count(*) AS n FROM attempts
WHERE {_PAGE} AND answered_at_ms IS NOT NULL AND sent_at_ms IS NOT NULL GROUP BY 1
"""  # noqa: S608 - ours

_DOUBTS = """
SELECT state, attempts > 1 AS again, count(*) AS n FROM submissions
WHERE id BETWEEN :first AND :last AND doubted GROUP BY 1, 2
"""

_WITHOUT_PICTURES = f"""
SELECT state, count(*) AS n FROM tasks WHERE {_PAGE} AND {WITHOUT_PICTURES} GROUP BY 1
"""  # noqa: S608 - ours

_PICTURES = f"SELECT state, count(*) AS n FROM pictures WHERE {_PAGE} GROUP BY 1"  # noqa: S608 - ours

_LAST_SENT = f"""
SELECT run_id, max(coalesce(answered_at_ms, {_SENT_AT})) AS at_ms FROM attempts
WHERE {_PAGE} AND run_id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:run_ids)) GROUP BY 1
"""  # noqa: S608 - ours

Span = tuple[int, int]
"""When a run began and ended, in Unix milliseconds."""


def task_states(connection: Connection) -> dict[TaskState, int]:
    """Count the tracked tasks in each state, with a 0 where there are none."""
    found = {row.state: row.n for row in connection.rows("SELECT state, n FROM task_tallies")}
    return {state: found.get(state, 0) for state in TaskState}


def history(connection: Connection, drawn: Sequence[RunRecord]) -> History:
    """Add up everything that was sent and fetched.

    Args:
        connection: the ledger.
        drawn: the runs that are drawn over time, oldest first.
    """
    timelines = _Timelines(_spans(connection, drawn))
    sent = refused = 0
    latencies, doubts = Counter[int](), Counter[Doubt]()
    pictures, without_pictures = Counter[PictureState | None](), Counter[TaskState]()
    tracked = any(task_states(connection).values())
    for first, last in pages(connection):
        page = {"first": first, "last": last}
        for row in connection.rows(_SENDS, width_ms=timelines.width_ms, spans=timelines.spans, **page):
            timelines.add(row)
            sent += row.sent
            refused += row.refused
        for row in connection.rows(_LATENCIES, **page):
            latencies[max(row.ms, 0)] += row.n
        for row in connection.rows(_DOUBTS, **page):
            if doubt := doubt_of(State(row.state), 2 if row.again else 1):
                doubts[doubt] += row.n
        if not tracked:
            continue
        for row in connection.rows(_WITHOUT_PICTURES, **page):
            without_pictures[TaskState(row.state)] += row.n
        for row in connection.rows(_PICTURES, **page):
            pictures[PictureState(row.state) if row.state else None] += row.n
    drawings = tuple(map(timelines.of, drawn))
    return History(drawings, latencies, sent, refused, doubts, pictures, without_pictures)


def pages(connection: Connection) -> Iterator[tuple[int, int]]:
    """Return the first and the last submission of each page of the ledger."""
    last: int = connection.value("SELECT coalesce(max(id), 0) FROM submissions")
    for first in range(1, last + 1, PAGE):
        yield first, first + PAGE - 1


def _spans(connection: Connection, drawn: Sequence[RunRecord]) -> dict[int, Span]:
    """Return when each run began and ended; a killed run ended when its last request was sent or answered."""
    killed = [int(run.id) for run in drawn if run.ended_at is None]
    last = _last_sent(connection, killed) if killed else {}
    spans = {}
    for run in drawn:
        began = _ms(run.started_at)
        ended = last.get(int(run.id), began) if run.ended_at is None else _ms(run.ended_at)
        spans[int(run.id)] = began, max(began, ended)
    return spans


def _last_sent(connection: Connection, run_ids: Sequence[int]) -> dict[int, int]:
    """Return when the last request of each run was sent or answered; reads all attempts once."""
    found: dict[int, int] = {}
    for first, last in pages(connection):
        for row in connection.rows(_LAST_SENT, first=first, last=last, run_ids=list(run_ids)):
            found[row.run_id] = max(found.get(row.run_id, row.at_ms), row.at_ms)
    return found


class _Timelines:
    """The requests of the drawn runs over time, in no more cells than are drawn."""

    def __init__(self, spans: Mapping[int, Span]) -> None:
        total_ms = sum(ended - began for began, ended in spans.values())
        self.width_ms = max(1, -(-total_ms // (CELLS * 1000))) * 1000
        self.spans = [{"id": run_id, "began_at_ms": began} for run_id, (began, _) in spans.items()]
        self._began = {run_id: began for run_id, (began, _) in spans.items()}
        self._cells = {run_id: self._empty(*span) for run_id, span in spans.items()}

    def _empty(self, began: int, ended: int) -> list[Cell]:
        return [Cell()] * max(1, -(-(ended - began) // self.width_ms))

    def add(self, row: ResultRow) -> None:
        """Add requests of a run; what a clock has dated outside of the run counts at the run's ends."""
        if cells := self._cells.get(row.run_id):
            at = min(max(row.cell, 0), len(cells) - 1)
            more = row.sent, row.submitted, row.refused, row.answered, row.unanswered
            cells[at] = Cell(*(a + b for a, b in zip(cells[at], more, strict=True)))

    def of(self, run: RunRecord) -> RunTimeline:
        """Return the timeline of a run."""
        return RunTimeline(run, self._began[run.id], self.width_ms, tuple(self._cells[run.id]))


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
