"""Discovery: lists the recordings that exist, page by page.

Called by programs and by ``batcher discover``. Nothing is kept here: each page carries the state from which a
later :class:`Discovery` can resume. That state is written into files, so its fields must not be renamed.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from batcher.api.service_queries import check_times, checked_rate, search_client
from batcher.config.defaults import ENDPOINT as DEFAULT_ENDPOINT
from batcher.discover.paged_search import PagedSearch
from batcher.discover.retrying_query import RetryingQuery
from batcher.discover.search_walks import MarkerWalk, RecordingBatch, TimeWalk
from batcher.errors import SettingsError
from batcher.flowcontrol.service_access import ServiceAccess
from batcher.model.account import Account
from batcher.model.events import OnEvent, ignore_event
from batcher.model.outcome import Outage
from batcher.model.submission import Archive, FileId, Recording
from batcher.zego.client import ZegoClient

if TYPE_CHECKING:
    from batcher.ledger.reader import LedgerReader

CATEGORIES = ("Video", "Audio", "Image")
"""The categories of Tencent's recordings."""


@dataclass(frozen=True, slots=True)
class DiscoveryFilter:
    """Which recordings are listed.

    Raises:
        SettingsError: a value cannot be used, or the archive cannot be searched by it.
    """

    archive: Archive
    since: datetime | None = None
    """Created since then; Tencent needs it. With its time zone."""
    until: datetime | None = None
    """Created until then; None for now."""
    prefix: str = ""
    """The beginning of names (Tencent) or of object paths (Huawei, Ws)."""
    categories: tuple[str, ...] = ()
    """Video, Audio or Image (Tencent); empty for all."""
    min_duration_s: float | None = None
    """Leave out recordings that are known to be shorter (Tencent)."""

    def __post_init__(self) -> None:
        """Check the times and the filters."""
        check_times(self.since, self.until, "; nothing can be found")
        if self.since is None and self.archive is Archive.TENCENT:
            raise SettingsError(
                "since: give the time from which recordings are listed; an early date such as 2020-01-01 "
                "lists all of them"
            )
        if self.since is not None and self.since.timestamp() < 0:
            raise SettingsError(f"since {self.since:%Y-%m-%d}: give a date after 1970")
        known = {category.lower() for category in CATEGORIES}
        if unknown := [category for category in self.categories if category.lower() not in known]:
            raise SettingsError(f"categories {unknown[0]}: give Video, Audio or Image")
        for name, value in (("categories", self.categories), ("min_duration_s", self.min_duration_s)):
            if value and self.archive is not Archive.TENCENT:
                raise SettingsError(f"{name}: works for Tencent only; {self.archive} does not report it")


@dataclass(frozen=True, slots=True)
class DiscoveryProgress:
    """The progress of a discovery: the figures, and the point from which a later one resumes."""

    since_s: int = 0
    """Unix seconds: recordings are listed that were created since then."""
    at_s: int | None = None
    """Unix seconds: all that were created before are listed; None at the beginning."""
    marker: str = ""
    """The marker from which Huawei's and Ws's recordings are listed next."""
    recent: tuple[str, ...] = ()
    """Recordings that are listed already and may be found again."""
    listed: int = 0
    left_out: int = 0
    unmeasured: int = 0
    """Listed although their duration is not known."""
    shortfalls: tuple[str, ...] = ()
    """The parts that are missing from the list, in words."""


class RecordingPage(NamedTuple):
    """Some recordings, in the order in which the service returns them."""

    recordings: tuple[Recording, ...]
    resume_from: DiscoveryProgress | None
    """Where a later discovery may resume after this page; None where it may not."""
    shortfall: str
    """The parts that are missing from this page, in words; empty when it is complete."""


