"""Text for a terminal: escaped, fitted to its width; and the amount of output.

Used by the console and by log records. Pure.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from batcher.report.formatting import columns, one_line, wrapped

MAX_WIDTH = 100


class Volume(IntEnum):
    """The amount of output."""

    QUIET = 0
    """Problems only."""
    NORMAL = 1
    VERBOSE = 2


class LogFormat(StrEnum):
    """The formats of stderr."""

    TEXT = "text"
    """Lines of text for the user."""
    JSON = "json"
    """One JSON object a line, for programs."""


def legible(text: str) -> str:
    """Return a text with control characters escaped; line ends are kept."""
    return "\n".join(map(one_line, text.split("\n")))


def fitted(text: str, width: int) -> str:
    """Return a text wrapped to a width; continuation lines are indented."""
    return "\n".join(_fitted(line, width) for line in text.split("\n"))


def _fitted(line: str, width: int) -> str:
    if columns(line) <= width:
        return line
    head = line[: len(line) - len(line.lstrip())]
    return wrapped(line, width, head=head, indent=head + "  ")
