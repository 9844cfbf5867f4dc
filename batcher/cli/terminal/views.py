"""Views of a run, of tasks and of a fetch for the progress display: values in, :class:`View` out.

Called by the commands ``run``, ``track`` and ``fetch``.
"""

from __future__ import annotations

from batcher.cli.terminal.console import Console
from batcher.cli.terminal.progress import Display, View
from batcher.model.events import Event, FetchProgress, OnEvent, Progress, TrackingProgress
from batcher.model.submission import State
from batcher.model.task import PictureState
from batcher.report.formatting import count, duration, sentence, size

_STYLES = {
    State.SUBMITTED: "",
    State.REJECTED: "bold red",
    State.FAILED: "bold red",
    State.IN_DOUBT: "bold magenta",
}
"""The states of submissions that a display shows, each with its style when there are any."""


def reporting(console: Console, display: Display) -> OnEvent:
    """Write the events of a flow to the console, and show its progress on the display."""

    def on_event(event: Event) -> None:
        console.on_event(event)
        match event:
            case Progress():
                display.show(run_view(event))
            case TrackingProgress(sending=False):
                display.show(tasks_view(event))
            case FetchProgress():
                display.show(fetch_view(event))

    return on_event


def run_view(now: Progress) -> View:
    """The progress of a run."""
    states = [(f"{now.states[state]:,} {state.value.replace('_', ' ')}", state) for state in _STYLES]
    slow = _slow(now) if now.why_slow else ""
    text = ", ".join([f"{now.ended:,} of {now.total:,}", *(said for said, _ in states)])
    text += f", {now.now_per_s:.1f}/s" + (f", {duration(now.seconds_left)} left" if now.seconds_left else "")
    styled = [(said, _STYLES[state] if now.states[state] else "") for said, state in states]
    speed = f"{now.now_per_s:.1f}/s of {now.cap_per_s:g}/s"
    speed += "" if now.seconds_left is None else f"   {duration(now.seconds_left)} left"
    known = {
        "total": now.total,
        "ended": now.ended,
        **{state.value: n for state, n in now.states.items()},
        "sent": now.sent,
        "now_per_s": round(now.now_per_s, 2),
        "pace_per_s": round(now.pace_per_s, 2),
        "why_slow": now.why_slow,
        "seconds_left": None if now.seconds_left is None else round(now.seconds_left),
    }
    between = [piece for one in styled for piece in (("  ", ""), one)][1:]
    lines = (tuple(between), ((speed, ""),), ((sentence(slow), "bold"),) if slow else ())
    return View(now.ended, now.total, text + (f"; {slow}" if slow else ""), known, lines)


def _slow(now: Progress) -> str:
    """Why the run is slow; while nothing is sent there is no pace to name."""
    if now.paused:
        return f"nothing is sent: {now.why_slow}"
    return f"pace held at {now.pace_per_s:.1f}/s: {now.why_slow}"


def tasks_view(now: TrackingProgress) -> View:
    """The progress of tracking: how many tasks have ended, and how fast they are polled."""
    states = [f"{n:,} {state.value}" for state, n in now.states.items()]
    polls = f"{now.now_per_s:.1f} polls/s"
    text = f"{now.words}, {', '.join(states)}, {polls}"
    known = {
        "tasks": {state.value: n for state, n in now.states.items()},
        "polls": now.polls,
        "now_per_s": round(now.now_per_s, 2),
        "pace_per_s": round(now.pace_per_s, 2),
        "why_slow": now.why_slow,
    }
    lines = (
        (("tasks:  " + "  ".join(states), ""),),
        ((f"{polls} of {now.cap_per_s:g}/s", ""),),
        ((sentence(now.why_slow), "bold"),) if now.why_slow else (),
    )
    return View(now.ended, now.total, text + (f"; {now.why_slow}" if now.why_slow else ""), known, lines)


def fetch_view(progress: FetchProgress) -> View:
    """The progress of a fetch."""
    total = max(progress.total, progress.ended)
    per_s = progress.ended / progress.seconds if progress.seconds > 0 else 0.0
    left_s = (total - progress.ended) / per_s if per_s else None
    by_state = progress.by_state
    parts = [f"{progress.ended:,} of {count(total, 'picture')}", size(progress.n_bytes)]
    parts += [f"{by_state[state]:,} {state.value}" for state in PictureState if by_state.get(state)]
    parts += [f"{per_s:.1f}/s"] + ([f"{duration(left_s)} left"] if left_s else [])
    text = ", ".join(parts)
    known = {
        "total": total,
        "ended": progress.ended,
        **{state.value: by_state.get(state, 0) for state in PictureState},
        "bytes": progress.n_bytes,
        "now_per_s": round(per_s, 2),
        "seconds_left": None if left_s is None else round(left_s),
    }
    return View(progress.ended, total, text, known, (((text, ""),),))
