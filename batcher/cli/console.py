"""stderr, for people, and stdout, for data: what is said survives a reader that has gone away."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from enum import IntEnum

from batcher.notices import Notice, NotSubmitted

MAX_WIDTH = 100


class Volume(IntEnum):
    """How much is said."""

    QUIET = 0
    """Problems only."""
    NORMAL = 1
    VERBOSE = 2


class Console:
    """What a command says to people."""

    def __init__(self, *, verbose: bool = False, quiet: bool = False) -> None:
        self.volume = Volume.QUIET if quiet else Volume.VERBOSE if verbose else Volume.NORMAL

    def problem(self, text: str) -> None:
        """Say what is wrong; always said."""
        _write(text)

    def say(self, text: str) -> None:
        """Say what was done, unless only problems are wanted."""
        if self.volume > Volume.QUIET:
            _write(text)

    def detail(self, text: str) -> None:
        """Say what only a curious person wants to know."""
        if self.volume is Volume.VERBOSE:
            _write(text)

    def tell(self, notice: Notice) -> None:
        """Say what a run tells; of single attempts only a curious person wants to know."""
        say = self.detail if isinstance(notice, NotSubmitted) else self.say
        say(notice.words)

    def data(self, text: str) -> None:
        """Write a line of data to stdout, whose reader may have gone away."""
        with contextlib.suppress(BrokenPipeError):
            print(text, flush=True)  # noqa: T201 - data, on stdout

    @property
    def width(self) -> int:
        """Columns to wrap text at."""
        return min(shutil.get_terminal_size((80, 24)).columns, MAX_WIDTH)

    @property
    def is_terminal(self) -> bool:
        """Whether a person may be watching stderr."""
        try:
            return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        except ValueError:
            return False


def _write(text: str) -> None:
    if not text or sys.stderr is None:
        return
    with contextlib.suppress(OSError, ValueError):  # a closed pipe or a vanished terminal stops nobody
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
