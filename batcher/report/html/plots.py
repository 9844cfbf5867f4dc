"""Plots as shapes: where every bar, line, tick and word of a drawing stands. Pure geometry.

Between the figures and the template, which writes the shapes as SVG. Colours are not known here: a shape
says what it stands for, and the page's style says how that looks, by day, by night and in print. Each plot is
made for a width, so that its words are as large on a phone as beside a keyboard.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from typing import NamedTuple

from batcher.model.history import Cell, RunTimeline
from batcher.report.html.phrases import Language, Say, duration_text

WIDE, NARROW = 960, 360
"""Widths that plots are made for, in the page's pixels."""

SILENT_CALLS = 5
"""Calls in a row without any answer with which a run takes it for an outage."""

SLOWED = 0.97
"""Of the cap: a pace below it is marked; one that is nearer keeps a margin, as it should."""

_LETTER = 6.3
"""How wide a letter of a label is at most, on average; a Chinese one takes two."""


class Box(NamedTuple):
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    means: str
    title: str = ""
    kind: str = "box"


class Rule(NamedTuple):
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    means: str
    kind: str = "rule"


class Label(NamedTuple):
    """Words."""

    x: float
    y: float
    text: str
    means: str = "tick"
    anchor: str = "middle"
    kind: str = "label"


class Outline(NamedTuple):
    """A path."""

    d: str
    means: str
    kind: str = "outline"


Shape = Box | Rule | Label | Outline


@dataclass(slots=True)
class Plot:
    """A drawing, and what it says in words."""

    width: int
    height: int
    name: str
    """Of this drawing alone, for patterns in it."""
    title: str
    description: str
    shapes: list[Shape] = field(default_factory=list)


class _PlotArea(NamedTuple):
    """Where the axes are."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


# -- requests over time ----------------------------------------------------------------------------


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
    frame = _PlotArea(52, 34, width - 14, plot.height - 66)
    bars = [_bars(one, _at_once(timelines, frame.width)) for one in timelines]
    top = max(
        max(one.run.rate_per_s for one in timelines), *(bar.sent_per_s for some in bars for bar in some)
    )
    scale = _Scale(frame, top * 1.08)
    plot.shapes += _value_axis(frame, scale, say("rate.axis"))
    places = list(_places(timelines, frame))
    for one, some, (x, room) in zip(timelines, bars, places, strict=True):
        plot.shapes += _outages(one, x, room, frame, say, language)
        plot.shapes += _steps(one, some, x, room, scale)
    plot.shapes += _refusals(bars, places, frame, say)
    plot.shapes += _caps(timelines, places, scale, say)
    plot.shapes += _clock(timelines, places, frame, say)
    return plot


class _Scale:
    """From values to places on the vertical axis."""

    def __init__(self, frame: _PlotArea, top: float) -> None:
        self._frame = frame
        self.step = _nice(top / 5)
        self.top = self.step * math.ceil(top / self.step - 1e-9)

    def __call__(self, value: float) -> float:
        return self._frame.bottom - self._frame.height * min(value, self.top) / self.top

    def ticks(self) -> list[float]:
        """Values that have a tick."""
        return [self.step * n for n in range(round(self.top / self.step) + 1)]


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


def _places(timelines: Sequence[RunTimeline], frame: _PlotArea) -> Iterator[tuple[float, float]]:
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


def _value_axis(frame: _PlotArea, scale: _Scale, words: str) -> list[Shape]:
    shapes: list[Shape] = [Label(frame.left - 44, frame.top - 18, words, "axis", "start")]
    for value in scale.ticks():
        y = scale(value)
        shapes.append(Rule(frame.left, y, frame.right, y, "base" if value == 0 else "grid"))
        shapes.append(Label(frame.left - 8, y + 4, f"{value:g}", "tick", "end"))
    return shapes


def _steps(timeline: RunTimeline, bars: Sequence[_Bar], x: float, room: float, scale: _Scale) -> list[Shape]:
    """What was sent as a line of steps, and below it what brought a task id, filled."""
    ends = list(accumulate((bar.cells for bar in bars), initial=0))
    edges = [x + room * end / len(timeline.cells) for end in ends]
    floor = scale(0)
    filled, line = [f"M{_n(x)} {_n(floor)}"], list[str]()
    for bar, (begin, end) in zip(bars, pairwise(edges), strict=True):
        filled.append(f"V{_n(scale(bar.submitted_per_s))}H{_n(end)}")
        y = _n(scale(bar.sent_per_s))
        line.append(f"M{_n(begin)} {y}H{_n(end)}" if not line else f"V{y}H{_n(end)}")
    return [Outline("".join([*filled, f"V{_n(floor)}Z"]), "submitted"), Outline("".join(line), "sent")]


def outages(timeline: RunTimeline) -> list[tuple[int, int]]:
    """Cells, from one to before another, in which no call met an answer and several met none."""
    found, begun, unanswered = [], None, 0
    before = 0
    for at, cell in enumerate([*timeline.cells, Cell(answered=1)]):
        if not cell.answered:
            begun, unanswered = (at, before) if begun is None else (begun, unanswered)
            unanswered += cell.unanswered
        elif begun is not None:
            if unanswered >= SILENT_CALLS:
                found.append((begun, at))
            begun = None
        before = cell.unanswered
    return found


def _outages(
    timeline: RunTimeline, x: float, room: float, frame: _PlotArea, say: Say, language: Language
) -> list[Shape]:
    shapes: list[Shape] = []
    for begin, end in outages(timeline):
        left = x + room * begin / len(timeline.cells)
        wide = max(room * (end - begin) / len(timeline.cells), 2.0)
        words = say("rate.outage.at", time=duration_text((end - begin) * timeline.width_ms / 1000, language))
        shapes.append(Box(left, frame.top, wide, frame.height, "outage", words))
        if _long(words) < wide:
            shapes.append(Label(left + wide / 2, frame.top + frame.height / 2, words, "note"))
    return shapes


def _refusals(
    bars: Sequence[Sequence[_Bar]], places: Sequence[tuple[float, float]], frame: _PlotArea, say: Say
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
    timelines: Sequence[RunTimeline], places: Sequence[tuple[float, float]], scale: _Scale, say: Say
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
            free, labelled = x + _long(words) + 8, run.rate_per_s
        if run.pace_per_s is not None and run.pace_per_s < run.rate_per_s * SLOWED:
            shapes += _pace(run.pace_per_s, x, room, scale, say)
    return shapes


def _pace(pace_per_s: float, x: float, room: float, scale: _Scale, say: Say) -> Iterator[Shape]:
    """A mark at the end of a run, and its words where the run is long enough for them."""
    end, y = x + room, scale(pace_per_s)
    yield Outline(f"M{_n(end - 5)} {_n(y)}l5 -5l5 5l-5 5Z", "pace")
    words = say("rate.pace.at", pace=pace_per_s)
    if _long(words) + 20 < room:
        yield Label(end - 8, y + 14, words, "pace-word", "end")


_CLOCK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Seconds between two ticks of a clock; beyond a day, whole days."""


