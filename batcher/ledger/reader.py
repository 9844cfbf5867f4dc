"""Reading the ledger: counts, open work, loads, runs, and everything known of a submission.

Works while another process writes. Nothing here counts rows: numbers come from the tallies, and
whatever can be long is handed out page by page, in the order of the submissions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import ColumnElement, Row, Select, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from batcher.ledger.schema import (
    IS_POSSIBLY_TWICE,
    IS_TROUBLED,
    NO_RUN,
    attempts,
    binding,
    invalid_rows,
    loads,
    parameters,
    pictures,
    runs,
    seen,
    submissions,
    tallies,
    task_tallies,
    tasks,
)
from batcher.ledger.sqlite.connection import (
    bring_up_to_date,
    check_file,
    connect,
    is_up_to_date,
    translated,
)
from batcher.ledger.sqlite.lock import take_lock
from batcher.model.records import (
    AskedFor,
    Attempt,
    InvalidRowRecord,
    LoadRecord,
    Record,
    Run,
    Tally,
    TaskRecord,
    TaskTally,
)
from batcher.model.submission import (
    SETTLED,
    Claim,
    CountedBy,
    EndpointKind,
    FileId,
    LoadId,
    Parameters,
    RunId,
    SnapshotType,
    State,
    SubmissionId,
    TaskId,
    Tries,
    Vendor,
)
from batcher.model.task import Picture, TaskState

_T = TypeVar("_T")

_KEYS_AT_ONCE = 500
"""File ids in one ``IN``; far below every database's limit on parameters."""

_CLAIM = select(
    submissions.c.not_before_ms,
    submissions.c.id,
    submissions.c.file_id,
    submissions.c.attempts,
    submissions.c.tries_busy,
    submissions.c.tries_unknown,
    submissions.c.tries_doubt,
    submissions.c.doubted,
    submissions.c.code,
    submissions.c.run_id,
    parameters.c.vendor,
    parameters.c.type,
    parameters.c.definition,
    parameters.c.interval,
    parameters.c.offsets,
).join_from(submissions, parameters)
"""Taken apart by place in :func:`_claim`, since every request begins with one."""

_RECORD = (
    select(
        submissions.c.id,
        submissions.c.file_id,
        submissions.c.state,
        submissions.c.code,
        submissions.c.doubted,
        submissions.c.not_before_ms,
        submissions.c.line,
        submissions.c.extra,
        submissions.c.pruned,
        loads.c.source,
        loads.c.counted_by,
        parameters.c.vendor,
        parameters.c.type,
        parameters.c.definition,
        parameters.c.interval,
        parameters.c.offsets,
    )
    .join_from(submissions, parameters)
    .join(loads, loads.c.id == submissions.c.load_id)
)


_ATTEMPT = select(
    attempts.c.submission_id,
    attempts.c.number,
    attempts.c.run_id,
    attempts.c.begun_at_ms,
    attempts.c.sent_at_ms,
    attempts.c.answered_at_ms,
    attempts.c.outcome,
    attempts.c.decision,
    attempts.c.http_status,
    attempts.c.code,
    attempts.c.task_id,
    attempts.c.request_id,
    attempts.c.vendor_request_id,
    attempts.c.message,
).order_by(attempts.c.submission_id, attempts.c.number)

_TASK = select(
    tasks.c.submission_id,
    tasks.c.task_id,
    tasks.c.state,
    tasks.c.status,
    tasks.c.message,
    tasks.c.request_id,
    tasks.c.polls,
    tasks.c.polled_at_ms,
    tasks.c.due_at_ms,
    tasks.c.started_at_ms,
    tasks.c.ended_at_ms,
    tasks.c.closed_at_ms,
    tasks.c.pictures,
)

_PICTURE = select(pictures.c.submission_id, pictures.c.url, pictures.c.offset_ms).order_by(
    pictures.c.submission_id, pictures.c.number
)


_later, _earlier = loads.alias("later"), loads.alias("earlier")

_FINISHED_LATER = (
    select(_later.c.id)
    .where(_later.c.path == loads.c.path, _later.c.id > loads.c.id, _later.c.ended_at_ms.is_not(None))
    .exists()
)
"""A later load has read the same path to its end."""

