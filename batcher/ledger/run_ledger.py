"""The ledger of a run or a load: records every event while the ledger's lock is held.

Called by runs, loads and upkeep. One method per business event. Each is a short transaction that the writer
may group with others; when the method returns, the event is on disk. The legal moves of a submission are
checked in the statement that makes them, and the tallies move with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from batcher.errors import SettingsError
from batcher.exit_codes import REPORTED
from batcher.ledger import prune
from batcher.ledger.attempts import (
    Begin,
    Move,
    Settle,
    begin,
    end_run,
    held,
    insert_run,
    move,
    note_pace,
    retried,
    settle,
)
from batcher.ledger.binding import check_binding, proves_account
from batcher.ledger.bulk_insert import Batch, json_of
from batcher.ledger.connection import Access
from batcher.ledger.database import Database, database_of
from batcher.ledger.holding import Hold, LockClient
from batcher.ledger.loads import Added, Ended, NewLoad, add, end_load, insert_load, parameter_ids, repeat_load
from batcher.ledger.manifest_diff import compare
from batcher.ledger.manifest_fingerprint import Fingerprint, check_of
from batcher.ledger.read_thread import ReadThread
from batcher.ledger.reader import LedgerReader
from batcher.ledger.run_sharing import RunSharing
from batcher.ledger.schema_version import is_up_to_date
from batcher.ledger.server_wait import ServerWait
from batcher.ledger.shared_attempts import settle_shared
from batcher.ledger.transactor import Event
from batcher.ledger.writer import MOVED_AT_ONCE, Writer, leaving_gap, shielded
from batcher.model.ledger_name import LedgerName
from batcher.model.outcome import Settlement
from batcher.model.records import LoadRecord
from batcher.model.submission import (
    MOVES,
    SETTLED,
    Claim,
    CountedBy,
    EndpointKind,
    InvalidRow,
    LoadId,
    Parameters,
    Row,
    RunId,
    State,
)

I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")

_KNOWN_PARAMETERS = 10_000

STREAM = "-"
"""The path of a stream; two streams are not compared."""


class RunLedger(LedgerReader):
    """A ledger opened for writing. Opened by :func:`open_for_writing`.

    Attributes:
        sharing: the part for several runs; None where one run holds the ledger.
        own_load_ids: the loads that were begun here, oldest first.
        server: how a server that cannot be reached is waited for.
    """

    def __init__(
        self,
        reads: ReadThread,
        hold: Hold,
        clock: Callable[[], float] = time.time,
        *,
        server: ServerWait | None = None,
    ) -> None:
        super().__init__(reads)
        self.server = reads.server = server or ServerWait()
        self._database: Database = database_of(reads.name)
        self._hold = hold
        self._reserve = self._database.reserve(hold.check)
        self._clock = clock
        self._ahead_s = 0.0
        """How far the server's clock is ahead of this one."""
        self.sharing = RunSharing(reads, self._now_s) if self._database.is_shared else None
        self._writer = Writer(
            partial(self._database.connect, Access.WRITE),
            reads.name,
            self._reserve,
            server=self.server,
            guard=self.sharing.membership if self.sharing else None,
        )
        if self.sharing is not None:
            self.sharing.write_with(self._writer)
        self._parameters: dict[Parameters, int] = {}
        self._run_id: RunId | None = None
        self._adding = asyncio.Lock()
        self._unproven: tuple[int, EndpointKind] | None = None
        """The account that the first answer that proves it will bind the ledger to; None once it is bound."""
        self.own_load_ids: list[LoadId] = []
        self._seen: dict[LoadId, tuple[str, Fingerprint]] = {}

    async def start(self) -> None:
        """Make or upgrade the schema, and start the writer."""
        await asyncio.to_thread(self._database.bring_up_to_date)
        await self._writer.start()
        if self.sharing is not None:
            self._ahead_s = await self.sharing.server_time() - self._clock()

    def end_soon(self) -> None:
        """Wait for a lost server only for seconds from now on: the run has been asked to stop."""
        self._writer.end_soon()
        self.reads.end_soon()

    async def close(self) -> None:
        """Write what waits, close the file and release the lock."""
        await self._writer.close()
        await super().close()
        self._reserve.give_room()
        self._hold.release()

    def prepare_run(self, open_submissions: int) -> list[str]:
        """Check the room before a run begins and reserve some; returns warnings for the user.

        Raises:
            LedgerError: there is no room.
        """
        warnings = self._database.warnings(open_submissions)
        self._reserve.set_room_aside()
        return warnings

    def _now_s(self) -> float:
        """Return the time; on a ledger that several runs share, by the clock of its server."""
        return self._clock() + self._ahead_s

    def _now_ms(self) -> int:
        return int(self._now_s() * 1000)

    async def _record(self, event: Event[I, R], item: I, *, known: bool = False) -> R:
        """Record an item; it is on disk when this returns."""
        return await shielded(self._writer.record(event, item, known=known))

    # -- runs ------------------------------------------------------------------------------------

    async def bind(self, app_id: int, place: EndpointKind) -> None:
        """Bind the ledger to an AppId and a kind of endpoint from the first answer that proves them.

        Raises:
            BindingError: it belongs to another account.
        """
        bound = await self.bound_to()
        check_binding(self.name, bound, app_id, place)
        self._unproven = None if bound else (app_id, place)

    async def start_run(self, rate_per_s: float, version: str) -> RunId:
        """Record that a run begins."""
        row = {
            "started_at_ms": self._now_ms(),
            "pid": os.getpid(),
            "host": platform.node(),
            "version": version,
            "rate_per_s": rate_per_s,
        }
        self._run_id = RunId(await self._record(insert_run, row))
        return self._run_id

    async def end_run(
        self,
        run_id: RunId,
        exit_code: int,
        reason: str,
        *,
        pace_per_s: float | None = None,
        why_slow: str | None = None,
    ) -> None:
        """Record that a run ended, and, if it reported everything, the newest invalid row it has reported."""
        row = {
            "run_id": run_id,
            "ended_at_ms": self._now_ms(),
            "exit_code": exit_code,
            "reason": reason,
            "pace_per_s": pace_per_s,
            "why_slow": why_slow,
            "reported": exit_code in REPORTED,
        }
        self._run_id = None
        await self._record(end_run, row, known=True)

    async def note_pace(self, run_id: RunId, pace_per_s: float, why_slow: str | None) -> None:
        """Record the present pace of a run, and why it is below the cap."""
        row = {"run_id": run_id, "pace_per_s": pace_per_s, "why_slow": why_slow}
        await self._record(note_pace, row)

    # -- submissions -----------------------------------------------------------------------------

    def begin(self, claim: Claim, run_id: RunId) -> asyncio.Future[bool]:
        """Record that an attempt begins; from here a crash means in doubt.

        Returns:
            False when the submission is no longer open, and nothing may be sent.
        """
        return self._writer.record(begin, Begin(claim, run_id, self._now_ms()))

    def settle(self, settlement: Settlement, run_id: RunId) -> asyncio.Future[None]:
        """Record the outcome of an attempt and the disposition of its submission."""
        delay_s = settlement.disposition.delay_s
        due = None if delay_s is None else self._now_ms() + int(delay_s * 1000)
        account = self._unproven if proves_account(settlement.outcome) else None
        event = settle if self.sharing is None else settle_shared
        settled = self._writer.record(event, Settle(settlement, run_id, due, account), known=True)
        if account:
            settled.add_done_callback(self._proven)
        return settled

    def _proven(self, settled: asyncio.Future[None]) -> None:
        if settled.exception() is None:
            self._unproven = None

    async def hold_doubtful(self, run_id: RunId) -> int:
        """Take open submissions whose answer was lost before out of the queue; returns how many."""
        return await self._move(held(run_id))

    async def retry(self, states: Iterable[State], codes: Sequence[int] = ()) -> int:
        """Put settled submissions back in the queue with fresh budgets; returns how many.

        If it is interrupted, it has moved a part, and the same call moves the rest.

        Raises:
            SettingsError: no submission can have such a code.
        """
        if wrong := [code for code in codes if not -(2**63) <= code < 2**63]:
            raise SettingsError(f"code {wrong[0]}: return codes have at most 64 bits")
        allowed = [state for state in states if state in SETTLED and State.PENDING in MOVES[state]]
        return await self._move(retried(allowed, codes))

    async def _move(self, what: Move) -> int:
        """Move submissions page by page, so that other records are written in between."""
        moved = last = 0
        while ids := await self.reads.read(what.page, after_id=last, limit=MOVED_AT_ONCE):
            last = ids[-1]
            async with leaving_gap():
                moved += await self._record(move, (what, ids))
        return moved

    async def forget(self, prunable: Sequence[prune.Prunable]) -> None:
        """Delete attempts that are no longer needed; how many requests they were is kept."""
        async with leaving_gap():
            await self._record(prune.forget, prunable)

    # -- loads -----------------------------------------------------------------------------------

    async def start_load(
        self,
        source: str,
        path: str,
        columns: Sequence[str],
        counted_by: CountedBy = CountedBy.LINE,
        options: Mapping[str, object] | None = None,
    ) -> LoadId:
        """Record that a manifest is being read.

        Args:
            source: its name as the user gave it.
            path: its name among all loads.
            columns: its own columns.
            counted_by: how its rows are numbered.
            options: the options by which it is read, for the next load of the path.
        """
        names, read_by = json.dumps(list(columns), ensure_ascii=False), json.dumps(dict(options or {}))
        load = NewLoad(source, path, names, counted_by, self._now_ms(), options=read_by, run_id=self._run_id)
        load_id = LoadId(await self._record(insert_load, load))
        self._seen[load_id] = path, Fingerprint()
        self.own_load_ids.append(load_id)
        return load_id

    async def add(
        self, load_id: LoadId, source: str, rows: Sequence[Row], invalid: Sequence[InvalidRow]
    ) -> Added:
        """Keep a batch of a manifest's rows; known submissions are not changed.

        Further batches may be handed over meanwhile; they are kept in the order of the calls.
        """
        async with self._adding:
            asked = {id(row.parameters): row.parameters for row in rows}
            ids = await self._parameter_ids(dict.fromkeys(asked.values()))
            numbers = {value: ids[asked[value]] for value in asked}
            file_ids = [row.file_id for row in rows]
            in_order = file_ids == sorted(file_ids)
            batch = Batch(load_id, Path(source).name, len(rows), json_of(rows, numbers), in_order, invalid)
            writing = self._writer.record(add, batch)
        checks = [check_of(row.extra) for row in rows] if rows and rows[0].extra is not None else None
        del rows  # so that they are not in memory while the disk writes
        kept = await shielded(writing)
        if load_id in self._seen:
            self._seen[load_id][1].add(kept.ids, checks)
        return kept.added

    async def end_load(self, load_id: LoadId, error: str | None = None, *, digest: str | None = None) -> None:
        """Record that a manifest was read to its end, with its changes since the last time.

        Args:
            load_id: the load.
            error: the reason why the end was not reached; None when it was.
            digest: identifies the content for the next load.
        """
        path, seen = self._seen.pop(load_id, (STREAM, None))
        distinct = None if seen is None else seen.count()
        ended = Ended(load_id, None if error else self._now_ms(), error, digest=digest, distinct=distinct)
        if seen is not None and path != STREAM and not error:
            ended = replace(ended, changes=await compare(self, path, seen), seen=seen)
        await self._record(end_load, ended)

    async def own_loads(self, *, after_id: int = 0) -> list[LoadRecord]:
        """Return the loads that were begun here, after a given one; other processes may load meanwhile."""
        own = frozenset(self.own_load_ids)
        return [load for load in await self.loads(after_id=after_id) if load.id in own]

    async def repeat_load(self, load_id: LoadId) -> None:
        """Record that a manifest has the content with which it was last read to its end."""
        self._seen.pop(load_id, None)
        await self._record(repeat_load, Ended(load_id, self._now_ms()))

    async def _parameter_ids(self, asked_for: Collection[Parameters]) -> dict[Parameters, int]:
        """Return the ids of parameters; cached only once they are committed."""
        missing = [asked for asked in asked_for if asked not in self._parameters]
        if len(self._parameters) + len(missing) > _KNOWN_PARAMETERS:
            self._parameters, missing = {}, list(asked_for)
        if missing:
            self._parameters |= await self._record(parameter_ids, missing)
        return self._parameters


