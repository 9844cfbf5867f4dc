"""Fetching: from the pictures that a poll has named to files in a folder, several at a time.

Between the ledger, which knows the pictures, and their servers. Each is asked for, looked at, kept and
recorded, in this order; a fetch that is killed anywhere loses nothing, and under a name stands a whole file
or none. What may pass is asked for again after a while. A picture that brings nothing is at fault when its
server answers others; a server that answers nobody is left for another time. It never goes to an address
that the source refuses.

Pictures that were fetched before and are lost are fetched again. One listing of the folder finds recordings
whose folder is gone. Files are looked at one by one, too: all of them while they are few, else a share each
day, so that a night's few pictures do not cost a look at the whole archive.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from batcher.errors import BatcherError
from batcher.fetch.http_source import Absence, Body, Got, Hitch, Refusal, Torn
from batcher.fetch.images import judged
from batcher.fetch.picture_paths import folder_of, folders_in, free_name, is_kept, keep, made, name_of
from batcher.ledger.pictures import GIVEN_UP, KEPT, FolderRecord, PageEnd
from batcher.model.records import Fetched, PictureRecord
from batcher.model.submission import FileId, SubmissionId
from batcher.model.task import PictureState

PAGE = 500

FOLDERS = 20_000
"""Submissions whose folders are compared with the listing together."""

CHECKED_A_DAY = 20_000
"""Files that are looked at one by one each day; all of them when there are no more."""
_DAY_MS = 86_400_000

ABSENT_TRIES = 3
"""Requests for a picture that is not there, not for us, or cut off: it may just be in the making."""
HITCH_TRIES = 5
"""Requests for a picture, in one fetch, that meet no answer or one that may pass."""
MOST_TRIES = 25
"""Requests, over all fetches, after which such a picture is given up."""
SILENT_PICTURES = 20
"""So many pictures of a server in a row whose tries all brought nothing: it is not asked any more."""

FIRST_BACKOFF_S = 0.25
LARGEST_BACKOFF_S = 10.0

DECODERS = 2
"""Pictures looked at at once: each may take some tens of megabytes, and one of them some hundreds."""

_T = TypeVar("_T")


class PictureQueue(Protocol):
    """What fetching needs of the ledger."""

    async def unfetched(
        self, recordings: Sequence[FileId] = (), *, after: PageEnd = (0, 0), limit: int
    ) -> list[PictureRecord]:
        """A page of the pictures that nobody has fetched or given up yet."""

    async def settled_before(
        self,
        states: Sequence[PictureState],
        at_ms: int,
        recordings: Sequence[FileId] = (),
        *,
        after: PageEnd = (0, 0),
        limit: int,
    ) -> list[PictureRecord]:
        """A page of the pictures in some states that were fetched or given up before a time."""

    async def folders(
        self, at_ms: int, recordings: Sequence[FileId] = (), *, after: int = 0, limit: int
    ) -> list[FolderRecord]:
        """A page of the submissions that had files before a time."""

    async def of_submissions(self, ids: Sequence[SubmissionId], at_ms: int) -> list[PictureRecord]:
        """The pictures of some submissions that had files before a time."""

    async def record(self, fetched: Fetched) -> None:
        """Keep what came of fetching a picture."""

    def now_ms(self) -> int:
        """Now, as the ledger dates what it records."""


class PictureDownloads(Protocol):
    """What fetching needs of the network."""

    def server_of(self, url: str) -> str:
        """Who would be asked."""

    def refusal(self, url: str) -> Refusal | None:
        """Why an address is not asked at all."""

    async def get(self, url: str) -> Got:
        """Ask once."""


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How a fetch goes."""

    folder: Path
    concurrency: int = 8
    limit: int | None = None
    """Take up so many pictures, then end."""
    again: bool = False
    """Those that were given up before are asked for again."""
    recordings: tuple[FileId, ...] = ()
    """Of these alone; of all when there are none."""
    check_all: bool = False
    """Look at every file that was fetched before, however many there are."""
    not_under: str | None = None
    """Names in the folder that begin so belong to somebody else: the ledger's, when it is there too."""


@dataclass(slots=True)
class FetchFigures:
    """What a fetch has done so far."""

    by_state: Counter[PictureState] = field(default_factory=Counter)
    left: int = 0
    """Taken up, and left for another time."""
    in_place: int = 0
    """Fetched before, and not found to be lost."""
    n_bytes: int = 0
    """Kept by this fetch."""
    more: bool = False
    """There are pictures that were not taken up."""
    silent: dict[str, str] = field(default_factory=dict)
    """Servers that answered nobody, and what was met there last."""

    @property
    def ended(self) -> int:
        """Pictures taken up and done with."""
        return sum(self.by_state.values()) + self.left

    @property
    def kept(self) -> int:
        """Pictures that have a file since this fetch."""
        return sum(self.by_state[state] for state in KEPT)

    @property
    def given_up(self) -> int:
        """Pictures that this fetch has found to be none."""
        return sum(self.by_state[state] for state in GIVEN_UP)