_LOAD = select(
    loads,
    _FINISHED_LATER.label("superseded"),
    select(_earlier.c.ended_at_ms)
    .where(_earlier.c.path == loads.c.path, _earlier.c.id < loads.c.id, loads.c.appeared.is_not(None))
    .where(_earlier.c.ended_at_ms.is_not(None))
    .order_by(_earlier.c.id.desc())
    .limit(1)
    .scalar_subquery()
    .label("since_ms"),
)


def _last_ended(path: str, column: ColumnElement[Any]) -> Select[Any]:
    """Of the last load of a path that reached its end."""
    of_path = select(column).where(loads.c.path == path, loads.c.ended_at_ms.is_not(None))
    return of_path.order_by(loads.c.id.desc()).limit(1)


class LedgerReader:
    """A ledger opened for reading alone. Use as an async context manager, by :func:`open_for_reading`."""

    def __init__(self, engine: AsyncEngine, path: Path) -> None:
        self._reading = engine
        self.path = path

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the file."""
        await self._reading.dispose()

    async def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with translated(self.path):
            async with self._reading.connect() as connection:
                rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
                return rows

    # -- numbers ---------------------------------------------------------------------------------

    async def bound_to(self) -> tuple[int, EndpointKind] | None:
        """The AppId and kind of endpoint this ledger belongs to; None before its first run."""
        rows = await self._rows(select(binding.c.app_id, binding.c.place))
        return (rows[0].app_id, EndpointKind(rows[0].place)) if rows else None

    async def tallies(self) -> list[Tally]:
        """All submissions, counted by state, last definite code, and the run that last settled them."""
        return [
            Tally(
                State(row.state),
                row.code if row.coded else None,
                None if row.run_id == NO_RUN else RunId(row.run_id),
                row.n,
            )
            for row in await self._rows(select(tallies).where(tallies.c.n > 0))
        ]

    async def tallies_of_tasks(self) -> list[TaskTally]:
        """Tasks that are followed, counted by state; empty when none ever was."""
        return [
            TaskTally(TaskState(row.state), row.n, row.told) for row in await self._rows(select(task_tallies))
        ]

    async def loads(self, *, after_id: int = 0) -> list[LoadRecord]:
        """Every reading of a manifest after a given one, oldest first."""
        rows = await self._rows(_LOAD.where(loads.c.id > after_id).order_by(loads.c.id))
        return [_load(row) for row in rows]

    async def newest_load(self) -> int:
        """The id of the newest reading of a manifest, and so how many there are; 0 when there is none."""
        return int((await self._rows(select(func.coalesce(func.max(loads.c.id), 0))))[0][0])

    async def unfinished_sources(self) -> list[str]:
        """Manifests of which some rows may be missing, each once, in the order they were first read."""
        # Not by the id alone: for that order SQLite would go through all loads.
        query = (
            select(loads.c.source)
            .where(loads.c.ended_at_ms.is_(None), ~_FINISHED_LATER)
            .order_by(loads.c.id + 0)
        )
        return list(dict.fromkeys(row.source for row in await self._rows(query)))

    async def own_columns(self) -> list[str]:
        """The names of all columns that manifests have had, in the order they were first met."""
        query = select(loads.c.columns).group_by(loads.c.columns).order_by(func.min(loads.c.id))
        found = [json.loads(row.columns) for row in await self._rows(query)]
        return list(dict.fromkeys(name for names in found for name in names))

    async def digest_before(self, path: str) -> str | None:
        """By which a path's file is known as it was when it was last read to its end."""
        rows = await self._rows(_last_ended(path, loads.c.digest))
        return rows[0].digest if rows else None

    async def last_seen(self, path: str) -> LoadId | None:
        """The last load of a path that reached its end, if its rows are remembered."""
        rows = await self._rows(_last_ended(path, loads.c.id))
        pages = select(seen.c.load_id).where(seen.c.load_id == rows[0].id).limit(1) if rows else None
        return LoadId(rows[0].id) if pages is not None and await self._rows(pages) else None

    async def seen_pages(self, load_id: LoadId, *, after: int, limit: int) -> list[tuple[int, bytes]]:
        """What a load's rows stood for, in the order of the pages, from a given one on."""
        query = (
            select(seen.c.page, seen.c.checks)
            .where(seen.c.load_id == load_id, seen.c.page > after)
            .order_by(seen.c.page)
            .limit(limit)
        )
        return [(row.page, row.checks) for row in await self._rows(query)]

    async def same_recording(self, ids: Sequence[int]) -> list[tuple[SubmissionId, SubmissionId]]:
        """For submissions, the others of the same recording: what else was asked for it."""
        other = submissions.alias()
        query = select(submissions.c.id, other.c.id.label("other")).join_from(
            submissions, other, (other.c.file_id == submissions.c.file_id) & (other.c.id != submissions.c.id)
        )
        pages = [query.where(submissions.c.id.in_(some)) for some in _chunks(list(ids))]
        found = [row for page in pages for row in await self._rows(page)]
        return [(SubmissionId(row.id), SubmissionId(row.other)) for row in found]

    async def last_run(self) -> Run | None:
        """The newest run, still going on or not."""
        rows = await self._rows(select(runs).order_by(runs.c.id.desc()).limit(1))
        return _run(rows[0]) if rows else None

    async def last_ended_run(self, exit_code: int | None = None) -> Run | None:
        """The newest run that recorded its end, of all or of those with an exit code."""
        ended = runs.c.exit_code.is_not(None) if exit_code is None else runs.c.exit_code == exit_code
        rows = await self._rows(select(runs).where(ended).order_by(runs.c.id.desc()).limit(1))
        return _run(rows[0]) if rows else None

    async def last_reported_run(self) -> Run | None:
        """The newest run that ended with 0 or 1: what it told of is not new any more."""
        query = select(runs).where(runs.c.exit_code.in_((0, 1))).order_by(runs.c.id.desc()).limit(1)
        rows = await self._rows(query)
        return _run(rows[0]) if rows else None

    async def invalid_rows(self, *, after_id: int = 0, limit: int | None = None) -> list[InvalidRowRecord]:
        """Rows that cannot be sent, in the order they were met, from a given one on."""
        query = (
            select(invalid_rows, loads.c.source, loads.c.counted_by)
            .join_from(invalid_rows, loads)
            .where(invalid_rows.c.id > after_id)
            .order_by(invalid_rows.c.id)
            .limit(limit)
        )
        return [
            InvalidRowRecord(row.id, row.source, row.line, row.column, row.reason, CountedBy(row.counted_by))
            for row in await self._rows(query)
        ]

    async def count_invalid_rows(self, *, after_id: int = 0) -> int:
        """How many distinct rows cannot be sent, from a given one on."""
        query = select(func.count()).select_from(invalid_rows).where(invalid_rows.c.id > after_id)
        return int((await self._rows(query))[0][0])

    async def newest_invalid_row(self) -> int:
        """The id of the newest row that cannot be sent; 0 when there is none."""
        return int((await self._rows(select(func.coalesce(func.max(invalid_rows.c.id), 0))))[0][0])

    # -- open work -------------------------------------------------------------------------------

    async def fresh(self, *, after_id: int, limit: int) -> list[Claim]:
        """Open submissions that wait for nothing, in their order, from a given one on."""
        query = (
            _CLAIM.where(
                submissions.c.state == State.PENDING,
                submissions.c.tries_doubt == 0,
                submissions.c.not_before_ms.is_(None),
                submissions.c.id > after_id,
            )
            .order_by(submissions.c.id)
            .limit(limit)
        )
        return [_claim(row) for row in await self._rows(query)]

    async def doubtful(self, *, after: tuple[int, int], limit: int) -> list[tuple[datetime | None, Claim]]:
        """Open submissions whose answer was lost before, with the time they wait for, if any.

        By number of doubts and then in their order, from a given one on.
        """
        query = (
            _CLAIM.where(
                submissions.c.state == State.PENDING,
                submissions.c.tries_doubt > 0,
                tuple_(submissions.c.tries_doubt, submissions.c.id) > tuple_(*after),
            )
            .order_by(submissions.c.tries_doubt, submissions.c.id)
            .limit(limit)
        )
        return [(_time_or_none(row.not_before_ms), _claim(row)) for row in await self._rows(query)]

    async def delayed(self) -> list[tuple[datetime, Claim]]:
        """Open submissions that an earlier run put off, with the time they wait for."""
        query = _CLAIM.where(
            submissions.c.not_before_ms.is_not(None), submissions.c.tries_doubt == 0
        ).order_by(submissions.c.not_before_ms)
        return [(_time(row.not_before_ms), _claim(row)) for row in await self._rows(query)]

    async def sending(self) -> list[Claim]:
        """Submissions whose attempt began and was never settled."""
        rows = await self._rows(_CLAIM.where(submissions.c.state == State.SENDING).order_by(submissions.c.id))
        return [_claim(row, begun=True) for row in rows]

    async def count_doubtful(self) -> int:
        """How many open submissions may have been accepted already: their answer was lost before."""
        query = (
            select(func.count())
            .select_from(submissions)
            .where(submissions.c.state == State.PENDING, submissions.c.tries_doubt > 0)
        )
        return int((await self._rows(query))[0][0])

    async def count_possibly_twice(self) -> int:
        """How many submissions have a task id although an earlier attempt may have been accepted as well."""
        query = select(func.count()).select_from(submissions).where(text(IS_POSSIBLY_TWICE))
        return int((await self._rows(query))[0][0])

    async def newest_submission(self) -> int:
        """The id of the newest submission; 0 when there is none."""
        return int((await self._rows(select(func.coalesce(func.max(submissions.c.id), 0))))[0][0])

    async def asked_for_open(self, groups: int) -> AskedFor:
        """What the open submissions ask for, the largest groups first."""
        return await self._asked_for(submissions.c.state == State.PENDING, groups)

    async def asked_for_since(self, after_id: int, groups: int) -> AskedFor:
        """What the submissions after a given one ask for, the largest groups first."""
        return await self._asked_for(submissions.c.id > after_id, groups)

    async def _asked_for(self, which: ColumnElement[bool], groups: int) -> AskedFor:
        number = func.count().label("n")
        counted = (
            select(submissions.c.parameters_id, number).where(which).group_by(submissions.c.parameters_id)
        ).subquery()
        query = (
            select(
                parameters,
                counted.c.n,
                func.sum(counted.c.n).over().label("total"),
                func.count().over().label("sets"),
            )
            .join_from(counted, parameters, parameters.c.id == counted.c.parameters_id)
            .order_by(counted.c.n.desc(), parameters.c.id)
            .limit(groups)
        )
        rows = await self._rows(query)
        if not rows:
            return AskedFor()
        return AskedFor(tuple((_parameters(row), row.n) for row in rows), rows[0].total, rows[0].sets)

    async def asked_before(self, file_ids: Iterable[FileId]) -> dict[FileId, set[Parameters]]:
        """Under which parameters recordings are in the ledger already; unknown ones are left out."""
        known: dict[FileId, set[Parameters]] = {}
        for some in _chunks(list(dict.fromkeys(file_ids))):
            query = (
                select(submissions.c.file_id, parameters)
                .join_from(submissions, parameters)
                .where(submissions.c.file_id.in_(some))
            )
            for row in await self._rows(query):
                known.setdefault(FileId(row.file_id), set()).add(_parameters(row))
        return known

    # -- everything known ------------------------------------------------------------------------

    async def records(self, *, after_id: int = 0, limit: int = 1000) -> list[Record]:
        """A page of submissions with their attempts, in the order they were first asked for."""
        query = _RECORD.where(submissions.c.id > after_id).order_by(submissions.c.id).limit(limit)
        with translated(self.path):
            async with self._reading.connect() as connection:  # one for both: each costs as much as a query
                rows = (await connection.execute(query)).all()
                if not rows:
                    return []
                ends = rows[0].id, rows[-1].id  # nothing else lies between them
                made = (
                    await connection.execute(_ATTEMPT.where(attempts.c.submission_id.between(*ends)))
                ).all()
                followed = (await connection.execute(_TASK.where(tasks.c.submission_id.between(*ends)))).all()
                taken: Sequence[Any] = ()
                if any(row.pictures for row in followed):
                    of_page = pictures.c.submission_id.between(*ends)
                    taken = (await connection.execute(_PICTURE.where(of_page))).all()
        return _records(rows, [made], _tasks(followed, taken))

    async def records_in_doubt(self, limit: int) -> list[Record]:
        """The first submissions that are in doubt, then those that wait to be sent again for it."""
        ended = _RECORD.where(submissions.c.state == State.IN_DOUBT, text(IS_TROUBLED))
        waiting = _RECORD.where(submissions.c.state == State.PENDING, submissions.c.tries_doubt > 0)
        found: list[Row[Any]] = []
        for query in (ended, waiting):
            # Not by the id alone: for that order SQLite would go through all rows until it has found enough.
            found += await self._rows(query.order_by(submissions.c.id + 0).limit(limit - len(found)))
        return await self._with_attempts(found)

    async def records_of_many_attempts(self, *, after_id: int, limit: int) -> list[Record]:
        """A page of the submissions that have ended after more than one attempt, in their order."""
        ended = submissions.c.state.in_(SETTLED) & (submissions.c.attempts > 1)
        query = _RECORD.where(ended, submissions.c.id > after_id).order_by(submissions.c.id).limit(limit)
        return await self._with_attempts(await self._rows(query))

    async def records_of(self, file_ids: Iterable[FileId]) -> list[Record]:
        """All submissions of these recordings, with their attempts."""
        found: list[Row[Any]] = []
        for some in _chunks(list(dict.fromkeys(file_ids))):
            query = _RECORD.where(submissions.c.file_id.in_(some)).order_by(submissions.c.id)
            found.extend(await self._rows(query))
        return await self._with_attempts(found)

    async def _with_attempts(self, rows: Sequence[Row[Any]]) -> list[Record]:
        made, followed = [], dict[int, TaskRecord]()
        for some in _chunks([row.id for row in rows]):
            made.append(await self._attempts(attempts.c.submission_id.in_(some)))
            of_some = await self._rows(_TASK.where(tasks.c.submission_id.in_(some)))
            with_pictures = [row.submission_id for row in of_some if row.pictures]
            taken: Sequence[Row[Any]] = ()
            if with_pictures:
                taken = await self._rows(_PICTURE.where(pictures.c.submission_id.in_(with_pictures)))
            followed |= _tasks(of_some, taken)
        return _records(rows, made, followed)

    async def _attempts(self, which: ColumnElement[bool]) -> Sequence[Row[Any]]:
        return await self._rows(_ATTEMPT.where(which))


