"""The plot of requests per second over time, run by run, against the limit of each run.

Called by :mod:`batcher.report.html.render`, once for each width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from batcher.model.history import Cell, RunTimeline
from batcher.model.outcome import NO_ANSWERS
from batcher.report.html.clock_axis import clock_axis
from batcher.report.html.phrases import Language, Say, duration_text
from batcher.report.html.scales import Scale, value_axis
from batcher.report.html.shapes import (
    WIDE,
    Box,
    Label,
    Outline,
    Plot,
    PlotArea,
    Rule,
    Shape,
    label_width,
    path_number,
)

SLOWED = 0.97
"""Of the cap: a pace below it is marked; one that is nearer keeps a margin, as it should."""


def rate_plot(timelines: Sequence[RunTimeline], width: int, say: Say, language: Language) -> Plot:
    """Requests per second over time, run by run, against the cap.

    Args:
        stretches: the runs, oldest first, all with cells of the same length; at least one.
        width: of the drawing.
        say: the page's phrases.
        language: of durations.
    """
    sent = sum(cell.sent for one in timelines for cell in one.cells)
    refused = sum(cell.refused for one in timelines for cell in one.cells)
    title = say("rate" if len(timelines) == 1 else "rate.many")
    plot = Plot(
        width,
        300 if width == WIDE else 260,
        f"rate{width}",
        title,
        say("rate.desc" if refused else "rate.desc.calm", sent=sent, refused=refused),
    )
    frame = PlotArea(52, 34, width - 14, plot.height - 66)
    bars = [_bars(one, _at_once(timelines, frame.width)) for one in timelines]
    top = max(
        max(one.run.rate_per_s for one in timelines), *(bar.sent_per_s for some in bars for bar in some)
    )
    scale = Scale(frame, top * 1.08)
    plot.shapes += value_axis(frame, scale, say("rate.axis"))
    places = list(_places(timelines, frame))
    for one, some, (x, room) in zip(timelines, bars, places, strict=True):
        plot.shapes += _outages(one, x, room, frame, say, language)
        plot.shapes += _steps(one, some, x, room, scale)
    plot.shapes += _refusals(bars, places, frame, say)
    plot.shapes += _caps(timelines, places, scale, say)
    plot.shapes += clock_axis(timelines, places, frame, say)
    return plot


class _Bar(NamedTuple):
    """Some cells next to each other, drawn as one."""

    cells: int
    sent_per_s: float
    submitted_per_s: float
    refused: int


def _at_once(timelines: Sequence[RunTimeline], room: float) -> int:
    """How many cells make one bar, so that none is thinner than can be seen."""
    return max(1, math.ceil(sum(len(one.cells) for one in timelines) / (room / 3)))


def bar_width_s(timelines: Sequence[RunTimeline], width: int) -> float:
    """How long one step of a plot of that width is."""
    return _at_once(timelines, width - 66) * timelines[0].width_ms / 1000


def _bars(timeline: RunTimeline, at_once: int) -> list[_Bar]:
    bars = []
    for first in range(0, len(timeline.cells), at_once):
        some = timeline.cells[first : first + at_once]
        seconds = _seconds(timeline, first, len(some))
        bars.append(
            _Bar(
                len(some),
                sum(cell.sent for cell in some) / seconds,
                sum(cell.submitted for cell in some) / seconds,
                sum(cell.refused for cell in some),
            )
        )
    return bars


def _seconds(timeline: RunTimeline, first: int, cells: int) -> float:
    """How long some cells are; the last of a run ends with it, but counts half at least."""
    width_s = timeline.width_ms / 1000
    whole = cells * width_s
    if first + cells < len(timeline.cells) or timeline.run.ended_at is None:
        return whole
    to_its_end = timeline.run.ended_at.timestamp() - timeline.began_ms / 1000 - first * width_s
    return min(whole, max(to_its_end, whole - width_s / 2))


def _places(timelines: Sequence[RunTimeline], frame: PlotArea) -> Iterator[tuple[float, float]]:
    """Where each run begins, and how much room it has: as much as it lasted, with a gap between two."""
    gap = min(16.0, frame.width / 4 / len(timelines)) if len(timelines) > 1 else 0.0
    least = 6.0 if len(timelines) > 1 else 0.0
    room = frame.width - gap * (len(timelines) - 1) - least * len(timelines)
    cells = sum(len(one.cells) for one in timelines)
    x = frame.left
    for one in timelines:
        wide = least + room * len(one.cells) / cells
        yield x, wide
        x += wide + gap


def _steps(timeline: RunTimeline, bars: Sequence[_Bar], x: float, room: float, scale: Scale) -> list[Shape]:
    """What was sent as a line of steps, and below it what brought a task id, filled."""
    ends = list(accumulate((bar.cells for bar in bars), initial=0))
    edges = [x + room * end / len(timeline.cells) for end in ends]
    floor = scale(0)
    filled, line = [f"M{path_number(x)} {path_number(floor)}"], list[str]()
    for bar, (begin, end) in zip(bars, pairwise(edges), strict=True):
        filled.append(f"V{path_number(scale(bar.submitted_per_s))}H{path_number(end)}")
        y = path_number(scale(bar.sent_per_s))
        line.append(
            f"M{path_number(begin)} {y}H{path_number(end)}" if not line else f"V{y}H{path_number(end)}"
        )
    return [
        Outline("".join([*filled, f"V{path_number(floor)}Z"]), "submitted"),
        Outline("".join(line), "sent"),
    ]


def outages(timeline: RunTimeline) -> list[tuple[int, int]]:
    """Cells, from one to before another, in which no call met an answer and several met none."""
    found, begun, unanswered = [], None, 0
    before = 0
    for at, cell in enumerate([*timeline.cells, Cell(answered=1)]):
        if not cell.answered:
            begun, unanswered = (at, before) if begun is None else (begun, unanswered)
            unanswered += cell.unanswered
        elif begun is not None:
            if unanswered >= NO_ANSWERS:
                found.append((begun, at))
            begun = None
        before = cell.unanswered
    return found


def _outages(
    timeline: RunTimeline, x: float, room: float, frame: PlotArea, say: Say, language: Language
) -> list[Shape]:
    shapes: list[Shape] = []
    for begin, end in outages(timeline):
        left = x + room * begin / len(timeline.cells)
        wide = max(room * (end - begin) / len(timeline.cells), 2.0)
        words = say("rate.outage.at", time=duration_text((end - begin) * timeline.width_ms / 1000, language))
        shapes.append(Box(left, frame.top, wide, frame.height, "outage", words))
        if label_width(words) < wide:
            shapes.append(Label(left + wide / 2, frame.top + frame.height / 2, words, "note"))
    return shapes


def _refusals(
    bars: Sequence[Sequence[_Bar]], places: Sequence[tuple[float, float]], frame: PlotArea, say: Say
) -> list[Shape]:
    """A lane below the axis, in which refusals hang like icicles: the more of them, the longer."""
    most = max(bar.refused for some in bars for bar in some)
    if not most:
        return []
    shapes: list[Shape] = [
        Label(frame.left - 8, frame.bottom + 18, say("rate.refused.lane"), "refused-word", "end")
    ]
    for some, (x, room) in zip(bars, places, strict=True):
        cells, at = sum(bar.cells for bar in some), 0
        for bar in some:
            if bar.refused:
                left, wide = x + room * at / cells, room * bar.cells / cells
                words = f"{say('rate.refused')}: {bar.refused:,}"
                shapes.append(
                    Box(left, frame.bottom + 4, max(wide, 2), 4 + 10 * bar.refused / most, "refused", words)
                )
            at += bar.cells
    return shapes


def _caps(
    timelines: Sequence[RunTimeline], places: Sequence[tuple[float, float]], scale: Scale, say: Say
) -> list[Shape]:
    """The cap of each run, in words where it is another than before, and the pace that a run ended with."""
    shapes: list[Shape] = []
    free, labelled = -math.inf, None
    for one, (x, room) in zip(timelines, places, strict=True):
        run, y = one.run, scale(one.run.rate_per_s)
        shapes.append(Rule(x, y, x + room, y, "cap"))
        words = say("rate.cap.at", rate=run.rate_per_s)
        if run.rate_per_s != labelled and x >= free:
            shapes.append(Label(x + 2, y - 5, words, "cap-word", "start"))
            free, labelled = x + label_width(words) + 8, run.rate_per_s
        if run.pace_per_s is not None and run.pace_per_s < run.rate_per_s * SLOWED:
            shapes += _pace(run.pace_per_s, x, room, scale, say)
    return shapes


def _pace(pace_per_s: float, x: float, room: float, scale: Scale, say: Say) -> Iterator[Shape]:
    """A mark at the end of a run, and its words where the run is long enough for them."""
    end, y = x + room, scale(pace_per_s)
    yield Outline(f"M{path_number(end - 5)} {path_number(y)}l5 -5l5 5l-5 5Z", "pace")
    words = say("rate.pace.at", pace=pace_per_s)
    if label_width(words) + 20 < room:
        yield Label(end - 8, y + 14, words, "pace-word", "end")
