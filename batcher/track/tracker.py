"""The tracker: asks what has become of tasks, first soon and then ever less often, until all have ended.

Stands between the ledger, which knows the tasks and when each is due, and the service. A poll starts nothing
and costs nothing, so one that fails is made again, and whatever ends the tracker leaves nothing to repair:
the due times are in the ledger. It has a pacer of its own, sends polls alone, and works beside a run.

Within, time is monotonic: the wall's clock is looked at once, so that a clock that is set neither stops the
polls nor bunches them.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from batcher.errors import LedgerError
from batcher.exit_codes import TIME_OVER, ExitCode, defect
from batcher.flowcontrol.deadline import Deadline
from batcher.flowcontrol.outage import (
    FIRST_PROBE_S,
    LONGEST_PROBE_S,
    PROBE_GROWTH,
    SILENT_CALLS,
    SUSPECT_PAUSE_S,
    halt_reason,
)
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.rate_meter import METER_S
from batcher.flowcontrol.retry_policy import CodeKind, kind_of
from batcher.ledger.tasks import Followed
from batcher.model.events import OnEvent, OutageBegan, OutageOver, SendingPaused, ignore_event
from batcher.model.outcome import HELD_BACK, Answer, HttpRefusal, NotReported, NotSent, Outage, ReplyLost
from batcher.model.submission import SubmissionId, TaskId, Vendor
from batcher.model.task import TaskReport
from batcher.submit.governor import said_by
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
        tell: told of outages.
        polled: called with what came back for every poll, for whoever counts.
        clock: monotonic seconds.
        wall: Unix seconds, looked at once.
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
        tell: OnEvent = ignore_event,
        polled: Callable[[TaskReport | NotReported], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._book = book
        self._client = client
        self._settings = settings
        self._window = window
        self._tell = tell
        self._polled = polled
        self._clock = clock
        self._rng = rng or random.Random()
        self._pacer = pacer or Pacer(settings.rate_per_s, clock)
        self._wall_ahead_s = wall() - clock()
        self._sending = sending
        self._agenda = Agenda(book, self._now_ms, lambda: not (self._sending or settings.follow))
        self._missed: dict[SubmissionId, Missed] = {}
        self._reports = 0
        self._reported_at_ms = -math.inf
        self._proven = False
        self._silent = 0
        self._probing = False
        self._waiting_for: str | None = None
        self._outage: Outage | None = None
        self._stopped: tuple[ExitCode, str] | None = None
        self._sent = 0
        self._started_at = clock()
        self._meter: deque[tuple[int, int]] = deque(maxlen=METER_S + 1)
        self._workers: list[asyncio.Task[None]] = []
        self._timers: list[asyncio.Task[None]] = []
        self._cutting_off: asyncio.TimerHandle | None = None

    async def run(self) -> Tracked:
        """Ask about every task until it has ended, or for as long as is wanted."""
        self._started_at = self._clock()
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
        seconds = self._clock() - self._started_at
        return Tracked(code, reason, self._sent, seconds, None if self._agenda.emptied else self._outage)

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
        second, seconds = int(self._clock()), self._clock() - self._started_at
        if not self._meter or self._meter[-1][0] != second:
            self._meter.append((second, self._sent))
        first_second, first_sent = self._meter[0]
        span = max(self._clock() - first_second, 1.0)
        now_per_s = (
            (self._sent - first_sent) / span if len(self._meter) > 1 else self._sent / max(seconds, 1.0)
        )
        cap = self._settings.rate_per_s
        return PollPace(now_per_s, self._pacer.pace_per_s, cap, self._why_slow, self._sent, seconds)

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
            window = Deadline(self._settings.lasts_s, clock=self._clock)
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
        return int((self._clock() + self._wall_ahead_s) * 1000)

    def _jitter(self, most: float) -> float:
        return self._rng.uniform(0.0, most)

    @property
    def _why_slow(self) -> str | None:
        if self._waiting_for:
            return self._waiting_for
        return self._pacer.why_slow

    async def _guarded(self, work: Awaitable[None]) -> None:
        """Let one worker's fault stop the tracker in order, and not what else goes on in this process."""
        try:
            await work
        except LedgerError as exc:
            self._stop(ExitCode.LEDGER, str(exc))
        except Exception as exc:
            self._stop(ExitCode.HALTED, defect(exc))

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
                outcome = await self._client.describe(task.task_id, task.vendor, on_wire)
                await self._take_in(task, outcome)
            finally:
                self._agenda.done(task)

    async def _take_in(self, task: Followed, outcome: TaskReport | NotReported) -> None:
        """Judge and record what came back, then let it count for the tracker as a whole."""
        if outcome is HELD_BACK:
            return
        if not isinstance(outcome, NotSent):
            self._sent += 1
        if self._polled is not None:
            self._polled(outcome)
        if is_miss(outcome):
            missed = self._note_miss(task)
        else:
            self._missed.pop(task.id, None)
            missed = Missed(0, 0)
            if isinstance(outcome, TaskReport):
                self._reports, self._reported_at_ms = self._reports + 1, self._now_ms()
        polled = judge(
            outcome,
            task,
            now_ms=self._now_ms(),
            give_up_s=self._settings.give_up_s,
            missed=missed,
            reports=self._reports,
            jitter=self._jitter,
        )
        if polled.due_at_ms is None:
            self._missed.pop(task.id, None)
        await self._book.note(polled)
        await self._heed(task, outcome)

    def _note_miss(self, task: Followed) -> Missed:
        """Count in a row; what an earlier tracker was told counts once."""
        before = self._missed.get(task.id)
        if before is None:
            said = (task.status or "").startswith((NO_TASK, "code ", "HTTP "))
            lately = self._now_ms() - self._reported_at_ms < BELIEVED_AFTER_S * 1000
            before = Missed(int(said), self._reports - lately)
        missed = self._missed[task.id] = before._replace(times=before.times + 1)
        return missed

    # -- what it does about the service as a whole -------------------------------------------------

    async def _heed(self, task: Followed, outcome: TaskReport | NotReported) -> None:
        if _is_silence(outcome):
            self._silent += 1
            if self._silent >= SILENT_CALLS:
                await self._sit_out(task, outcome)
            return
        self._silent, self._outage = 0, None
        self._proven = self._proven or isinstance(outcome, TaskReport)
        match outcome:
            case HttpRefusal(http_status=429 | 503):
                self._pacer.slow_down(outcome.retry_after_s, said_by(outcome))
            case Answer() if kind_of(outcome.code) is CodeKind.SLOW_DOWN:
                self._pacer.slow_down(outcome.retry_after_s)
            case Answer() if self._halts(outcome):
                self._stop(ExitCode.HALTED, halt_reason(outcome))
            case Answer() if kind_of(outcome.code) is CodeKind.CREDENTIALS:
                await self._suspect_credentials(task)

    def _halts(self, answer: Answer) -> bool:
        """Whether every further poll would fail alike."""
        kind = kind_of(answer.code)
        if kind is CodeKind.CREDENTIALS:
            return not self._proven
        return kind is CodeKind.HALT or (kind is CodeKind.CLOCK and not answer.clock_corrected)

    async def _suspect_credentials(self, task: Followed) -> None:
        """Code 7 after reports: find out by another poll whether it meant the credentials or the rate."""

        def settles(outcome: TaskReport | NotReported) -> bool:
            if isinstance(outcome, Answer) and kind_of(outcome.code) in (CodeKind.CREDENTIALS, CodeKind.HALT):
                self._stop(ExitCode.HALTED, halt_reason(outcome))
            elif isinstance(outcome, TaskReport):
                self._pacer.slow_down()
            return isinstance(outcome, TaskReport | Answer)

        doubt = SendingPaused("the service doubts our credentials; asking it again")
        await self._probe(task, settles, SUSPECT_PAUSE_S, doubt)

    async def _sit_out(self, task: Followed, met: TaskReport | NotReported) -> None:
        """Nobody answers: hold still and ask about one task, at growing intervals, until somebody does."""
        began, since = self._clock(), self._outage.since if self._outage else datetime.now(UTC)
        detail = getattr(met, "detail", "")

        def settles(outcome: TaskReport | NotReported) -> bool:
            if _is_silence(outcome):
                self._outage = Outage(since, getattr(outcome, "detail", detail))
                return False
            self._silent, self._outage = 0, None
            if isinstance(outcome, Answer) and self._halts(outcome):
                self._stop(ExitCode.HALTED, halt_reason(outcome))
            return True

        self._outage = Outage(since, detail)
        outage = OutageBegan(f"the endpoint does not answer polls ({detail}); waiting for it")
        if await self._probe(task, settles, FIRST_PROBE_S, outage):
            self._tell(OutageOver(self._clock() - began))

    async def _probe(
        self,
        task: Followed,
        settles: Callable[[TaskReport | NotReported], bool],
        pause_s: float,
        waiting: SendingPaused,
    ) -> bool:
        """Hold all turns and ask about one task until an answer settles it; False when that is under way."""
        if self._probing or self._pacer.stopped:
            return False
        self._probing, self._waiting_for = True, waiting.why
        self._pacer.pause()
        self._tell(waiting)
        try:
            while not await self._pacer.stopped_within(pause_s) and (turn := await self._pacer.probe_turn()):
                on_wire = Wire(partial(self._pacer.leave, turn))
                outcome = await self._client.describe(task.task_id, task.vendor, on_wire)
                self._sent += not isinstance(outcome, NotSent)
                if self._polled is not None:
                    self._polled(outcome)
                if settles(outcome):
                    return True
                pause_s = min(pause_s * PROBE_GROWTH, LONGEST_PROBE_S)
            return False
        finally:
            self._probing, self._waiting_for = False, None
            self._pacer.resume()


def _is_silence(outcome: TaskReport | NotReported) -> bool:
    """Whether nobody answered, and not because we took it back ourselves."""
    if isinstance(outcome, ReplyLost):
        return outcome.http_status is None
    return isinstance(outcome, NotSent) and outcome is not HELD_BACK
