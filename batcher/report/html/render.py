"""The report page as HTML: one file that needs no network, and is readable without its script.

Called by ``cli/commands/report.py``. The template engine escapes all text, in HTML and SVG alike. Style and
script are files of this package; the page's content security policy allows nothing else. Characters that
would be invisible or reverse the text next to them are shown by their numbers. No name from outside may
reach the page in any other way.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from batcher.model.history import Doubt, Doubted, Pictured, RunTimeline
from batcher.model.records import Record
from batcher.model.submission import Parameters, State
from batcher.model.task import PictureState, TaskState
from batcher.report.html.contents import Contents
from batcher.report.html.latency_plot import latency_plot
from batcher.report.html.phrases import Language, Say, duration_text, speaker
from batcher.report.html.rate_plot import bar_width_s, rate_plot
from batcher.report.html.row_reasons import COLUMNS, PLACES, ROW_REASONS
from batcher.report.html.run_reasons import run_reasons
from batcher.report.html.sentences import Catalogue
from batcher.report.html.shapes import NARROW, WIDE, Plot

_HERE = Path(__file__).parent

OPEN_RECORDINGS = 12
"""Recordings of the contact sheet that are visible immediately; the others are in a closed section."""

LONGEST_ID, LONGEST_MESSAGE, LONGEST_NAME = 512, 300, 120
"""The most characters that are shown of a recording's id, of a message and of a recording's own name."""

_NAMES = ("name", "title", "filename", "file_name", "名称", "标题", "文件名")
"""Columns of a manifest that hold a readable name."""

_HIDING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters, characters that reverse the writing direction or are invisible, and code points that
are not characters."""


def pages(contents: Contents, language: Language) -> Iterator[bytes]:
    """Yield the file in pieces."""
    for piece in _environment().get_template("page.html").generate(_variables(contents, language)):
        yield piece.encode()


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"at": _at, "cut": _cut, "asked": _asked, "coded": _coded, "own_name": own_name}
    return environment


def _finalize(value: object) -> object:
    """Return a value as the template writes it: text without invisible characters."""
    return value if isinstance(value, Markup) else seen(str(value))


def seen(text: str) -> str:
    """Return a text in which every character is visible; invisible ones are shown by their numbers."""
    return _HIDING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _variables(contents: Contents, language: Language) -> dict[str, Any]:
    say, option = speaker(language), contents.ledger_option
    runs = run_reasons(contents.code_texts)
    style, script = ((_HERE / name).read_text("utf-8") for name in ("page.css", "page.js"))
    return {
        "c": contents,
        "language": language.value,
        "say": say,
        "gap": " " if language is Language.ENGLISH else "",  # between two sentences
        "place": partial(_in_language, PLACES, language),
        "column": partial(_in_language, COLUMNS, language),
        "row_reason": partial(_in_language, ROW_REASONS, language),
        "run_reason": partial(_in_language, runs, language),
        "duration_text": partial(duration_text, language=language),
        "style": Markup(style),
        "script": Markup(script),
        "policy": _policy(style, script),
        "verdict": _verdict(contents, say),
        "tiles": list(_tiles(contents, say, language)),
        "bars": list(_strips(contents, say)),
        "rate_plots": _rate_plots(contents, say, language),
        "latency_plots": _latency_plots(contents, say, language),
        "width_of_step": _width_of_step(contents, language),
        "fetched": sum(n for state, n in contents.history.pictures.items() if state),
        "without_sheet": _without_sheet(contents),
        "doubt_lines": partial(_doubt_lines, say=say),
        "open_recordings": OPEN_RECORDINGS,
        "export": f"`batcher export{option} -o results.csv`",
        "export_manifest": f"`batcher export{option} MANIFEST -o results.csv`",
        "show_pictures": f"`batcher report{option}{contents.output_option} --pictures DIR`",
        "longest": {"id": LONGEST_ID, "message": LONGEST_MESSAGE, "name": LONGEST_NAME},
        "search_found": say("search.found", found="{found}", all="{all}"),
    }


