"""A survey of a whole ledger: what its report is drawn from, added up in one look at everything.

Stands between the report and the tables. All of it is read in one transaction, so that its figures belong to
one moment even beside a run; long tables are gone through page by page in the order of their keys, so that
neither a sort nor the memory grows with them. It never writes, and hands out no more rows than it is asked
for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from sqlalchemy import ColumnElement, Row, Select, case, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from batcher.ledger.reader import _RECORD, LedgerReader, _run, _time_or_none, connect_reader
from batcher.ledger.schema import (
    IS_TROUBLED,
    NO_RUN,
    attempts,
    parameters,
    pictures,
    runs,
    submissions,
    tallies,
    task_tallies,
    tasks,
)
from batcher.ledger.sqlite.connection import translated
from batcher.model.history import (
    Cell,
    Doubt,
    Doubted,
    FetchedPicture,
    History,
    Pictured,
    RunTimeline,
    TaskWithoutPictures,
    doubt_of,
)
from batcher.model.outcome import Decision
from batcher.model.records import Record, Run
from batcher.model.submission import FileId, State, Vendor
from batcher.model.task import PictureState, TaskState

PAGE = 20_000
"""Submissions looked at together: what is grouped of them fits any cache."""

CELLS = 2_048
"""Stretches of time that all runs to be drawn are cut into; more than a drawing has dots."""

_LOOKED_AT = 200_000
"""Of the newest tasks, how many are searched for pictures to show."""

_SENT_AT = func.coalesce(attempts.c.sent_at_ms, attempts.c.begun_at_ms)
_LEFT = func.coalesce(attempts.c.outcome, "") != "not_sent"
_ANSWERED = func.coalesce(attempts.c.outcome, "").in_(("answer", "http_refusal"))
_KEPT = (PictureState.WHOLE, PictureState.BLANK, PictureState.BLACK)
"""Pictures in these states have a file."""

_IS_BARE = tasks.c.state.in_((TaskState.FAILED, TaskState.UNKNOWN)) | (
    (tasks.c.state == TaskState.FINISHED) & (tasks.c.pictures == 0)
)


class Survey(LedgerReader):
    """A ledger at one moment. Open it with :meth:`open`; use it as an async context manager."""

    _at_once: AsyncConnection

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open an existing ledger, upgrading an older one's schema first.

        Raises:
            LedgerError: there is none, it is none, it is from a newer version, or it cannot be read.
            LedgerBusy: it must be upgraded and a run of an older version holds it.
        """
        survey = cls(await connect_reader(path), path)
        try:
            with translated(path):
                survey._at_once = await survey._reading.connect()
        except BaseException:
            await LedgerReader.close(survey)
            raise
        return survey

    async def close(self) -> None:
        """Let go of the file."""
        await self._at_once.close()
        await super().close()

    async def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with translated(self.path):
            rows: Sequence[Row[Any]] = (await self._at_once.execute(query)).all()
            return rows

    # -- short tables ----------------------------------------------------------------------------

    async def runs_that_sent(self) -> list[Run]:
        """Every run that has settled something, oldest first."""
        settled = select(tallies.c.run_id).where(tallies.c.n > 0, tallies.c.run_id != NO_RUN)
        return [
            _run(row)
            for row in await self._rows(select(runs).where(runs.c.id.in_(settled)).order_by(runs.c.id))
        ]

    async def task_tallies(self) -> dict[TaskState, int]:
        """How many followed tasks stand in each state."""
        found = {row.state: row.n for row in await self._rows(select(task_tallies))}
        return {state: found.get(state, 0) for state in TaskState}

    # -- everything, added up --------------------------------------------------------------------

    async def history(self, drawn: Sequence[Run]) -> History:
        """Add up everything that was sent and fetched.

        Args:
            drawn: the runs that are wanted over time, oldest first.
        """
        spans = await self._spans(drawn)
        sums = _Sums(spans)
        followed = any((await self.task_tallies()).values())
        async for page in self._pages():
            sums.add_sends(await self._rows(sums.sends_of(*page)))
            sums.add_latencies(await self._rows(_latencies(*page)))
            sums.add_doubts(await self._rows(_doubts(*page)))
            if followed:
                sums.add_without_pictures(await self._rows(_bare(*page)))
                sums.add_pictures(await self._rows(_pictures(*page)))
        return sums.history(drawn)

    async def _pages(self) -> AsyncIterator[tuple[int, int]]:
        [(last,)] = await self._rows(select(func.coalesce(func.max(submissions.c.id), 0)))
        for first in range(1, last + 1, PAGE):
            yield first, first + PAGE - 1

    async def _spans(self, drawn: Sequence[Run]) -> dict[int, tuple[int, int]]:
        """When each run began and ended; of one that did not record its end, when the last of it was sent."""
        killed = [int(run.id) for run in drawn if run.ended_at is None]
        last = await self._last_of(killed) if killed else {}
        spans = {}
        for run in drawn:
            began = _ms(run.started_at)
            ended = last.get(int(run.id), began) if run.ended_at is None else _ms(run.ended_at)
            spans[int(run.id)] = began, max(began, ended)
        return spans

    async def _last_of(self, run_ids: Sequence[int]) -> dict[int, int]:
        """When the last request of each run was sent or answered; goes through all attempts once."""
        last = func.max(func.coalesce(attempts.c.answered_at_ms, _SENT_AT))
        of_runs = select(attempts.c.run_id, last.label("at_ms")).where(attempts.c.run_id.in_(run_ids))
        found: dict[int, int] = {}
        async for page in self._pages():
            in_page = of_runs.where(attempts.c.submission_id.between(*page)).group_by(attempts.c.run_id)
            for row in await self._rows(in_page):
                found[row.run_id] = max(found.get(row.run_id, row.at_ms), row.at_ms)
        return found

    # -- some of everything ----------------------------------------------------------------------

    async def troubled(self, state: State, code: int | None, limit: int) -> list[Record]:
        """The first submissions that ended in a state with a last code."""
        query = _RECORD.where(submissions.c.state == state, submissions.c.code.is_not_distinct_from(code))
        return await self._with_attempts(await self._rows(query.where(text(IS_TROUBLED)).limit(limit)))

    async def doubted(self, limit: int) -> list[Doubted]:
        """The first submissions that may exist twice or unseen, those in doubt before all others."""
        held = await self.records_in_doubt(limit)
        found = [Doubted(Doubt.HELD if one.state is State.IN_DOUBT else Doubt.AGAIN, one) for one in held]
        known = {one.id for one in held}
        async for first, last in self._pages():
            if len(found) >= limit:
                break
            query = _RECORD.where(submissions.c.id.between(first, last), submissions.c.doubted)
            for record in await self._with_attempts(await self._rows(query.limit(limit))):
                doubt = doubt_of(record.state, len(record.attempts) + record.pruned)
                if doubt and record.id not in known:
                    found.append(Doubted(doubt, record))
        return found[:limit]

    async def tasks_without_pictures(self, limit: int) -> list[TaskWithoutPictures]:
        """The first tasks that ended without a picture."""
        query = (
            select(tasks, submissions.c.file_id, submissions.c.extra, parameters.c.vendor)
            .join_from(tasks, submissions)
            .join(parameters, parameters.c.id == submissions.c.parameters_id)
        )
        found: list[TaskWithoutPictures] = []
        async for page in self._pages():
            if len(found) >= limit:
                break
            some = query.where(tasks.c.submission_id.between(*page), _IS_BARE).order_by(tasks.c.submission_id)
            found += [_bare_task(row) for row in await self._rows(some.limit(limit - len(found)))]
        return found

    async def pictured(self, limit: int, each: int) -> list[Pictured]:
        """The newest recordings of which a picture was fetched, with what became of the others.

        Args:
            limit: of recordings.
            each: pictures of each.
        """
        [(last,)] = await self._rows(select(func.coalesce(func.max(tasks.c.submission_id), 0)))
        kept = select(pictures.c.number).where(
            pictures.c.submission_id == tasks.c.submission_id, pictures.c.state.in_(_KEPT)
        )
        newest = (
            select(tasks.c.submission_id)
            .where(tasks.c.submission_id > last - _LOOKED_AT, tasks.c.pictures > 0, kept.exists())
            .order_by(tasks.c.submission_id.desc())
            .limit(limit)
        )
        found = []
        for (id_,) in await self._rows(newest):
            found += await self._of_task(pictures.c.submission_id == id_, each)
        return found

    async def _of_task(self, which: ColumnElement[bool], each: int) -> list[Pictured]:
        query = (
            select(pictures, tasks.c.pictures.label("of"), submissions.c.file_id, submissions.c.extra)
            .add_columns(parameters.c.vendor)
            .join_from(pictures, tasks)
            .join(submissions, submissions.c.id == tasks.c.submission_id)
            .join(parameters, parameters.c.id == submissions.c.parameters_id)
            .where(which, pictures.c.state.is_not(None))
            .order_by(pictures.c.number)
            .limit(each)
        )
        rows = await self._rows(query)
        return [
            Pictured(
                FileId(one[0].file_id),
                Vendor(one[0].vendor),
                one[0].extra,
                one[0].of,
                tuple(map(_picture, one)),
            )
            for one in (list(some) for _, some in groupby(rows, key=lambda row: row.submission_id))
        ]