async def open_for_reading(path: Path) -> LedgerReader:
    """Open an existing ledger for reading, upgrading an older one's schema first.

    Raises:
        LedgerError: there is none, it is none, it is from a newer version, or it cannot be read.
        LedgerBusy: it must be upgraded and a run of an older version holds it.
    """
    return LedgerReader(await connect_reader(path), path)


async def connect_reader(path: Path) -> AsyncEngine:
    """Connections to an existing ledger of today's schema; an older one is upgraded first.

    Raises:
        LedgerError: there is none, it is none, it is from a newer version, or it cannot be read.
        LedgerBusy: it must be upgraded and a run of an older version holds it.
    """
    check_file(path)
    engine = connect(path, writing=False)
    try:
        if not await is_up_to_date(engine, path):
            await _upgrade(path)
    except BaseException:
        await engine.dispose()
        raise
    return engine


async def _upgrade(path: Path) -> None:
    with await take_lock(path):
        await bring_up_to_date(path)


def _chunks(items: list[_T]) -> Iterable[list[_T]]:
    return (items[i : i + _KEYS_AT_ONCE] for i in range(0, len(items), _KEYS_AT_ONCE))


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _time_or_none(ms: int | None) -> datetime | None:
    return None if ms is None else _time(ms)


def _parameters(row: Row[Any]) -> Parameters:
    return asked_of(row.vendor, row.type, row.definition, row.interval, row.offsets)


