"""Reading the ledger: counts, open work, loads, runs, and everything known of a submission.

Works while another process writes. Nothing here counts rows: numbers come from the tallies, and
whatever can be long is handed out page by page, in the order of the submissions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Row, Select, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from batcher.ledger import opening
from batcher.ledger.tables import (
    IS_TROUBLED,
    NO_CODE,
    NO_RUN,
    attempts,
    binding,
    invalid_rows,
    loads,
    parameters,
    runs,
    submissions,
    tallies,
)
from batcher.model import (
    Claim,
    FileId,
    LoadId,
    Parameters,
    Place,
    RunId,
    SnapshotType,
    State,
    SubmissionId,
    TaskId,
    Tries,
    Vendor,
)
from batcher.records import Attempt, InvalidRowRecord, Load, Record, Run, Tally

_T = TypeVar("_T")

_KEYS_AT_ONCE = 500
"""File ids in one ``IN``; far below every database's limit on parameters."""

_CLAIM = select(
    submissions.c.id,
    submissions.c.file_id,
    submissions.c.attempts,
    submissions.c.tries_busy,
    submissions.c.tries_unknown,
    submissions.c.tries_doubt,
    submissions.c.doubted,
    submissions.c.code,
    submissions.c.run_id,
    submissions.c.not_before_ms,
    parameters,
).join_from(submissions, parameters)

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
        loads.c.source,
        parameters,
    )
    .join_from(submissions, parameters)
    .join(loads, loads.c.id == submissions.c.load_id)
)


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
        with opening.translated(self.path):
            async with self._reading.connect() as connection:
                rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
                return rows

    # -- numbers ---------------------------------------------------------------------------------

    async def bound_to(self) -> tuple[int, Place] | None:
        """The AppId and kind of endpoint this ledger belongs to; None before its first run."""
        rows = await self._rows(select(binding.c.app_id, binding.c.place))
        return (rows[0].app_id, Place(rows[0].place)) if rows else None

    async def tallies(self) -> list[Tally]:
        """All submissions, counted by state, last definite code, and the run that last settled them."""
        return [
            Tally(
                State(row.state),
                None if row.code == NO_CODE else row.code,
                None if row.run_id == NO_RUN else RunId(row.run_id),
                row.n,
            )
            for row in await self._rows(select(tallies).where(tallies.c.n > 0))
        ]

    async def loads(self) -> list[Load]:
        """Every reading of a manifest, oldest first."""
        later = loads.alias()
        finished_later = (
            select(later.c.id)
            .where(later.c.path == loads.c.path, later.c.id > loads.c.id, later.c.ended_at_ms.is_not(None))
            .exists()
        )
        query = select(loads, finished_later.label("superseded")).order_by(loads.c.id)
        return [_load(row) for row in await self._rows(query)]

    async def last_run(self) -> Run | None:
        """The newest run, still going on or not."""
        rows = await self._rows(select(runs).order_by(runs.c.id.desc()).limit(1))
        return _run(rows[0]) if rows else None

    async def last_told_run(self) -> Run | None:
        """The newest run that ended with 0 or 1: what it told of is not new any more."""
        query = select(runs).where(runs.c.exit_code.in_((0, 1))).order_by(runs.c.id.desc()).limit(1)
        rows = await self._rows(query)
        return _run(rows[0]) if rows else None

    async def invalid_rows(self, *, after_id: int = 0, limit: int | None = None) -> list[InvalidRowRecord]:
        """Rows that cannot be sent, in the order they were met, from a given one on."""
        query = (
            select(invalid_rows, loads.c.source)
            .join_from(invalid_rows, loads)
            .where(invalid_rows.c.id > after_id)
            .order_by(invalid_rows.c.id)
            .limit(limit)
        )
        return [
            InvalidRowRecord(row.id, row.source, row.line, row.column, row.reason)
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
        return await self._with_attempts(await self._rows(query))

    async def records_in_doubt(self, limit: int) -> list[Record]:
        """The first submissions that are in doubt, then those that wait to be sent again for it."""
        ended = _RECORD.where(submissions.c.state == State.IN_DOUBT, text(f"submissions.{IS_TROUBLED}"))
        waiting = _RECORD.where(submissions.c.state == State.PENDING, submissions.c.tries_doubt > 0)
        found: list[Row[Any]] = []
        for query in (ended, waiting):
            found += await self._rows(query.order_by(submissions.c.id).limit(limit - len(found)))
        return await self._with_attempts(found)

    async def records_of(self, file_ids: Iterable[FileId]) -> list[Record]:
        """All submissions of these recordings, with their attempts."""
        found: list[Row[Any]] = []
        for some in _chunks(list(dict.fromkeys(file_ids))):
            query = _RECORD.where(submissions.c.file_id.in_(some)).order_by(submissions.c.id)
            found.extend(await self._rows(query))
        return await self._with_attempts(found)

    async def _with_attempts(self, rows: Sequence[Row[Any]]) -> list[Record]:
        made: dict[int, list[Attempt]] = {row.id: [] for row in rows}
        for some in _chunks(list(made)):
            query = (
                select(attempts)
                .where(attempts.c.submission_id.in_(some))
                .order_by(attempts.c.submission_id, attempts.c.number)
            )
            for row in await self._rows(query):
                made[row.submission_id].append(_attempt(row))
        return [_record(row, made[row.id]) for row in rows]


async def open_for_reading(path: Path) -> LedgerReader:
    """Open an existing ledger for reading, upgrading an older one's schema first.

    Raises:
        LedgerError: there is none, it is none, it is from a newer version, or it cannot be read.
        LedgerBusy: it must be upgraded and a run of an older version holds it.
    """
    opening.check_file(path)
    engine = opening.connect(path, writing=False)
    try:
        if not await opening.is_up_to_date(engine, path):
            await _upgrade(path)
    except BaseException:
        await engine.dispose()
        raise
    return LedgerReader(engine, path)


async def _upgrade(path: Path) -> None:
    with opening.take_lock(path):
        writing = opening.connect(path, writing=True)
        try:
            await opening.bring_up_to_date(writing, path)
        finally:
            await writing.dispose()


def _chunks(items: list[_T]) -> Iterable[list[_T]]:
    return (items[i : i + _KEYS_AT_ONCE] for i in range(0, len(items), _KEYS_AT_ONCE))


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _time_or_none(ms: int | None) -> datetime | None:
    return None if ms is None else _time(ms)


def _parameters(row: Row[Any]) -> Parameters:
    return Parameters(
        Vendor(row.vendor),
        SnapshotType(row.type),
        row.definition,
        row.interval,
        tuple(row.offsets.split(";")) if row.offsets else (),
    )


def _claim(row: Row[Any], *, begun: bool = False) -> Claim:
    return Claim(
        id=SubmissionId(row.id),
        file_id=FileId(row.file_id),
        parameters=_parameters(row),
        number=row.attempts + (0 if begun else 1),
        tries=Tries(row.tries_busy, row.tries_unknown, row.tries_doubt),
        doubted=bool(row.doubted),
        code=row.code,
        run_id=None if row.run_id is None else RunId(row.run_id),
    )


def _load(row: Row[Any]) -> Load:
    return Load(
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


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(
        number=row.number,
        run_id=RunId(row.run_id),
        begun_at=_time(row.begun_at_ms),
        sent_at=_time_or_none(row.sent_at_ms),
        answered_at=_time_or_none(row.answered_at_ms),
        outcome=row.outcome,
        decision=row.decision,
        http_status=row.http_status,
        code=row.code,
        task_id=None if row.task_id is None else TaskId(row.task_id),
        request_id=row.request_id,
        vendor_request_id=row.vendor_request_id,
        message=row.message,
    )


def _record(row: Row[Any], made: list[Attempt]) -> Record:
    return Record(
        id=SubmissionId(row.id),
        file_id=FileId(row.file_id),
        parameters=_parameters(row),
        state=State(row.state),
        code=row.code,
        doubted=bool(row.doubted),
        not_before=_time_or_none(row.not_before_ms),
        source=row.source,
        line=row.line,
        extra=row.extra,
        attempts=tuple(made),
    )
