"""The progress display of every command: drawn on a terminal, or a plain line now and then elsewhere.

A command hands over a :class:`View` of each moment; ``views`` makes them. A display never disturbs the work:
what cannot be read or written just now is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from batcher.cli.terminal.console import Console
from batcher.cli.terminal.stderr_writer import Drawing, of_stderr
from batcher.cli.terminal.text import legible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

REFRESH_S = 0.5
PLAIN_EVERY_S = 30.0
LINE_EVERY_S = 5.0

Piece = tuple[str, str]
"""Some text and its style, as Rich knows styles; an empty one is plain."""


@dataclass(frozen=True, slots=True)
class View:
    """The progress at one moment, ready to be shown."""

    ended: int
    total: int
    text: str
    """One line for a log."""
    known: Mapping[str, object]
    """The figures for programs."""
    lines: tuple[tuple[Piece, ...], ...]
    """The text under the bar, line by line; an empty line is left out."""


class Display:
    """A display that shows views during a block; use as a context manager.

    Args:
        console: where to; a quiet one shows nothing.
        how: ``auto`` (drawn on a terminal, else plain), ``plain`` or ``none``.
    """

    def __init__(self, console: Console, how: str) -> None:
        self._console = console
        self._shows = how != "none" and console.volume > 0
        self._live = _live() if self._shows and how == "auto" and console.is_terminal else None
        self._shown_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the display away; nothing is shown any more."""
        self._shows = False
        if self._live is not None:
            self._live.stop()

    def show(self, view: View) -> None:
        """Show the progress, unless something was shown a moment ago or the terminal is stalled."""
        every_s = REFRESH_S if self._live else PLAIN_EVERY_S
        if not self._shows or time.monotonic() - self._shown_at < every_s * 0.9:
            return
        self._shown_at = time.monotonic()
        if self._live is None:
            self._console.progress(view.text, view.known)
        elif not ((outlet := of_stderr()) and outlet.behind):
            self._live.start()
            self._live.update(_drawn(view), refresh=True)


class ProgressLines:
    """A line now and then, for work whose total is not known.

    Args:
        console: where to.
        every_s: seconds between two lines.
    """

    def __init__(self, console: Console, every_s: float = LINE_EVERY_S) -> None:
        self._console = console
        self._every_s = every_s
        self._last = time.monotonic()

    def show(self, text: Callable[[], str], known: Callable[[], Mapping[str, object]] | None = None) -> None:
        """Write the line, unless the last one is too recent.

        Args:
            text: makes the line.
            known: makes the figures for programs; when not given, programs get the line.
        """
        if time.monotonic() - self._last < self._every_s:
            return
        self._last = time.monotonic()
        if known is None:
            self._console.say(text())
        else:
            self._console.progress(text(), known())


def _live() -> Live:
    from rich.console import Console as RichConsole
    from rich.live import Live

    outlet = of_stderr()
    drawn_on = RichConsole(file=Drawing(outlet)) if outlet else RichConsole(stderr=True)  # type: ignore[arg-type] # a file of text
    return Live(console=drawn_on, auto_refresh=False, transient=True)


def _drawn(view: View) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    bar = ProgressBar(
        total=max(view.total, 1),
        completed=view.ended,
        style="dim",
        complete_style="bold",
        finished_style="bold",
    )
    share = view.ended / view.total if view.total else 0.0
    grid.add_row(bar, Text(f"{view.ended:,}/{view.total:,}  {share:.0%}"))
    lines = (Text.assemble(*((legible(text), style) for text, style in line)) for line in view.lines if line)
    return Group(grid, *lines)
