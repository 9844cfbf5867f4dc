"""A ledger opened by a program: loaded, run and read.

One event loop may carry runs of several ledgers concurrently.

What goes wrong before a run begins is raised, one of the tree of :mod:`batcher.errors`; how a run ended
that has begun is in its :class:`Summary`, with the exit code of the command line.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from batcher.config.defaults import ENDPOINT as DEFAULT_ENDPOINT
from batcher.errors import (
    LedgerBusy,
    LedgerError,
    SettingsError,
)
from batcher.flowcontrol.machine_limit import Action, LimitKey, Sender, admitted
from batcher.flowcontrol.rate_meter import CurrentRate
from batcher.ledger import (
    LedgerReader,
    LockClient,
    RunLedger,
    ledger_path,
    open_for_reading,
    open_for_writing,
    take_lock,
)
from batcher.manifest import join_results
from batcher.manifest.read_options import ReadOptions
from batcher.manifest.threads import in_thread
from batcher.model.events import Event, OnEvent, ignore_event
from batcher.model.records import InvalidRowRecord, LoadRecord
from batcher.model.submission import FileId, InvalidRow, State
from batcher.report.counts import Counts, figures
from batcher.report.export.results import Result, invalid_result, result_of, row_result
from batcher.report.summary import Summary
from batcher.submit.loader import load_alone
from batcher.submit.manifest_checks import Prepared, prepare_all, refuse_resubmissions
from batcher.submit.run_setup import ready_run, unrecorded, usable_service
from batcher.submit.runner import Ending, Runner, RunSettings
from batcher.zego.client import Account

PAGE = 1_000
"""Results taken from the ledger at once."""

_T = TypeVar("_T")
_Path = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load has brought."""

    loads: tuple[LoadRecord, ...]
    """One for each manifest."""
    warnings: tuple[str, ...]
    """What a person should hear of the manifests."""


