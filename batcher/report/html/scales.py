"""Scales of the plots' axes: from values to coordinates, and the ticks between them. Pure geometry."""

from __future__ import annotations

import math
from typing import NamedTuple

from batcher.report.html.shapes import Label, PlotArea, Rule, Shape


class Scale:
    """From values to places on the vertical axis."""

    def __init__(self, frame: PlotArea, top: float) -> None:
        self._frame = frame
        self.step = _nice(top / 5)
        self.top = self.step * math.ceil(top / self.step - 1e-9)

    def __call__(self, value: float) -> float:
        return self._frame.bottom - self._frame.height * min(value, self.top) / self.top

    def ticks(self) -> list[float]:
        """Values that have a tick."""
        return [self.step * n for n in range(round(self.top / self.step) + 1)]


class LogScale(NamedTuple):
    """From times to places on the logarithmic axis."""

    left: float
    width: float
    first: int
    last: int

    def at(self, took_ms: float) -> float:
        """Where a time stands."""
        return self.left + self.width * (math.log10(max(took_ms, 1)) - self.first) / (self.last - self.first)


def value_axis(frame: PlotArea, scale: Scale, words: str) -> list[Shape]:
    shapes: list[Shape] = [Label(frame.left - 44, frame.top - 18, words, "axis", "start")]
    for value in scale.ticks():
        y = scale(value)
        shapes.append(Rule(frame.left, y, frame.right, y, "base" if value == 0 else "grid"))
        shapes.append(Label(frame.left - 8, y + 4, f"{value:g}", "tick", "end"))
    return shapes


def _nice(value: float) -> float:
    """The next of 1, 2, 5, 10, 20 and so on."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= value * (1 - 1e-9))
