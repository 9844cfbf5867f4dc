"""The fetcher with a source in memory and a real ledger in a temporary folder."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.cli import until
from support.ledger_place import copy_ledger, empty_ledger
from support.ledger_sql import query
from support.pictured import finished, image, keep_tasks, noisy

from batcher.errors import FolderError
from batcher.fetch.fetch_policy import ABSENT_TRIES, SILENT_PICTURES, TEMPORARY_TRIES
from batcher.fetch.fetcher import Fetcher
from batcher.fetch.http_source import Download, Failure, refused
from batcher.fetch.settings import FetchSettings
from batcher.ledger.pictures import PictureLedger
from batcher.model.records import Fetched
from batcher.model.submission import FileId
from batcher.model.task import PictureState

STATES = "SELECT p.url, p.state, p.error FROM pictures p"
BUSY = Failure(None, "HTTP 503")
WHOLE = image()


@dataclass
class MemorySource:
    """Answers from a table: by address, the last answer of each is repeated."""

    answers: dict[str, list[Download]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    requested: asyncio.Event = field(default_factory=asyncio.Event)
    hanging: set[str] = field(default_factory=set)

    def server_of(self, url: str) -> str:
        """The part of the address before the last slash."""
        return url.rpartition("/")[0]

    def refusal(self, url: str) -> Failure | None:
        """A refusal where the table has one."""
        return refused(self.refused[url]) if url in self.refused else None

    async def get(self, url: str) -> Download:
        """The next answer of an address."""
        self.times[url] += 1
        self.in_flight += 1
        self.requested.set()
        try:
            await (asyncio.Event().wait() if url in self.hanging else asyncio.sleep(0))
        finally:
            self.in_flight -= 1
        answers = self.answers.get(url, [WHOLE])
        return answers[min(self.times[url], len(answers)) - 1]


@dataclass
class Bench:
    """A ledger, a source and a folder, and the results that a fetch reported."""

    path: Path
    ledger: PictureLedger
    source: MemorySource
    folder: Path
    reported: deque[Fetched] = field(default_factory=deque)
    pauses_s: list[float] = field(default_factory=list)

    def fetcher(self, *, concurrency: int = 2, limit: int | None = None, again: bool = False) -> Fetcher:
        """A fetcher that never waits."""

        async def no_sleep(pause_s: float) -> None:
            self.pauses_s.append(pause_s)

        settings = FetchSettings(self.folder, concurrency, limit, again)
        return Fetcher(
            self.ledger,
            self.source,
            settings,
            on_event=self.reported.append,
            sleep=no_sleep,
            jitter=lambda longest_s: longest_s,
        )

    def states(self) -> dict[str, tuple[str | None, str | None]]:
        """State and reason of each picture on record, by address."""
        return {url: (state, error) for url, state, error in query(self.path, STATES)}

    def files(self) -> list[str]:
        """The files in the folder."""
        return sorted(str(one.relative_to(self.folder)) for one in self.folder.rglob("*") if one.is_file())


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench with an empty ledger."""
    path = copy_ledger(await empty_ledger(), tmp_path / "batcher.db")
    async with await PictureLedger.open(path) as ledger:
        yield Bench(path, ledger, MemorySource(), tmp_path / "out")


async def test_fetch_writes_files_then_records_and_reports_them(bench: Bench) -> None:
    """Each picture becomes a file, a state on record and an event."""
    keep_tasks(bench.path, [finished("7", "a/1", "a/2")])
    bench.source.answers = {"a/2": [noisy(9)]}
    fetcher = bench.fetcher()
    await fetcher.fetch()
    assert bench.files() == ["7/0001.jpg", "7/0002.jpg"]
    assert bench.states() == {"a/1": ("whole", None), "a/2": ("black", None)}
    assert {fetched.picture.url for fetched in bench.reported} == {"a/1", "a/2"}
    assert (fetcher.figures.kept, fetcher.figures.left, fetcher.figures.given_up) == (2, 0, 0)
    assert fetcher.figures.n_bytes == sum((bench.folder / file).stat().st_size for file in bench.files())


@pytest.mark.parametrize(
    ("answers", "state", "error", "requests"),
    [
        ([Failure(PictureState.MISSING, "HTTP 404")], "missing", "HTTP 404", ABSENT_TRIES),
        ([Failure(PictureState.BROKEN, "it was cut off")], "broken", "it was cut off", ABSENT_TRIES),
        ([refused("too large")], "refused", "too large", 1),
        ([b"<html>"], "broken", "it is not a JPEG, PNG or WebP image", 1),
        ([BUSY, BUSY, WHOLE], "whole", None, 3),
        ([BUSY], None, "HTTP 503", TEMPORARY_TRIES),
    ],
)
async def test_answer_decides_state_and_number_of_requests(
    bench: Bench, answers: list[Download], state: str | None, error: str | None, requests: int
) -> None:
    """Each kind of answer leads to its state after its number of requests."""
    keep_tasks(bench.path, [finished("7", "a/1")])
    bench.source.answers = {"a/1": answers}
    await bench.fetcher().fetch()
    assert bench.source.times["a/1"] == requests
    assert len(bench.pauses_s) == requests - 1
    assert bench.states()["a/1"] == (state, error)


