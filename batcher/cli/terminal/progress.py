"""How a run looks while it goes on: a display on a terminal, a plain line now and then elsewhere.

Figures come from the ledger; only the pace comes from the run. Watching never disturbs the run: what cannot
be read or written just now is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from batcher.cli.terminal.console import Console
from batcher.cli.terminal.stderr_writer import Drawing, of_stderr
from batcher.cli.terminal.text import legible
from batcher.errors import LedgerError
from batcher.flowcontrol.rate_meter import CurrentRate
from batcher.ledger import LedgerReader
from batcher.model.submission import State
from batcher.report.counts import Counts, TaskFigures, figures, task_figures
from batcher.report.formatting import duration, sentence
from batcher.submit.runner import Runner

if TYPE_CHECKING:
    from rich.console import RenderableType

    from batcher.track.tracker import Tracker

REFRESH_S = 0.5
PLAIN_EVERY_S = 30.0


@asynccontextmanager
async def watch(runner: Runner, ledger: LedgerReader, console: Console, how: str) -> AsyncIterator[None]:
    """Show a run while the block goes on.

    Args:
        how: ``auto``, ``plain`` or ``none``.
    """
    if how == "none" or console.volume == 0:
        yield
        return
    on_terminal = how == "auto" and console.is_terminal
    show = _Display(runner).show if on_terminal else _plain(runner, console)

    async def look() -> Counts:
        return figures(await ledger.tallies())

    async with _shown(look, show, REFRESH_S if on_terminal else PLAIN_EVERY_S):
        yield


@asynccontextmanager
async def watch_tasks(
    tracker: Tracker, ledger: LedgerReader, console: Console, how: str
) -> AsyncIterator[None]:
    """Show how tasks end while the block goes on.

    Args:
        how: ``auto``, ``plain`` or ``none``.
    """
    if how == "none" or console.volume == 0:
        yield
        return
    on_terminal = how == "auto" and console.is_terminal
    show = _TaskDisplay(tracker).show if on_terminal else _plain_tasks(tracker, console)

    async def look() -> TaskFigures:
        return await tasks_now(ledger)

    async with _shown(look, show, REFRESH_S if on_terminal else PLAIN_EVERY_S):
        yield


async def tasks_now(ledger: LedgerReader) -> TaskFigures:
    """What has become of the tasks by now."""
    submitted = figures(await ledger.tallies()).by_state[State.SUBMITTED]
    return task_figures(await ledger.tallies_of_tasks(), submitted)


_F = TypeVar("_F")
_Show = Callable[[Counts, bool], None]
_ShowTasks = Callable[[TaskFigures, bool], None]


@asynccontextmanager
async def _shown(
    look: Callable[[], Awaitable[_F]], show: Callable[[_F, bool], None], every_s: float
) -> AsyncIterator[None]:
    closing = asyncio.Event()
    task = asyncio.create_task(_repeat(look, show, closing, every_s), name="display")
    try:
        yield
    finally:
        closing.set()
        await task


async def _repeat(
    look: Callable[[], Awaitable[_F]],
    show: Callable[[_F, bool], None],
    closing: asyncio.Event,
    every_s: float,
) -> None:
    while not closing.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await closing.wait()
        with contextlib.suppress(LedgerError, OSError, ValueError):
            show(await look(), closing.is_set())


def seconds_left(now: Counts, pace: CurrentRate, ended_before: int) -> float | None:
    """How long the rest takes at the rate of this run alone; None while that is not known."""
    ended = now.ended - ended_before
    if ended <= 0 or pace.seconds < 1:
        return None
    return now.open / (ended / pace.seconds)


def _plain(runner: Runner, console: Console) -> _Show:
    before: list[int] = []

    def show(now: Counts, last: bool) -> None:
        if not before:
            before.append(now.ended - runner.pace.sent if runner.pace.sent <= now.ended else 0)
        if last:
            return
        left = seconds_left(now, runner.pace, before[0])
        parts = [f"{now.ended:,} of {now.total:,}", *_states(now), f"{runner.pace.now_per_s:.1f}/s"]
        slow = f"; {_slow(runner.pace)}" if runner.pace.why_slow else ""
        known = {
            "total": now.total,
            "ended": now.ended,
            **{state.value: n for state, n in now.by_state.items()},
            "sent": runner.pace.sent,
            "now_per_s": round(runner.pace.now_per_s, 2),
            "pace_per_s": round(runner.pace.pace_per_s, 2),
            "why_slow": runner.pace.why_slow,
            "seconds_left": None if left is None else round(left),
        }
        console.progress(", ".join(parts) + (f", {duration(left)} left" if left else "") + slow, known)

    return show


def _slow(pace: CurrentRate) -> str:
    """Why the run is slow; while nothing is sent at all there is no pace to name."""
    if pace.waiting:
        return f"nothing is sent: {pace.why_slow}"
    return f"pace held at {pace.pace_per_s:.1f}/s: {pace.why_slow}"


def _states(now: Counts) -> list[str]:
    shown = {
        State.SUBMITTED: "submitted",
        State.REJECTED: "rejected",
        State.FAILED: "failed",
        State.IN_DOUBT: "in doubt",
    }
    return [f"{now.by_state[state]:,} {label}" for state, label in shown.items()]


class _Display:
    """A live display of two lines on stderr: a bar over all work, and where it stands."""

    def __init__(self, runner: Runner) -> None:
        from rich.console import Console as RichConsole
        from rich.live import Live

        self._runner = runner
        self._ended_before: int | None = None
        self._outlet = of_stderr()
        drawn_on = RichConsole(file=Drawing(self._outlet)) if self._outlet else RichConsole(stderr=True)  # type: ignore[arg-type] # a file of text
        self._live = Live(console=drawn_on, auto_refresh=False, transient=True)

    def show(self, now: Counts, last: bool) -> None:
        """Draw the figures of this moment; the last time, take the display away."""
        if last:
            self._live.stop()
            return
        if self._outlet and self._outlet.behind:  # the terminal stands still
            return
        if self._ended_before is None:
            self._ended_before = max(now.ended - self._runner.pace.sent, 0)
            self._live.start()
        self._live.update(self._drawn(now), refresh=True)

    def _drawn(self, now: Counts) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        pace = self._runner.pace
        left = seconds_left(now, pace, self._ended_before or 0)
        grid = drawn_bar(now.ended, now.total)
        where = Text("  ").join(
            Text(part, style="" if part.startswith("0 ") else style)
            for part, style in zip(_states(now), ("", "bold red", "bold red", "bold magenta"), strict=True)
        )
        speed = Text(
            f"{pace.now_per_s:.1f}/s of {pace.cap_per_s:g}/s"
            + (f"   {duration(left)} left" if left is not None else "")
        )
        if pace.why_slow:
            speed.append(legible("\n" + sentence(_slow(pace))), style="bold")
        return Group(grid, where, speed)


def drawn_bar(ended: int, total: int) -> RenderableType:
    """A bar over all work, and its numbers."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(
        ProgressBar(
            total=max(total, 1), completed=ended, style="dim", complete_style="bold", finished_style="bold"
        ),
        Text(f"{ended:,}/{total:,}  {ended / total if total else 0.0:.0%}"),
    )
    return grid