async def open_for_writing(
    name: LedgerName,
    hold: Hold | None = None,
    *,
    created: Callable[[str], None] = lambda _: None,
    server: ServerWait | None = None,
) -> RunLedger:
    """Open a ledger, made or upgraded as needed, and hold its lock until it is closed.

    Args:
        name: the ledger.
        hold: on it, if it is held already.
        created: called with a message for the user once a new ledger was created.
        server: how a server that cannot be reached is waited for.

    Raises:
        LedgerBusy: another process holds it.
        LedgerError: it cannot be made or written, is something else, or is from a newer version.
    """
    database = database_of(name)
    hold = hold or await database.take(LockClient())
    try:
        there = database.make_room_for_new()
        hold.cover()
        reads = await ReadThread.open(name, partial(database.connect, Access.READ))
        try:
            if there:  # before anything is written to what may be something else
                await reads.read(is_up_to_date)
        except BaseException:
            await reads.close()
            raise
        ledger = RunLedger(reads, hold, server=server)
        try:
            await ledger.start()
        except BaseException:
            await ledger.close()
            raise
    except BaseException:
        hold.release()
        raise
    if not there:
        created(_new_ledger(name, hold))
    return ledger


def _new_ledger(name: LedgerName, hold: Hold) -> str:
    if hold.is_first:
        return f"new ledger {name}"
    return (
        f"new ledger {name} (the lock file of an earlier one was here: if that ledger was deleted, what "
        "it sent is sent again)"
    )
