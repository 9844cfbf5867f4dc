"""A ledger opened by a program: loaded, run and read.

One event loop may carry runs of several ledgers concurrently.

A failure before a run begins is raised as an exception of :mod:`batcher.errors`. The end of a run that has
begun is in its :class:`RunSummary`, with the exit code of the command line.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from batcher.api.load import LoadResult, load_into
from batcher.api.locks import ledger_lock
from batcher.api.manifests import prepared_manifests
from batcher.api.retry import RETRIED, check_states
from batcher.api.run import Run, RunRequest, run_of
from batcher.config.defaults import ENDPOINT as DEFAULT_ENDPOINT
from batcher.config.defaults import LEDGER_PATIENCE_S
from batcher.config.ledger_names import ledger_named
from batcher.flowcontrol.machine_limit import admitted
from batcher.flowcontrol.rate_meter import CurrentRate
from batcher.flowcontrol.service_access import ServiceAccess
from batcher.ledger.preflight import last_options
from batcher.ledger.reader import LedgerReader, open_for_reading
from batcher.ledger.run_ledger import RunLedger, open_for_writing
from batcher.ledger.server_wait import ServerWait
from batcher.ledger.writer import shielded
from batcher.manifest import join_results
from batcher.manifest.read_options import ReadOptions
from batcher.model.events import OnEvent, ignore_event
from batcher.model.ledger_name import LedgerName
from batcher.model.records import InvalidRowRecord, LoadRecord
from batcher.model.submission import FileId, InvalidRow, State
from batcher.report.counts import Counts, figures
from batcher.report.export.results import Result, result_of, row_result
from batcher.report.summary import RunSummary
from batcher.submit.settings import RunSettings
from batcher.track.settings import TrackSettings
from batcher.zego.client import Account

_A_RUN = "a run"

PAGE = 1_000
"""The number of results that one query reads."""

_T = TypeVar("_T")
_Path = str | os.PathLike[str]


class LedgerView:
    """A ledger that is open for reading, also during a run in this or another process.

    Made by :func:`read_ledger`. Every method raises LedgerError when the ledger cannot be read or is closed.
    """

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader
        self._closed = False

    @property
    def name(self) -> LedgerName:
        """The ledger: the path of its file, or its place in PostgreSQL, which prints without its password."""
        return self._reader.name

    @property
    def path(self) -> Path:
        """The ledger's file.

        Raises:
            RuntimeError: the ledger is in PostgreSQL.
        """
        if isinstance(name := self._reader.name, Path):
            return name
        raise RuntimeError(f"{name}: this ledger is in PostgreSQL and has no path; use its name")

    async def results(
        self, manifest: _Path | None = None, *, how: ReadOptions | None = None
    ) -> AsyncIterator[Result]:
        """Return all submissions with their results, in the order in which they were first asked for.

        They are read page by page, each page at its own moment; memory never holds more than a page.

        Args:
            manifest: return one result for each row of this file, in its order; also for invalid rows,
                for rows that are not in the ledger, and for each of several rows that ask for the same.
            how: how the manifest is read; what is not given is as in its last load.

        Raises:
            ManifestError: the manifest cannot be used; raised after the results of the rows before the fault.
        """
        if manifest is not None:
            async with aclosing(self._results_of_rows(os.fspath(manifest), how or ReadOptions())) as results:
                async for result in results:
                    yield result
            return
        last = 0
        while page := await self._readable().records(after_id=last, limit=PAGE):
            for record in page:
                yield result_of(record)
            last = page[-1].id

    async def _results_of_rows(self, source: str, how: ReadOptions) -> AsyncGenerator[Result, None]:
        self._readable()
        async with join_results.opened(source, how, partial(last_options, self.name)) as (manifest, _):
            async for page in join_results.matched(manifest, lambda ids: self._readable().records_of(ids)):
                for row, record in page:
                    cells = manifest.cells_of(row) if isinstance(row, InvalidRow) else {}
                    yield row_result(row, record, manifest.source, cells, manifest.columns)

    async def results_of(self, file_ids: Iterable[str]) -> list[Result]:
        """Return the results of some recordings; a recording has one for each set of parameters."""
        found = await self._readable().records_of(map(FileId, file_ids))
        return [result_of(record) for record in found]

    async def figures(self) -> Counts:
        """Count the submissions in each state and by the codes of their answers."""
        return figures(await self._readable().tallies())

    async def invalid_rows(self) -> list[InvalidRowRecord]:
        """The rows of manifests that cannot be sent, with the reasons, in the order of reading."""
        return await self._readable().invalid_rows()

    async def loads(self) -> list[LoadRecord]:
        """Every reading of a manifest, oldest first."""
        return await self._readable().loads()

    def _readable(self) -> LedgerReader:
        if self._closed:
            raise RuntimeError(f"{self.name}: the ledger is closed; use it inside its `async with`")
        return self._reader


class Ledger(LedgerView):
    """A ledger that is open for loading, running and reading. Made by :func:`open_ledger`."""

    def __init__(self, ledger: RunLedger, wait_s: float | None = None) -> None:
        super().__init__(ledger)
        self._ledger = ledger
        self._wait_s = wait_s
        self._at_work: str | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._run: Run | None = None
        self._stops_wanted = 0

    async def load(
        self, *manifests: _Path, how: ReadOptions | None = None, on_event: OnEvent = ignore_event
    ) -> LoadResult:
        """Load manifests; sends nothing. What the ledger has already stays as it is.

        Args:
            manifests: files, URLs, or patterns of files; ``-`` is standard input.
            how: what rows leave out, and what names do not say.
            on_event: called with what is noticed on the way; must not block.

        Raises:
            ManifestError: one cannot be used; what was read of it before is kept.
            LedgerError: the ledger cannot be written.
            RuntimeError: this program is loading or running this ledger already, or has closed it.
        """
        how = how or ReadOptions()
        with self._working("a load"):
            async with prepared_manifests(manifests, how, self.name, on_event=on_event) as prepared:
                return await load_into(self._ledger, prepared.manifests, how, on_event)

    async def run(
        self,
        account: Account,
        settings: RunSettings | None = None,
        *,
        manifests: Sequence[_Path] = (),
        how: ReadOptions | None = None,
        endpoint: str = DEFAULT_ENDPOINT,
        timeout_s: float = 30.0,
        track: TrackSettings | None = None,
        on_event: OnEvent = ignore_event,
    ) -> RunSummary:
        """Submit everything open, and what manifests add, as far as the settings allow.

        When the task that awaits this is cancelled, the run drains: nothing more is sent, requests in flight
        have ``settings.grace_s`` to finish and be recorded, and then the cancellation is raised. A second
        cancellation cuts off immediately; what is in flight then is in doubt.

        Args:
            account: whose calls these are.
            settings: how the run sends, and when it ends; 20 requests a second by default.
            manifests: loaded while the run sends, as by :meth:`load`.
            how: how they are read.
            endpoint: the service's URL; plain ``http`` for this machine's own addresses only.
            timeout_s: how long one call may take.
            track: how tasks are tracked meanwhile; None when they are not.
            on_event: called with each event; must not block. What it raises drains the run.

        Raises:
            SettingsError: endpoint or timeout cannot be used.
            ManifestError: a manifest cannot be used; nothing was sent.
            BindingError: the ledger belongs to another AppId or kind of endpoint.
            LimitBusy: another program on this machine, on another ledger, uses the limit of the AppId.
            LedgerError: the ledger cannot be used, or not be read any more after the run.
            RuntimeError: this program is loading or running this ledger already, or has closed it.
        """
        service, how = ServiceAccess(account, endpoint, timeout_s), how or ReadOptions()
        request = RunRequest(service, settings or RunSettings(), manifests, how, track, on_event=on_event)
        deadline, limit = request.deadline(), request.place_in_limit(self.name)
        with self._working(_A_RUN):
            async with (
                admitted(*limit, wait_s=self._wait_s),
                prepared_manifests(manifests, how, self.name, deadline, on_event) as prepared,
                run_of(self._ledger, request, prepared, deadline) as run,
            ):
                self._run = run
                for _ in range(self._stops_wanted):
                    self.stop()
                return await run.carry_out()

    def stop(self) -> None:
        """Drain the run, which returns its summary; the second call cuts off. Without a run, do nothing."""
        if self._run is not None:
            self._run.end_early("stopped by its program")
        elif self._at_work == _A_RUN:
            self._stops_wanted += 1

    @property
    def pace(self) -> CurrentRate | None:
        """The rate at which the run sends at this moment; None without a run."""
        return None if self._run is None else self._run.pace

    async def retry(self, states: Sequence[State] = RETRIED, *, codes: Sequence[int] = ()) -> int:
        """Put settled submissions back in the queue with a fresh budget of tries.

        Args:
            states: which; those in doubt may be paid for twice.
            codes: only those with one of these last codes.

        Returns:
            How many.

        Raises:
            SettingsError: a state that nothing is put back from.
            LedgerError: the ledger cannot be written.
            RuntimeError: this program is loading or running this ledger, or has closed it.
        """
        check_states(states)
        with self._working("a retry"):
            return await self._ledger.retry(states, codes)

    async def close(self) -> None:
        """Drain a run, wait for a load, and close the ledger; leaving ``async with`` does it."""
        if self._run is not None:
            self._run.drain("stopped by its program")
        elif self._at_work == _A_RUN and not self._stops_wanted:
            self._stops_wanted = 1
        await self._idle.wait()
        self._closed = True
        await self._ledger.close()

    @contextmanager
    def _working(self, what: str) -> Iterator[None]:
        """Allow one run or load at a time: a run would not notice the rows of a load next to it."""
        self._readable()
        if self._at_work is not None:
            raise RuntimeError(
                f"{self.name}: {self._at_work} of this program is in progress; wait for it. A run loads the "
                "manifests it is given itself"
            )
        self._at_work = what
        self._idle.clear()
        try:
            yield
        finally:
            self._at_work, self._run, self._stops_wanted = None, None, 0
            self._idle.set()


@asynccontextmanager
async def open_ledger(
    path: _Path, *, wait_s: float = 0.0, alone: bool = False, patience_s: float = LEDGER_PATIENCE_S
) -> AsyncIterator[Ledger]:
    """Open a ledger for loading and running; a missing one is created. Use with ``async with``.

    Args:
        path: its file.
        wait_s: how long to wait for another run that holds it, and for one that uses the AppId's limit.
        alone: refuse a ledger in PostgreSQL on which another run is sending; a file has one run in any case.
        patience_s: how long a server that cannot be reached is waited for.

    Raises:
        LedgerBusy: another run holds it.
        LedgerError: it cannot be made or written, is something else, or is from a newer version.
    """
    place = ledger_named(path)
    lock = await ledger_lock(place, wait_s=wait_s or None, alone=alone)
    ledger = Ledger(await open_for_writing(place, lock, server=ServerWait(patience_s)), wait_s or None)
    try:
        yield ledger
    finally:
        await shielded(asyncio.ensure_future(ledger.close()))


@asynccontextmanager
async def read_ledger(path: _Path) -> AsyncIterator[LedgerView]:
    """Open a ledger for reading only; another process may run it meanwhile. Use with ``async with``.

    Raises:
        LedgerMissing: the file does not exist.
        LedgerError: it cannot be read, is something else, or is from a newer version.
        LedgerBusy: it must be upgraded, and a run of an older version holds it.
    """
    reader = await open_for_reading(ledger_named(path))
    ledger = LedgerView(reader)
    try:
        yield ledger
    finally:
        ledger._closed = True
        await shielded(asyncio.ensure_future(reader.close()))
