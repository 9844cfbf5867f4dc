"""``batcher status``: counts, codes, loads and the time left, for people and programs."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.cli.terminal.console import Console
from batcher.config.settings import Settings
from batcher.ledger import ledger_path, open_for_reading
from batcher.model.records import LoadRecord, Run
from batcher.model.submission import State
from batcher.report.counts import Counts, figures, task_figures
from batcher.report.formatting import PLACES, count, duration, moment, one_line, paragraph, sentence
from batcher.report.manifest_changes import changes_text
from batcher.report.summary import FIRST_IN_DOUBT, in_doubt_lines
from batcher.zego.codes import meaning


@command("status")
async def status(
    call: Invocation,
    json: o.Json = False,
) -> int:
    """Say how many submissions stand where, what came back, and how long the rest will take.

    Works while a run is going on.

    Exit codes: 0; 2 settings; 6 there is no ledger, or it cannot be read.

    Example:  batcher status --json
    """
    return await say_status(call.settings, call.console, as_json=json)


LAST_LOADS = 10


async def say_status(settings: Settings, console: Console, *, as_json: bool) -> int:
    """Print where everything stands."""
    async with await open_for_reading(ledger_path(settings.ledger)) as ledger:
        bound = await ledger.bound_to()
        now = figures(await ledger.tallies())
        tasks = task_figures(await ledger.tallies_of_tasks(), now.by_state[State.SUBMITTED])
        n_loads, last_run = await ledger.newest_load(), await ledger.last_run()
        loads = await ledger.loads(after_id=0 if as_json else n_loads - LAST_LOADS)
        invalid, doubtful = await ledger.count_invalid_rows(), await ledger.count_doubtful()
        twice = await ledger.count_possibly_twice()
        in_doubt = await ledger.records_in_doubt(FIRST_IN_DOUBT)
    if as_json:
        value = {
            "ledger": str(ledger.path),
            "app_id": bound[0] if bound else None,
            "submissions": {
                "total": now.total,
                **{state.value: n for state, n in now.by_state.items()},
            },
            "tasks": {state.value: n for state, n in tasks.by_state.items()},
            "doubtful": doubtful,
            "possibly_twice": twice,
            "invalid_rows": invalid,
            "codes": {str(code): n for code, n in now.codes.items()},
            "loads": [_load_json(load) for load in loads],
            "last_run": _run_json(last_run),
            "seconds_left": round(now.open / settings.rate, 1),
        }
        console.data(json.dumps(value, ensure_ascii=False))
        return 0
    width = console.width
    to = f"AppId {bound[0]} and {PLACES[bound[1]]}" if bound else "no run yet"
    _out(f"{ledger.path}   {to}", "")
    _out(*_states_lines(now))
    if doubtful:
        _out(f"  {'answers lost':<14}{doubtful:>10,}   of the pending; may have been accepted already")
    if twice:
        of = "of the submitted; an earlier attempt may have been accepted as well"
        _out(f"  {'possibly twice':<14}{twice:>10,}   {of}")
    if invalid:
        _out(f"  {'invalid rows':<14}{invalid:>10,}   never sent")
    if tasks.followed:
        _out("", "Tasks of what was submitted")
        _out(*(f"  {state.value:<14}{n:>10,}" for state, n in tasks.by_state.items()))
    _out_wrapped(_codes_lines(now, width))
    if in_doubt:
        _out("", "In doubt, the first of them")
        for state in (State.IN_DOUBT, State.PENDING):
            _out_wrapped(in_doubt_lines(in_doubt, state, width))
    earlier = f", the last {LAST_LOADS} of {n_loads:,}" if n_loads > LAST_LOADS else ""
    _out("", f"Loads{earlier}" if loads else "Nothing loaded yet")
    for load in loads:
        _out_wrapped([paragraph(_minute(load.started_at) + " ", _load_text(load), width=width)])
    if last_run is not None:
        _out("", "Last run")
        _out_wrapped([paragraph("", sentence(_run_text(last_run)), width=width)])
    if now.open:
        rest = duration(now.open / settings.rate)
        _out("", f"{count(now.open, 'submission')} to send: about {rest} at {settings.rate:g} a second")
    return 0


def _out(*lines: str) -> None:
    for line in lines:
        print(one_line(line))  # noqa: T201 - for people, on stdout; a closed pipe ends the command


def _out_wrapped(paragraphs: list[str]) -> None:
    for one in paragraphs:
        _out(*one.split("\n"))


def _states_lines(now: Counts) -> list[str]:
    rows = [(state.value.replace("_", " "), n) for state, n in now.by_state.items()]
    return [f"  {label:<14}{n:>10,}" for label, n in [*rows, ("total", now.total)]]


def _codes_lines(now: Counts, width: int) -> list[str]:
    heading = ["", "Codes that came back"] if now.codes else []
    return heading + [
        paragraph(f"code {code}", f"{n:,} × {meaning(code).text}", width=width, label_width=15)
        for code, n in now.codes.items()
    ]


def _load_text(load: LoadRecord) -> str:
    if load.unfinished:
        how = "unfinished: " + (load.error or "run it again to read the rest")
    elif load.ended_at is None:
        how = "was read to its end later"
    else:
        how = "read to its end"
    return f"{load.source}: {load.new:,} new, {load.duplicates:,} known, {load.invalid:,} invalid; {how}" + (
        f"; changed: {changes_text(load)}" if load.differs else ""
    )


def _run_text(run: Run) -> str:
    began = f"began {_minute(run.started_at)} on {run.host}"
    slow = f"; pace {run.pace_per_s:.1f}/s, since {run.why_slow}" if run.why_slow else ""
    if run.ended_at is None:
        return f"{began} (process {run.pid}), has not ended: it is going on, or was killed{slow}"
    return f"{began}, ended {_minute(run.ended_at)} with exit code {run.exit_code}: {run.reason}{slow}"


def _minute(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def _load_json(load: LoadRecord) -> dict[str, Any]:
    return {
        "source": load.source,
        "started_at": moment(load.started_at),
        "ended_at": moment(load.ended_at) or None,
        "rows": load.rows,
        "new": load.new,
        "duplicates": load.duplicates,
        "invalid": load.invalid,
        "finished": load.ended_at is not None,
        "unfinished": load.unfinished,
        "error": load.error,
        "compared_with": moment(load.since) or None,
        "rows_new": load.appeared,
        "rows_gone": load.gone,
        "rows_changed": load.changed,
    }


def _run_json(run: Run | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "id": run.id,
        "started_at": moment(run.started_at),
        "ended_at": moment(run.ended_at) or None,
        "exit_code": run.exit_code,
        "reason": run.reason,
        "pid": run.pid,
        "host": run.host,
        "version": run.version,
        "rate_per_s": run.rate_per_s,
        "pace_per_s": run.pace_per_s,
        "why_slow": run.why_slow,
    }
