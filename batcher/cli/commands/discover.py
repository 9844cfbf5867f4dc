"""``discover``: a manifest of the recordings that exist, to stdout or a file."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.cli.resumable_file import UnfinishedFile
from batcher.cli.service_queries import archive_of, asking, moment_of
from batcher.cli.signals import Signals
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.progress import ProgressLines
from batcher.config.settings import Settings
from batcher.discover.paged_search import PagedSearch
from batcher.discover.retrying_query import RetryingQuery
from batcher.discover.search_walks import MarkerWalk, RecordingBatch, TimeWalk
from batcher.errors import BatcherError, Refused, SettingsError, StdoutClosed
from batcher.flowcontrol.deadline import Deadline
from batcher.flowcontrol.findings import outage_text
from batcher.manifest.formats import detect as manifests
from batcher.manifest.formats.detect import format_named
from batcher.model.submission import Archive, FileId, Recording
from batcher.report.formatting import count
from batcher.report.recording_list import ListFormat, head, lines
from batcher.zego.client import ZegoClient

if TYPE_CHECKING:
    from batcher.ledger import LedgerReader


@command(
    "discover",
    options={
        "vendor": Annotated[
            str | None, typer.Option(help="Where to look: Tencent, Huawei or Ws.", metavar="NAME")
        ],
        "rate": o.Rate,
        "timeout": o.Timeout,
        "max_duration": o.MaxDuration,
        **o.COMMON,
    },
)
async def discover(
    call: Invocation,
    since: Annotated[
        str | None,
        typer.Option(
            help="Created since then: so long ago (90m, 24h, 7d) or a date (2026-11-30, 2026-11-30T05:30; "
            "local time, or with a zone: 2026-11-30T05:30Z). Tencent needs it.",
            metavar="WHEN",
        ),
    ] = None,
    newest: Annotated[
        str | None,
        typer.Option("--until", help="Created until then, likewise. (default: now)", metavar="WHEN"),
    ] = None,
    prefix: Annotated[
        str, typer.Option(help="What names, or Huawei's object paths, begin with.", metavar="TEXT")
    ] = "",
    category: Annotated[
        list[str] | None,
        typer.Option(help="Video, Audio or Image (Tencent); repeat for more. (default: all)", metavar="NAME"),
    ] = None,
    min_duration: Annotated[
        str | None,
        typer.Option(
            help="Leave out what is known to be shorter (Tencent): 10, 90s, 5m.", metavar="DURATION"
        ),
    ] = None,
    not_in_ledger: Annotated[
        bool, typer.Option("--not-in-ledger", help="Leave out recordings that the ledger has already.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write here, and go on there later. (default: stdout)"
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="csv or jsonl. (default: as FILE is named, else csv)"),
    ] = None,
) -> int:
    """List the recordings that exist, as a manifest.

    Asks the vendor for all recordings of a time (Tencent) or below a path (Huawei), each once, with name,
    creation, duration, size and URL beside its id. On stdout for a run to read, or in FILE: one that was
    interrupted stays as FILE.part, and the same command goes on with it, until now. What the service
    cannot show, more than 5,000 recordings of one second, is said on stderr.

    Needs the same credentials as `batcher run`. Searches are counted apart from submissions, 20 a second.

    Exit codes: 0 all are listed; 1 some could not be, and stderr says which; 2 usage or settings; 3 the
    service refuses us; 4 --max-duration is over; 6 the ledger cannot be read (--not-in-ledger); 130, 143
    stopped by a signal.

    Example:  batcher discover --vendor Tencent --since 24h -o new.csv
    """
    from batcher.cli.service_queries import seconds_of

    least_s = None if min_duration is None else seconds_of(min_duration, "--min-duration")
    asked = Asked(since, newest, prefix, tuple(category or ()), least_s, not_in_ledger, format_)
    return await discover_recordings(call.settings, asked, output, call.console)


PROGRESS_EVERY_S = 10.0

CATEGORIES = ("Video", "Audio", "Image")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be listed, as it was asked for."""

    since: str | None = None
    until: str | None = None
    prefix: str = ""
    category: tuple[str, ...] = ()
    min_duration_s: float | None = None
    not_in_ledger: bool = False
    format: str | None = None


