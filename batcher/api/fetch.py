"""Fetching of pictures: downloads the pictures of finished tasks into a folder and keeps an index of them.

Called by programs and by ``batcher fetch``. Needs no account: pictures are downloaded from the addresses that
a poll has named. One fetch of a ledger runs at a time; it has a lock of its own, so a run can submit
meanwhile. A fetch can be cancelled at any time: what is recorded stays, and the next fetch takes the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batcher._version import __version__
from batcher.api.locks import PROGRAM, ledger_lock
from batcher.config.defaults import ENDPOINT as DEFAULT_ENDPOINT
from batcher.config.defaults import FETCH_CONCURRENCY
from batcher.config.endpoints import endpoint_of, is_loopback, place_of
from batcher.config.ledger_names import ledger_named
from batcher.config.problems import shown_value
from batcher.errors import BatcherError, FolderError, LedgerBusy, SettingsError
from batcher.fetch.address_guard import AddressGuard
from batcher.fetch.http_source import PictureSource
from batcher.fetch.picture_index import IndexChanges, update_index
from batcher.fetch.settings import FetchFigures, FetchSettings
from batcher.files import exists, is_folder
from batcher.flowcontrol.cancellation import in_background
from batcher.ledger.binding import check_binding
from batcher.ledger.database import database_of
from batcher.ledger.holding import Purpose
from batcher.ledger.pictures import GIVEN_UP, KEPT, PictureLedger
from batcher.model.events import FetchProgress, OnEvent, PictureNotFetched, ignore_event
from batcher.model.ledger_name import LedgerName
from batcher.model.proxy import check_proxies
from batcher.model.records import Fetched
from batcher.model.submission import FileId
from batcher.output_files import check_target
from batcher.report.fetch_summary import FetchSummary
from batcher.report.formatting import count
from batcher.requirements import pip_install

if TYPE_CHECKING:
    from batcher.fetch.fetcher import Fetcher

CONCURRENCY = FETCH_CONCURRENCY
"""Downloads in flight at most: enough for any line, and no burden to any server."""

EXAMPLES = 5
"""Given-up pictures that a summary names, one of each recording and reason."""

PROGRESS_EVERY_S = 1.0


class PictureFetch:
    """One fetch of a ledger's pictures; call :meth:`run` once.

    Args:
        ledger: the ledger's file.
        folder: where the pictures are kept, one folder for each recording; it is created.
        endpoint: the service whose ledger this is; it is not called.
        recordings: fetch pictures of these recordings only; empty for all.
        again: try pictures again that were given up before.
        check_all: check every file that was fetched before, not a share of them each day.
        limit: try this many pictures at most.
        concurrency: downloads in flight at most.
        timeout_s: how long one download may take.
        max_bytes: the largest picture that is kept.
        on_event: called about once a second with :class:`FetchProgress`, and with :class:`PictureNotFetched`
            for each picture without a file; must not block.
        caller: the name that others see who find the lock taken.

    Attributes:
        summary: the result; None before the end. It is there after a cancellation, too.

    Raises:
        SettingsError: a value cannot be used; all of them are named.
    """

    def __init__(
        self,
        ledger: str | os.PathLike[str],
        folder: str | os.PathLike[str],
        *,
        endpoint: str = DEFAULT_ENDPOINT,
        recordings: Sequence[str] = (),
        again: bool = False,
        check_all: bool = False,
        limit: int | None = None,
        concurrency: int = CONCURRENCY,
        timeout_s: float = 30.0,
        max_bytes: int = 20 << 20,
        on_event: OnEvent = ignore_event,
        caller: str = PROGRAM,
    ) -> None:
        self.summary: FetchSummary | None = None
        numbers = {"limit": limit, "concurrency": concurrency, "timeout_s": timeout_s, "max_bytes": max_bytes}
        problems = _missing_package()
        problems += [
            f"{name} {number}: give a number above 0"
            for name, number in numbers.items()
            if number is not None and not 0 < number < float("inf")
        ]
        try:
            self._endpoint = endpoint_of(endpoint)
        except ValueError as exc:
            problems.append(f"endpoint{shown_value(endpoint)}: {exc}")
        try:
            check_proxies()
        except SettingsError as exc:
            problems += exc.lines
        if problems:
            raise SettingsError(*problems)
        self._path = ledger_named(ledger)
        ids = tuple(map(FileId, recordings))
        self._settings = FetchSettings(Path(folder), concurrency, limit, again, ids, check_all)
        self._source = PictureSource(
            AddressGuard(of_this_machine=is_loopback(urlsplit(self._endpoint).hostname or "")),
            f"batcher/{__version__}",
            timeout_s=timeout_s,
            connections=concurrency,
            most_bytes=max_bytes,
        )
        self._on_event = on_event
        self._caller = caller
        self._changes = IndexChanges()
        self._examples: dict[tuple[FileId, str | None], PictureNotFetched] = {}
        self._started_at: float | None = None

    async def run(self) -> FetchSummary:
        """Fetch all pictures that are missing, then update the index ``pictures.csv``.

        A cancellation drops the downloads in flight, and a picture that is being kept is recorded; then
        :attr:`summary` is set and CancelledError is raised.

        Raises:
            SettingsError: the folder cannot be used.
            BindingError: the ledger belongs to another kind of endpoint.
            BatcherError: the ledger does not have one of the recordings.
            FolderError: pictures cannot be kept, or the index cannot be written.
            LedgerBusy: another fetch of this ledger is running.
            LedgerError: the ledger cannot be used.
            RuntimeError: it was called before.
        """
        if self._started_at is not None:
            raise RuntimeError("a PictureFetch runs once; create another one")
        self._started_at = time.monotonic()
        folder = self._settings.folder
        if exists(folder) and not is_folder(folder):
            raise SettingsError(f"folder {folder}: this is a file; name the folder for the pictures")
        check_target(folder, "folder")
        database_of(self._path).check_there()
        with ExitStack() as held:
            checks = await self._hold(held)
            async with await PictureLedger.open(self._path, self._on_event) as ledger:
                await self._check(ledger)
                try:
                    return await self._fetch(ledger, held, checks=checks)
                finally:
                    await ledger.release()

    async def _hold(self, held: ExitStack) -> bool:
        """Hold the ledger for fetching; return False if another fetch does, on a ledger that both may use.

        The holder alone looks for missing files and writes the index; new pictures are for all.

        Raises:
            LedgerBusy: another fetch holds the file.
        """
        try:
            held.enter_context(await ledger_lock(self._path, self._caller, purpose=Purpose.FETCHING))
        except LedgerBusy:
            if not database_of(self._path).is_shared:
                raise
            return False
        return True

    async def _check(self, ledger: PictureLedger) -> None:
        """Refuse a ledger of another kind of service, and recordings that it does not have."""
        check_binding(self._path, await ledger.bound_to(), None, place_of(self._endpoint))
        for recording in self._settings.recordings:
            if not await ledger.has_recording(recording):
                raise BatcherError(f"recording {recording}: not in {self._path}")

    async def _fetch(self, ledger: PictureLedger, held: ExitStack, *, checks: bool) -> FetchSummary:
        from batcher.fetch.fetcher import Fetcher  # with Pillow, which is an extra

        not_under = _ledger_name_in(self._settings.folder, self._path)
        settings = replace(self._settings, not_under=not_under, checks=checks)
        fetcher = Fetcher(ledger, self._source, settings, on_event=self._ended)
        try:
            async with self._source, self._progress_emitted(fetcher, await self._expected(ledger)):
                await self._download(fetcher)
            if checks or await self._hold(held):  # the last fetch to end writes the index
                await update_index(ledger, settings.folder, self._changes)
        except asyncio.CancelledError:
            self.summary = await self._summed_up(ledger, fetcher.figures, cancelled=True)
            raise
        self.summary = await self._summed_up(ledger, fetcher.figures, cancelled=False)
        return self.summary

    async def _download(self, fetcher: Fetcher) -> None:
        """Download the pictures; an error of the folder says how many were fetched before it."""
        try:
            await fetcher.fetch()
        except FolderError as exc:
            fetched = count(fetcher.figures.kept, "picture")
            raise FolderError(f"{exc}. {fetched} fetched before that") from exc

    async def _expected(self, ledger: PictureLedger) -> int:
        """The number of pictures to fetch, by the ledger; lost files are fetched in addition."""
        unfetched = await ledger.count_unfetched(self._settings.recordings)
        return unfetched if self._settings.limit is None else min(unfetched, self._settings.limit)

    def _ended(self, fetched: Fetched) -> None:
        """Keep the change for the index; report a picture without a file."""
        self._changes.add(fetched)
        if fetched.state in KEPT:
            return
        picture = fetched.picture
        event = PictureNotFetched(picture.file_id, picture.number, fetched.state, fetched.error)
        if fetched.state is not None and len(self._examples) < EXAMPLES:
            self._examples.setdefault((picture.file_id, fetched.error), event)
        self._on_event(event)

    @asynccontextmanager
    async def _progress_emitted(self, fetcher: Fetcher, total: int) -> AsyncIterator[None]:
        """Emit the progress once a second during the block, and once at its end."""

        async def repeat() -> None:
            while True:
                await asyncio.sleep(PROGRESS_EVERY_S)
                self._on_event(self._progress(fetcher, total))

        async with in_background(repeat(), "fetch-progress") as repeating:
            yield
        if not repeating.cancelled():
            repeating.result()  # the exception of a caller that failed
        self._on_event(self._progress(fetcher, total))

    def _progress(self, fetcher: Fetcher, total: int) -> FetchProgress:
        figures = fetcher.figures
        return FetchProgress(
            max(total, figures.ended), dict(figures.by_state), figures.left, figures.n_bytes, self._seconds
        )

    @property
    def _seconds(self) -> float:
        return 0.0 if self._started_at is None else time.monotonic() - self._started_at

    async def _summed_up(
        self, ledger: PictureLedger, figures: FetchFigures, *, cancelled: bool
    ) -> FetchSummary:
        seconds, totals = self._seconds, await ledger.counts()
        given_up_before = sum(totals[state] for state in GIVEN_UP) - figures.given_up
        return FetchSummary(
            self._path,
            self._settings.folder,
            seconds,
            {state: figures.by_state[state] for state in KEPT},
            {state: figures.by_state[state] for state in GIVEN_UP},
            totals,
            max(given_up_before, 0),
            figures.left,
            figures.more,
            figures.in_place,
            figures.n_bytes,
            dict(figures.silent),
            tuple(self._examples.values()),
            cancelled,
            await ledger.count_retriable(),
        )


def _missing_package() -> list[str]:
    try:
        import_module("PIL")
    except ImportError:
        return [
            f"fetching pictures needs the package Pillow, which is not installed: {pip_install('Pillow')}"
        ]
    return []


def _ledger_name_in(folder: Path, ledger: LedgerName) -> str | None:
    """Return the ledger's name when the ledger is in the folder, where pictures must not take such names."""
    with contextlib.suppress(OSError):
        if isinstance(ledger, Path) and folder.samefile(ledger.parent):
            return ledger.name
    return None
