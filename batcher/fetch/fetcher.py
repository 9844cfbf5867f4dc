"""The fetcher: downloads pictures of finished tasks into a folder, several at the same time.

Called by ``cli/commands/fetch.py``. Each picture is requested, decoded, written and recorded, in this
order. The order must not change: the ledger may only name files that exist, so a fetch that is killed loses
nothing. :mod:`batcher.fetch.picture_pages` chooses the pictures, :mod:`batcher.fetch.fetch_policy` decides
about retries.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from batcher.errors import BatcherError
from batcher.fetch.fetch_policy import (
    ServerHistory,
    counted_tries,
    given_up_after,
    is_final,
    pause_s,
    silence_text,
)
from batcher.fetch.http_source import Download, Failure
from batcher.fetch.images import judge
from batcher.fetch.picture_pages import pages_to_fetch
from batcher.fetch.picture_paths import ensure_folder, folder_of, free_name, keep, name_of
from batcher.fetch.settings import FetchFigures, FetchSettings
from batcher.ledger.pictures import KEPT, PictureLedger
from batcher.ledger.writer import shielded
from batcher.model.records import Fetched, PictureRecord
from batcher.model.task import PictureState

DECODERS = 2
"""Pictures that are decoded at the same time. Each takes tens of megabytes, a few take hundreds."""


class PictureDownloads(Protocol):
    """The network's part in a fetch."""

    def server_of(self, url: str) -> str:
        """Return the server of an address."""

    def refusal(self, url: str) -> Failure | None:
        """Return why an address is never requested; None if it may be."""

    async def get(self, url: str) -> Download:
        """Send one request."""


def _jittered(longest_s: float) -> float:
    return random.uniform(longest_s / 2, longest_s)  # spreads load, hides nothing


class Fetcher:
    """One fetch of a ledger's pictures.

    Args:
        ledger: the pictures on record.
        source: downloads pictures.
        settings: of this fetch.
        on_event: called with each picture that is finished.
        sleep: waits between two tries.
        jitter: chooses a pause, given the longest one.
    """

    def __init__(
        self,
        ledger: PictureLedger,
        source: PictureDownloads,
        settings: FetchSettings,
        *,
        on_event: Callable[[Fetched], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[float], float] = _jittered,
    ) -> None:
        self.figures = FetchFigures()
        self._ledger = ledger
        self._source = source
        self._settings = settings
        self._on_event = on_event
        self._sleep = sleep
        self._jitter = jitter
        self._servers: dict[str, ServerHistory] = {}
        self._page: deque[PictureRecord] = deque()
        self._taking = asyncio.Lock()
        self._taken = 0

    async def fetch(self) -> None:
        """Fetch every picture that is due.

        On cancellation, downloads in progress are dropped; a file that is being written is completed and
        recorded.

        Raises:
            FolderError: pictures cannot be written; no further picture is requested.
            LedgerError: results cannot be recorded.
        """
        ensure_folder(self._settings.folder)
        self._pages = pages_to_fetch(self._ledger, self._settings, self.figures)
        with ThreadPoolExecutor(DECODERS, thread_name_prefix="pictures") as self._decoders:
            try:
                async with asyncio.TaskGroup() as group:
                    for number in range(self._settings.concurrency):
                        group.create_task(self._work(), name=f"fetch-{number}")
            except* BatcherError as errors:
                raise _first(errors) from None

    async def _work(self) -> None:
        while (picture := await self._take()) is not None:
            if refusal := self._source.refusal(picture.url):
                await shielded(asyncio.ensure_future(self._settle(picture, refusal, 0)))
                continue
            name = self._source.server_of(picture.url)
            server = self._servers.setdefault(name, ServerHistory())
            got, tries = await self._ask(picture, server)
            if tries:
                settling = self._settle_at(name, server, picture, got, tries)
                await shielded(asyncio.ensure_future(settling))
            else:
                self.figures.left += 1

    async def _take(self) -> PictureRecord | None:
        """Return the next picture; None if there are no more, or the limit is reached."""
        async with self._taking:
            while not self._page:
                if (page := await anext(self._pages, None)) is None:
                    return None
                self._page.extend(page)
            if self._taken == self._settings.limit:
                self.figures.more = True
                return None
            self._taken += 1
            return self._page.popleft()

    async def _ask(self, picture: PictureRecord, server: ServerHistory) -> tuple[Download, int]:
        """Request a picture until the answer is final or its server is silent; return answer and requests."""
        got: Download = Failure(None, "its server gives no usable answers")
        tries = 0
        while not server.is_silent:
            got = await self._source.get(picture.url)
            tries += 1
            if is_final(got, tries):
                break
            await self._sleep(pause_s(got, tries, self._jitter))
        return got, tries

    async def _settle_at(
        self, name: str, server: ServerHistory, picture: PictureRecord, got: Download, tries: int
    ) -> None:
        """Record a requested picture, and the earlier pictures that are now known to be at fault."""
        got = given_up_after(got, picture.tries + tries)
        fetched = await self._settle(picture, got, counted_tries(got, tries))
        for earlier in server.note(fetched):
            self.figures.left -= 1
            await self._settle(earlier.picture, Failure(PictureState.MISSING, earlier.error or ""), 0)
        if server.is_silent and fetched.state is None:
            self.figures.silent[name] = silence_text(got) or fetched.error or ""

    async def _settle(self, picture: PictureRecord, got: Download, tries: int) -> Fetched:
        """Write the file, then record it: the ledger may only name files that exist."""
        fetched = await self._result(picture, got, tries)
        await self._ledger.record(fetched)
        if fetched.state is None:
            self.figures.left += 1
        else:
            self.figures.by_state[fetched.state] += 1
            self.figures.n_bytes += fetched.n_bytes or 0
        self._on_event(fetched)
        return fetched

    async def _result(self, picture: PictureRecord, got: Download, tries: int) -> Fetched:
        if isinstance(got, Failure):
            return Fetched(picture, got.state, tries, got.why)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, self._kept, picture, got, tries)

    def _kept(self, picture: PictureRecord, content: bytes, tries: int) -> Fetched:
        """Decode a download, and write it to its file if it is a picture; runs in a thread."""
        found = judge(content)
        if found.state not in KEPT:
            return Fetched(picture, found.state, tries, found.error)
        folder, own = self._settings.folder, folder_of(picture.file_id, picture.ordinal)
        name = name_of(picture.number, picture.offset_ms, found.extension)
        file = f"{free_name(folder, own, self._settings.not_under)}/{name}"
        keep(folder, file, content)
        return Fetched(picture, found.state, tries, None, file, len(content), found.width, found.height)


def _first(errors: BaseExceptionGroup[BatcherError]) -> BatcherError:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