def _clock(
    timelines: Sequence[RunTimeline], places: Sequence[tuple[float, float]], frame: _PlotArea, say: Say
) -> list[Shape]:
    """Times below the axis, and below them the day and the run that begins there."""
    shapes: list[Shape] = []
    cells = sum(len(one.cells) for one in timelines)
    per_px = cells * timelines[0].width_ms / 1000 / sum(room for _, room in places)
    least = 70 * per_px
    step = next((one for one in _CLOCK_STEPS if one >= least), 86400 * math.ceil(least / 86400))
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86400 else "%m-%d"
    ticked = labelled = -math.inf
    for one, (x, room) in zip(timelines, places, strict=True):
        began_s = one.began_ms / 1000
        lasts_s = len(one.cells) * one.width_ms / 1000
        if len(timelines) > 1:
            shapes.append(Rule(x, frame.top, x, frame.bottom + 20, "begin"))
        for at_s in range(math.ceil(began_s / step) * step, math.floor(began_s + lasts_s) + 1, step):
            at = x + room * (at_s - began_s) / lasts_s
            words = _time(at_s, form)
            half = _long(words) / 2
            if at - half < ticked or at + half > frame.right + 12:
                continue
            shapes += [
                Rule(at, frame.bottom, at, frame.bottom + 4, "base"),
                Label(at, frame.bottom + 34, words),
            ]
            ticked = at + half + 8
        day = _time(began_s, "%Y-%m-%d")
        for words in (f"{day}, {say('rate.run', n=one.run.id)}", day, f"#{one.run.id}"):
            if x >= labelled and x + _long(words) <= frame.right + 12:
                shapes.append(Label(x, frame.bottom + 54, words, "day", "start"))
                labelled = x + _long(words) + 10
                break
    return shapes


def _time(at_s: float, form: str) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime(form)


# -- latency ---------------------------------------------------------------------------------------

_PER_DECADE = 10
"""Bars of the latency plot for each power of ten."""


class Percentiles(NamedTuple):
    """How long answers took, in milliseconds."""

    p50: int
    p95: int
    p99: int
    slowest: int


def percentiles(latencies: Mapping[int, int]) -> Percentiles:
    """The times within which so many of a hundred answers came; there must be one at least."""
    times = sorted(latencies)
    until = list(accumulate(latencies[time] for time in times))
    p50, p95, p99 = (times[bisect_left(until, until[-1] * share / 100)] for share in (50, 95, 99))
    return Percentiles(p50, p95, p99, times[-1])