class LedgerView:
    """A ledger to be read, also while a run of it goes on, here or in another process.

    Made by :func:`read_ledger`. Every method raises LedgerError when the ledger cannot be read or is closed.
    """

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader
        self._closed = False

    @property
    def path(self) -> Path:
        """The ledger's file."""
        return self._reader.path

    async def results(
        self, manifest: _Path | None = None, *, how: ReadOptions | None = None
    ) -> AsyncIterator[Result]:
        """All submissions with what became of them, in the order they were first asked for.

        They are taken page by page, as they stand at that moment; memory never holds more than a page.

        Args:
            manifest: instead, the rows of this file in its order, each with its submission's result: also
                invalid ones, those not in the ledger, and each of several that ask for the same thing.
            how: how it is read; as it was when it was loaded.

        Raises:
            ManifestError: the manifest cannot be used; or its rest, after all results before.
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
        async with join_results.opened(source, how) as manifest:
            async for page in join_results.matched(manifest, lambda ids: self._readable().records_of(ids)):
                for row, record in page:
                    if isinstance(row, InvalidRow):
                        yield invalid_result(row, manifest.cells_of(row), manifest.source, manifest.columns)
                    else:
                        yield row_result(row, record, manifest.source)

    async def results_of(self, file_ids: Iterable[str]) -> list[Result]:
        """The results of some recordings; one may have several, asked for under different parameters."""
        found = await self._readable().records_of(map(FileId, file_ids))
        return [result_of(record) for record in found]

    async def figures(self) -> Counts:
        """How many submissions stand in each state, and which codes came back."""
        return figures(await self._readable().tallies())

    async def invalid_rows(self) -> list[InvalidRowRecord]:
        """The rows of manifests that cannot be sent, with the reasons, in the order they were met."""
        return await self._readable().invalid_rows()

    async def loads(self) -> list[LoadRecord]:
        """Every reading of a manifest, oldest first."""
        return await self._readable().loads()

    def _readable(self) -> LedgerReader:
        if self._closed:
            raise LedgerError(
                f"{self.path}: the ledger is closed; what uses it belongs inside its `async with`"
            )
        return self._reader


class Ledger(LedgerView):
    """A ledger to load, run and read, until closed this program's alone. Made by :func:`open_ledger`."""

    def __init__(self, ledger: RunLedger, wait_s: float | None = None) -> None:
        super().__init__(ledger)
        self._ledger = ledger
        self._wait_s = wait_s
        self._at_work: str | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._runner: Runner | None = None
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
            LedgerBusy: this program is loading or running this ledger already.
            LedgerError: the ledger cannot be written.
        """
        how = how or ReadOptions()
        with self._working("a load"):
            newest = await self._reader.newest_load()
            async with _prepared(manifests, how) as prepared:
                await refuse_resubmissions(self._ledger, prepared, how)
                await load_alone(self._ledger, prepared, on_event)
                warnings = tuple(text for one in prepared for text in one.warnings)
            new = await self._readable().loads(after_id=newest)
            return LoadResult(tuple(new), warnings)

    async def run(
        self,
        account: Account,
        settings: RunSettings | None = None,
        *,
        manifests: Sequence[_Path] = (),
        how: ReadOptions | None = None,
        endpoint: str = DEFAULT_ENDPOINT,
        timeout_s: float = 30.0,
        on_event: OnEvent = ignore_event,
    ) -> Summary:
        """Submit everything open, and what manifests bring, as far as the settings let it go.

        When the task that awaits this is cancelled, the run is drained: nothing more is sent, what is on the
        wire has ``settings.grace_s`` to end and be recorded, and only then the cancellation goes on. A second
        one cuts off at once; what is then on the wire is in doubt.

        Args:
            account: whose calls these are.
            settings: how the run goes; 20 requests a second unless told otherwise.
            manifests: loaded while sending goes on, as by :meth:`load`.
            how: how they are read.
            endpoint: the service's URL; plain ``http`` for this machine's own addresses alone.
            timeout_s: how long one call may take.
            on_event: called with each event of :mod:`batcher.model.events`; must not block the event loop.
                What it raises drains the run and is raised here.

        Returns:
            How the run ended: ``exit_code`` is what ``batcher run`` would have ended with.

        Raises:
            SettingsError: settings, account or endpoint cannot be used; all of them are named.
            ManifestError: a manifest cannot be used; nothing was sent.
            BindingError: the ledger belongs to another AppId or kind of endpoint.
            LedgerBusy: this program is loading or running this ledger already; or another program on this
                machine, on another ledger, uses the limit of the AppId.
            LedgerError: the ledger cannot be used, or not be read any more after the run.
        """
        settings, how = settings or RunSettings(), how or ReadOptions()
        service = usable_service(account, endpoint, timeout_s, settings)
        listener = _Listener(on_event)
        key = LimitKey.of(account.app_id, Action.SUBMIT, service.endpoint)
        sender = Sender.of(self.path, "a program that uses the library", settings.rate_per_s)
        with self._working("a run"):
            async with (
                admitted(key, sender, wait_s=self._wait_s),
                _prepared(manifests, how) as prepared,
                ready_run(
                    self._ledger, service, settings, prepared, how, on_event=listener.on_event
                ) as ready,
            ):
                self._runner = listener.runner = ready.runner
                for _ in range(self._stops_wanted):
                    self.stop()
                ending = await _carried_out(ready.runner)
                if listener.error is not None:
                    _note_unrecorded(listener.error, ending)
                    raise listener.error
                try:
                    return await ready.summary(ending)
                except LedgerError as exc:
                    _note_unrecorded(exc, ending)
                    raise

    def stop(self) -> None:
        """Have the run end early: it is drained, and returns its summary. A second time: cut off at once.

        Without a run it does nothing.
        """
        if self._runner is not None:
            self._runner.end_early("stopped by its program")
        elif self._at_work == "a run":
            self._stops_wanted += 1

    @property
    def pace(self) -> CurrentRate | None:
        """How fast the run goes at this moment; None without one."""
        return None if self._runner is None else self._runner.pace

    async def retry(
        self, states: Sequence[State] = (State.FAILED, State.REJECTED), *, codes: Sequence[int] = ()
    ) -> int:
        """Put settled submissions back in the queue with a fresh budget of tries.

        Args:
            states: which; those in doubt may be paid for twice.
            codes: only those with one of these last codes.

        Returns:
            How many.

        Raises:
            SettingsError: a state that nothing is put back from.
            LedgerBusy: this program is loading or running this ledger.
            LedgerError: the ledger cannot be written.
        """
        if wrong := set(states) - {State.FAILED, State.REJECTED, State.IN_DOUBT}:
            raise SettingsError(f"states: {', '.join(sorted(wrong))}: give failed, rejected or in_doubt")
        with self._working("a retry"):
            return await self._ledger.retry(states, codes)

    async def close(self) -> None:
        """Drain a run that still goes on, wait for a load, and let go; leaving ``async with`` does it."""
        if self._runner is not None:
            self._runner.drain("stopped by its program")
        elif self._at_work == "a run" and not self._stops_wanted:
            self._stops_wanted = 1
        await self._idle.wait()
        self._closed = True
        await self._ledger.close()

    @contextmanager
    def _working(self, what: str) -> Iterator[None]:
        """One thing at a time: a load beside a run would not be seen by it."""
        self._readable()
        if self._at_work is not None:
            raise LedgerBusy(
                f"{self.path}: {self._at_work} of this program is going on; wait for it. A run loads the "
                "manifests it is given itself"
            )
        self._at_work = what
        self._idle.clear()
        try:
            yield
        finally:
            self._at_work, self._runner, self._stops_wanted = None, None, 0
            self._idle.set()


@asynccontextmanager
async def open_ledger(path: _Path, *, wait_s: float = 0.0) -> AsyncIterator[Ledger]:
    """Open a ledger for loading and running; it is made where there is none. Use with ``async with``.

    Args:
        path: its file.
        wait_s: how long to wait for another run that holds it, and for one that uses the AppId's limit.

    Raises:
        LedgerBusy: another run holds it.
        LedgerError: it cannot be made or written, is something else, or is from a newer version.
    """
    place = ledger_path(os.fspath(path))
    lock = await take_lock(place, LockClient("a program that uses the library", wait_s or None))
    ledger = Ledger(await open_for_writing(place, lock), wait_s or None)
    try:
        yield ledger
    finally:
        await _to_its_end(ledger.close())


@asynccontextmanager
async def read_ledger(path: _Path) -> AsyncIterator[LedgerView]:
    """Open a ledger for reading alone, whoever else runs it. Use with ``async with``.

    Raises:
        LedgerMissing: there is none.
        LedgerError: it cannot be read, is something else, or is from a newer version.
        LedgerBusy: it must be upgraded, and a run of an older version holds it.
    """
    reader = await open_for_reading(ledger_path(os.fspath(path)))
    ledger = LedgerView(reader)
    try:
        yield ledger
    finally:
        ledger._closed = True
        await _to_its_end(reader.close())


@asynccontextmanager
async def _prepared(manifests: Sequence[_Path], how: ReadOptions) -> AsyncIterator[list[Prepared]]:
    """Manifests opened and judged; closed again, loaded or not."""
    names = [os.fspath(one) for one in manifests]
    preparing = asyncio.create_task(in_thread(prepare_all, names, how), name="preparing")
    try:
        prepared = await asyncio.shield(preparing)
    except asyncio.CancelledError:  # the thread that reads cannot be: what it opens is closed when it is done
        preparing.add_done_callback(_close_unwanted)
        raise
    try:
        yield prepared
    finally:
        _close(prepared)


def _close(prepared: Iterable[Prepared]) -> None:
    for one in prepared:
        one.manifest.close()


def _close_unwanted(preparing: asyncio.Task[list[Prepared]]) -> None:
    if not preparing.cancelled() and preparing.exception() is None:
        _close(preparing.result())


class _Listener:
    """Hands notices on; when whoever listens fails, the run is stopped in order and the failure kept."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self.runner: Runner | None = None
        self.error: Exception | None = None

    def on_event(self, notice: Event) -> None:
        if self.error is not None:
            return
        try:
            self._on_event(notice)
        except Exception as exc:
            self.error = exc
            if self.runner is not None:
                self.runner.end_early("whoever listens to it has failed")


async def _carried_out(runner: Runner) -> Ending:
    """Run to the end; a cancellation drains the run before it goes on."""
    work = asyncio.create_task(runner.run(), name="batcher-run")
    cancelled = await _wait(work, lambda: runner.end_early("cancelled"))
    if cancelled is None:
        return work.result()
    if not work.cancelled() and work.exception() is None:
        _note_unrecorded(cancelled, work.result())
    raise cancelled


async def _to_its_end(work: Coroutine[object, object, _T]) -> _T:
    """Do something whole; a cancellation goes on afterwards."""
    task = asyncio.create_task(work)
    cancelled = await _wait(task, lambda: None)
    if cancelled is not None:
        raise cancelled
    return task.result()


async def _wait(task: asyncio.Task[_T], when_cancelled: Callable[[], None]) -> asyncio.CancelledError | None:
    """Wait for a task that is not cancelled with us; returns the last cancellation that came meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as exc:
            cancelled = exc
            when_cancelled()
    return cancelled


def _note_unrecorded(exc: BaseException, ending: Ending) -> None:
    """What the ledger could not take goes with the exception: no summary will tell of it."""
    for lost in unrecorded(ending):
        exc.add_note(f"not recorded: {lost}")