@lru_cache(maxsize=10_000)
def asked_of(vendor: str, kind: str, definition: str, interval: str, offsets: str) -> Parameters:
    """Parameters as kept; millions of submissions share a handful of them."""
    return Parameters(
        Vendor(vendor), SnapshotType(kind), definition, interval, tuple(offsets.split(";")) if offsets else ()
    )


def _claim(row: Row[Any], *, begun: bool = False) -> Claim:
    _, id, file_id, attempts, busy, unknown, doubt, doubted, code, run_id, *asked = tuple(row)
    return Claim(
        SubmissionId(id),
        FileId(file_id),
        asked_of(*asked),
        attempts + (0 if begun else 1),
        Tries(busy, unknown, doubt) if busy or unknown or doubt else _UNTRIED,
        bool(doubted),
        code,
        None if run_id is None else RunId(run_id),
    )


_UNTRIED = Tries()


def _load(row: Row[Any]) -> LoadRecord:
    return LoadRecord(
        id=LoadId(row.id),
        source=row.source,
        path=row.path,
        columns=tuple(json.loads(row.columns)),
        started_at=_time(row.started_at_ms),
        ended_at=_time_or_none(row.ended_at_ms),
        rows=row.rows,
        new=row.new,
        duplicates=row.duplicates,
        invalid=row.invalid,
        error=row.error,
        superseded=bool(row.superseded),
        since=_time_or_none(row.since_ms),
        appeared=row.appeared,
        gone=row.gone,
        changed=row.changed,
    )


