"""A service whose searches a test answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from batcher.discover.retrying_query import RetryingQuery
from batcher.flowcontrol.pacer import Pacer
from batcher.model.events import Event
from batcher.model.outcome import NotReported
from batcher.model.submission import Archive, FileId, Recording
from batcher.zego.client import Wire
from batcher.zego.search_media import Search, SearchPage

Say = Callable[[Search], SearchPage | NotReported]


class SearchService:
    """Answers searches as it is told to, and counts them."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.asked: list[Search] = []

    async def search(self, wanted: Search, on_wire: Wire | None = None) -> SearchPage | NotReported:
        """Answer one search."""
        del on_wire
        self.asked.append(wanted)
        return self.say(wanted)


def made(n: int, at_s: int = 100, archive: Archive = Archive.TENCENT) -> Recording:
    """Recording number n, of some second."""
    return Recording(FileId(str(n)), archive, created_at=datetime.fromtimestamp(at_s, UTC))


def query(told: list[Event] | None = None) -> RetryingQuery:
    """Asks at once, on the loop's own time."""
    clock = asyncio.get_running_loop().time
    on_event = told.append if told is not None else (lambda _: None)
    return RetryingQuery(Pacer(1000, clock), on_event, jitter=lambda most: most, clock=clock)
