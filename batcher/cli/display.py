"""How a run looks while it goes on: a display on a terminal, a plain line now and then elsewhere.

Figures come from the ledger; only the pace comes from the run. Watching never disturbs the run: what cannot
be read or written just now is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from batcher.cli.console import Console, legible
from batcher.errors import LedgerError
from batcher.ledger import LedgerReader
from batcher.model import State
from batcher.report.figures import Figures, figures
from batcher.report.words import duration
from batcher.runner import Pace, Runner

if TYPE_CHECKING:
    from rich.console import RenderableType

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
    every_s = REFRESH_S if on_terminal else PLAIN_EVERY_S
    closing = asyncio.Event()
    task = asyncio.create_task(_repeat(show, ledger, closing, every_s), name="display")
    try:
        yield
    finally:
        closing.set()
        await task


_Show = Callable[[Figures, bool], None]


async def _repeat(show: _Show, ledger: LedgerReader, closing: asyncio.Event, every_s: float) -> None:
    while not closing.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await closing.wait()
        with contextlib.suppress(LedgerError, OSError, ValueError):
            show(figures(await ledger.tallies()), closing.is_set())


def seconds_left(now: Figures, pace: Pace, ended_before: int) -> float | None:
    """How long the rest takes at the rate of this run alone; None while that is not known."""
    ended = now.ended - ended_before
    if ended <= 0 or pace.seconds < 1:
        return None
    return now.open / (ended / pace.seconds)


def _plain(runner: Runner, console: Console) -> _Show:
    before: list[int] = []

    def show(now: Figures, last: bool) -> None:
        if not before:
            before.append(now.ended - runner.pace.sent if runner.pace.sent <= now.ended else 0)
        if last:
            return
        left = seconds_left(now, runner.pace, before[0])
        parts = [f"{now.ended:,} of {now.total:,}", *_states(now), f"{runner.pace.now_per_s:.1f}/s"]
        slow = (
            f"; pace {runner.pace.pace_per_s:.1f}/s: {runner.pace.why_slow}" if runner.pace.why_slow else ""
        )
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


def _states(now: Figures) -> list[str]:
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
        self._live = Live(console=RichConsole(stderr=True), auto_refresh=False, transient=True)

    def show(self, now: Figures, last: bool) -> None:
        """Draw the figures of this moment; the last time, take the display away."""
        if last:
            self._live.stop()
            return
        if self._ended_before is None:
            self._ended_before = max(now.ended - self._runner.pace.sent, 0)
            self._live.start()
        self._live.update(self._drawn(now), refresh=True)

    def _drawn(self, now: Figures) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        pace = self._runner.pace
        left = seconds_left(now, pace, self._ended_before or 0)
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(ratio=1)
        grid.add_column(justify="right", no_wrap=True)
        share = now.ended / now.total if now.total else 0.0
        grid.add_row(
            ProgressBar(total=max(now.total, 1), completed=now.ended),
            Text(f"{now.ended:,}/{now.total:,}  {share:.0%}"),
        )
        where = Text("  ").join(
            Text(part, style=style)
            for part, style in zip(_states(now), ("green", "red", "red", "yellow"), strict=True)
        )
        speed = Text(
            f"{pace.now_per_s:.1f}/s of {pace.cap_per_s:g}/s"
            + (f"   {duration(left)} left" if left is not None else "")
        )
        if pace.why_slow:
            speed.append(legible(f"\nPace {pace.pace_per_s:.1f}/s: {pace.why_slow}"), style="yellow")
        return Group(grid, where, speed)