@dataclass(slots=True)
class DiscoveryProgress:
    """How far a list has come; what an interrupted one is gone on from."""

    since_s: int = 0
    at_s: int | None = None
    marker: str = ""
    recent: tuple[str, ...] = ()
    listed: int = 0
    left_out: int = 0
    unmeasured: int = 0
    """Kept although their duration is not known."""
    shortfalls: tuple[str, ...] = ()


class Target(Protocol):
    """Where a list goes."""

    def write(self, data: bytes, reached: Mapping[str, Any] | None) -> None:
        """Add to it; it goes so far then."""

    def finish(self) -> None:
        """It is whole."""

    @property
    def before(self) -> dict[str, Any] | None:
        """How far an earlier call has come."""


async def discover_recordings(settings: Settings, asked: Asked, output: Path | None, console: Console) -> int:
    """List what is asked for, part by part; a signal or the end of the time keeps what is in the file."""
    archive, format_ = archive_of(settings.vendor), _format(asked, output)
    now = datetime.now(UTC)
    since_s, until_s = _time(asked, archive, now)
    _check_filters(asked, archive)
    with Signals() as signals, _target(output, archive, asked, format_) as target:
        progress = DiscoveryProgress(since_s or 0)
        if target.before is None:
            target.write(head(format_), asdict(progress))
        else:
            progress = _progress_of(target.before)
            console.say(f"{output}: goes on after {count(progress.listed, 'recording')} of an earlier call")
            for shortfall in progress.shortfalls:
                console.warn(shortfall)
        inquiry: RetryingQuery | None = None
        try:
            async with AsyncExitStack() as stack, Deadline(settings.max_duration).limit():
                client, asks = await stack.enter_async_context(asking(settings, console))
                inquiry = asks
                ledger = await _ledger(stack, settings) if asked.not_in_ledger else None
                sieve = Sieve(asked, (progress.since_s if since_s is not None else None, until_s), ledger)
                progress_lines, ahead = ProgressLines(console, PROGRESS_EVERY_S), replace(progress)
                async for part in _parts(client, asks, archive, asked, progress, until_s):
                    wanted = await sieve.passed(part.recordings)
                    _take_in(ahead, part, len(wanted), sieve)
                    if part.shortfall:
                        console.warn(part.shortfall)
                    if part.reached is not None:
                        progress = replace(ahead)
                    with signals.immediate():
                        target.write(lines(wanted, format_), asdict(progress) if part.reached else None)
                    counts = {"listed": ahead.listed, "left_out": ahead.left_out}
                    progress_lines.show(partial(_how_far, ahead), partial(dict, counts))
                target.finish()
        except asyncio.CancelledError:
            if signals.code is None:
                raise
            console.say(_stopped(output, progress))
            return signals.code
        except TimeoutError:
            console.say(f"--max-duration is over{_in_outage(inquiry)}; {_stopped(output, progress)}")
            return 4
        except Refused as exc:
            raise Refused(*exc.lines, _stopped(output, progress)) from exc
    console.say(_finished(archive, output, progress, asked))
    return 1 if progress.shortfalls else 0


class Sieve:
    """Which of the recordings that exist are wanted.

    Args:
        asked: by what.
        between: Unix seconds of the oldest and the newest; None for any.
        ledger: whose recordings are not wanted; None to want them all.
    """

    def __init__(
        self, asked: Asked, between: tuple[int | None, int | None], ledger: LedgerReader | None
    ) -> None:
        self.unmeasured = 0
        self._asked = asked
        self._since_s, self._until_s = between
        self._categories = {one.lower() for one in asked.category}
        self._ledger = ledger

    async def passed(self, recordings: Sequence[Recording]) -> list[Recording]:
        """Those that are wanted."""
        wanted = [one for one in recordings if self._is_wanted(one)]
        if self._ledger is None or not wanted:
            return wanted
        known = await self._ledger.asked_before(one.file_id for one in wanted)
        return [
            one
            for one in wanted
            if one.archive.value not in {asked.vendor.value for asked in known.get(one.file_id, ())}
        ]

    def _is_wanted(self, one: Recording) -> bool:
        if self._categories and one.category.lower() not in self._categories:
            return False
        if self._asked.prefix and not _begins(one, self._asked.prefix):
            return False
        if one.created_at is not None and not self._is_within(one.created_at.timestamp()):
            return False
        least_s = self._asked.min_duration_s
        if least_s is None:
            return True
        if one.duration_s is None:
            self.unmeasured += 1
            return True
        return one.duration_s >= least_s

    def _is_within(self, at_s: float) -> bool:
        if self._since_s is not None and at_s < self._since_s:
            return False
        return self._until_s is None or at_s < self._until_s + 1


