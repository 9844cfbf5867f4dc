"""The progress reporter: events and recorded pace, on virtual time."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from support.virtual_time import run_virtually

from batcher.errors import LedgerError
from batcher.flowcontrol.rate_meter import CurrentRate
from batcher.ledger.run_ledger import RunLedger
from batcher.model.events import Event, PaceChanged, Progress
from batcher.model.records import Tally
from batcher.model.submission import RunId, State
from batcher.submit.progress_reporter import ProgressReporter, seconds_left


class Counting:
    """A ledger in memory, as far as progress needs one."""

    def __init__(self) -> None:
        self.submitted, self.pending = 100, 50
        self.noted: list[tuple[float, str | None]] = []
        self.fault: LedgerError | None = None

    async def tallies(self) -> list[Tally]:
        """The tallies of submitted and open submissions."""
        if self.fault is not None:
            raise self.fault
        return [
            Tally(State.SUBMITTED, 0, RunId(1), self.submitted),
            Tally(State.PENDING, None, None, self.pending),
        ]

    async def note_pace(self, run_id: RunId, pace_per_s: float, why_slow: str | None) -> None:
        """Keep the pace."""
        del run_id
        if self.fault is not None:
            raise self.fault
        self.noted.append((pace_per_s, why_slow))


class Scene:
    """A reporter on a ledger in memory, and what it emits."""

    def __init__(self) -> None:
        self.ledger = Counting()
        self.rate = CurrentRate(20.0, 19.8, 20.0, None, 10, 5.0)
        self.events: list[Event] = []
        self.reporter = ProgressReporter(
            cast("RunLedger", self.ledger), RunId(1), lambda: self.rate, 20.0, 90, self.events.append
        )

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


def test_progress_is_emitted_once_a_second_and_at_the_end() -> None:
    """After 10.5 seconds there are eleven reports."""
    scene = Scene()

    async def scenario() -> None:
        async with scene.reporter.reporting():
            await asyncio.sleep(10.5)
            scene.ledger.submitted, scene.ledger.pending = 150, 0

    run_virtually(scenario())
    reports = scene.of(Progress)
    assert len(reports) == 11
    assert reports[0] == Progress(
        total=150,
        states={**dict.fromkeys(State, 0), State.SUBMITTED: 100, State.PENDING: 50},
        sent=10,
        now_per_s=20.0,
        pace_per_s=19.8,
        cap_per_s=20.0,
        why_slow=None,
        seconds=5.0,
        seconds_left=25.0,
        paused=False,
    )
    assert (reports[0].ended, reports[0].words) == (100, "100 of 150")
    assert (reports[-1].ended, reports[-1].seconds_left) == (150, 0.0)


def test_run_that_ends_within_a_second_reports_once() -> None:
    """Every run has a report at its end."""
    scene = Scene()

    async def scenario() -> None:
        async with scene.reporter.reporting():
            await asyncio.sleep(0)

    run_virtually(scenario())
    assert len(scene.of(Progress)) == 1


def test_pace_is_recorded_when_it_has_changed() -> None:
    """At most every five seconds, and with the reason why it is below the cap."""
    scene = Scene()

    async def scenario() -> None:
        async with scene.reporter.reporting():
            await asyncio.sleep(7)
            scene.rate = CurrentRate(20.0, 9.876, 20.0, "code 6", 10, 5.0)
            await asyncio.sleep(20)

    run_virtually(scenario())
    assert scene.ledger.noted == [(19.8, None), (9.88, "code 6")]
    assert scene.of(PaceChanged) == [PaceChanged(19.8, 20.0, None), PaceChanged(9.88, 20.0, "code 6")]


def test_ledger_that_cannot_be_read_leaves_reports_out() -> None:
    """The run is not disturbed, and reports resume once the ledger can be read."""
    scene = Scene()

    async def scenario() -> None:
        async with scene.reporter.reporting():
            scene.ledger.fault = LedgerError("locked")
            await asyncio.sleep(5.5)
            scene.ledger.fault = None

    run_virtually(scenario())
    assert len(scene.of(Progress)) == 1


@pytest.mark.parametrize(
    ("left", "ended", "seconds", "expected"),
    [
        (100, 50, 10.0, 20.0),
        (0, 50, 10.0, 0.0),
        (100, 0, 10.0, None),
        (100, 50, 0.5, None),
        (100, -3, 9.0, None),
    ],
)
def test_time_left_is_estimated_from_this_run_alone(
    left: int, ended: int, seconds: float, expected: float | None
) -> None:
    """Unknown until a submission has ended and a second has passed."""
    assert seconds_left(left, ended, seconds) == expected