class Discovery:
    """One list of recordings; iterate over :meth:`pages` once.

    Args:
        criteria: which recordings are listed.
        account: the account that searches.
        ledger: leave out the recordings that this ledger has; a missing file has none.
        resume_from: where an earlier discovery with the same filter stopped.
        endpoint: the service's URL.
        rate_per_s: searches per second at most; the service counts them apart from submissions.
        timeout_s: how long one search may take.
        on_event: called when the service stops and starts to answer; must not block.

    Raises:
        SettingsError: account, endpoint, rate or timeout cannot be used.
    """

    def __init__(
        self,
        criteria: DiscoveryFilter,
        account: Account,
        *,
        ledger: str | os.PathLike[str] | None = None,
        resume_from: DiscoveryProgress | None = None,
        endpoint: str = DEFAULT_ENDPOINT,
        rate_per_s: float = 20.0,
        timeout_s: float = 30.0,
        on_event: OnEvent = ignore_event,
    ) -> None:
        self._criteria = criteria
        self._service = ServiceAccess(account, endpoint, timeout_s)
        self._rate_per_s = checked_rate(rate_per_s)
        self._ledger = ledger
        self._on_event = on_event
        self._until_s = None if criteria.until is None else int(criteria.until.timestamp())
        since_s = 0 if criteria.since is None else int(criteria.since.timestamp())
        self._progress = resume_from or DiscoveryProgress(since_s)
        self._resume_from = self._progress
        self._query: RetryingQuery | None = None

    @property
    def progress(self) -> DiscoveryProgress:
        """The progress so far, the last page included."""
        return self._progress

    @property
    def resume_from(self) -> DiscoveryProgress:
        """The last point from which a later discovery may resume."""
        return self._resume_from

    @property
    def outage(self) -> Outage | None:
        """The outage of the service at this moment; None while it answers."""
        return None if self._query is None else self._query.outage

    async def pages(self) -> AsyncGenerator[RecordingPage, None]:
        """List all recordings, each once. Close it when you leave it early (``contextlib.aclosing``).

        Raises:
            Refused: the service refuses the search.
            LedgerError: the ledger cannot be read.
            RuntimeError: it was called before.
        """
        if self._query is not None:
            raise RuntimeError("a Discovery lists its recordings once; create another one")
        async with AsyncExitStack() as stack:
            client, query = await stack.enter_async_context(
                search_client(self._service, self._rate_per_s, self._on_event)
            )
            self._query = query
            since_s = None if self._criteria.since is None else self._progress.since_s
            sieve = _Sieve(self._criteria, (since_s, self._until_s), await self._reader(stack))
            parts = await stack.enter_async_context(aclosing(self._parts(client, query)))
            async for part in parts:
                yield self._page(part, *await sieve.sift(part.recordings))

    async def _reader(self, stack: AsyncExitStack) -> LedgerReader | None:
        if self._ledger is None:
            return None
        from batcher.config.ledger_names import ledger_named
        from batcher.ledger.database import database_of
        from batcher.ledger.reader import open_for_reading  # 20 MiB that only this parameter needs

        name = ledger_named(self._ledger)
        if database_of(name).is_missing():
            return None
        return await stack.enter_async_context(await open_for_reading(name))

    async def _parts(self, client: ZegoClient, query: RetryingQuery) -> AsyncGenerator[RecordingBatch, None]:
        start, criteria = self._progress, self._criteria
        recent = frozenset(map(FileId, start.recent))
        walk: AsyncIterator[RecordingBatch]
        if criteria.archive is Archive.TENCENT:
            until_s = int(time.time()) if self._until_s is None else self._until_s
            since_s = start.since_s if start.at_s is None else start.at_s
            if since_s > until_s:
                return
            walk = TimeWalk(PagedSearch(client, query), criteria.prefix, since_s, until_s, recent).listed()
        else:
            walk = MarkerWalk(client, query, criteria.archive, criteria.prefix, start.marker, recent).listed()
        async for part in walk:
            yield part

    def _page(self, part: RecordingBatch, kept: tuple[Recording, ...], unmeasured: int) -> RecordingPage:
        """Count a part of the walk and make a page of it."""
        progress, reached = self._progress, part.reached
        if reached is not None:
            progress = replace(
                progress, at_s=reached.at_s, marker=reached.marker, recent=tuple(reached.recent)
            )
        self._progress = progress = replace(
            progress,
            listed=progress.listed + len(kept),
            left_out=progress.left_out + len(part.recordings) - len(kept),
            unmeasured=progress.unmeasured + unmeasured,
            shortfalls=progress.shortfalls + ((part.shortfall,) if part.shortfall else ()),
        )
        if reached is not None:
            self._resume_from = progress
        return RecordingPage(kept, None if reached is None else progress, part.shortfall)


class _Sieve:
    """The filter as it is applied to recordings.

    Args:
        criteria: which recordings are listed.
        between: Unix seconds of the oldest and of the newest; None for any.
        ledger: its recordings are left out; None to leave none out.
    """

    def __init__(
        self,
        criteria: DiscoveryFilter,
        between: tuple[int | None, int | None],
        ledger: LedgerReader | None,
    ) -> None:
        self._criteria = criteria
        self._since_s, self._until_s = between
        self._categories = {category.lower() for category in criteria.categories}
        self._ledger = ledger

    async def sift(self, recordings: Sequence[Recording]) -> tuple[tuple[Recording, ...], int]:
        """Return the recordings to list, and how many of these have no known duration."""
        kept = tuple(filter(self._passes, recordings))
        least_s = self._criteria.min_duration_s
        unmeasured = 0 if least_s is None else sum(recording.duration_s is None for recording in kept)
        if self._ledger is None or not kept:
            return kept, unmeasured
        known = await self._ledger.asked_before(recording.file_id for recording in kept)
        vendors = {file_id: {asked.vendor.value for asked in found} for file_id, found in known.items()}
        new = (one for one in kept if one.archive.value not in vendors.get(one.file_id, ()))
        return tuple(new), unmeasured

    def _passes(self, recording: Recording) -> bool:
        if self._categories and recording.category.lower() not in self._categories:
            return False
        if self._criteria.prefix and not _has_prefix(recording, self._criteria.prefix):
            return False
        if recording.created_at is not None and not self._is_within(recording.created_at.timestamp()):
            return False
        least_s, duration_s = self._criteria.min_duration_s, recording.duration_s
        return least_s is None or duration_s is None or duration_s >= least_s

    def _is_within(self, at_s: float) -> bool:
        if self._since_s is not None and at_s < self._since_s:
            return False
        return self._until_s is None or at_s < self._until_s + 1


def _has_prefix(recording: Recording, prefix: str) -> bool:
    """Check a prefix: the service compares 20 bytes at most, and a path with or without ``/``."""
    if recording.archive is Archive.TENCENT:
        return recording.name.startswith(prefix)
    return recording.file_id.lstrip("/").startswith(prefix.lstrip("/"))