def _begins(one: Recording, prefix: str) -> bool:
    """Whether a name begins so; the service compares no more than 20 bytes, and a key with or without /."""
    name = one.name if one.archive is Archive.TENCENT else one.file_id.lstrip("/")
    return name.startswith(prefix if one.archive is Archive.TENCENT else prefix.lstrip("/"))


async def _parts(
    client: ZegoClient,
    inquiry: RetryingQuery,
    archive: Archive,
    asked: Asked,
    progress: DiscoveryProgress,
    until_s: int | None,
) -> AsyncIterator[RecordingBatch]:
    recent = frozenset(map(FileId, progress.recent))
    if archive is not Archive.TENCENT:
        walk = MarkerWalk(client, inquiry, archive, asked.prefix, progress.marker, recent)
        async for part in walk.listed():
            yield part
        return
    until_s = int(time.time()) if until_s is None else until_s
    since_s = progress.since_s if progress.at_s is None else progress.at_s
    if since_s > until_s:
        return
    search = PagedSearch(client, inquiry)
    async for part in TimeWalk(search, asked.prefix, since_s, until_s, recent).listed():
        yield part


def _take_in(progress: DiscoveryProgress, part: RecordingBatch, wanted: int, sieve: Sieve) -> None:
    if (reached := part.reached) is not None:
        progress.at_s, progress.marker, progress.recent = reached.at_s, reached.marker, tuple(reached.recent)
    progress.listed += wanted
    progress.left_out += len(part.recordings) - wanted
    progress.unmeasured += sieve.unmeasured
    sieve.unmeasured = 0
    if part.shortfall:
        progress.shortfalls += (part.shortfall,)


def _how_far(progress: DiscoveryProgress) -> str:
    at = f", created before {_utc(progress.at_s)}" if progress.at_s else ""
    return f"{count(progress.listed, 'recording')} so far{at}"


# -- what is asked for ---------------------------------------------------------------------------


def _format(asked: Asked, output: Path | None) -> ListFormat:
    if asked.format is not None and asked.format not in set(ListFormat):
        raise SettingsError(f"--format {asked.format}: give csv or jsonl")
    if asked.format is not None:
        return ListFormat(asked.format)
    says = format_named("-" if output is None else output.name)
    if says.packing or says.format not in _WRITTEN_AS:
        raise SettingsError(
            f"--output {output}: discover writes CSV or JSON lines, and its name would have it read as "
            "something else; name it .csv or .jsonl, or say with --format what it is to hold"
        )
    return _WRITTEN_AS[says.format]


_WRITTEN_AS = {
    None: ListFormat.CSV,
    manifests.ManifestFormat.CSV: ListFormat.CSV,
    manifests.ManifestFormat.JSONL: ListFormat.JSONL,
}
"""By what a name says of a manifest."""


def _time(asked: Asked, archive: Archive, now: datetime) -> tuple[int | None, int | None]:
    """The seconds between which recordings were created."""
    since = None if asked.since is None else moment_of(asked.since, "--since", now)
    until = None if asked.until is None else moment_of(asked.until, "--until", now)
    if since is None and archive is Archive.TENCENT:
        raise SettingsError(
            "--since: say from when on: how long ago (24h, 7d) or a date (2020-01-01 for all there is)"
        )
    if since is not None and since > (until or now):
        raise SettingsError(f"--since {asked.since}: is after {asked.until or 'now'}; nothing can be found")
    if since is not None and since.timestamp() < 0:
        raise SettingsError(f"--since {asked.since}: give a date after 1970")
    return (
        None if since is None else int(since.timestamp()),
        None if until is None else int(until.timestamp()),
    )


