"""The tracker: polls each task, first soon and then less and less often, until all have ended.

Built by ``api/track.py`` (``track``, ``run --track``) and ``api/listen.py``. The due
time of each task is in the ledger, so a tracker that is stopped or killed leaves nothing to repair. A poll
costs nothing and starts nothing, so a failed one is repeated. The tracker has a pacer of its own, and sends
polls only.

Due times are written and compared by one clock that counts the time for which the machine slept and never
runs backwards: neither a suspend nor a wall clock that is set back stops the polls. All other times in the
ledger are wall time. Keep the two apart.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, Protocol

from batcher.errors import LedgerError
from batcher.exit_codes import TIME_OVER, ExitCode, defect
from batcher.flowcontrol.deadline import Deadline, ElapsedTime
from batcher.flowcontrol.outage import Guard, MayLeave
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.rate_meter import CurrentRate, RateMeter
from batcher.ledger.tasks import Followed
from batcher.model.events import OnEvent, ignore_event
from batcher.model.outcome import HELD_BACK, NotReported, NotSent
from batcher.model.submission import TaskId, Vendor
from batcher.model.task import TaskReport
from batcher.track.poll_history import PollHistory
from batcher.track.poll_policy import LONGEST_WAIT_S, SPREAD, judge
from batcher.track.poll_queue import PollLedger, PollQueue
from batcher.track.settings import Tracked, TrackSettings
from batcher.zego.client import Wire

CUT_OFF_S = 2.0
"""Seconds that polls in flight may take once the tracker is stopped; a dropped poll is repeated later."""

NO_SUCH_TASK = TaskId("0")
"""The task that a probe names while no reported task is known."""


class _TrackingStop(NamedTuple):
    """Why a tracker ends."""

    code: ExitCode
    reason: str


class PollClient(Protocol):
    """The client, as far as the tracker uses it."""

    async def describe(
        self, task_id: TaskId, vendor: Vendor, on_wire: Wire | None = None
    ) -> TaskReport | NotReported:
        """Poll one task: one request."""


class Tracker:
    """Polls the tasks of a ledger.

    Args:
        ledger: opened next to a run; stays open.
        client: the service; stays open.
        settings: how tasks are polled.
        pacer: gives turns to polls; one at the settings' rate when not given.
        sending: a run in this process submits more tasks until :meth:`sending_ended`.
        window: when the tracker ends at the latest.
        on_event: called for outages.
        polled: called with the outcome of every poll.
        clock: monotonic seconds.
        wall: Unix seconds, the clock of all other times in the ledger.
        rng: draws how waits are spread.
    """

    def __init__(
        self,
        ledger: PollLedger,
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
        self._ledger = ledger
        self._client = client
        self._settings = settings
        self._window = window
        self._polled = polled
        self._clock = clock
        self._jitter = partial((rng or random.Random()).uniform, 0.0)
        self._pacer = pacer or Pacer(settings.rate_per_s, clock)
        self._wall = wall
        self._began_wall_s, self._elapsed_s = wall(), ElapsedTime(clock, wall)
        self._sending = sending
        self._queue = PollQueue(ledger, self._now_ms, lambda: not (self._sending or settings.follow))
        self._history = PollHistory()
        self._guard = Guard(
            self._pacer,
            halt=partial(self._stop, ExitCode.HALTED),
            on_event=on_event,
            silence="the endpoint does not answer polls",
            clock=clock,
        )
        self._stopped: _TrackingStop | None = None
        self._polls = RateMeter(clock)
        self._workers: list[asyncio.Task[None]] = []
        self._timers: list[asyncio.Task[None] | asyncio.TimerHandle] = []

    async def run(self) -> Tracked:
        """Poll every task until it has ended, or until the time limit or :meth:`stop`."""
        self._polls.start()
        try:
            await self._guarded(self._prepare_ledger())
            if self._window is not None:
                self._end_with(self._window)
            if not self._sending:
                self._start_time_limit()
            async with asyncio.TaskGroup() as group:
                self._workers = [
                    group.create_task(self._guarded(self._work()), name=f"poller-{n}")
                    for n in range(self._settings.concurrency)
                ]
                if self._queue.closed:  # stopped before it began
                    self._cut_off()
        finally:
            for timer in self._timers:
                timer.cancel()
        stop = self._stopped or _TrackingStop(ExitCode.DONE, "all tasks have ended")
        outage = None if self._queue.emptied else self._guard.outage
        return Tracked(*stop, self._polls.count, self._polls.seconds, outage)

    def stop(self, code: ExitCode, why: str) -> None:
        """Send no more polls; those in flight have a moment to end. A second call drops them."""
        if self._stopped is not None:
            self._cut_off()
        self._stop(code, why)

    def sending_ended(self) -> None:
        """Note that nothing more is submitted: the tracker ends when all tasks have ended."""
        if self._sending:
            self._sending = False
            self._start_time_limit()
            self._queue.look()

    @property
    def pace(self) -> CurrentRate:
        """The rate at which polls are sent at this moment."""
        return self._guard.current_rate(self._polls)

    # -- start and end -------------------------------------------------------------------------------

    async def _prepare_ledger(self) -> None:
        """Have the ledger follow tasks; a stop also ends the waiting for a locked ledger."""
        preparing = asyncio.ensure_future(self._ledger.take_up(int(LONGEST_WAIT_S * (1 + SPREAD) * 1000)))
        self._workers = [preparing]
        await asyncio.wait([preparing])
        if not preparing.cancelled():
            preparing.result()

    def _start_time_limit(self) -> None:
        if self._settings.lasts_s is not None:
            self._end_with(Deadline(self._settings.lasts_s, clock=self._clock, wall=self._wall))

    def _end_with(self, window: Deadline) -> None:
        async def end() -> None:
            await window.over()
            self._stop(ExitCode.WORK_LEFT, TIME_OVER)

        self._timers.append(asyncio.create_task(end(), name="tracking-window"))

    def _stop(self, code: ExitCode, why: str) -> None:
        if self._stopped is not None:
            return
        self._stopped = _TrackingStop(code, why)
        self._queue.close()
        self._pacer.stop()
        self._timers.append(asyncio.get_running_loop().call_later(CUT_OFF_S, self._cut_off))

    def _cut_off(self) -> None:
        for worker in self._workers:
            worker.cancel()

    async def _guarded(self, work: Awaitable[None]) -> None:
        """Stop the tracker in order at a fault; the rest of the process is not affected."""
        try:
            await work
        except LedgerError as exc:
            self._stop(ExitCode.LEDGER, str(exc))
        except Exception as exc:
            self._stop(ExitCode.DEFECT, defect(exc))

    # -- polling -------------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        """Unix milliseconds by which due times are written and compared."""
        return int((self._began_wall_s + self._elapsed_s()) * 1000)

    async def _work(self) -> None:
        """Poll one due task after the other, until the queue ends."""
        while True:
            async with self._pacer.line():
                task = await self._queue.next()
                turn = await self._pacer.turn() if task is not None else None
            if task is None:
                return
            try:
                if turn is None:  # turns were held back: the task stays due
                    continue
                on_wire = Wire(partial(self._pacer.leave, turn))
                sent_at = self._clock()
                outcome = await self._client.describe(task.task_id, task.vendor, on_wire)
                if outcome is not HELD_BACK:
                    await self._settle(task, outcome, self._clock() - sent_at)
            finally:
                self._queue.done(task)

    async def _settle(self, task: Followed, outcome: TaskReport | NotReported, waited_s: float) -> None:
        """Judge and record the outcome of one poll, then pass it to the guard."""
        self._count(outcome)
        missed = self._history.add(task, outcome, answers=self._guard.answers, now_ms=self._now_ms())
        wall_ms = int(self._wall() * 1000)  # judge() compares with the wall time of the submission
        polled = judge(
            outcome,
            task,
            now_ms=wall_ms,
            give_up_s=self._settings.give_up_s,
            missed=missed,
            reports=self._history.reports,
            jitter=self._jitter,
        )
        if polled.due_at_ms is None:
            self._history.forget(task)
        else:
            due_at_ms = (
                polled.due_at_ms + self._now_ms() - wall_ms
            )  # from wall time to the clock of due times
            polled = polled._replace(due_at_ms=due_at_ms)
        await self._ledger.note(polled)
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
        """Poll a task that was reported before, so that the answer does not concern a refused one."""
        task_id, vendor = self._history.known_task or (NO_SUCH_TASK, vendor)
        outcome = await self._client.describe(task_id, vendor, Wire(may_leave))
        self._count(outcome)
        return outcome
