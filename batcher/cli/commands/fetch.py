"""``fetch``: pictures of finished tasks into a folder, an index of them, and what came of it.

Between the command line and :mod:`batcher.fetch.fetcher`, which needs a package of its own and comes in
when that is there. It holds a lock of its own, not the run's: one fetch of a ledger goes on at a time,
beside all else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from batcher._version import __version__
from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.cli.picture_index import IndexChanges, update_index
from batcher.cli.signals import Signals
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.progress import View, shown
from batcher.cli.terminal.views import fetch_view
from batcher.config.endpoints import is_loopback
from batcher.config.settings import Settings
from batcher.errors import BatcherError, FolderError, SettingsError
from batcher.fetch.picture_paths import INDEX
from batcher.ledger import LockClient, Purpose, check_binding, check_file, ledger_path, take_lock
from batcher.ledger.pictures import GIVEN_UP, KEPT, PictureLedger
from batcher.model.records import Fetched
from batcher.model.submission import FileId
from batcher.model.task import PictureState
from batcher.output_files import check_target
from batcher.report.formatting import at_least_a_second, count, sentence, size
from batcher.requirements import pip_install

if TYPE_CHECKING:
    from batcher.fetch.fetcher import Fetcher
    from batcher.fetch.settings import FetchFigures


OPTIONS: Final = {
    "concurrency": Annotated[
        int | None, typer.Option(help="Pictures under way at once at most. (default: 8)", metavar="N")
    ],
    "timeout": Annotated[
        str | None,
        typer.Option(help="How long one picture may take. (default: 30s)", metavar="DURATION"),
    ],
    "limit": Annotated[int | None, typer.Option(help="Take up this many pictures, then end.", metavar="N")],
    "max_bytes": Annotated[
        str | None,
        typer.Option(
            "--max-bytes",
            help="A picture larger than this is refused: 500K, 20M. (default: 20M)",
            metavar="SIZE",
        ),
    ],
    "progress": o.Progress,
    **o.COMMON,
}


@command("fetch", options=OPTIONS)
async def fetch(
    call: Invocation,
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder for the pictures.")
    ],
    recording: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE_ID", help="Of this recording alone; repeat for more."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Ask once more for those that were given up before.")
    ] = False,
    check_all: Annotated[
        bool,
        typer.Option("--check-all", help="Look at every file that was fetched before, not at some a day."),
    ] = False,
    json: o.Json = False,
) -> int:
    """Fetch the pictures of finished tasks into a folder, one folder in it for each recording.

    Takes what `batcher track` has found, from public http and https addresses alone, and needs no
    credentials. Each picture is decoded to its end and then put in its place, so a file there is a whole
    image; blank and black ones are told apart. What is there is not fetched again, what is lost is. Works
    while a run is going on; stop it with Ctrl-C and run it again at any time. DIR/pictures.csv says which
    file is which picture, and why there is none. Needs the extra `pictures`.

    Exit codes: 0 all pictures are there; 1 some are missing, broken or refused, which is told once;
    2 settings; 4 work is left: the limit, or a server that does not answer; 5 another fetch is going on;
    6 the ledger or DIR cannot be written; 130, 143 stopped by a signal.

    Example:  batcher fetch -o pictures
    """
    from batcher.model.submission import FileId

    wanted = FetchRequest(folder, tuple(map(FileId, recording or ())), again, check_all)
    return await fetch_pictures(call.settings, wanted, call.console, as_json=json)


CONCURRENCY = 8
"""Pictures under way at once, unless said otherwise: enough for any line, and no burden to any server."""

FIRST_GIVEN_UP = 5
"""So many pictures that are none are named, one of each recording and reason."""

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_DONE, _TROUBLED, _LEFT = 0, 1, 4


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What a fetch is asked for besides the settings."""

    output: Path
    recordings: tuple[FileId, ...] = ()
    again: bool = False
    check_all: bool = False


async def fetch_pictures(settings: Settings, wanted: FetchRequest, console: Console, *, as_json: bool) -> int:
    """Fetch what there is to fetch, keep an index of it, and close with a summary.

    Raises:
        SettingsError: a package is missing, or the folder is none.
        BindingError: the ledger belongs to another kind of endpoint.
        FolderError: pictures cannot be kept.
        LedgerBusy: another fetch of this ledger is going on.
        LedgerError: the ledger cannot be used.
    """
    _check_package()
    if wanted.output.exists() and not wanted.output.is_dir():
        raise SettingsError(f"--output {wanted.output}: this is a file; name the folder for the pictures")
    check_target(wanted.output, "--output")
    path = ledger_path(settings.ledger)
    check_file(path)
    if proxy := _proxy():
        console.say(f"{proxy}: pictures are fetched directly, not through a proxy")
    with await take_lock(path, LockClient("batcher fetch", purpose=Purpose.FETCHING)):
        async with await PictureLedger.open(path, console.on_event) as ledger:
            await _check(ledger, settings, wanted)
            return await _fetch(ledger, settings, wanted, console, as_json=as_json)


