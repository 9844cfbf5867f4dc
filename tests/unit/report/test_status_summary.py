"""The state of a ledger as text and as JSON."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batcher.model.records import RunningCommand, RunRecord, Tally
from batcher.model.submission import RunId, State
from batcher.report.counts import figures, task_figures
from batcher.report.formatting import columns
from batcher.report.status_summary import LedgerStatus, status_json, status_lines

AT = datetime(2026, 11, 30, 2, 0, tzinfo=UTC)
RUN = RunRecord(RunId(3), AT, None, None, 4711, "worker-1", "1", 20.0, None, 19.8, None, None)
WAITS = "waiting for the service since 02:13 (Connection refused)"
HERE = RunningCommand("batcher run", 4711, "worker-1", AT)
LOADING = RunningCommand("batcher load", 4712, "worker-1", AT)
TALLIES = [
    Tally(State.PENDING, None, RUN.id, 300),
    Tally(State.SUBMITTED, None, RUN.id, 120),
    Tally(State.IN_DOUBT, None, RUN.id, 4),
]
STATUS = LedgerStatus(
    ledger=Path("/a/batcher.db"),
    bound=None,
    counts=figures(TALLIES),
    tasks=task_figures([], 120),
    doubtful=3,
    possibly_twice=2,
    invalid_rows=1,
    in_doubt=(),
    loads=(),
    loads_total=0,
    last_run=RUN,
    meanings={},
)


def text_of(status: LedgerStatus, width: int = 200) -> str:
    """The state at 20 requests a second."""
    return "\n".join(status_lines(status, 20.0, width))


def test_states_add_up_and_parts_of_them_are_named_as_parts() -> None:
    """Lost answers are part of the pending; in doubt is a state, with its command."""
    lines = [line.strip() for line in text_of(STATUS).splitlines()]
    begin = lines.index("pending              300")
    assert lines[begin : begin + 10] == [
        "pending              300",
        "answers lost           3   of the pending; may have been accepted, and are sent again "
        "after all others",
        "sending                0",
        "submitted            120",
        "possibly twice         2   of the submitted; an earlier attempt may have been accepted as well",
        "rejected               0",
        "failed                 0",
        "in doubt               4   may have been accepted; sent again only by "
        "`batcher retry --state in_doubt`",
        "total                424",
        "invalid rows           1   of manifests, never sent; not in the total",
    ]


@pytest.mark.parametrize("width", [60, 80])
def test_text_fits_the_terminal(width: int) -> None:
    """Notes are wrapped under themselves; commands alone may be wider."""
    status = replace(STATUS, running=HERE, last_run=replace(RUN, why_slow=WAITS))
    lines = text_of(status, width).splitlines()
    assert [line for line in lines if columns(line) > width and "batcher " not in line] == []


@pytest.mark.parametrize(
    ("running", "why_slow", "head", "run", "left"),
    [
        (
            HERE,
            None,
            "Running now (process 4711 on worker-1, since ",
            "is still running.",
            "about 15 s at 20",
        ),
        (
            HERE,
            WAITS,
            "): batcher run\n",
            f"is still running; it is {WAITS}.",
            f"300 submissions to send: {WAITS}",
        ),
        (HERE, "code 6", "): batcher run\n", "is still running; pace 19.8/s, since code 6.", "about 15 s"),
        (None, None, "no run yet\n\n", "was killed: nothing holds the ledger now.", "about 15 s"),
        (
            None,
            WAITS,
            "no run yet\n\n",
            f"holds the ledger now; it was {WAITS}.",
            "about 15 s at 20 a second",
        ),
        (
            LOADING,
            None,
            "): batcher load\n",
            "has not ended: it is still running, or was killed.",
            "about 15 s",
        ),
        (
            RunningCommand(),
            None,
            "its process is unknown\n",
            "it is still running, or was killed.",
            "about 15 s",
        ),
    ],
)
def test_running_command_is_named_and_an_outage_has_no_time_left(
    running: RunningCommand | None, why_slow: str | None, head: str, run: str, left: str
) -> None:
    """The lock tells a run that goes on from one that was killed."""
    text = text_of(replace(STATUS, running=running, last_run=replace(RUN, why_slow=why_slow)))
    assert head in text
    assert run in text
    assert left in text


def test_json_has_the_running_command() -> None:
    """It is null when nothing runs."""
    assert status_json(STATUS, 20.0)["running"] is None
    assert status_json(replace(STATUS, running=HERE), 20.0)["running"] == {
        "command": "batcher run",
        "pid": 4711,
        "host": "worker-1",
        "since": "2026-11-30T02:00:00.000Z",
    }
