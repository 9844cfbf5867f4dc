"""What the progress display shows of a run, of tasks and of a fetch: values in, :class:`View` out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batcher.cli.terminal.progress import View
from batcher.flowcontrol.rate_meter import CurrentRate
from batcher.model.submission import State
from batcher.model.task import PictureState
from batcher.report.counts import Counts, TaskFigures
from batcher.report.formatting import count, duration, sentence, size

if TYPE_CHECKING:
    from batcher.model.events import FetchProgress
    from batcher.track.tracker import PollPace

_STYLES = {
    State.SUBMITTED: "",
    State.REJECTED: "bold red",
    State.FAILED: "bold red",
    State.IN_DOUBT: "bold magenta",
}
"""The states of submissions that a display shows, each with its style when there are any."""


def run_view(now: Counts, pace: CurrentRate, ended_before: int) -> View:
    """The progress of a run.

    Args:
        now: all submissions of the ledger.
        pace: of the run.
        ended_before: how many had ended when the run began.
    """
    left_s = seconds_left(now, pace, ended_before)
    states = [(f"{now.by_state[state]:,} {state.value.replace('_', ' ')}", state) for state in _STYLES]
    slow = _slow(pace) if pace.why_slow else ""
    text = ", ".join([f"{now.ended:,} of {now.total:,}", *(said for said, _ in states)])
    text += f", {pace.now_per_s:.1f}/s" + (f", {duration(left_s)} left" if left_s else "")
    styled = [(said, _STYLES[state] if now.by_state[state] else "") for said, state in states]
    speed = f"{pace.now_per_s:.1f}/s of {pace.cap_per_s:g}/s"
    speed += "" if left_s is None else f"   {duration(left_s)} left"
    known = {
        "total": now.total,
        "ended": now.ended,
        **{state.value: n for state, n in now.by_state.items()},
        "sent": pace.sent,
        "now_per_s": round(pace.now_per_s, 2),
        "pace_per_s": round(pace.pace_per_s, 2),
        "why_slow": pace.why_slow,
        "seconds_left": None if left_s is None else round(left_s),
    }
    between = [piece for one in styled for piece in (("  ", ""), one)][1:]
    lines = (tuple(between), ((speed, ""),), ((sentence(slow), "bold"),) if slow else ())
    return View(now.ended, now.total, text + (f"; {slow}" if slow else ""), known, lines)


def seconds_left(now: Counts, pace: CurrentRate, ended_before: int) -> float | None:
    """How long the rest takes at the rate of this run alone; None while that is not known."""
    ended = now.ended - ended_before
    if ended <= 0 or pace.seconds < 1:
        return None
    return now.open / (ended / pace.seconds)


def _slow(pace: CurrentRate) -> str:
    """Why the run is slow; while nothing is sent there is no pace to name."""
    if pace.waiting:
        return f"nothing is sent: {pace.why_slow}"
    return f"pace held at {pace.pace_per_s:.1f}/s: {pace.why_slow}"


def tasks_view(now: TaskFigures, pace: PollPace) -> View:
    """The progress of tracking: how many tasks have ended, and how fast they are polled."""
    states = [f"{n:,} {state.value}" for state, n in now.by_state.items()]
    polls = f"{pace.now_per_s:.1f} polls/s"
    text = f"tasks: {now.ended:,} of {now.total:,} have ended, {', '.join(states)}, {polls}"
    known = {
        "tasks": {state.value: n for state, n in now.by_state.items()},
        "polls": pace.polls,
        "now_per_s": round(pace.now_per_s, 2),
        "pace_per_s": round(pace.pace_per_s, 2),
        "why_slow": pace.why_slow,
    }
    lines = (
        (("tasks:  " + "  ".join(states), ""),),
        ((f"{polls} of {pace.cap_per_s:g}/s", ""),),
        ((sentence(pace.why_slow), "bold"),) if pace.why_slow else (),
    )
    return View(now.ended, now.total, text + (f"; {pace.why_slow}" if pace.why_slow else ""), known, lines)


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
