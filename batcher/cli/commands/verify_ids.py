"""``verify-ids``: what the service knows of a manifest's ids, as CSV to stdout or a file."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO, Final, NamedTuple

import typer

from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.cli.output_file import opened, waiting_room
from batcher.cli.read_options import how_to_read
from batcher.cli.service_queries import asking, moment_of
from batcher.cli.signals import Signals
from batcher.cli.terminal.console import Console
from batcher.config.settings import Settings
from batcher.discover.id_check import IdCheck, IdChecker, IdFinding, RoundingCandidates
from batcher.discover.paged_search import PagedSearch
from batcher.discover.search_walks import TimeWalk
from batcher.errors import SettingsError
from batcher.manifest import Manifest, join_results
from batcher.manifest.read_options import ReadOptions
from batcher.manifest.threads import in_thread
from batcher.model.submission import FileId, InvalidRow, Row, Vendor
from batcher.report.export.text_tables import encoded
from batcher.report.formatting import count
from batcher.zego.search_media import LOOKED_UP

OPTIONS: Final = {
    "vendor": o.Vendor,
    "encoding": o.Encoding,
    "manifest_format": o.Format,
    "sheet": o.Sheet,
    "rate": o.Rate,
    "timeout": o.Timeout,
    **o.WITHOUT_LEDGER,
}


@command("verify-ids", options=OPTIONS)
async def verify_ids(
    call: Invocation,
    manifest: Annotated[
        str, typer.Argument(metavar="MANIFEST", help="A file, a URL, or - for stdin; as `run` reads it.")
    ],
    known: Annotated[
        list[str] | None,
        typer.Option(
            help="A list of recordings that exist, such as `discover` writes: rounded ids are found again "
            "in it. Repeat for more.",
            metavar="FILE",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Look for the originals of rounded ids among all recordings since then: 30d, 2026-11-30 "
            "(local time).",
            metavar="WHEN",
        ),
    ] = None,
    newest: Annotated[
        str | None, typer.Option("--until", help="And until then. (default: now)", metavar="WHEN")
    ] = None,
    prefix: Annotated[str, typer.Option(help="And whose names begin so.", metavar="TEXT")] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write here, whole or not at all. (default: stdout)"
        ),
    ] = None,
) -> int:
    """Ask the vendor about the Tencent ids of a manifest, before money is spent on them.

    Writes one line of CSV for each row with something wrong: missing (no recording has the id), audio_only,
    image, forbidden, archived, refused, or invalid for a row that cannot be sent. Ten ids go into one
    call, 200 ids a second. With --known or --since, an id that a spreadsheet has rounded comes with the
    recording it stood for, when there is exactly one. Needs the same credentials as `batcher run`.

    Exit codes: 0 all ids are well; 1 something is wrong with some; 2 settings or manifest; 3 the service
    refuses us; 130, 143 stopped by a signal.

    Example:  batcher verify-ids archive.csv --since 30d -o wrong.csv
    """
    sought = SearchedTimes(tuple(known or ()), since, newest, prefix)
    return await look_up_ids(call.settings, manifest, sought, output, call.console)


PAGE_ROWS = 2_000

_TENCENT = Vendor.TENCENT

COLUMNS = ("source", "line", "file_id", "finding", "detail", "suggestion")


@dataclass(frozen=True, slots=True)
class SearchedTimes:
    """Where recordings are looked for of which an id may be the rounded one."""

    files: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    prefix: str = ""

    @property
    def any(self) -> bool:
        """Whether there is anywhere to look."""
        return bool(self.files or self.since)


class IdFault(NamedTuple):
    """One row with something wrong about it: a line of the report."""

    source: str
    line: int
    file_id: str
    finding: str
    detail: str
    suggestion: str = ""


@dataclass(slots=True)
class IdCounts:
    """What there was, for the closing line."""

    ids: int = 0
    elsewhere: int = 0
    wrong: int = 0
    by_finding: Counter[IdFinding] = field(default_factory=Counter)
    suggested: int = 0


async def look_up_ids(
    settings: Settings, manifest: str, known: SearchedTimes, output: Path | None, console: Console
) -> int:
    """Write what is wrong with the ids of a manifest; a signal ends it with nothing left behind."""
    now = datetime.now(UTC)
    times = _times(known, now)
    how = _how(settings)
    counted = IdCounts()
    with Signals() as signals:
        try:
            async with AsyncExitStack() as stack:
                opened_manifest = await stack.enter_async_context(join_results.opened(manifest, how))
                for warning in opened_manifest.warnings:
                    console.warn(warning)
                client, inquiry = await stack.enter_async_context(asking(settings, console))
                pages = PagedSearch(client, inquiry)
                faults = _faults(opened_manifest, IdChecker(pages), counted)
                file = stack.enter_context(opened(output))
                _write(file, [COLUMNS])
                if known.any:
                    originals = _Suggesting(known, times, pages, how, console)
                    faults = originals.suggested(faults, stack.enter_context(waiting_room(output)), counted)
                async for some in faults:
                    with signals.immediate():
                        _write(file, some)
        except asyncio.CancelledError:
            if signals.code is None:
                raise
            return signals.code
    console.say(_finished(output, counted))
    if counted.by_finding[IdFinding.MISSING] > counted.suggested and not known.any:
        console.say("Ids that a spreadsheet has rounded can be found again: --since 30d, or --known FILE")
    return 1 if counted.wrong else 0


def _how(settings: Settings) -> ReadOptions:
    """How the manifest is read: what a row asks for does not matter, and neither do signs of rounding."""
    filled = {"vendor": Vendor.TENCENT.value, "definition": "1", "interval": "1"}
    update = {name: value for name, value in filled.items() if getattr(settings, name) is None}
    return how_to_read(settings.model_copy(update=update))


def _times(known: SearchedTimes, now: datetime) -> tuple[int, int]:
    if known.since is None:
        for flag, given in (("--until", known.until), ("--prefix", known.prefix)):
            if given:
                raise SettingsError(f"{flag}: goes with --since")
        return 0, 0
    since = moment_of(known.since, "--since", now)
    until = now if known.until is None else moment_of(known.until, "--until", now)
    if since > until or since.timestamp() < 0:
        raise SettingsError(
            f"--since {known.since}: give a date after 1970 and before {known.until or 'now'}"
        )
    return int(since.timestamp()), int(until.timestamp())


async def _faults(manifest: Manifest, lookups: IdChecker, counted: IdCounts) -> AsyncIterator[list[IdFault]]:
    """What is wrong, in the order of the rows."""
    rows = iter(manifest)
    while page := await in_thread(lambda: list(islice(rows, PAGE_ROWS))):
        ids = [row.file_id for row in page if isinstance(row, Row) and row.parameters.vendor is _TENCENT]
        looked: dict[FileId, IdCheck] = {}
        async for ten in lookups.check_all(_tens(dict.fromkeys(ids))):
            looked.update((one.file_id, one) for one in ten)
        counted.ids += len(ids)
        counted.elsewhere += sum(isinstance(row, Row) for row in page) - len(ids)
        faults = [fault for row in page if (fault := _fault(manifest, row, looked, counted)) is not None]
        counted.wrong += len(faults)
        yield faults


async def _tens(ids: Iterable[FileId]) -> AsyncIterator[Sequence[FileId]]:
    remaining = iter(ids)
    while some := list(islice(remaining, LOOKED_UP)):
        yield some


def _fault(
    manifest: Manifest, row: Row | InvalidRow, looked: dict[FileId, IdCheck], counted: IdCounts
) -> IdFault | None:
    if isinstance(row, InvalidRow):
        counted.by_finding[IdFinding.INVALID] += 1
        cells = manifest.cells_of(row)
        return IdFault(
            manifest.source,
            row.line,
            cells.get("file_id", ""),
            IdFinding.INVALID,
            f"{row.column}: {row.reason}",
        )
    if (one := looked.get(row.file_id)) is None or not one.findings:
        return None
    counted.by_finding.update(one.findings)
    return IdFault(manifest.source, row.line, row.file_id, ";".join(one.findings), one.detail)


class _Suggesting:
    """Looks for the recordings of which missing ids may be the rounded ones.

    What is wrong waits on disk meanwhile, since the recordings are known only when all was looked up.
    """

    def __init__(
        self,
        known: SearchedTimes,
        times: tuple[int, int],
        pages: PagedSearch,
        how: ReadOptions,
        console: Console,
    ) -> None:
        self._known = known
        self._times = times
        self._pages = pages
        self._how = how
        self._console = console

    async def suggested(
        self, faults: AsyncIterator[list[IdFault]], folder: Path, counted: IdCounts
    ) -> AsyncIterator[list[IdFault]]:
        """The same faults, with what is suggested for them."""
        missing: set[FileId] = set()
        waiting = folder / "faults.jsonl"
        with waiting.open("w+", encoding="utf-8", errors="surrogatepass") as file:
            async for some in faults:
                missing |= {FileId(one.file_id) for one in some if one.finding == IdFinding.MISSING}
                file.writelines(json.dumps(one) + "\n" for one in some)
            originals = RoundingCandidates(missing)
            if missing:
                await self._learn(originals)
            file.seek(0)
            while lines := list(islice(file, PAGE_ROWS)):
                yield [_with_suggestion(IdFault(*json.loads(line)), originals, counted) for line in lines]

    async def _learn(self, originals: RoundingCandidates) -> None:
        for source in self._known.files:
            async with join_results.opened(source, self._how) as manifest:
                rows = iter(manifest)
                while page := await in_thread(_next_rows, rows):
                    originals.add(row.file_id for row in page if isinstance(row, Row))
        if self._known.since is None:
            return
        async for part in TimeWalk(self._pages, self._known.prefix, *self._times).listed():
            originals.add(one.file_id for one in part.recordings)
            if part.shortfall:
                self._console.warn(f"{part.shortfall}. Suggestions may be missing, or not the only ones")


def _next_rows(rows: Iterator[Row | InvalidRow]) -> list[Row | InvalidRow]:
    return list(islice(rows, PAGE_ROWS))


def _with_suggestion(fault: IdFault, originals: RoundingCandidates, counted: IdCounts) -> IdFault:
    if fault.finding != IdFinding.MISSING:
        return fault
    only, candidates = originals.suggest(FileId(fault.file_id))
    if only is not None:
        counted.suggested += 1
        return fault._replace(suggestion=only, detail="a spreadsheet may have rounded it")
    if candidates:
        return fault._replace(detail="may have been rounded from several recordings: none is suggested")
    return fault


def _write(file: BinaryIO, rows: Iterable[Sequence[object]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    file.write(encoded(buffer.getvalue()))
    file.flush()


def _finished(output: Path | None, counted: IdCounts) -> str:
    said = f"{output}: " if output else ""
    said += f"{count(counted.ids, 'id')} looked up, {count(counted.wrong, 'row')} with something wrong"
    if counted.by_finding:
        said += ": " + ", ".join(
            f"{n:,} {one.replace('_', ' ')}" for one, n in sorted(counted.by_finding.items())
        )
    if counted.suggested:
        said += f"; {counted.suggested:,} with a suggestion"
    if counted.elsewhere:
        said += f"; {count(counted.elsewhere, 'row')} not looked up: only Tencent's ids can be"
    return said
