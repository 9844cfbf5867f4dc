"""From contents to HTML: one file that needs no network, and no script to be read.

Between the contents and the file. All text is escaped by the template's engine, in HTML and SVG alike; style
and script are files of ours, and the page's own policy lets nothing else in. Characters that would hide or
turn what stands beside them are shown by their numbers. It never trusts a name.
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
from batcher.report.html.shapes import NARROW, WIDE, Plot

_HERE = Path(__file__).parent

OPEN_RECORDINGS = 12
"""Of the contact sheet that are seen at once; the others are unfolded."""

LONGEST_ID, LONGEST_MESSAGE, LONGEST_NAME = 512, 300, 120
"""Letters that are shown of a recording's id, of a message and of a recording's own name."""

_NAMES = ("name", "title", "filename", "file_name", "名称", "标题", "文件名")
"""Columns of a manifest that hold a name for people."""

_HIDING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Controls, what turns the order of letters or is not seen at all, and what is no character."""


def pages(contents: Contents, language: Language) -> Iterator[bytes]:
    """The file, piece by piece."""
    for piece in _environment().get_template("page.html").generate(_known(contents, language)):
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
    """What the template writes out: text without anything that hides."""
    return value if isinstance(value, Markup) else seen(str(value))


def seen(text: str) -> str:
    """A text of which every character is seen; those that would not be are shown by their numbers."""
    return _HIDING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _known(contents: Contents, language: Language) -> dict[str, Any]:
    say = speaker(language)
    style, script = ((_HERE / name).read_text("utf-8") for name in ("page.css", "page.js"))
    return {
        "c": contents,
        "language": language.value,
        "say": say,
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
        "doubt_lines": partial(_doubt_lines, say=say),
        "open_recordings": OPEN_RECORDINGS,
        "export": f"`{contents.commands.export}`",
        "export_manifest": f"`{contents.commands.export_manifest}`",
        "longest": {"id": LONGEST_ID, "message": LONGEST_MESSAGE, "name": LONGEST_NAME},
        "search_told": say("search.told", found="{found}", all="{all}"),
    }


def _policy(style: str, script: str) -> str:
    """What the page may load: its own style and script, known by what they are, and pictures within it."""
    return (
        "default-src 'none'; img-src data:; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# -- figures -----------------------------------------------------------------------------------------


def _verdict(contents: Contents, say: Say) -> str:
    """How it stands, in one sentence."""
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
    """A figure in large type."""

    means: str
    figure: str
    words: str
    of: str
    is_bad: bool = False


def _tiles(contents: Contents, say: Say, language: Language) -> Iterator[Tile]:
    now, history = contents.now, contents.history
    submitted = now.by_state[State.SUBMITTED]
    yield Tile("submitted", f"{submitted:,}", say("tile.submitted"), say("tile.submitted.of", n=now.total))
    failed = now.by_state[State.REJECTED] + now.by_state[State.FAILED]
    share = f"{failed / now.ended * 100:.2g} %" if now.ended else "0 %"
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
        ended = sum(contents.tasks[one] for one in (TaskState.FINISHED, TaskState.FAILED, TaskState.UNKNOWN))
        bare = sum(history.bare.values())
        yield Tile("bare", f"{bare:,}", say("tile.bare"), say("tile.bare.of", n=ended), bool(bare))


def _pace_tile(contents: Contents, took_s: float, say: Say, language: Language) -> Tile:
    timelines = contents.history.timelines
    sent = sum(cell.sent for one in timelines for cell in one.cells)
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
    """One kind of things in a strip."""

    means: str
    words: str
    n: int
    x: float
    width: float


class Strip(NamedTuple):
    """Things by kind, as parts of a whole."""

    words: str
    n: int
    parts: Sequence[StripPart]


def _strips(contents: Contents, say: Say) -> Iterator[Strip]:
    now, tasks, pictures = contents.now.by_state, contents.tasks, contents.history.pictures
    yield _strip(
        say("bar.submissions"), [(one.value, say(f"state.{one.value}"), n) for one, n in now.items()]
    )
    if any(tasks.values()):
        never = max(now[State.SUBMITTED] - sum(tasks.values()), 0)  # not asked about yet
        waiting = {**tasks, TaskState.WAITING: tasks[TaskState.WAITING] + never}
        kinds = [(f"task-{one.value}", say(f"task.{one.value}"), waiting[one]) for one in TaskState]
        yield _strip(say("bar.tasks"), kinds)
    if pictures:
        kinds = [
            (f"picture-{one.value}", say(f"picture.{one.value}"), pictures.get(one, 0))
            for one in PictureState
        ]
        kinds.append(("picture-unfetched", say("picture.unfetched"), pictures.get(None, 0)))
        yield _strip(say("bar.pictures"), kinds)


def _strip(words: str, kinds: Sequence[tuple[str, str, int]]) -> Strip:
    """Parts as wide as their share, of a thousand, none of them too narrow to be seen."""
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
    return any(cell.sent or cell.unanswered for one in contents.history.timelines for cell in one.cells)


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
    """``2024-11-13 06:10:48``, UTC; nothing when there was none."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def _coded(text: str) -> Markup:
    """A text in which what stands between two backticks is set as code."""
    parts = seen(text).split("`")
    whole = len(parts) % 2 == 1
    joined = (
        escape(part) if at % 2 == 0 else Markup("<code>{}</code>").format(part)
        for at, part in enumerate(parts)
    )
    return Markup("").join(joined) if whole else escape(seen(text))


def _cut(text: str | None, longest: int) -> str:
    """A text, or its beginning."""
    text = text or ""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _asked(asked: Parameters) -> str:
    """What was asked for, in short."""
    parts = [asked.vendor.value, asked.definition and f"definition {asked.definition}"]
    parts.append(asked.interval and f"interval {asked.interval} s")
    if asked.offsets:
        some = ", ".join(asked.offsets[:6]) + (", …" if len(asked.offsets) > 6 else "")
        parts.append(f"offsets {some} s")
    return _cut(", ".join(part for part in parts if part), LONGEST_MESSAGE)


def own_name(of: Pictured | Record | Any) -> str:  # noqa: ANN401 - whatever carries a manifest's own columns
    """What the manifest calls a recording; nothing when it has no such column."""
    try:
        own: Mapping[str, object] = json.loads(of.extra) if of.extra else {}
    except ValueError:
        return ""
    return next((str(value) for name, value in own.items() if name.strip().lower() in _NAMES and value), "")


def _doubt_lines(doubted: Doubted, say: Say) -> list[str]:
    """Every request of a submission that may exist twice: when it went out, and what came."""
    lines = []
    for attempt in doubted.record.attempts:
        if not attempt.may_have_left:
            continue
        if attempt.task_id:
            came = str(attempt.task_id)
        elif attempt.code is not None:
            came = f"{say('column.code')} {attempt.code}"
        else:
            came = say("no_answer") + (f": {attempt.message}" if attempt.message else "")
        request_id = attempt.vendor_request_id or attempt.request_id
        at = _at(attempt.sent_at or attempt.begun_at)
        lines.append(
            _cut(f"{at} → {came}" + (f", RequestId {request_id}" if request_id else ""), LONGEST_MESSAGE)
        )
    return lines[-6:]
