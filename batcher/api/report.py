"""The HTML report of a ledger: its contents are gathered, then written as one page.

Called by programs and by ``batcher report``. Works while a run writes the ledger. Long tables are cut to
what a browser opens quickly, and the page says so. Needs the packages Jinja2 and Pillow.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from batcher._version import __version__
from batcher.api.codes import code_texts_in_chinese, explain_code, explain_code_in_chinese
from batcher.config.ledger_names import ledger_named
from batcher.errors import SettingsError
from batcher.ledger.report_queries import Survey
from batcher.model.history import Pictured
from batcher.model.records import Record, Tally
from batcher.model.submission import State
from batcher.report.command_lines import ledger_option
from batcher.report.counts import figures
from batcher.report.html.contents import CodeExplained, ContactSheet, Contents, Shown, shares
from batcher.report.html.phrases import Language
from batcher.requirements import REPORT, pip_install

RUNS_DRAWN = 14
"""Runs drawn over time: two weeks of nightly runs."""

RUNS_LISTED = 30
FAILURES = 1_000
DOUBTED = 300
WITHOUT_PICTURES = 300
INVALID = 100

PICTURES_EACH = 8
"""Pictures of one recording on the contact sheet."""

SHEET_BYTES = 12_000_000
"""The size of all pictures on the contact sheet; the page says which are left out."""

CODES_LISTED = 40
"""All documented codes, and a few others."""


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """The language and the contents of a report.

    Raises:
        SettingsError: there is no such language, or a package is missing.
    """

    language: str = "en"
    """``en`` or ``zh``."""
    pictures: Path | None = None
    """The folder that :func:`batcher.api.fetch` filled; None leaves the contact sheet out."""
    recordings: int = 48
    """Recordings whose pictures are shown."""
    rate_per_s: float = 20.0
    """The rate by which the time left is estimated."""

    def __post_init__(self) -> None:
        try:
            import jinja2  # noqa: F401 - to see whether it is there
            import PIL.Image  # noqa: F401 - likewise
        except ImportError as exc:
            package = "Jinja2" if exc.name == "jinja2" else "Pillow"
            raise SettingsError(
                f"report: needs the package {package} ({exc}): {pip_install(*REPORT)}"
            ) from exc
        if self.language not in tuple(Language):
            raise SettingsError(f"language {self.language}: give en or zh")


async def gather_report(
    path: str | os.PathLike[str], settings: ReportSettings, *, output: Path | None = None
) -> Contents:
    """Read what the page shows, at one moment of the ledger.

    Args:
        path: the ledger.
        settings: what to show.
        output: the file of the page, for the commands that the page suggests.

    Raises:
        LedgerMissing: there is no ledger.
        LedgerError: it cannot be read.
        SettingsError: there is no folder of pictures.
    """
    if settings.pictures is not None and not await asyncio.to_thread(settings.pictures.is_dir):
        raise SettingsError(
            f"pictures {settings.pictures}: there is no such folder; give the one that `batcher fetch -o` "
            "filled"
        )
    async with await Survey.open(ledger_named(path)) as survey:
        tallies = await survey.tallies()
        runs = await survey.runs_that_sent()
        now = figures(tallies)
        return Contents(
            ledger=str(survey.name),
            bound=await survey.bound_to(),
            made_at=datetime.now(UTC),
            version=__version__,
            rate_per_s=settings.rate_per_s,
            now=now,
            runs=runs[-RUNS_LISTED:],
            runs_in_all=len(runs),
            history=await survey.history(runs[-RUNS_DRAWN:]),
            tasks=await survey.task_tallies(),
            ledger_option=ledger_option(os.fspath(path)),
            output_option=f" -o {shlex.quote(str(output))}" if output else "",
            codes=list(_codes(now.codes)),
            code_texts=code_texts_in_chinese(),
            failures=await _failures(survey, tallies),
            failures_in_all=now.by_state[State.REJECTED] + now.by_state[State.FAILED],
            invalid=await survey.invalid_rows(limit=INVALID),
            invalid_in_all=await survey.count_invalid_rows(),
            doubted=await survey.doubted(DOUBTED),
            without_pictures=await survey.tasks_without_pictures(WITHOUT_PICTURES),
            sheet=await _sheet(survey, settings),
        )


def write_page(contents: Contents, settings: ReportSettings, file: BinaryIO) -> int:
    """Write the page to an open file; returns its size in bytes."""
    from batcher.report.html.render import pages

    return sum(file.write(piece) for piece in pages(contents, Language(settings.language)))


def _codes(codes: dict[int, int]) -> Iterable[CodeExplained]:
    for code, n in sorted(codes.items(), key=lambda item: -item[1])[:CODES_LISTED]:
        yield CodeExplained(n, explain_code(code), explain_code_in_chinese(code))


async def _failures(survey: Survey, tallies: Sequence[Tally]) -> list[Record]:
    """A selection of rejected and failed submissions, from each state and code, in their order."""
    groups: Counter[tuple[State, int | None]] = Counter()
    for tally in tallies:
        if tally.state in (State.REJECTED, State.FAILED):
            groups[tally.state, tally.code] += tally.n
    found = [await survey.troubled(*group, limit=n) for group, n in shares(groups, FAILURES) if n]
    return sorted((record for records in found for record in records), key=lambda record: record.id)


async def _sheet(survey: Survey, settings: ReportSettings) -> ContactSheet:
    if settings.pictures is None:
        return ContactSheet()
    found = await survey.pictured(settings.recordings + 1, PICTURES_EACH)
    shown, room_bytes = [], SHEET_BYTES
    for recording in found[: settings.recordings]:
        frames = await asyncio.to_thread(_frames, recording, settings.pictures, room_bytes)
        room_bytes -= sum(len(getattr(frame.frame, "uri", "")) for frame in frames)
        shown.append((recording, frames))
    is_cut = len(found) > settings.recordings or any(each.of > len(each.pictures) for each in found)
    return ContactSheet(str(settings.pictures), shown, PICTURES_EACH, is_cut)


def _frames(recording: Pictured, folder: Path, room_bytes: int) -> list[Shown]:
    """The pictures of one recording, as long as there is room."""
    from batcher.report.html.thumbnails import Frame, NoFrame, frame_of

    frames = []
    for picture in recording.pictures:
        frame: Frame | NoFrame | None = None
        if room_bytes > 0:
            frame = frame_of(folder, picture.file) if picture.file else NoFrame.ABSENT
        room_bytes -= len(frame.uri) if isinstance(frame, Frame) else 0
        frames.append(Shown(picture, frame))
    return frames