def _run(row: Row[Any]) -> Run:
    return Run(
        id=RunId(row.id),
        started_at=_time(row.started_at_ms),
        ended_at=_time_or_none(row.ended_at_ms),
        exit_code=row.exit_code,
        pid=row.pid,
        host=row.host,
        version=row.version,
        rate_per_s=row.rate_per_s,
        reason=row.reason,
        pace_per_s=row.pace_per_s,
        why_slow=row.why_slow,
        invalid_rows_seen=row.invalid_rows_seen,
    )


# What exports take by the million is unpacked by position: a row's names cost more than all else together.

_STATES = {state.value: state for state in State}
_COUNTED_BY = {word.value: word for word in CountedBy}


def _records(
    rows: Iterable[Sequence[Any]],
    attempts_of: Iterable[Iterable[Sequence[Any]]],
    tasks_of: Mapping[int, TaskRecord],
) -> list[Record]:
    made: dict[int, list[Attempt]] = {}
    for some in attempts_of:
        for row in some:
            made.setdefault(row[0], []).append(_attempt(*row[1:]))
    return [_record(made, tasks_of, *row) for row in rows]


def _tasks(rows: Iterable[Sequence[Any]], pictures_of: Iterable[Sequence[Any]]) -> dict[int, TaskRecord]:
    taken: dict[int, list[Picture]] = {}
    for id_, url, offset_ms in pictures_of:
        taken.setdefault(id_, []).append(Picture(url, offset_ms))
    return {row[0]: _task(taken.get(row[0], ()), *row[1:-1]) for row in rows}