def _check_filters(asked: Asked, archive: Archive) -> None:
    allowed = {one.lower() for one in CATEGORIES}
    if wrong := [one for one in asked.category if one.lower() not in allowed]:
        raise SettingsError(f"--category {wrong[0]}: give {', '.join(CATEGORIES[:-1])} or {CATEGORIES[-1]}")
    if archive is Archive.TENCENT:
        return
    for flag, given in (("--category", asked.category), ("--min-duration", asked.min_duration_s)):
        if given:
            raise SettingsError(f"{flag}: goes with --vendor Tencent; {archive} does not tell it")


async def _ledger(stack: AsyncExitStack, settings: Settings) -> LedgerReader | None:
    """The ledger, when there is one: before the first run everything is new."""
    from batcher.ledger import ledger_path, open_for_reading  # 20 MiB, which only this option needs

    path = ledger_path(settings.ledger)
    return await stack.enter_async_context(await open_for_reading(path)) if path.exists() else None


# -- where it goes -------------------------------------------------------------------------------


class _Stream:
    """A list that goes where nothing can be taken back: stdout, a pipe, a device.

    What is written first, the heading, goes out with what follows it: who reads a list that could not even be
    begun finds nothing at all, and no list without recordings.
    """

    before: dict[str, Any] | None = None

    def __init__(self, file: Any, place: str) -> None:  # noqa: ANN401 - whatever can be written to
        self._file = file
        self._place = place
        self._heading: bytes | None = None

    def write(self, data: bytes, reached: Mapping[str, Any] | None) -> None:
        del reached
        if self._heading is None:
            self._heading = data
            return
        try:
            self._file.write(self._heading + data)
            self._heading = b""
            self._file.flush()
        except BrokenPipeError as exc:
            raise StdoutClosed(f"{self._place} is not read any more") from exc
        except OSError as exc:
            raise BatcherError(f"{self._place}: cannot be written: {exc.strerror or exc}") from exc

    def finish(self) -> None:
        """Every part was written as it came; of none, there is the heading."""
        self.write(b"", None)


@contextmanager
def _target(output: Path | None, archive: Archive, asked: Asked, format_: ListFormat) -> Iterator[Target]:
    if output is None:
        yield _Stream(sys.stdout.buffer, "stdout")
    elif output.exists() and not output.is_file() and not output.is_dir():
        with output.open("wb") as file:
            yield _Stream(file, f"--output {output}")
    else:
        of = {"vendor": archive.value, **asdict(replace(asked, format=format_.value))}
        with UnfinishedFile(output, {name: _plain(value) for name, value in of.items()}) as unfinished:
            yield unfinished


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _progress_of(before: Mapping[str, Any]) -> DiscoveryProgress:
    progress = DiscoveryProgress(**before)
    progress.recent, progress.shortfalls = tuple(progress.recent), tuple(progress.shortfalls)
    return progress


# -- what is said --------------------------------------------------------------------------------


def _stopped(output: Path | None, progress: DiscoveryProgress) -> str:
    listed = count(progress.listed, "recording")
    if output is None:
        return f"stopped after {listed}; with -o FILE a later call goes on where one has stopped"
    return f"stopped after {listed}, kept in {output}.part: the same command goes on from there"


def _in_outage(inquiry: RetryingQuery | None) -> str:
    if inquiry is None or (outage := inquiry.outage) is None:
        return ""
    return f" while {outage_text(outage)}"


def _finished(archive: Archive, output: Path | None, progress: DiscoveryProgress, asked: Asked) -> str:
    said = f"{output}: " if output else ""
    said += count(progress.listed, "recording")
    if asked.since is not None:
        said += f", created since {_utc(progress.since_s)}"
    if progress.left_out:
        said += f"; {count(progress.left_out, 'other', 'others')} left out by the options"
    if progress.unmeasured:
        said += f"; {progress.unmeasured:,} kept whose duration is not known"
    if archive is Archive.WS:
        said += "; the service takes no snapshots of recordings at Ws"
    if progress.shortfalls:
        said += f"; not whole, see the {count(len(progress.shortfalls), 'warning')}"
    return said


def _utc(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