@dataclass(slots=True)
class _Server:
    """How a server has answered."""

    in_vain: list[Fetched] = field(default_factory=list)
    """Left since it last told something of a picture: their tries brought nothing."""
    silent: bool = False


def _up_to(most: float) -> float:
    return random.uniform(most / 2, most)  # spreads load, hides nothing


class Fetcher:
    """One fetch of a ledger's pictures.

    Args:
        ledger: knows them.
        source: asks for them.
        settings: how the fetch goes.
        on_event: told of each picture that has come to its end.
        sleep: waits between two tries.
        jitter: draws how long, out of a longest time.
    """

    def __init__(
        self,
        ledger: PictureQueue,
        source: PictureDownloads,
        settings: FetchSettings,
        *,
        on_event: Callable[[Fetched], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[float], float] = _up_to,
    ) -> None:
        self.figures = FetchFigures()
        self._ledger = ledger
        self._source = source
        self._settings = settings
        self._on_event = on_event
        self._sleep = sleep
        self._jitter = jitter
        self._servers: dict[str, _Server] = {}
        self._page: deque[PictureRecord] = deque()
        self._taking = asyncio.Lock()
        self._taken = 0

    async def fetch(self) -> None:
        """Fetch all there is to fetch.

        When it is cancelled, downloads under way are dropped, and what is being kept is kept and recorded.

        Raises:
            FolderError: pictures cannot be kept; nothing more is asked for.
            LedgerError: what came of them cannot be recorded.
        """
        made(self._settings.folder)
        self._pages = self._wanted(self._ledger.now_ms())
        with ThreadPoolExecutor(DECODERS, thread_name_prefix="pictures") as self._decoders:
            workers = range(self._settings.concurrency)
            try:
                async with asyncio.TaskGroup() as group:
                    for number in workers:
                        group.create_task(self._work(), name=f"fetch-{number}")
            except* BatcherError as errors:
                raise _first(errors) from None

    # -- which -----------------------------------------------------------------------------------

    async def _wanted(self, began_ms: int) -> AsyncIterator[list[PictureRecord]]:
        """Pages of what to fetch: what nobody has fetched, what is lost, what was given up."""
        of = self._settings.recordings

        async def unfetched(after: PageEnd) -> list[PictureRecord]:
            return await self._ledger.unfetched(of, after=after, limit=PAGE)

        async def given_up(after: PageEnd) -> list[PictureRecord]:
            return await self._ledger.settled_before(GIVEN_UP, began_ms, of, after=after, limit=PAGE)

        async for page in _paged(unfetched):
            yield page
        async for page in self._lost(began_ms):
            self.figures.in_place -= len(page)
            yield page
        if self._settings.again:
            async for page in _paged(given_up):
                yield page

    async def _lost(self, began_ms: int) -> AsyncIterator[list[PictureRecord]]:
        """Pages of pictures that were fetched before and are not there any more."""
        of, folder = self._settings.recordings, self._settings.folder
        there = await asyncio.to_thread(folders_in, folder)
        gone: list[SubmissionId] = []
        last = 0
        while some := await self._ledger.folders(began_ms, of, after=last, limit=FOLDERS):
            last = some[-1].submission_id
            self.figures.in_place += sum(one.n for one in some)
            gone += [one.submission_id for one in some if one.file.partition("/")[0] not in there]
        for first in range(0, len(gone), PAGE):
            yield await self._ledger.of_submissions(gone[first : first + PAGE], began_ms)
        n_kept = self.figures.in_place
        begin, end = (0, last) if self._settings.check_all else checked(n_kept, last, began_ms // _DAY_MS)
        known = set(gone)

        async def kept(after: PageEnd) -> list[PictureRecord]:
            return await self._ledger.settled_before(KEPT, began_ms, of, after=after, limit=PAGE)

        async for page in _paged(kept, (begin + 1, 0)):
            looked_at = [one for one in page if one.submission_id <= end and one.submission_id not in known]
            yield await asyncio.to_thread(_without_file, folder, looked_at)
            if page[-1].submission_id > end:
                break

    async def _take(self) -> PictureRecord | None:
        """The next picture; None when there is none, or enough were taken."""
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

    # -- one of them -----------------------------------------------------------------------------

    async def _work(self) -> None:
        while (picture := await self._take()) is not None:
            if refusal := self._source.refusal(picture.url):
                await _finished(self._settle(picture, refusal, 0))
                continue
            server = self._servers.setdefault(self._source.server_of(picture.url), _Server())
            got, tries = await self._ask(picture, server)
            if tries:
                await _finished(self._settle_at(server, picture, got, tries))
            else:
                self.figures.left += 1

    async def _ask(self, picture: PictureRecord, server: _Server) -> tuple[Got, int]:
        """Ask for a picture until it is known what it is, or its tries are used up; counts the requests."""
        got: Got = Hitch("its server answers nobody just now")
        tries = 0
        while not server.silent:
            got = await self._source.get(picture.url)
            tries += 1
            most = HITCH_TRIES if isinstance(got, Hitch) else ABSENT_TRIES
            if isinstance(got, Body | Refusal) or tries >= most:
                break
            await self._sleep(self._backoff_s(got, tries))
        return got, tries

    async def _settle_at(self, server: _Server, picture: PictureRecord, got: Got, tries: int) -> None:
        """Settle a picture that its server was asked for, and what that says of the server's others."""
        if isinstance(got, Hitch) and picture.tries + tries >= MOST_TRIES:
            got = Absence(f"asked {picture.tries + tries} times over all: {got.why}")
        fetched = await self._settle(picture, got, tries)
        if fetched.state is not None:
            others, server.in_vain = server.in_vain, []
            for one in others:  # it answers: they alone are at fault
                self.figures.left -= 1
                await self._settle(one.picture, Absence(one.error or ""), 0)
            return
        server.in_vain.append(fetched)
        if len(server.in_vain) >= SILENT_PICTURES:
            server.silent = True
            self.figures.silent[self._source.server_of(picture.url)] = fetched.error or ""

    def _backoff_s(self, got: Got, tries: int) -> float:
        wished_s = got.retry_after_s if isinstance(got, Hitch) else None
        return max(self._jitter(min(FIRST_BACKOFF_S * 2 ** (tries - 1), LARGEST_BACKOFF_S)), wished_s or 0.0)

    async def _settle(self, picture: PictureRecord, got: Got, tries: int) -> Fetched:
        """Keep what came and record it: the file first, since the ledger may only name what is there."""
        fetched = await self._result(picture, got, tries)
        await self._ledger.record(fetched)
        if fetched.state is None:
            self.figures.left += 1
        else:
            self.figures.by_state[fetched.state] += 1
            self.figures.n_bytes += fetched.n_bytes or 0
        self._on_event(fetched)
        return fetched

    async def _result(self, picture: PictureRecord, got: Got, tries: int) -> Fetched:
        match got:
            case Body(content):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._decoders, self._kept, picture, content, tries)
            case Refusal(why):
                return Fetched(picture, PictureState.REFUSED, tries, why)
            case Absence(why):
                return Fetched(picture, PictureState.MISSING, tries, why)
            case Torn(why):
                return Fetched(picture, PictureState.BROKEN, tries, why)
            case Hitch(why):
                return Fetched(picture, None, tries, why)

    def _kept(self, picture: PictureRecord, content: bytes, tries: int) -> Fetched:
        """Look at what came, and keep it when it is a picture; in a thread."""
        found = judged(content)
        if found.state not in KEPT:
            return Fetched(picture, found.state, tries, found.error)
        folder, own = self._settings.folder, folder_of(picture.file_id, picture.ordinal)
        name = name_of(picture.number, picture.offset_ms, found.extension)
        file = f"{free_name(folder, own, self._settings.not_under)}/{name}"
        keep(folder, file, content)
        return Fetched(picture, found.state, tries, None, file, len(content), found.width, found.height)


def checked(n_kept: int, last: int, day: int) -> tuple[int, int]:
    """Which submissions' files are looked at on a day: those after the first number, up to the second.

    Over as many days as there are shares every file is looked at once.

    Args:
        n_kept: files that there are.
        last: the highest number of a submission that has one.
        day: counted from any day.
    """
    shares = max(1, -(-n_kept // CHECKED_A_DAY))
    share = day % shares
    return last * share // shares, last * (share + 1) // shares


def _without_file(folder: Path, page: list[PictureRecord]) -> list[PictureRecord]:
    return [one for one in page if not is_kept(folder, one.file, one.n_bytes)]


async def _paged(
    page_after: Callable[[PageEnd], Awaitable[list[PictureRecord]]], after: PageEnd = (0, 0)
) -> AsyncIterator[list[PictureRecord]]:
    """All pages, one after the other."""
    while page := await page_after(after):
        after = page[-1].place
        yield page


async def _finished(work: Coroutine[object, object, _T]) -> _T:
    """Do something to its end, also when we are cancelled meanwhile; the cancellation goes on then."""
    doing = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        if not doing.cancelled():
            doing.exception()  # the cancellation outranks it
        raise


def _first(errors: BaseExceptionGroup[BatcherError]) -> BatcherError:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
