"""Verification of ids: looks up the Tencent ids of a manifest before money is spent on them.

Called by programs and by ``batcher verify-ids``. It reads the manifest page by page and changes nothing. An
id that a spreadsheet has rounded gets a suggestion when exactly one known recording fits; the faults then
wait in a file on disk until all ids are looked up, since memory must not grow with the manifest.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from batcher.api.service_queries import check_times, checked_rate, search_client
from batcher.config.defaults import ENDPOINT as DEFAULT_ENDPOINT
from batcher.discover.id_check import IdCheck, IdChecker, IdFinding, RoundingCandidates
from batcher.discover.paged_search import PagedSearch
from batcher.discover.search_walks import TimeWalk
from batcher.errors import SettingsError
from batcher.flowcontrol.service_access import ServiceAccess
from batcher.manifest import join_results
from batcher.manifest.read_options import ReadOptions
from batcher.manifest.reader import Manifest
from batcher.manifest.threads import in_thread
from batcher.model.account import Account
from batcher.model.events import Message, OnEvent, Severity, ignore_event
from batcher.model.submission import FileId, InvalidRow, Row, Vendor
from batcher.zego.search_media import IDS_PER_SEARCH

PAGE_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class KnownRecordings:
    """Where the originals of rounded ids are searched.

    Raises:
        SettingsError: a value cannot be used.
    """

    files: tuple[str, ...] = ()
    """Lists of existing recordings, such as a discovery writes."""
    since: datetime | None = None
    """All recordings created since then; with its time zone."""
    until: datetime | None = None
    """Created until then; None for now."""
    prefix: str = ""
    """The beginning of their names."""

    def __post_init__(self) -> None:
        """Check the times."""
        check_times(self.since, self.until)
        if self.since is None:
            for name, value in (("until", self.until), ("prefix", self.prefix)):
                if value:
                    raise SettingsError(f"{name}: has an effect only together with since")

    @property
    def any(self) -> bool:
        """Whether there is anything to search."""
        return bool(self.files) or self.since is not None


class IdFault(NamedTuple):
    """A row with something wrong; a line of the report."""

    source: str
    line: int
    file_id: str
    finding: str
    """Values of :class:`IdFinding`, separated by ``;``."""
    detail: str
    suggestion: str = ""
    """The recording of which the id may be the rounded form; empty when there is not exactly one."""


@dataclass(slots=True)
class IdCounts:
    """The figures of a verification."""

    ids: int = 0
    """Rows whose ids were looked up."""
    elsewhere: int = 0
    """Rows of other vendors, whose ids cannot be looked up."""
    wrong: int = 0
    """Rows with something wrong."""
    by_finding: Counter[IdFinding] = field(default_factory=Counter)
    suggested: int = 0


class IdVerification:
    """The verification of one manifest; iterate over :meth:`faults` once.

    Args:
        manifest: a file, a URL, or ``-`` for standard input.
        account: the account that asks.
        how: how the manifest is read; what a row asks for has no effect on the verification.
        known: where the originals of rounded ids are searched.
        folder: where faults wait on disk; None for the system's folder of temporary files.
        endpoint: the service's URL.
        rate_per_s: calls per second at most, ten ids each.
        timeout_s: how long one call may take.
        on_event: called with warnings and when the service stops and starts to answer; must not block.

    Attributes:
        counts: the figures so far.

    Raises:
        SettingsError: account, endpoint, rate or timeout cannot be used.
    """

    def __init__(
        self,
        manifest: str | os.PathLike[str],
        account: Account,
        *,
        how: ReadOptions | None = None,
        known: KnownRecordings | None = None,
        folder: Path | None = None,
        endpoint: str = DEFAULT_ENDPOINT,
        rate_per_s: float = 20.0,
        timeout_s: float = 30.0,
        on_event: OnEvent = ignore_event,
    ) -> None:
        self.counts = IdCounts()
        self._manifest = os.fspath(manifest)
        self._service = ServiceAccess(account, endpoint, timeout_s)
        self._rate_per_s = checked_rate(rate_per_s)
        self._how = _complete(how or ReadOptions())
        self._known = known or KnownRecordings()
        self._folder = folder
        self._on_event = on_event
        self._started = False

    async def faults(self) -> AsyncGenerator[list[IdFault], None]:
        """Look up all ids; return the faults page by page in the order of the rows. A page may be empty.

        Close it when you leave it early (``contextlib.aclosing``).

        Raises:
            ManifestError: the manifest, or a list of known recordings, cannot be used.
            Refused: the service refuses to answer.
            RuntimeError: it was called before.
        """
        if self._started:
            raise RuntimeError("an IdVerification looks the ids up once; create another one")
        self._started = True
        async with AsyncExitStack() as stack:
            manifest, _ = await stack.enter_async_context(join_results.opened(self._manifest, self._how))
            for warning in manifest.warnings:
                self._on_event(Message(warning, Severity.WARNING))
            opened = await stack.enter_async_context(
                search_client(self._service, self._rate_per_s, self._on_event)
            )
            pages = PagedSearch(*opened)
            found = await stack.enter_async_context(aclosing(self._found(manifest, IdChecker(pages))))
            if not self._known.any:
                async for page in found:
                    yield page
                return
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix=".batcher.", dir=self._folder, ignore_cleanup_errors=True)
            )
            async for page in self._with_suggestions(found, pages, Path(folder) / "faults.jsonl"):
                yield page

    async def _found(self, manifest: Manifest, checker: IdChecker) -> AsyncGenerator[list[IdFault], None]:
        """The faults without suggestions."""
        rows, counts = iter(manifest), self.counts
        while page := await in_thread(_next_rows, rows):
            ids = [row.file_id for row in page if _is_tencent(row)]
            by_id: dict[FileId, IdCheck] = {}
            async for results in checker.check_all(_tens(dict.fromkeys(ids))):
                by_id.update((result.file_id, result) for result in results)
            counts.ids += len(ids)
            counts.elsewhere += sum(isinstance(row, Row) for row in page) - len(ids)
            faults = [fault for row in page if (fault := self._fault(manifest, row, by_id)) is not None]
            counts.wrong += len(faults)
            yield faults

    def _fault(
        self, manifest: Manifest, row: Row | InvalidRow, by_id: dict[FileId, IdCheck]
    ) -> IdFault | None:
        if isinstance(row, InvalidRow):
            self.counts.by_finding[IdFinding.INVALID] += 1
            file_id = manifest.cells_of(row).get("file_id", "")
            reason = f"{row.column}: {row.reason}"
            return IdFault(manifest.source, row.line, file_id, IdFinding.INVALID, reason)
        result = by_id.get(row.file_id)
        if result is None or not result.findings:
            return None
        self.counts.by_finding.update(result.findings)
        return IdFault(manifest.source, row.line, row.file_id, ";".join(result.findings), result.detail)

    async def _with_suggestions(
        self, found: AsyncIterator[list[IdFault]], pages: PagedSearch, waiting: Path
    ) -> AsyncIterator[list[IdFault]]:
        """The same faults with suggestions, once all are known; they wait in a file."""
        missing: set[FileId] = set()
        with waiting.open("w+", encoding="utf-8", errors="surrogatepass") as file:
            async for faults in found:
                missing |= {FileId(fault.file_id) for fault in faults if fault.finding == IdFinding.MISSING}
                file.writelines(json.dumps(fault) + "\n" for fault in faults)
            originals = RoundingCandidates(missing)
            if missing:
                await self._collect(originals, pages)
            file.seek(0)
            while lines := list(islice(file, PAGE_ROWS)):
                yield [self._suggest(IdFault(*json.loads(line)), originals) for line in lines]

    async def _collect(self, originals: RoundingCandidates, pages: PagedSearch) -> None:
        """Go through all known recordings."""
        known = self._known
        for source in known.files:
            async with join_results.opened(source, self._how) as (manifest, _):
                rows = iter(manifest)
                while page := await in_thread(_next_rows, rows):
                    originals.add(row.file_id for row in page if isinstance(row, Row))
        if known.since is None:
            return
        times = int(known.since.timestamp()), int((known.until or datetime.now(UTC)).timestamp())
        async for part in TimeWalk(pages, known.prefix, *times).listed():
            originals.add(recording.file_id for recording in part.recordings)
            if part.shortfall:
                text = f"{part.shortfall}. Suggestions may be missing, or not the only ones"
                self._on_event(Message(text, Severity.WARNING))

    def _suggest(self, fault: IdFault, originals: RoundingCandidates) -> IdFault:
        if fault.finding != IdFinding.MISSING:
            return fault
        original, candidates = originals.suggest(FileId(fault.file_id))
        if original is not None:
            self.counts.suggested += 1
            return fault._replace(suggestion=original, detail="a spreadsheet may have rounded it")
        if candidates:
            return fault._replace(detail="may have been rounded from several recordings: none is suggested")
        return fault


def _complete(how: ReadOptions) -> ReadOptions:
    """Fill in what a row needs to be valid: what it asks for has no effect on its id."""
    needed = {"vendor": Vendor.TENCENT.value, "definition": "1", "interval": "1"}
    missing: dict[str, Any] = {
        name: value for name, value in needed.items() if getattr(how.defaults, name) is None
    }
    return replace(how, defaults=replace(how.defaults, **missing))


def _is_tencent(row: Row | InvalidRow) -> TypeGuard[Row]:
    return isinstance(row, Row) and row.parameters.vendor is Vendor.TENCENT


def _next_rows(rows: Iterator[Row | InvalidRow]) -> list[Row | InvalidRow]:
    return list(islice(rows, PAGE_ROWS))


async def _tens(ids: Iterable[FileId]) -> AsyncIterator[Sequence[FileId]]:
    remaining = iter(ids)
    while chunk := list(islice(remaining, IDS_PER_SEARCH)):
        yield chunk
