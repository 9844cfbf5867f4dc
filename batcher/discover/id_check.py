"""Verification: what the service knows of the ids in a manifest, before money is spent on them.

Between a manifest's rows and a report of what is wrong with them. Ten ids go into one call, several calls are
under way at once, and the order of the rows is kept. What it suggests for an id is the one recording that
exists of which a program that took ids for numbers would have made it. It changes no manifest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from batcher.discover.search_walks import Pages
from batcher.manifest.rounded_ids import as_rounded
from batcher.model.outcome import Answer
from batcher.model.submission import FileId, Recording
from batcher.zego.codes import meaning

CALLS_AT_ONCE = 16
"""At 20 a second, answers may take most of a second."""


_NO_SUCH_FILE = 41003


class IdFinding(StrEnum):
    """What is wrong with an id."""

    MISSING = "missing"
    """No recording has it."""
    REFUSED = "refused"
    """The service takes no such id."""
    AUDIO_ONLY = "audio_only"
    """There is no picture in it."""
    IMAGE = "image"
    """It is a picture itself."""
    FORBIDDEN = "forbidden"
    ARCHIVED = "archived"
    """In a storage that has to be thawed first."""
    INVALID = "invalid"
    """The row cannot be sent at all."""


class Lookup(NamedTuple):
    """What came of looking one id up."""

    file_id: FileId
    findings: tuple[IdFinding, ...]
    """Empty when all is well."""
    detail: str = ""
    recording: Recording | None = None


class Lookups:
    """Looks up Tencent's ids.

    Args:
        pages: how answers are had.
    """

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def each(self, chunks: AsyncIterator[Sequence[FileId]]) -> AsyncIterator[list[Lookup]]:
        """What came of each ten ids, in their order.

        Args:
            chunks: ten ids at most in each.

        Raises:
            Refused: the service does not answer.
        """
        under_way: deque[asyncio.Task[list[Lookup]]] = deque()
        first = True
        try:
            async for chunk in chunks:
                under_way.append(asyncio.create_task(self.ten(chunk), name="looking up"))
                if first or len(under_way) >= CALLS_AT_ONCE:  # by the first it is learned how pages count
                    yield await under_way.popleft()
                    first = False
            while under_way:
                yield await under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def ten(self, ids: Sequence[FileId]) -> list[Lookup]:
        """Look up ten ids at most by one call; one by one where the service takes one of them for wrong."""
        answer = await self._pages.looked_up(tuple(dict.fromkeys(ids)))
        if not isinstance(answer, Answer):
            found = {one.file_id: one for one in answer.recordings}
            return [_looked(one, found.get(one)) for one in ids]
        if len(ids) == 1:
            said = f"code {answer.code}: {answer.message or meaning(answer.code).text}"
            finding = IdFinding.MISSING if answer.code == _NO_SUCH_FILE else IdFinding.REFUSED
            return [Lookup(ids[0], (finding,), said)]
        return [looked for one in ids for looked in await self.ten([one])]


def _looked(file_id: FileId, recording: Recording | None) -> Lookup:
    if recording is None:
        return Lookup(file_id, (IdFinding.MISSING,))
    category, storage = recording.category.lower(), recording.storage_class.upper()
    findings = (
        *((IdFinding.AUDIO_ONLY,) if category == "audio" else ()),
        *((IdFinding.IMAGE,) if category == "image" else ()),
        *((IdFinding.FORBIDDEN,) if recording.status.lower() == "forbidden" else ()),
        *((IdFinding.ARCHIVED,) if "ARCHIVE" in storage else ()),
    )
    return Lookup(file_id, findings, recording.name, recording)


class RoundedOriginals:
    """Which recordings ids may have stood for before a program rounded them.

    Args:
        missing: ids that no recording has.
    """

    def __init__(self, missing: Iterable[FileId]) -> None:
        self._candidates: dict[FileId, set[FileId]] = {one: set() for one in missing}

    def learn(self, known: Iterable[FileId]) -> None:
        """Take in ids of recordings that exist."""
        for one in known:
            for rounded in as_rounded(one):
                candidates = self._candidates.get(FileId(rounded))
                if candidates is not None and len(candidates) < _ENOUGH:
                    candidates.add(one)

    def of(self, missing: FileId) -> tuple[FileId | None, int]:
        """The only recording that an id may have stood for, if there is just one; and how many there are."""
        candidates = self._candidates.get(missing, set())
        return (next(iter(candidates)) if len(candidates) == 1 else None), len(candidates)


_ENOUGH = 2
"""Candidates: with two, none is suggested."""
