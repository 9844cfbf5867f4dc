"""The plot of answer times: which share of the answers took how long, on a logarithmic axis.

Called by :mod:`batcher.report.html.render`, once for each width.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import NamedTuple

from batcher.report.html.phrases import Language, Say
from batcher.report.html.scales import LogScale, Scale, value_axis
from batcher.report.html.shapes import Box, Label, Plot, PlotArea, Rule, Shape, label_width

_PER_DECADE = 10
"""Bars for each power of ten."""


class Percentiles(NamedTuple):
    """Answer times in milliseconds."""

    p50: int
    p95: int
    p99: int
    slowest: int


def percentiles(latencies: Mapping[int, int]) -> Percentiles:
    """Return the times within which 50, 95 and 99 of 100 answers came; there must be an answer."""
    times = sorted(latencies)
    until = list(accumulate(latencies[time] for time in times))
    p50, p95, p99 = (times[bisect_left(until, until[-1] * share / 100)] for share in (50, 95, 99))
    return Percentiles(p50, p95, p99, times[-1])


def latency_plot(latencies: Mapping[int, int], width: int, say: Say, language: Language) -> Plot:
    """Return the plot of answer times on a logarithmic axis; there must be an answer."""
    spread = percentiles(latencies)
    n = sum(latencies.values())
    times = {name: milliseconds(value, language) for name, value in spread._asdict().items()}
    plot = Plot(width, 260, f"latency{width}", say("latency"), say("latency.desc", n=n, **times))
    frame = PlotArea(52, 76, width - 22, plot.height - 46)
    first, last = _decades(latencies)
    shares = [0.0] * ((last - first) * _PER_DECADE)
    for took_ms, answers in latencies.items():
        at = math.floor((math.log10(max(took_ms, 1)) - first) * _PER_DECADE + 1e-9)
        shares[min(at, len(shares) - 1)] += answers / n * 100
    scale = Scale(frame, max(shares) * 1.04)
    plot.shapes += [Label(frame.left - 44, 16, f"{say('latency.axis')}, %", "axis", "start")]
    plot.shapes += value_axis(frame, scale, "")[1:]
    wide = frame.width / len(shares)
    for at, share in enumerate(shares):
        if share:
            y = min(scale(share), frame.bottom - 1)  # a single answer among many stays visible
            plot.shapes.append(
                Box(
                    frame.left + at * wide + 0.5,
                    y,
                    max(wide - 1, 1),
                    frame.bottom - y,
                    "submitted",
                    f"{share:.2g}%",
                )
            )
    place = LogScale(frame.left, frame.width, first, last)
    plot.shapes += _latency_axis(frame, first, last, place, say, language)
    plot.shapes += _marks(spread, frame, place, language)
    return plot


def _decades(latencies: Mapping[int, int]) -> tuple[int, int]:
    """Return the powers of ten that enclose all times, in milliseconds."""
    first = math.floor(math.log10(max(min(latencies), 1)))
    last = math.floor(math.log10(max(max(latencies), 1))) + 1
    return first, last


def _latency_axis(
    frame: PlotArea, first: int, last: int, place: LogScale, say: Say, language: Language
) -> Iterable[Shape]:
    free = -math.inf
    for took_ms in (digit * 10**power for power in range(first, last + 1) for digit in (1, 2, 5)):
        if took_ms > 10**last:
            break
        x, words = place.at(took_ms), milliseconds(took_ms, language)
        yield Rule(x, frame.bottom, x, frame.bottom + 4, "base")
        if x - label_width(words) / 2 >= free:
            yield Label(x, frame.bottom + 18, words)
            free = x + label_width(words) / 2 + 10
    yield Label(frame.left + frame.width / 2, frame.bottom + 38, say("latency.axis.x"), "axis")


def _marks(spread: Percentiles, frame: PlotArea, place: LogScale, language: Language) -> Iterable[Shape]:
    """Return lines at the percentiles, with labels one below the other so that they never overlap."""
    for row, (words, took_ms) in enumerate((("50%", spread.p50), ("95%", spread.p95), ("99%", spread.p99))):
        x, y = place.at(took_ms), 30.0 + 15 * row
        words = f"{words}: {milliseconds(took_ms, language)}"
        to_the_left = x + 6 + label_width(words) > frame.right + 18
        yield Rule(x, y - 8, x, frame.bottom, "mark")
        yield Label(x - 5 if to_the_left else x + 5, y, words, "mark-word", "end" if to_the_left else "start")


def milliseconds(took_ms: float, language: Language) -> str:
    """Return a time as ``80 ms`` or ``1.2 s``."""
    second = "s" if language is Language.ENGLISH else "秒"
    if took_ms < 1000:
        return f"{took_ms:g} " + ("ms" if language is Language.ENGLISH else "毫秒")
    return f"{took_ms / 1000:.3g} {second}"