def _policy(style: str, script: str) -> str:
    """Return the content security policy: own style and script by digest, and embedded images."""
    return (
        "default-src 'none'; img-src data:; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# -- numbers -----------------------------------------------------------------------------------------


def _verdict(contents: Contents, say: Say) -> str:
    """Return the overall result in one sentence."""
    now = contents.now
    known = {"submitted": now.by_state[State.SUBMITTED], "total": now.total}
    if not now.total:
        return say("verdict.empty")
    if now.open:
        return say("verdict.open", n=now.open, **known)
    if now.troubled:
        return say("verdict.some", n=now.troubled, **known)
    return say("verdict.all", n=now.total)


class Tile(NamedTuple):
    """A number in large type."""

    means: str
    figure: str
    words: str
    of: str
    is_bad: bool = False


def _without_sheet(contents: Contents) -> str:
    """Return the name of the phrase for a page without fetched pictures: what to do first."""
    tasks = contents.tasks
    if not any(tasks.values()) or tasks.get(TaskState.WAITING) or tasks.get(TaskState.PROCESSING):
        return "sheet.none"
    return "sheet.unfetched" if any(contents.history.pictures.values()) else "sheet.nothing"


def _tiles(contents: Contents, say: Say, language: Language) -> Iterator[Tile]:
    now, history = contents.now, contents.history
    submitted = now.by_state[State.SUBMITTED]
    yield Tile("submitted", f"{submitted:,}", say("tile.submitted"), say("tile.submitted.of", n=now.total))
    failed = now.by_state[State.REJECTED] + now.by_state[State.FAILED]
    share = f"{failed / now.ended * 100:.2g}%" if now.ended else "0%"
    yield Tile(
        "troubled", f"{failed:,}", say("tile.troubled"), say("tile.troubled.of", share=share), bool(failed)
    )
    held, twice = now.by_state[State.IN_DOUBT], history.doubts.get(Doubt.TWICE, 0)
    doubts = sum(history.doubts.values())
    of = say("tile.doubt.of", held=held, twice=twice)
    yield Tile("doubt", f"{doubts:,}", say("tile.doubt"), of, bool(doubts))
    if now.open:
        time = duration_text(now.open / contents.rate_per_s, language)
        of = say("tile.open.of", time=time, rate=contents.rate_per_s)
        yield Tile("open", f"{now.open:,}", say("tile.open"), of)
    if took := sum(map(_took_s, history.timelines)):
        yield _pace_tile(contents, took, say, language)
    if named := sum(history.pictures.values()):
        whole = history.pictures.get(PictureState.WHOLE, 0)
        yield Tile("whole", f"{whole:,}", say("tile.pictures"), say("tile.pictures.of", n=named))
    if any(contents.tasks.values()):
        ended = sum(
            contents.tasks[state] for state in (TaskState.FINISHED, TaskState.FAILED, TaskState.UNKNOWN)
        )
        n = sum(history.without_pictures.values())
        yield Tile(
            "without_pictures",
            f"{n:,}",
            say("tile.without_pictures"),
            say("tile.without_pictures.of", n=ended),
            bool(n),
        )


def _pace_tile(contents: Contents, took_s: float, say: Say, language: Language) -> Tile:
    timelines = contents.history.timelines
    sent = sum(cell.sent for timeline in timelines for cell in timeline.cells)
    known = {"time": duration_text(took_s, language), "rate": timelines[-1].run.rate_per_s}
    if len(timelines) < contents.runs_in_all:
        of = say("tile.pace.of.last", runs=len(timelines), sent=sent, **known)
    else:
        of = say("tile.pace.of", n=sent, **known)
    return Tile("pace", f"{sent / took_s:.1f}", say("tile.pace"), of)


def _took_s(timeline: RunTimeline) -> float:
    if timeline.run.ended_at is None:
        return len(timeline.cells) * timeline.width_ms / 1000
    return (timeline.run.ended_at - timeline.run.started_at).total_seconds()


class StripPart(NamedTuple):
    """One part of a strip."""

    means: str
    words: str
    n: int
    x: float
    width: float


class Strip(NamedTuple):
    """The parts of a whole, by kind."""

    words: str
    n: int
    parts: Sequence[StripPart]


def _strips(contents: Contents, say: Say) -> Iterator[Strip]:
    now, tasks, pictures = contents.now.by_state, contents.tasks, contents.history.pictures
    yield _strip(
        say("bar.submissions"), [(state.value, say(f"state.{state.value}"), n) for state, n in now.items()]
    )
    if any(tasks.values()):
        never = max(now[State.SUBMITTED] - sum(tasks.values()), 0)  # not polled yet
        waiting = {**tasks, TaskState.WAITING: tasks[TaskState.WAITING] + never}
        kinds = [(f"task-{state.value}", say(f"task.{state.value}"), waiting[state]) for state in TaskState]
        yield _strip(say("bar.tasks"), kinds)
    if pictures:
        kinds = [
            (f"picture-{state.value}", say(f"picture.{state.value}"), pictures.get(state, 0))
            for state in PictureState
        ]
        kinds.append(("picture-unfetched", say("picture.unfetched"), pictures.get(None, 0)))
        yield _strip(say("bar.pictures"), kinds)


def _strip(words: str, kinds: Sequence[tuple[str, str, int]]) -> Strip:
    """Return parts as wide as their share of 1000; no part is too narrow to be visible."""
    there = [kind for kind in kinds if kind[2]]
    whole = sum(n for _, _, n in there)
    least = 6.0
    room = 1000 - least * len(there)
    parts, x = [], 0.0
    for means, name, n in there:
        width = least + room * n / whole
        parts.append(StripPart(means, name, n, round(x, 1), round(max(width - 2, 1), 1)))
        x += width
    return Strip(words, whole, parts)


# -- plots -------------------------------------------------------------------------------------------


def _drawn(contents: Contents) -> bool:
    return any(
        cell.sent or cell.unanswered for timeline in contents.history.timelines for cell in timeline.cells
    )


def _rate_plots(contents: Contents, say: Say, language: Language) -> list[Plot]:
    if not _drawn(contents):
        return []
    return [rate_plot(contents.history.timelines, width, say, language) for width in (WIDE, NARROW)]


def _latency_plots(contents: Contents, say: Say, language: Language) -> list[Plot]:
    if not contents.history.latencies:
        return []
    return [latency_plot(contents.history.latencies, width, say, language) for width in (WIDE, NARROW)]


def _width_of_step(contents: Contents, language: Language) -> str:
    timelines = contents.history.timelines
    return duration_text(bar_width_s(timelines, WIDE), language) if timelines else ""


# -- texts -------------------------------------------------------------------------------------------


def _at(moment: datetime | None) -> str:
    """Return a time as ``2024-11-13 06:10:48``, UTC; empty for None."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if moment else ""


class Said(NamedTuple):
    """A sentence of the ledger, and the language that it is shown in."""

    text: str
    language: str


def _in_language(catalogue: Catalogue, language: Language, sentence: str) -> Said:
    """Return a sentence in the language of the page if it is known, else in English."""
    translated = catalogue.translated(sentence) if language is Language.CHINESE else None
    return Said(sentence, "en") if translated is None else Said(translated, "zh-CN")


def _coded(text: str) -> Markup:
    """Return a text in which everything between two backticks is marked as code."""
    parts = seen(text).split("`")
    whole = len(parts) % 2 == 1
    joined = (
        escape(part) if at % 2 == 0 else Markup("<code>{}</code>").format(part)
        for at, part in enumerate(parts)
    )
    return Markup("").join(joined) if whole else escape(seen(text))


def _cut(text: str | None, longest: int) -> str:
    """Return a text, cut to a length."""
    text = text or ""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _asked(asked: Parameters) -> str:
    """Return what was asked for, in short."""
    parts = [asked.vendor.value, asked.definition and f"definition {asked.definition}"]
    parts.append(asked.interval and f"interval {asked.interval} s")
    if asked.offsets:
        some = ", ".join(asked.offsets[:6]) + (", …" if len(asked.offsets) > 6 else "")
        parts.append(f"offsets {some} s")
    return _cut(", ".join(part for part in parts if part), LONGEST_MESSAGE)


def own_name(of: Pictured | Record | Any) -> str:  # noqa: ANN401 - anything with a manifest's own columns
    """Return the manifest's name of a recording; empty if the manifest has no such column."""
    try:
        own: Mapping[str, object] = json.loads(of.extra) if of.extra else {}
    except ValueError:
        return ""
    return next((str(value) for name, value in own.items() if name.strip().lower() in _NAMES and value), "")


def _doubt_lines(doubted: Doubted, say: Say) -> list[str]:
    """Return every request of a submission that may exist twice: when it was sent, and its result."""
    lines = []
    for attempt in doubted.record.attempts:
        if not attempt.may_have_left:
            continue
        if attempt.task_id:
            result = str(attempt.task_id)
        elif attempt.code is not None:
            result = f"{say('column.code')} {attempt.code}"
        else:
            result = say("no_answer") + (f": {attempt.message}" if attempt.message else "")
        request_id = attempt.vendor_request_id or attempt.request_id
        at = _at(attempt.sent_at or attempt.begun_at)
        lines.append(
            _cut(f"{at} → {result}" + (f", RequestId {request_id}" if request_id else ""), LONGEST_MESSAGE)
        )
    return lines[-6:]
