"""The check of ids, and the recordings suggested for rounded ones."""

from __future__ import annotations

import pytest
from support.searches import SearchService, made, query
from support.virtual_time import run_virtually

from batcher.discover.id_check import IdChecker, IdFinding, RoundingCandidates
from batcher.discover.paged_search import PagedSearch
from batcher.manifest.rounded_ids import as_rounded
from batcher.model.outcome import Answer, NotReported
from batcher.model.submission import FileId
from batcher.zego.search_media import Search, SearchPage


def test_one_id_that_is_refused_spoils_no_others() -> None:
    """Where a call for ten is refused, each is asked about alone, and only the wrong one is told."""

    def say(wanted: Search) -> SearchPage | NotReported:
        if "13" in wanted.file_ids:
            return Answer(2, "FileId")
        return SearchPage(tuple(made(int(one)) for one in wanted.file_ids), len(wanted.file_ids))

    async def look() -> list[tuple[str, tuple[IdFinding, ...]]]:
        lookups = IdChecker(PagedSearch(SearchService(say), query()))
        return [
            (one.file_id, one.findings)
            for one in await lookups.check([FileId(str(n)) for n in range(10, 20)])
        ]

    expected = [(str(n), (IdFinding.REFUSED,) if n == 13 else ()) for n in range(10, 20)]
    assert run_virtually(look()) == expected


@pytest.mark.parametrize(
    "rounded",
    [
        "1397757897438980000",  # 15 digits, cut off
        "1397757897438990000",  # 15 digits, rounded
        "1397757897438985216",  # a 64-bit float in full
        "1397757897438985200",  # its shortest digits
    ],
)
def test_every_way_of_rounding_leads_back(rounded: str) -> None:
    """What spreadsheets and JavaScript make of an id names the one recording that it was."""
    originals = RoundingCandidates([FileId(rounded)])
    originals.add([FileId("1397757897438985123"), FileId("1397757897448995123"), FileId("/a.mp4")])
    assert originals.suggest(FileId(rounded)) == ("1397757897438985123", 1)


@pytest.mark.parametrize("file_id", ["", "12345", "/record/a.mp4", "9007199254740992", "٣" * 19, "9" * 5000])
def test_what_no_program_rounds_stays(file_id: str) -> None:
    """Short numbers and what is no number have nothing that they are rounded to."""
    assert as_rounded(file_id) - {"9007199254740990", "9007199254740000"} == set()
