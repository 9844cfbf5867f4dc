"""Text for a terminal: legible, fitted to its width, and how much of it is wanted."""

from __future__ import annotations

from enum import IntEnum, StrEnum

from batcher.report.formatting import columns, one_line, wrapped

MAX_WIDTH = 100


class Volume(IntEnum):
    """How much is said."""

    QUIET = 0
    """Problems only."""
    NORMAL = 1
    VERBOSE = 2


class LogFormat(StrEnum):
    """How stderr is written."""

    TEXT = "text"
    """For people."""
    JSON = "json"
    """For programs: each line one JSON object."""


class Level(StrEnum):
    """How much an event weighs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def legible(text: str) -> str:
    """A text for a terminal: characters that it would obey are escaped, ends of lines are kept."""
    return "\n".join(map(one_line, text.split("\n")))


def fitted(text: str, width: int) -> str:
    """A text in lines that are no wider than a terminal; what goes on of a line is indented."""
    return "\n".join(_fitted(line, width) for line in text.split("\n"))


def _fitted(line: str, width: int) -> str:
    if columns(line) <= width:
        return line
    head = line[: len(line) - len(line.lstrip())]
    return wrapped(line, width, head=head, indent=head + "  ")