def _check_package() -> None:
    try:
        import PIL  # noqa: F401 - to see whether it is there
    except ImportError as exc:
        raise SettingsError(
            f"batcher fetch needs the package Pillow, which is not installed: {pip_install('Pillow')}"
        ) from exc


def _proxy() -> str | None:
    """The variable that names a proxy, which would look names up where nobody here can check them."""
    named = [name for name in (*_PROXIES, *map(str.upper, _PROXIES)) if os.environ.get(name)]
    return named[0] if named else None


async def _check(ledger: PictureLedger, settings: Settings, wanted: FetchRequest) -> None:
    """Refuse what would be fetched from the wrong side, or is not there at all."""
    check_binding(ledger.path, await ledger.bound_to(), None, settings.place)
    for recording in wanted.recordings:
        if not await ledger.knows(recording):
            raise BatcherError(f"--recording {recording}: {ledger.path} does not know it")


async def _fetch(
    ledger: PictureLedger, settings: Settings, wanted: FetchRequest, console: Console, *, as_json: bool
) -> int:
    from batcher.fetch.address_guard import AddressGuard
    from batcher.fetch.fetcher import Fetcher
    from batcher.fetch.http_source import PictureSource
    from batcher.fetch.settings import FetchSettings

    chosen = settings.concurrency if "concurrency" in settings.model_fields_set else CONCURRENCY
    given_up: list[Fetched] = []
    changes = IndexChanges()
    began = time.monotonic()
    with Signals() as signals:
        addresses = AddressGuard(of_this_machine=is_loopback(urlsplit(settings.endpoint).hostname or ""))
        async with PictureSource(
            addresses,
            f"batcher/{__version__}",
            timeout_s=settings.timeout,
            connections=chosen,
            most_bytes=settings.max_bytes,
        ) as source:
            fetcher = Fetcher(
                ledger,
                source,
                FetchSettings(
                    wanted.output,
                    chosen,
                    settings.limit,
                    wanted.again,
                    wanted.recordings,
                    wanted.check_all,
                    _names_beside(ledger.path, wanted.output),
                ),
                on_event=_heard(given_up, changes, console),
            )
            try:
                async with _watched(fetcher, ledger, settings, wanted, console):
                    await fetcher.fetch()
            except asyncio.CancelledError:
                if signals.code is None:
                    raise
            except FolderError as exc:
                done = count(fetcher.figures.kept, "picture")
                raise FolderError(f"{exc}. {done} had been fetched by then") from exc
        if signals.code is None:
            with contextlib.suppress(asyncio.CancelledError):
                await update_index(ledger, wanted.output, changes)
    seconds, totals = time.monotonic() - began, await ledger.counts()
    before = sum(totals[state] for state in GIVEN_UP) - fetcher.figures.given_up
    ending = _FetchEnding(fetcher.figures, seconds, signals.code, max(before, 0))
    _say(ending, wanted, given_up, console)
    if as_json:
        value = _summary(ledger, wanted, ending, totals)
        console.data(json.dumps(value, ensure_ascii=False))
    return ending.exit_code


def _names_beside(ledger: Path, folder: Path) -> str | None:
    """What the names of the ledger and its companions begin with, when they are in the folder too."""
    with contextlib.suppress(OSError):
        if folder.samefile(ledger.parent):
            return ledger.name
    return None


def _heard(given_up: list[Fetched], changes: IndexChanges, console: Console) -> Callable[[Fetched], None]:
    """Keep some pictures that are none for the summary; a curious person hears of each."""
    shown: set[tuple[FileId, str | None]] = set()

    def hear(fetched: Fetched) -> None:
        changes.note(fetched)
        if fetched.state in KEPT:
            return
        console.detail(_line(fetched))
        known = (fetched.picture.file_id, fetched.error)
        if fetched.state is not None and len(shown) < FIRST_GIVEN_UP and known not in shown:
            shown.add(known)
            given_up.append(fetched)

    return hear


