"""``report``: everything that a ledger knows on one page, for looking at.

Gathers what the page shows, cut to what a person reads and a browser opens at once, and hands it over.
Nothing is sent, and nothing is written but the page.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batcher._version import __version__
from batcher.cli.command import Invocation, command
from batcher.cli.commands.codes import DOES_IN_CHINESE
from batcher.cli.output_file import opened
from batcher.cli.signals import Signals
from batcher.cli.terminal.console import Console
from batcher.config.settings import Settings
from batcher.errors import SettingsError
from batcher.flowcontrol.retry_policy import kind_of
from batcher.ledger import ledger_path
from batcher.ledger.report_queries import Survey
from batcher.model.history import Pictured
from batcher.model.records import Record, Tally
from batcher.model.submission import State
from batcher.report.command_lines import ledger_option
from batcher.report.counts import figures
from batcher.report.formatting import size
from batcher.requirements import REPORT, pip_install
from batcher.zego.codes import meaning, meaning_in_chinese

if TYPE_CHECKING:
    from batcher.report.html.contents import CodeExplained, ContactSheet, Contents, Shown
    from batcher.report.html.phrases import Language


@command("report")
async def report(
    call: Invocation,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write here, whole or not at all. (default: stdout)"
        ),
    ] = None,
    lang: Annotated[str, typer.Option(metavar="LANG", help="en or zh.")] = "en",
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Show the pictures that `batcher fetch -o DIR` has put here."),
    ] = None,
    recordings: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="Recordings whose pictures are shown.")
    ] = 48,
) -> int:
    """Draw everything that the ledger knows on one page, to be looked at in a browser.

    One file that needs no network: figures, the run over time, how long answers took, the codes with
    their remedies, what failed, what may be there twice, and the pictures that were fetched. Long tables are
    cut, and say so. Works while a run is going on. Needs the packages Jinja2 and
    Pillow, and names the command that installs them.

    Exit codes: 0; 2 settings; 6 there is no ledger, or it cannot be read.

    Example:  batcher report -o report.html --pictures pictures
    """
    return await write_report(
        call.settings, output, call.console, language=lang, pictures=pictures, recordings=recordings
    )


RUNS_DRAWN = 14
"""Runs over time: a fortnight of nights."""

RUNS_LISTED = 30
FAILURES = 1_000
DOUBTED = 300
BARE = 300
INVALID = 100

EACH = 8
"""Pictures of one recording on the contact sheet."""

SHEET_BYTES = 12_000_000
"""Of all pictures on the contact sheet; what is beyond says so."""

_LARGEST_CODES = 40
"""Codes in the table of codes: those of the documentation, and a few that are not in it."""


async def write_report(
    settings: Settings,
    output: Path | None,
    console: Console,
    *,
    language: str,
    pictures: Path | None,
    recordings: int,
) -> int:
    """Draw the page, whole or not at all; a signal ends it with nothing left behind."""
    language_ = _language(language)
    if output is None and sys.stdout is not None and sys.stdout.isatty():
        raise SettingsError("report: a terminal cannot show a page; add -o report.html")
    if pictures is not None and not await asyncio.to_thread(pictures.is_dir):
        raise SettingsError(
            f"--pictures {pictures}: there is no such folder; give the one that `batcher fetch -o` filled"
        )
    with Signals() as signals:
        try:
            async with await Survey.open(ledger_path(settings.ledger)) as survey:
                contents = await _gather(survey, settings, output, pictures, recordings)
            with opened(output) as file, signals.immediate():
                from batcher.report.html.render import pages

                written = sum(file.write(piece) for piece in pages(contents, language_))
        except asyncio.CancelledError:
            if signals.code is None:
                raise
            return signals.code
    if output is not None:
        console.say(f"{output}: {size(written)}, to be opened in a browser")
    return 0


def _language(name: str) -> Language:
    """The page's language.

    Raises:
        SettingsError: there is no such language, or a package is missing that a page needs.
    """
    try:
        import jinja2  # noqa: F401 - to see whether it is there
        import PIL.Image  # noqa: F401 - likewise
    except ImportError as exc:
        package = "Jinja2" if exc.name == "jinja2" else "Pillow"
        raise SettingsError(f"report: needs the package {package} ({exc}): {pip_install(*REPORT)}") from exc
    from batcher.report.html.phrases import Language

    if name.lower() not in set(Language):
        raise SettingsError(f"--lang {name}: give en or zh")
    return Language(name.lower())


async def _gather(
    survey: Survey, settings: Settings, output: Path | None, pictures: Path | None, recordings: int
) -> Contents:
    from batcher.report.html.contents import Commands, Contents

    tallies = await survey.tallies()
    runs = await survey.runs_that_sent()
    now = figures(tallies)
    ledger = ledger_option(settings.ledger)
    named = f" -o {shlex.quote(str(output))}" if output else ""
    return Contents(
        ledger=str(survey.path),
        bound=await survey.bound_to(),
        made_at=datetime.now(UTC),
        version=__version__,
        rate_per_s=settings.rate,
        now=now,
        runs=runs[-RUNS_LISTED:],
        runs_in_all=len(runs),
        history=await survey.history(runs[-RUNS_DRAWN:]),
        tasks=await survey.task_tallies(),
        commands=Commands(
            export=f"batcher export{ledger} -o results.csv",
            export_manifest=f"batcher export{ledger} MANIFEST -o results.csv",
            show_pictures=f"batcher report{ledger}{named} --pictures DIR",
        ),
        codes=list(_codes(now.codes)),
        failures=await _failures(survey, tallies),
        failures_in_all=now.by_state[State.REJECTED] + now.by_state[State.FAILED],
        invalid=await survey.invalid_rows(limit=INVALID),
        invalid_in_all=await survey.count_invalid_rows(),
        doubted=await survey.doubted(DOUBTED),
        bare=await survey.tasks_without_pictures(BARE),
        sheet=await _sheet(survey, pictures, recordings),
    )


def _codes(codes: dict[int, int]) -> Iterable[CodeExplained]:
    from batcher.report.html.contents import CodeExplained, InBothLanguages

    for code, n in sorted(codes.items(), key=lambda one: -one[1])[:_LARGEST_CODES]:
        kind = kind_of(code)
        does = InBothLanguages(kind.value, DOES_IN_CHINESE[kind])
        yield CodeExplained(code, n, meaning(code), meaning_in_chinese(code), does)


async def _failures(survey: Survey, tallies: Sequence[Tally]) -> list[Record]:
    """Some of everything that was rejected or failed, by state and code, in the order of the submissions."""
    from batcher.report.html.contents import shares

    groups: Counter[tuple[State, int | None]] = Counter()
    for tally in tallies:
        if tally.state in (State.REJECTED, State.FAILED):
            groups[tally.state, tally.code] += tally.n
    found = [await survey.troubled(*group, limit=n) for group, n in shares(groups, FAILURES) if n]
    return sorted((record for some in found for record in some), key=lambda record: record.id)


async def _sheet(survey: Survey, folder: Path | None, recordings: int) -> ContactSheet:
    from batcher.report.html.contents import ContactSheet

    if folder is None:
        return ContactSheet()
    found = await survey.pictured(recordings + 1, EACH)
    shown, room = [], SHEET_BYTES
    for one in found[:recordings]:
        frames = await asyncio.to_thread(_frames, one, folder, room)
        room -= sum(len(getattr(frame.frame, "uri", "")) for frame in frames)
        shown.append((one, frames))
    is_cut = len(found) > recordings or any(one.of > len(one.pictures) for one in found)
    return ContactSheet(str(folder), shown, EACH, is_cut)


def _frames(of: Pictured, folder: Path, room: int) -> list[Shown]:
    """The pictures of one recording, as long as there is room."""
    from batcher.report.html.contents import Shown
    from batcher.report.html.thumbnails import Frame, NoFrame, frame_of

    frames = []
    for picture in of.pictures:
        frame: Frame | NoFrame | None = None
        if room > 0:
            frame = frame_of(folder, picture.file) if picture.file else NoFrame.ABSENT
        room -= len(frame.uri) if isinstance(frame, Frame) else 0
        frames.append(Shown(picture, frame))
    return frames