def latency_plot(latencies: Mapping[int, int], width: int, say: Say, language: Language) -> Plot:
    """How answers spread over the times they took, on a logarithmic axis; there must be one at least."""
    spread = percentiles(latencies)
    n = sum(latencies.values())
    said = {name: milliseconds(value, language) for name, value in spread._asdict().items()}
    plot = Plot(width, 260, f"latency{width}", say("latency"), say("latency.desc", n=n, **said))
    frame = _PlotArea(52, 76, width - 22, plot.height - 46)
    first, last = _decades(latencies)
    shares = [0.0] * ((last - first) * _PER_DECADE)
    for took_ms, answers in latencies.items():
        at = math.floor((math.log10(max(took_ms, 1)) - first) * _PER_DECADE + 1e-9)
        shares[min(at, len(shares) - 1)] += answers / n * 100
    scale = _Scale(frame, max(shares) * 1.04)
    plot.shapes += [Label(frame.left - 44, 16, f"{say('latency.axis')}, %", "axis", "start")]
    plot.shapes += _value_axis(frame, scale, "")[1:]
    wide = frame.width / len(shares)
    for at, share in enumerate(shares):
        if share:
            y = min(scale(share), frame.bottom - 1)  # a single one among many is seen too
            plot.shapes.append(
                Box(
                    frame.left + at * wide + 0.5,
                    y,
                    max(wide - 1, 1),
                    frame.bottom - y,
                    "submitted",
                    f"{share:.2g} %",
                )
            )
    place = _placer(frame, first, last)
    plot.shapes += _latency_axis(frame, first, last, place, say, language)
    plot.shapes += _marks(spread, frame, place, language)
    return plot


def _decades(latencies: Mapping[int, int]) -> tuple[int, int]:
    """Powers of ten between which all times are, in milliseconds."""
    first = math.floor(math.log10(max(min(latencies), 1)))
    last = math.floor(math.log10(max(max(latencies), 1))) + 1
    return first, last


def _placer(frame: _PlotArea, first: int, last: int) -> _LogScale:
    return _LogScale(frame.left, frame.width, first, last)


class _LogScale(NamedTuple):
    """From times to places on the logarithmic axis."""

    left: float
    width: float
    first: int
    last: int

    def at(self, took_ms: float) -> float:
        """Where a time stands."""
        return self.left + self.width * (math.log10(max(took_ms, 1)) - self.first) / (self.last - self.first)


def _latency_axis(
    frame: _PlotArea, first: int, last: int, place: _LogScale, say: Say, language: Language
) -> Iterable[Shape]:
    free = -math.inf
    for took_ms in (digit * 10**power for power in range(first, last + 1) for digit in (1, 2, 5)):
        if took_ms > 10**last:
            break
        x, words = place.at(took_ms), milliseconds(took_ms, language)
        yield Rule(x, frame.bottom, x, frame.bottom + 4, "base")
        if x - _long(words) / 2 >= free:
            yield Label(x, frame.bottom + 18, words)
            free = x + _long(words) / 2 + 10
    yield Label(frame.left + frame.width / 2, frame.bottom + 38, say("latency.axis.x"), "axis")


def _marks(spread: Percentiles, frame: _PlotArea, place: _LogScale, language: Language) -> Iterable[Shape]:
    """Lines at the percentiles, their words one below the other, so that they never meet."""
    for row, (words, took_ms) in enumerate(
        (("50 %", spread.p50), ("95 %", spread.p95), ("99 %", spread.p99))
    ):
        x, y = place.at(took_ms), 30.0 + 15 * row
        words = f"{words}: {milliseconds(took_ms, language)}"
        to_the_left = x + 6 + _long(words) > frame.right + 18
        yield Rule(x, y - 8, x, frame.bottom, "mark")
        yield Label(x - 5 if to_the_left else x + 5, y, words, "mark-word", "end" if to_the_left else "start")


def milliseconds(took_ms: float, language: Language) -> str:
    """``80 ms``, ``1.2 s``."""
    second = "s" if language is Language.ENGLISH else "秒"
    if took_ms < 1000:
        return f"{took_ms:g} " + ("ms" if language is Language.ENGLISH else "毫秒")
    return f"{took_ms / 1000:.3g} {second}"


# -- both ------------------------------------------------------------------------------------------


def _nice(value: float) -> float:
    """The next of 1, 2, 5, 10, 20 and so on."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= value * (1 - 1e-9))


def _long(words: str) -> float:
    """How long a label is at most."""
    return _LETTER * sum(1 if letter.isascii() else 1.9 for letter in words)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