def _line(fetched: Fetched) -> str:
    state = fetched.state.value if fetched.state else "left"
    return f"{fetched.picture.file_id}, picture {fetched.picture.number}: {state}, {fetched.error}"


# -- what is seen of it ---------------------------------------------------------------------------------


@asynccontextmanager
async def _watched(
    fetcher: Fetcher, ledger: PictureLedger, settings: Settings, wanted: FetchRequest, console: Console
) -> AsyncIterator[None]:
    """Show how far a fetch is while the block goes on."""
    total, began = await ledger.count_unfetched(wanted.recordings), time.monotonic()
    if settings.limit is not None:
        total = min(total, settings.limit)

    async def look() -> View:
        return fetch_view(fetcher.figures, total, time.monotonic() - began)

    async with shown(console, settings.progress, look):
        yield


def _states(by_state: Mapping[PictureState, int]) -> list[str]:
    return [f"{by_state[state]:,} {state.value}" for state in PictureState if by_state.get(state)]


# -- how it ended ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _FetchEnding:
    figures: FetchFigures
    seconds: float
    signal_code: int | None
    given_up_before: int
    """Pictures that an earlier fetch has told of."""

    @property
    def exit_code(self) -> int:
        """As documented: what a person must do first outranks the rest."""
        if self.signal_code is not None:
            return self.signal_code
        if self.figures.left or self.figures.more:
            return _LEFT
        return _TROUBLED if self.figures.given_up else _DONE

    @property
    def reason(self) -> str:
        """Why it ended, in one line."""
        if self.signal_code is not None:
            return "stopped by a signal; the same command goes on"
        if self.figures.silent:
            return "a server answers nobody; the same command goes on"
        if self.figures.more:
            return "the limit is reached; the same command goes on"
        if self.figures.left:
            return "some pictures were not given out just now; the same command tries again"
        if self.figures.given_up:
            return "all that can be fetched is fetched; some pictures cannot"
        return "nothing is left to fetch" if self.given_up_before else "all pictures are fetched"


def _say(ending: _FetchEnding, wanted: FetchRequest, given_up: Sequence[Fetched], console: Console) -> None:
    figures = ending.figures
    kept = {state: figures.by_state[state] for state in KEPT}
    lines = [sentence(ending.reason)]
    if figures.kept or not figures.ended:
        in_place = f"; {figures.in_place:,} there already" if figures.in_place else ""
        took = (
            f" ({size(figures.n_bytes)} in {at_least_a_second(ending.seconds)}): {', '.join(_states(kept))}"
        )
        what = took if figures.kept else ""
        lines.append(f"  {count(figures.kept, 'picture')} fetched into {wanted.output}{what}{in_place}")
    if figures.left:
        lines.append(f"  {count(figures.left, 'picture')} left for another time")
    lines += [f"  {server} answered nobody ({why})" for server, why in figures.silent.items()]
    if figures.silent and (proxy := _proxy()):
        lines.append(f"  {proxy} was not used: pictures are fetched directly, not through a proxy")
    if figures.given_up:
        none = {state: figures.by_state[state] for state in GIVEN_UP}
        lines.append(
            f"  {count(figures.given_up, 'picture')} given up: {', '.join(_states(none))}; among them"
        )
        lines += [f"    {_line(one)}" for one in given_up]
    if ending.given_up_before:
        lines.append(f"  {count(ending.given_up_before, 'picture')} given up before")
    if figures.given_up or ending.given_up_before:
        lines.append(
            f"  All that were given up stand in {wanted.output / INDEX}; --again asks for them once more"
        )
    if ending.exit_code and not console.for_programs:
        console.problem(*lines)
    elif console.for_programs and ending.exit_code:
        console.warn(*lines)
    else:
        console.say(*lines)


def _summary(
    ledger: PictureLedger,
    wanted: FetchRequest,
    ending: _FetchEnding,
    totals: Mapping[PictureState | None, int],
) -> dict[str, object]:
    figures = ending.figures
    return {
        "ledger": str(ledger.path),
        "folder": str(wanted.output),
        "exit_code": ending.exit_code,
        "reason": ending.reason,
        "fetched": figures.kept,
        **{state.value: figures.by_state[state] for state in PictureState},
        "left": figures.left,
        "more": figures.more,
        "in_place": figures.in_place,
        "bytes": figures.n_bytes,
        "seconds": round(ending.seconds, 3),
        "silent_servers": sorted(figures.silent),
        "pictures": {
            "total": sum(totals.values()),
            "unfetched": totals[None],
            **{state.value: totals[state] for state in PictureState},
        },
    }
