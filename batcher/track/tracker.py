"""The tracker: asks what has become of tasks, first soon and then ever less often, until all have ended.

Stands between the ledger, which knows the tasks and when each is due, and the service. A poll starts nothing
and costs nothing, so one that fails is made again, and whatever ends the tracker leaves nothing to repair:
the due times are in the ledger. It has a pacer of its own, sends polls alone, and works beside a run.

Due times are written and compared by one clock that counts the time for which the machine slept and never
goes back, so that neither a suspend nor a wall clock that is set back stops the polls. Everything else in the
ledger is wall time.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from batcher.errors import LedgerError
from batcher.exit_codes import TIME_OVER, ExitCode, defect
from batcher.flowcontrol.deadline import Deadline, ElapsedTime
from batcher.flowcontrol.outage import Guard, MayLeave
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.rate_meter import RateMeter
from batcher.ledger.tasks import Followed
from batcher.model.events import OnEvent, ignore_event
from batcher.model.outcome import HELD_BACK, NotReported, NotSent, Outage
from batcher.model.submission import SubmissionId, TaskId, Vendor
from batcher.model.task import TaskReport
from batcher.track.poll_policy import (
    BELIEVED_AFTER_S,
    GIVE_UP_S,
    LONGEST_WAIT_S,
    NO_TASK,
    SPREAD,
    Missed,
    is_miss,
    judge,
)
from batcher.track.poll_queue import Agenda, Book
from batcher.zego.client import Wire

CUT_OFF_S = 2.0
"""How long polls under way may take once the tracker is told to stop; what is dropped is asked again."""

NO_SUCH_TASK = TaskId("0")
"""Asked about by a probe while no task is known that the service reports."""


class PollClient(Protocol):
    """What is asked of the client."""

    async def describe(
        self, task_id: TaskId, vendor: Vendor, on_wire: Wire | None = None
    ) -> TaskReport | NotReported:
        """Ask what has become of one task: one request."""


@dataclass(frozen=True, slots=True)
class TrackSettings:
    """How tasks are followed."""

    rate_per_s: float = 20.0
    concurrency: int = 64
    give_up_s: float = GIVE_UP_S
    lasts_s: float | None = None
    """How long, from the moment at which nothing more is sent; None without end."""
    follow: bool = False
    """Go on when all tasks have ended: there may be more."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """How following tasks has ended."""

    exit: ExitCode
    """DONE when all tasks have ended: what has become of them is in the ledger."""
    reason: str
    polls: int
    """Requests that may have left."""
    seconds: float
    outage: Outage | None = None
    """The endpoint did not answer when it ended."""


@dataclass(frozen=True, slots=True)
class PollPace:
    """How fast polls are made at this moment."""

    now_per_s: float
    pace_per_s: float
    cap_per_s: float
    why_slow: str | None
    polls: int
    seconds: float


# -- the tracker ---------------------------------------------------------------------------------------


class Tracker:
    """Follows the tasks of a ledger.

    Args:
        book: the ledger, opened beside a run; stays open.
        client: the service; stays open.
        settings: how tasks are followed.
        pacer: gives turns to polls; one at the settings' rate when not given.
        sending: a run goes on in this process: there will be more tasks until :meth:`sending_ended`.
        window: when it ends at the latest.
        on_event: told of outages.
        polled: called with what came back for every poll, for whoever counts.
        clock: monotonic seconds.
        wall: Unix seconds, the clock by which the ledger's times were written.
    """

    def __init__(
        self,
        book: Book,
        client: PollClient,
        settings: TrackSettings,
        *,
        pacer: Pacer | None = None,
        sending: bool = False,
        window: Deadline | None = None,
        on_event: OnEvent = ignore_event,
        polled: Callable[[TaskReport | NotReported], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._book = book
        self._client = client
        self._settings = settings
        self._window = window
        self._on_event = on_event
        self._polled = polled
        self._clock = clock
        self._rng = rng or random.Random()
        self._pacer = pacer or Pacer(settings.rate_per_s, clock)
        self._wall = wall
        self._began_wall_s, self._elapsed_s = wall(), ElapsedTime(clock, wall)
        self._sending = sending
        self._agenda = Agenda(book, self._now_ms, lambda: not (self._sending or settings.follow))
        self._missed: dict[SubmissionId, Missed] = {}
        self._reports = 0
        self._reported_at_ms = -math.inf
        self._known_task: tuple[TaskId, Vendor] | None = None
        self._guard = Guard(
            self._pacer,
            halt=lambda why: self._stop(ExitCode.HALTED, why),
            on_event=on_event,
            silence="the endpoint does not answer polls",
            clock=clock,
        )
        self._stopped: tuple[ExitCode, str] | None = None
        self._polls = RateMeter(clock)
        self._workers: list[asyncio.Task[None]] = []
        self._timers: list[asyncio.Task[None]] = []
        self._cutting_off: asyncio.TimerHandle | None = None

    async def run(self) -> Tracked:
        """Ask about every task until it has ended, or for as long as is wanted."""
        self._polls.start()
        try:
            await self._take_up()
            if self._window is not None:
                self._end_with(self._window, TIME_OVER)
            if not self._sending:
                self._begin_last_part()
            async with asyncio.TaskGroup() as group:
                self._workers = [
                    group.create_task(self._guarded(self._work()), name=f"poller-{n}")
                    for n in range(self._settings.concurrency)
                ]
                if self._agenda.closed:  # it was stopped before it began
                    self._cut_off()
        except LedgerError as exc:
            self._stop(ExitCode.LEDGER, str(exc))
        finally:
            for timer in self._timers:
                timer.cancel()
            if self._cutting_off is not None:
                self._cutting_off.cancel()
        code, reason = self._stopped or (ExitCode.DONE, "all tasks have ended")
        outage = None if self._agenda.emptied else self._guard.outage
        return Tracked(code, reason, self._polls.count, self._polls.seconds, outage)

    def stop(self, code: ExitCode, why: str) -> None:
        """Ask no more; what is under way has a moment to end. A second time: at once."""
        if self._stopped is not None:
            self._cut_off()
        self._stop(code, why)

    def sending_ended(self) -> None:
        """Nothing more is submitted: from now on all tasks can have ended."""
        if self._sending:
            self._sending = False
            self._begin_last_part()
            self._agenda.look()

    @property
    def pace(self) -> PollPace:
        """How fast polls are made at this moment."""
        polls, cap = self._polls, self._settings.rate_per_s
        return PollPace(polls.per_s, self._pacer.pace_per_s, cap, self._why_slow, polls.count, polls.seconds)

    # -- its parts -------------------------------------------------------------------------------

    async def _take_up(self) -> None:
        """Begin to follow tasks; a stop cuts off the waiting for a locked ledger."""
        taking = asyncio.ensure_future(self._book.take_up(int(LONGEST_WAIT_S * (1 + SPREAD) * 1000)))
        self._workers = [taking]
        await asyncio.wait([taking])
        if not taking.cancelled():
            taking.result()

    def _begin_last_part(self) -> None:
        if self._settings.lasts_s is not None:
            window = Deadline(self._settings.lasts_s, clock=self._clock, wall=self._wall)
            self._end_with(window, TIME_OVER)

    def _end_with(self, window: Deadline, why: str) -> None:
        async def end() -> None:
            await window.over()
            self._stop(ExitCode.WORK_LEFT, why)

        self._timers.append(asyncio.create_task(end(), name="tracking-window"))

    def _stop(self, code: ExitCode, why: str) -> None:
        if self._stopped is not None:
            return
        self._stopped = code, why
        self._agenda.close()
        self._pacer.stop()
        self._cutting_off = asyncio.get_running_loop().call_later(CUT_OFF_S, self._cut_off)

    def _cut_off(self) -> None:
        for worker in self._workers:
            worker.cancel()

    def _now_ms(self) -> int:
        """Unix milliseconds by which due times are written and compared."""
        return int((self._began_wall_s + self._elapsed_s()) * 1000)

    def _jitter(self, most: float) -> float:
        return self._rng.uniform(0.0, most)

    @property
    def _why_slow(self) -> str | None:
        if self._guard.waiting_for:
            return self._guard.waiting_for
        return self._pacer.why_slow

    async def _guarded(self, work: Awaitable[None]) -> None:
        """Let one worker's fault stop the tracker in order, and not what else goes on in this process."""
        try:
            await work
        except LedgerError as exc:
            self._stop(ExitCode.LEDGER, str(exc))
        except Exception as exc:
            self._stop(ExitCode.DEFECT, defect(exc))

    async def _work(self) -> None:
        """Ask about one due task after the other, until there are none."""
        while True:
            async with self._pacer.line():
                task = await self._agenda.next()
                turn = await self._pacer.turn() if task is not None else None
            if task is None:
                return
            try:
                if turn is None:  # turns were held back: it stays due
                    continue
                on_wire = Wire(partial(self._pacer.leave, turn))
                asked_at = self._clock()
                outcome = await self._client.describe(task.task_id, task.vendor, on_wire)
                await self._take_in(task, outcome, self._clock() - asked_at)
            finally:
                self._agenda.done(task)

    async def _take_in(self, task: Followed, outcome: TaskReport | NotReported, waited_s: float) -> None:
        """Judge and record what came back, then let it count for the tracker as a whole."""
        if outcome is HELD_BACK:
            return
        self._count(outcome)
        if is_miss(outcome):
            missed = self._note_miss(task)
        elif isinstance(outcome, TaskReport):
            self._missed.pop(task.id, None)
            missed = Missed(0, 0)
            self._reports, self._reported_at_ms = self._reports + 1, self._now_ms()
            self._known_task = task.task_id, task.vendor
        else:
            missed = self._note_refusal(task)
        wall_ms = int(self._wall() * 1000)
        polled = judge(
            outcome,
            task,
            now_ms=wall_ms,
            give_up_s=self._settings.give_up_s,
            missed=missed,
            reports=self._reports,
            jitter=self._jitter,
        )
        if polled.due_at_ms is None:
            self._missed.pop(task.id, None)
        else:
            polled = polled._replace(due_at_ms=polled.due_at_ms + self._now_ms() - wall_ms)
        await self._book.note(polled)
        await self._guard.observe(
            outcome,
            partial(self._probe, task.vendor),
            about=task.id,
            name=f"task {task.task_id}",
            waited_s=waited_s,
            of_row=missed.refused > 1,
        )

    def _count(self, outcome: TaskReport | NotReported) -> None:
        if not isinstance(outcome, NotSent):
            self._polls.add()
        if self._polled is not None:
            self._polled(outcome)

    async def _probe(self, vendor: Vendor, may_leave: MayLeave) -> TaskReport | NotReported:
        """Ask about a task that was reported before, so that the answer does not concern a refused one."""
        task_id, vendor = self._known_task or (NO_SUCH_TASK, vendor)
        outcome = await self._client.describe(task_id, vendor, Wire(may_leave))
        self._count(outcome)
        return outcome

    def _note_miss(self, task: Followed) -> Missed:
        """Count in a row; what an earlier tracker was told counts once."""
        before = self._missed.get(task.id) or Missed(0, 0)
        if not before.times:
            said = (task.status or "").startswith((NO_TASK, "code ", "HTTP "))
            lately = self._now_ms() - self._reported_at_ms < BELIEVED_AFTER_S * 1000
            before = before._replace(times=int(said), reports_before=self._reports - lately)
        missed = self._missed[task.id] = before._replace(times=before.times + 1)
        return missed

    def _note_refusal(self, task: Followed) -> Missed:
        before = self._missed.get(task.id) or Missed(0, 0)
        alone = self._guard.answers > before.answers_before
        missed = self._missed[task.id] = before._replace(
            refused=before.refused + alone, answers_before=self._guard.answers, in_a_row=before.in_a_row + 1
        )
        return missed