def _task(
    taken: Sequence[Picture],
    task_id: str,
    state: str,
    status: str | None,
    message: str | None,
    request_id: str | None,
    polls: int,
    polled_at_ms: int | None,
    due_at_ms: int | None,
    started_at_ms: int | None,
    ended_at_ms: int | None,
    closed_at_ms: int | None,
) -> TaskRecord:
    return TaskRecord(
        TaskId(task_id),
        TaskState(state),
        status,
        message,
        request_id,
        polls,
        _time_or_none(polled_at_ms),
        _time_or_none(due_at_ms),
        _time_or_none(started_at_ms),
        _time_or_none(ended_at_ms),
        _time_or_none(closed_at_ms),
        tuple(taken),
    )


def _attempt(
    number: int,
    run_id: int,
    begun_at_ms: int,
    sent_at_ms: int | None,
    answered_at_ms: int | None,
    outcome: str | None,
    decision: str | None,
    http_status: int | None,
    code: int | None,
    task_id: str | None,
    request_id: str | None,
    vendor_request_id: str | None,
    message: str | None,
) -> Attempt:
    return Attempt(
        number,
        RunId(run_id),
        _time(begun_at_ms),
        _time_or_none(sent_at_ms),
        _time_or_none(answered_at_ms),
        outcome,
        decision,
        http_status,
        code,
        None if task_id is None else TaskId(task_id),
        request_id,
        vendor_request_id,
        message,
    )


def _record(
    made: Mapping[int, Sequence[Attempt]],
    tasks_of: Mapping[int, TaskRecord],
    id_: int,
    file_id: str,
    state: str,
    code: int | None,
    doubted: bool,
    not_before_ms: int | None,
    line: int,
    extra: str | None,
    pruned: int,
    source: str,
    counted_by: str,
    *asked: str,
) -> Record:
    return Record(
        SubmissionId(id_),
        FileId(file_id),
        asked_of(*asked),
        _STATES[state],
        code,
        bool(doubted),
        _time_or_none(not_before_ms),
        source,
        line,
        extra,
        tuple(made.get(id_, ())),
        pruned,
        _COUNTED_BY[counted_by],
        tasks_of.get(id_),
    )
