"""The state of a ledger, and the history of one recording; works while a run writes.

Called by programs, and by ``batcher status`` and ``batcher show``. Both commands start fast because this
module imports little: neither the HTTP library nor anything that sends may be imported here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from batcher.config.ledger_names import ledger_named
from batcher.errors import BatcherError, LedgerError
from batcher.flowcontrol.shares import limit_among
from batcher.ledger.database import database_of
from batcher.ledger.reader import LedgerReader, open_for_reading
from batcher.ledger.shared_runs import live_runs
from batcher.model.ledger_name import LedgerName
from batcher.model.records import Meaning, Record, RunningCommand, SharingRun
from batcher.model.submission import FileId, State
from batcher.report.counts import figures, http_refusals, task_figures
from batcher.report.formatting import count
from batcher.report.status_summary import LedgerStatus
from batcher.report.summary import FIRST_IN_DOUBT
from batcher.zego.codes import meaning


async def ledger_status(path: str | os.PathLike[str], *, loads: int | None = None) -> LedgerStatus:
    """Return the state of a ledger.

    Args:
        path: the ledger.
        loads: how many of the last loads to include; all when not given.

    Raises:
        LedgerMissing: there is no ledger.
        LedgerError: it cannot be read.
    """
    async with await open_for_reading(ledger_named(path)) as ledger:
        counts = figures(await ledger.tallies())
        loads_total = await ledger.newest_load()
        first_load = 0 if loads is None else max(0, loads_total - loads)
        return LedgerStatus(
            ledger=ledger.name,
            bound=await ledger.bound_to(),
            counts=counts,
            tasks=task_figures(await ledger.tallies_of_tasks(), counts.by_state[State.SUBMITTED]),
            doubtful=await ledger.count_doubtful(),
            possibly_twice=await ledger.count_possibly_twice(),
            invalid_rows=await ledger.count_invalid_rows(),
            in_doubt=tuple(await ledger.records_in_doubt(FIRST_IN_DOUBT)),
            loads=tuple(await ledger.loads(after_id=first_load)),
            loads_total=loads_total,
            last_run=await ledger.last_run(),
            running=await _running(ledger.name),
            runs=await _sharing(ledger),
            meanings=_meanings(counts.codes),
            http_refusals=http_refusals(await ledger.tallies_of_http_refusals()),
        )


async def submissions_of(path: str | os.PathLike[str], file_id: str) -> list[Record]:
    """Return all submissions of a recording, each with its attempts and its task.

    Args:
        path: the ledger.
        file_id: the recording.

    Raises:
        BatcherError: the ledger has no submission of it.
        LedgerMissing: there is no ledger.
        LedgerError: it cannot be read.
    """
    async with await open_for_reading(ledger_named(path)) as ledger:
        if records := await ledger.records_of([FileId(file_id)]):
            return records
        total = figures(await ledger.tallies()).total
    among = f"not among the {count(total, 'submission')} of {ledger.name}"
    raise BatcherError(f"{file_id}: {among}; load its manifest first")


def meanings_of(records: Iterable[Record]) -> Mapping[int, Meaning]:
    """Return the meaning of every code that the attempts of some submissions got."""
    attempts = [attempt for record in records for attempt in record.attempts]
    return _meanings(attempt.code for attempt in attempts if attempt.code is not None)


async def _running(ledger: LedgerName) -> RunningCommand | None:
    """Return the command that holds the ledger's lock; None if there is none, or the lock cannot be read."""
    try:
        holder = await database_of(ledger).holder()
    except LedgerError:
        return None
    if isinstance(holder, bool):
        return RunningCommand() if holder else None
    return RunningCommand(holder.command, holder.pid, holder.host, holder.since)


async def _sharing(ledger: LedgerReader) -> tuple[SharingRun, ...]:
    """Return the runs that share a ledger and have not ended; none for a file."""
    if not database_of(ledger.name).is_shared:
        return ()
    runs = await ledger.reads.read(live_runs)
    limit = limit_among(run.rate_per_s for run in runs if run.is_live)
    return tuple(
        SharingRun(
            run.id,
            run.host,
            run.pid,
            _time(run.started_at_ms),
            min(run.rate_per_s, limit.rate_per_s(run.share)) if run.is_live else 0.0,
            None if run.seen_at_ms is None else _time(run.seen_at_ms),
            max((run.now_ms - (run.seen_at_ms or run.started_at_ms)) / 1000, 0.0),
            not run.is_live,
            run.sending,
        )
        for run in runs
    )


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _meanings(codes: Iterable[int]) -> dict[int, Meaning]:
    return {code: meaning(code) for code in codes}