class _Sums:
    """What has been added up so far: no more than the cells that are drawn, and counts by kind."""

    def __init__(self, spans: Mapping[int, tuple[int, int]]) -> None:
        whole_ms = sum(ended - began for began, ended in spans.values())
        self._width_ms = max(1, -(-whole_ms // (CELLS * 1000))) * 1000
        self._spans = spans
        self._cells = {run_id: self._empty(*span) for run_id, span in spans.items()}
        self._sent = self._refused = 0
        self._latencies: Counter[int] = Counter()
        self._doubts: Counter[Doubt] = Counter()
        self._pictures: Counter[PictureState | None] = Counter()
        self._bare: Counter[TaskState] = Counter()

    def _empty(self, began: int, ended: int) -> list[Cell]:
        return [Cell()] * max(1, -(-(ended - began) // self._width_ms))

    def sends_of(self, first: int, last: int) -> Select[Any]:
        """The question that :meth:`add_sends` takes the answer of."""
        began = {run_id: span[0] for run_id, span in self._spans.items()}
        of_run = case(began, value=attempts.c.run_id, else_=_SENT_AT) if began else _SENT_AT
        cell = (_SENT_AT - of_run) // self._width_ms
        return (
            select(
                attempts.c.run_id,
                cell,
                _many(_LEFT),
                _many(attempts.c.decision == Decision.SUBMITTED),
                _many(attempts.c.decision.in_((Decision.SLOW_DOWN, Decision.PROBE))),
                _many(_ANSWERED),
                _many(~_ANSWERED),
            )
            .where(attempts.c.submission_id.between(first, last))
            .group_by(attempts.c.run_id, cell)
        )

    def add_sends(self, rows: Sequence[Sequence[Any]]) -> None:
        """By run and cell; what a clock put outside of its run counts at the run's ends."""
        for row in rows:
            run_id, at, more = row[0], row[1], Cell(*row[2:])
            self._sent += more.sent
            self._refused += more.refused
            if cells := self._cells.get(run_id):
                at = min(max(at, 0), len(cells) - 1)
                cells[at] = Cell(*(a + b for a, b in zip(cells[at], more, strict=True)))

    def add_latencies(self, rows: Sequence[Sequence[Any]]) -> None:
        """By milliseconds."""
        for row in rows:
            self._latencies[max(row[0], 0)] += row[1]

    def add_doubts(self, rows: Sequence[Sequence[Any]]) -> None:
        """By state, and whether there was more than one request."""
        for row in rows:
            if doubt := doubt_of(State(row[0]), 2 if row[1] else 1):
                self._doubts[doubt] += row[2]

    def add_without_pictures(self, rows: Sequence[Sequence[Any]]) -> None:
        """By state of the task."""
        for row in rows:
            self._bare[TaskState(row[0])] += row[1]

    def add_pictures(self, rows: Sequence[Sequence[Any]]) -> None:
        """By what they turned out to be."""
        for row in rows:
            self._pictures[PictureState(row[0]) if row[0] else None] += row[1]

    def history(self, drawn: Sequence[Run]) -> History:
        """All of it."""
        return History(
            tuple(
                RunTimeline(run, self._spans[run.id][0], self._width_ms, tuple(self._cells[run.id]))
                for run in drawn
            ),
            self._latencies,
            self._sent,
            self._refused,
            self._doubts,
            self._pictures,
            self._bare,
        )


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _many(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _latencies(first: int, last: int) -> Select[Any]:
    took = attempts.c.answered_at_ms - attempts.c.sent_at_ms
    page = attempts.c.submission_id.between(first, last) & took.is_not(None)
    return select(took, func.count()).where(page).group_by(took)


def _doubts(first: int, last: int) -> Select[Any]:
    again = submissions.c.attempts > 1
    page = submissions.c.id.between(first, last) & submissions.c.doubted
    return select(submissions.c.state, again, func.count()).where(page).group_by(submissions.c.state, again)


def _bare(first: int, last: int) -> Select[Any]:
    page = tasks.c.submission_id.between(first, last) & _IS_BARE
    return select(tasks.c.state, func.count()).where(page).group_by(tasks.c.state)


def _pictures(first: int, last: int) -> Select[Any]:
    page = pictures.c.submission_id.between(first, last)
    return select(pictures.c.state, func.count()).where(page).group_by(pictures.c.state)


def _bare_task(row: Row[Any]) -> TaskWithoutPictures:
    return TaskWithoutPictures(
        FileId(row.file_id),
        Vendor(row.vendor),
        row.extra,
        row.task_id,
        TaskState(row.state),
        row.status,
        row.message,
        row.request_id,
        _time_or_none(row.ended_at_ms or row.closed_at_ms),
    )


def _picture(row: Row[Any]) -> FetchedPicture:
    return FetchedPicture(row.number, row.offset_ms, PictureState(row.state), row.file, row.error)