# -- tasks ----------------------------------------------------------------------------------------------


def _task_states(now: TaskFigures) -> list[str]:
    return [f"{n:,} {state.value}" for state, n in now.by_state.items()]


def _plain_tasks(tracker: Tracker, console: Console) -> _ShowTasks:
    def show(now: TaskFigures, last: bool) -> None:
        if last:
            return
        pace = tracker.pace
        text = f"tasks: {now.ended:,} of {now.total:,} have ended, {', '.join(_task_states(now))}, "
        slow = f"; {pace.why_slow}" if pace.why_slow else ""
        known = {
            "tasks": {state.value: n for state, n in now.by_state.items()},
            "polls": pace.sent,
            "now_per_s": round(pace.now_per_s, 2),
            "pace_per_s": round(pace.pace_per_s, 2),
            "why_slow": pace.why_slow,
        }
        console.progress(f"{text}{pace.now_per_s:.1f} polls/s{slow}", known)

    return show


class _TaskDisplay:
    """A live display on stderr: a bar over all tasks, and where they stand."""

    def __init__(self, tracker: Tracker) -> None:
        from rich.console import Console as RichConsole
        from rich.live import Live

        self._tracker = tracker
        self._outlet = of_stderr()
        drawn_on = RichConsole(file=Drawing(self._outlet)) if self._outlet else RichConsole(stderr=True)  # type: ignore[arg-type] # a file of text
        self._live = Live(console=drawn_on, auto_refresh=False, transient=True)

    def show(self, now: TaskFigures, last: bool) -> None:
        """Draw the figures of this moment; the last time, take the display away."""
        if last:
            self._live.stop()
            return
        if self._outlet and self._outlet.behind:  # the terminal stands still
            return
        self._live.start()
        self._live.update(self._drawn(now), refresh=True)

    def _drawn(self, now: TaskFigures) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        pace = self._tracker.pace
        where = Text("tasks:  " + "  ".join(_task_states(now)))
        speed = Text(f"{pace.now_per_s:.1f} polls/s of {pace.cap_per_s:g}/s")
        if pace.why_slow:
            speed.append(legible("\n" + sentence(pace.why_slow)), style="bold")
        return Group(drawn_bar(now.ended, now.total), where, speed)
