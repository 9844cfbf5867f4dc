"""The shapes that plots are made of, and the area between their axes. Pure geometry.

Plots (:mod:`~batcher.report.html.rate_plot`, :mod:`~batcher.report.html.latency_plot`) are lists of these
shapes; the template ``page.html`` writes them as SVG. A shape has no colour: ``means`` names the CSS class
that decides how it looks in light mode, in dark mode and in print.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

WIDE, NARROW = 960, 360
"""Widths that plots are made for, in the page's pixels."""

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


class PlotArea(NamedTuple):
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


def label_width(words: str) -> float:
    """How long a label is at most."""
    return _LETTER * sum(1 if letter.isascii() else 1.9 for letter in words)


def path_number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