async def test_refused_address_is_recorded_without_a_request(bench: Bench) -> None:
    """An address that the source refuses is never requested."""
    keep_tasks(bench.path, [finished("7", "a/1")])
    bench.source.refused = {"a/1": "not a public address"}
    await bench.fetcher().fetch()
    assert bench.source.times.total() == 0
    assert bench.states()["a/1"] == ("refused", "not a public address")


async def test_limit_leaves_the_rest_for_the_next_fetch(bench: Bench) -> None:
    """A limited fetch ends with work left, and the next fetch resumes."""
    keep_tasks(bench.path, [finished("7", *(f"a/{n}" for n in range(5)))])
    first = bench.fetcher(limit=3)
    await first.fetch()
    assert (first.figures.kept, first.figures.more) == (3, True)
    second = bench.fetcher()
    await second.fetch()
    assert (second.figures.kept, second.figures.in_place, second.figures.more) == (2, 3, False)
    assert set(bench.source.times.values()) == {1}


async def test_silent_server_gets_no_more_requests(bench: Bench) -> None:
    """After enough pictures without an answer a server gets no request; its pictures stay unfetched."""
    n = SILENT_PICTURES + 15
    keep_tasks(bench.path, [finished(str(number), f"dead/{number}") for number in range(n)])
    keep_tasks(bench.path, [finished("well", "alive/1")])
    bench.source.answers = {f"dead/{number}": [BUSY] for number in range(n)}
    fetcher = bench.fetcher(concurrency=1)
    await fetcher.fetch()
    assert bench.source.times.total() == SILENT_PICTURES * TEMPORARY_TRIES + 1
    assert fetcher.figures.silent == {"dead": "HTTP 503"}
    assert (fetcher.figures.left, fetcher.figures.kept) == (n, 1)
    assert bench.states()["dead/0"] == (None, "HTTP 503")


async def test_picture_without_answer_is_missing_once_its_server_answers(bench: Bench) -> None:
    """A server that answers for another picture shows that the first one is at fault."""
    keep_tasks(bench.path, [finished("7", "a/1", "a/2")])
    bench.source.answers = {"a/1": [BUSY]}
    fetcher = bench.fetcher(concurrency=1)
    await fetcher.fetch()
    assert bench.states() == {"a/1": ("missing", "HTTP 503"), "a/2": ("whole", None)}
    assert (fetcher.figures.left, fetcher.figures.by_state[PictureState.MISSING]) == (0, 1)


async def test_missing_file_is_fetched_again_and_given_up_one_only_on_request(bench: Bench) -> None:
    """A lost file is replaced by the next fetch; a given-up picture needs ``again``."""
    keep_tasks(bench.path, [finished("7", "a/1", "a/2"), finished("8", "a/3")])
    bench.source.answers = {"a/3": [*[Failure(PictureState.MISSING, "HTTP 404")] * ABSENT_TRIES, WHOLE]}
    await bench.fetcher().fetch()
    (bench.folder / "7" / "0001.jpg").unlink()
    second = bench.fetcher()
    await second.fetch()
    assert (second.figures.kept, second.figures.in_place) == (1, 1)
    assert bench.states()["a/3"] == ("missing", "HTTP 404")
    await bench.fetcher(again=True).fetch()
    assert bench.states()["a/3"] == ("whole", None)


async def test_concurrency_bounds_downloads(bench: Bench) -> None:
    """Exactly the allowed number of downloads is in progress at the same time."""
    urls = [f"a/{n}" for n in range(12)]
    keep_tasks(bench.path, [finished("7", *urls)])
    bench.source.hanging.update(urls)
    fetch = asyncio.create_task(bench.fetcher(concurrency=3).fetch())
    await until(lambda: bench.source.in_flight >= 3)
    for _ in range(20):
        await asyncio.sleep(0)
    assert (bench.source.in_flight, bench.source.times.total()) == (3, 3)
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch


async def test_cancelled_fetch_drops_its_downloads(bench: Bench) -> None:
    """Cancellation ends downloads in progress and leaves their pictures unfetched."""
    keep_tasks(bench.path, [finished("7", "a/1")])
    bench.source.hanging.add("a/1")
    fetch = asyncio.create_task(bench.fetcher().fetch())
    await asyncio.wait_for(bench.source.requested.wait(), 10)
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch
    assert bench.states() == {"a/1": (None, None)}
    assert bench.files() == []


async def test_unusable_folder_ends_the_fetch(bench: Bench) -> None:
    """A folder that cannot be written raises an error and leaves the picture unfetched."""
    keep_tasks(bench.path, [finished(FileId("7"), "a/1")])
    bench.folder.write_text("a file")
    with pytest.raises(FolderError):
        await bench.fetcher().fetch()
    assert bench.source.times.total() == 0
    assert bench.states() == {"a/1": (None, None)}
