"""The time axis below the rate plot: clock times, and the day and number of each run.

Called by :mod:`batcher.report.html.rate_plot`. Times are UTC.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from batcher.model.history import RunTimeline
from batcher.report.html.phrases import Say
from batcher.report.html.shapes import Label, PlotArea, Rule, Shape, label_width

_CLOCK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Seconds between two ticks of a clock; beyond a day, whole days."""


def clock_axis(
    timelines: Sequence[RunTimeline], places: Sequence[tuple[float, float]], frame: PlotArea, say: Say
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
            half = label_width(words) / 2
            if at - half < ticked or at + half > frame.right + 12:
                continue
            shapes += [
                Rule(at, frame.bottom, at, frame.bottom + 4, "base"),
                Label(at, frame.bottom + 34, words),
            ]
            ticked = at + half + 8
        day = _time(began_s, "%Y-%m-%d")
        for words in (f"{day}, {say('rate.run', n=one.run.id)}", day, f"#{one.run.id}"):
            if x >= labelled and x + label_width(words) <= frame.right + 12:
                shapes.append(Label(x, frame.bottom + 54, words, "day", "start"))
                labelled = x + label_width(words) + 10
                break
    return shapes


def _time(at_s: float, form: str) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime(form)
