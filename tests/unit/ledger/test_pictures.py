"""Pictures in the ledger: their selection, their order, and the results of a fetch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.ledger_place import copy_ledger, empty_ledger
from support.ledger_sql import query
from support.pictured import RecordedTask, finished, keep_tasks
from support.statements import plans_of, statements_of

from batcher.errors import IllegalMove
from batcher.ledger.pictures import GIVEN_UP, KEPT, UNFETCHED, Choice, PictureLedger, settled_before
from batcher.model.records import Fetched, PictureRecord
from batcher.model.submission import FileId
from batcher.model.task import PictureState

URL = "https://cdn.example.com/"


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    """A ledger without anything in it."""
    return copy_ledger(await empty_ledger(), tmp_path / "batcher.db")


def names(page: list[PictureRecord]) -> list[str]:
    """Pictures by the ends of their addresses."""
    return [one.url.removeprefix(URL) for one in page]


async def test_pictures_are_read_page_by_page_in_their_order(ledger: Path) -> None:
    """A page begins after the last picture of the page before, also in the middle of a task."""
    tasks = [finished(str(n), *(f"{URL}{n}.{k}" for k in range(3))) for n in range(1, 5)]
    keep_tasks(ledger, tasks)
    async with await PictureLedger.open(ledger) as pictures:
        got, after = list[str](), (0, 0)
        while page := await pictures.page(UNFETCHED, after=after, limit=5):
            got += names(page)
            after = page[-1].place
        assert got == [f"{n}.{k}" for n in range(1, 5) for k in range(3)]
        assert await pictures.count_unfetched() == 12
        some = [FileId("2"), FileId("4")]
        assert {one.file_id for one in await pictures.page(UNFETCHED, some, limit=99)} == {"2", "4"}
        assert await pictures.count_unfetched(some) == 6
        assert await pictures.has_recording(FileId("2"))
        assert not await pictures.has_recording(FileId("22"))


@pytest.mark.parametrize(
    "task",
    [
        RecordedTask("1", (f"{URL}a",), state="processing", closed=False),
        RecordedTask("1", (f"{URL}a",), state="failed"),
        RecordedTask("1", (f"{URL}a",), state="unknown"),
        RecordedTask("1", (f"{URL}a",), polls=0),
        RecordedTask("1", (f"{URL}a",), closed=False),
    ],
    ids=["not ended", "failed", "unknown", "claimed by a callback alone", "not closed"],
)
async def test_unconfirmed_pictures_are_not_handed_out(ledger: Path, task: RecordedTask) -> None:
    """An address counts once a poll has reported that the task has finished."""
    keep_tasks(ledger, [task])
    async with await PictureLedger.open(ledger) as pictures:
        assert await pictures.page(UNFETCHED, limit=9) == []
        assert await pictures.page(Choice("true"), limit=9) == []
        assert await pictures.count_unfetched() == 0
        assert sum((await pictures.counts()).values()) == 0


async def test_submissions_of_one_recording_have_fixed_ordinals(ledger: Path) -> None:
    """A later submission does not change the ordinals."""
    keep_tasks(ledger, [finished("7", f"{URL}a"), finished("8", f"{URL}b"), finished("7", f"{URL}c")])
    async with await PictureLedger.open(ledger) as pictures:
        ordinals = [one.ordinal for one in await pictures.page(UNFETCHED, limit=9)]
    assert ordinals == [1, 1, 2]


async def test_result_of_a_fetch_is_kept(ledger: Path) -> None:
    """State, reason, file and size; tries add up, and a picture that is left is handed out again."""
    keep_tasks(ledger, [finished("7", f"{URL}a", f"{URL}b", f"{URL}c")])
    async with await PictureLedger.open(ledger) as pictures:
        a, b, c = await pictures.page(UNFETCHED, limit=9)
        began_ms = pictures.now_ms()
        await pictures.record(Fetched(a, PictureState.WHOLE, 2, None, "7/0001.jpg", 10, 64, 48))
        await pictures.record(Fetched(b, PictureState.MISSING, 3, "HTTP 404"))
        await pictures.record(Fetched(c, None, 4, "timed out"))
        await pictures.record(Fetched(c, None, 5, "timed out"))
        (left,) = await pictures.page(UNFETCHED, limit=9)
        assert (left.number, left.tries, left.error, left.fetched_at) == (3, 9, "timed out", None)
        later_ms = pictures.now_ms() + 1
        (kept,) = await pictures.page(settled_before(later_ms, KEPT), limit=9)
        assert (kept.file, kept.n_bytes, kept.width, kept.height, kept.tries) == ("7/0001.jpg", 10, 64, 48, 2)
        assert kept.fetched_at is not None
        (given_up,) = await pictures.page(settled_before(later_ms, GIVEN_UP), limit=9)
        assert (given_up.state, given_up.error) == (PictureState.MISSING, "HTTP 404")
        assert await pictures.page(settled_before(began_ms, (*KEPT, *GIVEN_UP)), limit=9) == []
        counts = await pictures.counts()
        assert (counts[None], counts[PictureState.WHOLE], counts[PictureState.BLANK]) == (1, 1, 0)


async def test_pictures_that_another_try_may_bring_are_counted(ledger: Path) -> None:
    """Missing and broken ones count, unless they are gone for good; refused ones and those left do not."""
    keep_tasks(ledger, [finished("7", f"{URL}a", f"{URL}b", "1/c.jpg", f"{URL}d", f"{URL}e")])
    async with await PictureLedger.open(ledger) as pictures:
        a, b, c, d, e = await pictures.page(UNFETCHED, limit=9)
        await pictures.record(Fetched(a, PictureState.MISSING, 3, "HTTP 404"))
        await pictures.record(Fetched(b, None, 5, "timed out"))
        await pictures.record(Fetched(b, PictureState.MISSING, 0, "timed out"))
        await pictures.record(Fetched(e, PictureState.MISSING, 3, "HTTP 410"))
        await pictures.record(Fetched(c, PictureState.REFUSED, 0, "names an object"))
        await pictures.record(Fetched(d, PictureState.WHOLE, 0, None, "7/0004.jpg", 10, 64, 48))
        assert await pictures.count_retriable() == 2


async def test_picture_that_is_not_on_record_cannot_be_recorded(ledger: Path) -> None:
    """The contradiction is reported, and does not affect the pictures recorded with it."""
    keep_tasks(ledger, [finished("7", f"{URL}a", f"{URL}b")])
    async with await PictureLedger.open(ledger) as pictures:
        a, b = await pictures.page(UNFETCHED, limit=9)
        doing = pictures.record(Fetched(a, PictureState.BLACK, 1))
        with pytest.raises(IllegalMove, match="not on record"):
            await pictures.record(Fetched(replace(b, number=99), PictureState.BLACK, 1))
        await doing
    assert query(ledger, "SELECT number, state FROM pictures ORDER BY 1") == [(1, "black"), (2, None)]


ASKED: dict[str, Callable[[PictureLedger], Awaitable[object]]] = {
    "unfetched": lambda ledger: ledger.page(UNFETCHED, after=(7, 1), limit=500),
    "unfetched of some": lambda ledger: ledger.page(UNFETCHED, [FileId("1")], after=(7, 1), limit=500),
    "settled": lambda ledger: ledger.page(settled_before(10, KEPT), after=(7, 1), limit=500),
    "settled of some": lambda ledger: ledger.page(settled_before(10, KEPT), [FileId("1")], limit=500),
    "pictures": lambda ledger: ledger.page(Choice("true"), after=(7, 1), limit=500),
    "count_unfetched": lambda ledger: ledger.count_unfetched(),
    "count_unfetched of some": lambda ledger: ledger.count_unfetched([FileId("1")]),
    "knows": lambda ledger: ledger.has_recording(FileId("1")),
}


@pytest.mark.about_files
@pytest.mark.parametrize("name", ASKED)
async def test_pages_of_pictures_scan_no_table(ledger: Path, name: str) -> None:
    """Pages are found by keys; only unfetched pictures are read in full, by their own index."""
    async with await PictureLedger.open(ledger) as pictures:
        with statements_of() as statements:
            await ASKED[name](pictures)
    plans = plans_of(ledger, statements)
    assert any(step.startswith("SEARCH") for step in plans)
    few = ("pictures_unfetched", "json_each")
    scans = [step for step in plans if step.startswith("SCAN")]
    assert [step for step in scans if not any(name in step for name in few)] == []
    sorted_by_hand = [step for step in plans if "TEMP B-TREE" in step]
    assert sorted_by_hand == [] or "of some" in name
