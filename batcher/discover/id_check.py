"""The check of ids: whether the recordings of a manifest exist and can be used.

Called by ``verify-ids`` before money is spent on a manifest. Ten ids go into one call, several calls are in
flight, and the order of the ids is kept. For an id that a program has rounded it suggests the original, if
exactly one recording can be it; a wrong suggestion would submit another recording. It changes no manifest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from batcher.discover.paged_search import PagedSearch
from batcher.manifest.rounded_ids import as_rounded
from batcher.model.outcome import Answer
from batcher.model.submission import FileId, Recording
from batcher.zego.codes import meaning
from batcher.zego.search_media import ID_CHARS, SearchPage

MAX_CALLS_IN_FLIGHT = 16
"""At 20 calls a second, answers may take most of a second."""

MAX_CANDIDATES = 2
"""Candidates kept for a rounded id: with two, none is suggested."""

NO_SUCH_FILE = 41003


class IdFinding(StrEnum):
    """The mistake in an id."""

    MISSING = "missing"
    """No recording has the id."""
    REFUSED = "refused"
    """The service does not accept the id."""
    AUDIO_ONLY = "audio_only"
    """The recording has no picture."""
    IMAGE = "image"
    """The file is a picture itself."""
    FORBIDDEN = "forbidden"
    ARCHIVED = "archived"
    """The file is in a storage that has to be thawed first."""
    INVALID = "invalid"
    """The row cannot be sent."""


class IdCheck(NamedTuple):
    """The result for one id."""

    file_id: FileId
    findings: tuple[IdFinding, ...]
    """Empty when nothing is wrong."""
    detail: str = ""
    recording: Recording | None = None


class IdChecker:
    """Checks Tencent's ids.

    Args:
        search: reads recordings by their ids.
    """

    def __init__(self, search: PagedSearch) -> None:
        self._search = search

    async def check_all(self, chunks: AsyncIterator[Sequence[FileId]]) -> AsyncIterator[list[IdCheck]]:
        """Check all chunks; return their results in the same order.

        Args:
            chunks: at most ten ids in each.

        Raises:
            Refused: the service does not answer.
        """
        in_flight: deque[asyncio.Task[list[IdCheck]]] = deque()
        first = True
        try:
            async for chunk in chunks:
                in_flight.append(asyncio.create_task(self.check(chunk), name="id-check"))
                if first or len(in_flight) >= MAX_CALLS_IN_FLIGHT:  # the first call finds out how pages count
                    yield await in_flight.popleft()
                    first = False
            while in_flight:
                yield await in_flight.popleft()
        finally:
            for task in in_flight:
                task.cancel()
            await asyncio.gather(*in_flight, return_exceptions=True)

    async def check(self, ids: Sequence[FileId]) -> list[IdCheck]:
        """Check at most ten ids by one call; one by one where the service rejects one of them."""
        asked = tuple(dict.fromkeys(file_id for file_id in ids if len(file_id) <= ID_CHARS))
        answer = await self._search.look_up(asked) if asked else SearchPage(())
        if not isinstance(answer, Answer):
            found = {recording.file_id: recording for recording in answer.recordings}
            return [judge_id(file_id, found.get(file_id)) for file_id in ids]
        if len(ids) == 1:
            said = f"code {answer.code}: {answer.message or meaning(answer.code).text}"
            finding = IdFinding.MISSING if answer.code == NO_SUCH_FILE else IdFinding.REFUSED
            return [IdCheck(ids[0], (finding,), said)]
        return [result for file_id in ids for result in await self.check([file_id])]


def judge_id(file_id: FileId, recording: Recording | None) -> IdCheck:
    """Judge an id by its recording; None when no recording has the id."""
    if len(file_id) > ID_CHARS:
        return IdCheck(file_id, (IdFinding.REFUSED,), f"a search takes ids of at most {ID_CHARS} characters")
    if recording is None:
        return IdCheck(file_id, (IdFinding.MISSING,))
    category, storage = recording.category.lower(), recording.storage_class.upper()
    findings = (
        *((IdFinding.AUDIO_ONLY,) if category == "audio" else ()),
        *((IdFinding.IMAGE,) if category == "image" else ()),
        *((IdFinding.FORBIDDEN,) if recording.status.lower() == "forbidden" else ()),
        *((IdFinding.ARCHIVED,) if "ARCHIVE" in storage else ()),
    )
    return IdCheck(file_id, findings, recording.name, recording)


class RoundingCandidates:
    """Existing recordings that missing ids may be the rounded form of.

    Args:
        missing: ids that no recording has.
    """

    def __init__(self, missing: Iterable[FileId]) -> None:
        self._candidates: dict[FileId, set[FileId]] = {file_id: set() for file_id in missing}

    def add(self, existing: Iterable[FileId]) -> None:
        """Consider ids of recordings that exist."""
        for file_id in existing:
            for rounded in as_rounded(file_id):
                candidates = self._candidates.get(FileId(rounded))
                if candidates is not None and len(candidates) < MAX_CANDIDATES:
                    candidates.add(file_id)

    def suggest(self, missing: FileId) -> tuple[FileId | None, int]:
        """Return the only candidate for a missing id, if there is just one, and how many there are."""
        candidates = self._candidates.get(missing, set())
        return (next(iter(candidates)) if len(candidates) == 1 else None), len(candidates)
