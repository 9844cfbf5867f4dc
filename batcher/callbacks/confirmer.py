"""Confirming: what callbacks have claimed counts once the service itself says so.

Between the ledger, which keeps the claims, and the service, which is asked about each. Tasks that are said
to have ended are polled as the tracker polls them, and nothing else is; a task that was named for a
submission in doubt is asked about here. It starts nothing, and whatever ends it leaves nothing to repair.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from batcher.errors import LedgerError
from batcher.exit_codes import ExitCode
from batcher.flowcontrol.outage import Finding, Guard, MayLeave, classify
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.pacer import SlidingWindow as SlidingWindow
from batcher.flowcontrol.retry_policy import CodeKind, kind_of
from batcher.ledger.callbacks import CallbackLedger, Check
from batcher.ledger.tasks import Followed, Polled, TaskCounts
from batcher.model.events import ClaimChecked, OnEvent, ignore_event
from batcher.model.outcome import HELD_BACK, Answer, NotReported
from batcher.model.submission import TaskId, Vendor
from batcher.model.task import Effect, TaskReport
from batcher.track.poll_policy import NO_TASK
from batcher.track.tracker import PollClient, Tracker, TrackSettings
from batcher.zego.client import Wire
from batcher.zego.evidence import Evidence, evidence_of

CHECKS_PER_S = 1.0
"""Doubts are few; the rest of the Action's limit is for tasks that have ended."""

CHECKED_AT_ONCE = 20
LOOK_EVERY_S = 1.0
FIRST_CHECKS_S = 10.0
"""How long following tasks waits for doubts at its beginning: each that is settled is one more task."""
LATER_S = 30.0
"""How long until the service is asked again that could not be asked."""
LATEST_S = 3600.0
"""The longest such wait, for a task whose polls are refused again and again."""
HALTED_S = 600.0
"""How long until a service is asked again that refuses us as a whole."""


class ClaimedTasks:
    """Of a ledger's tasks those alone that a callback has called ended: the tracker's book of them."""

    def __init__(self, ledger: CallbackLedger) -> None:
        self._ledger = ledger

    async def take_up(self, longest_wait_ms: int) -> None:
        """Begin to follow tasks."""
        await self._ledger.tasks.take_up(longest_wait_ms)

    async def seed(self, first_wait_ms: int) -> int:
        """Follow no others."""
        del first_wait_ms
        return 0

    async def due(self, now_ms: int, limit: int) -> list[Followed]:
        """Those that are to be asked about now."""
        return await self._ledger.claimed(now_ms, limit)

    async def left(self, *, beyond: int = 0) -> TaskCounts:
        """When the next of them is due."""
        return TaskCounts(await self._ledger.next_claimed_ms(beyond), untracked=False)

    async def note(self, polled: Polled) -> bool:
        """Record what a poll has brought."""
        return await self._ledger.tasks.note(polled)


class Confirmer:
    """Looks again at callbacks about tasks that we did not know, and asks about those that settle a doubt.

    Args:
        ledger: where they are; stays open.
        client: the service; None leaves the asking to somebody else.
        on_event: told of every doubt that was looked into.
        limit: counts polls together with others'; a limit of its own when not given.
    """

    def __init__(
        self,
        ledger: CallbackLedger,
        client: PollClient | None,
        on_event: OnEvent = ignore_event,
        limit: SlidingWindow | None = None,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._on_event = on_event
        self._clock = asyncio.get_running_loop().time
        self._pacer = Pacer(CHECKS_PER_S, self._clock, window=limit)
        self._guard = Guard(self._pacer, halt=self._halt, clock=self._clock)
        self._halted_until = 0.0
        self._refused: Counter[int] = Counter()
        self._known_task: tuple[TaskId, Vendor] | None = None

    async def confirm_due(self) -> int:
        """Look at everything that is due, once; returns at how much.

        Raises:
            LedgerError: it cannot be recorded.
        """
        looked = await self._ledger.look_again()
        if self._client is None or self._clock() < self._halted_until:
            return looked
        checks = await self._ledger.to_check(CHECKED_AT_ONCE)
        for check in checks:
            await self._check(check, self._client)
        return looked + len(checks)

    async def _check(self, check: Check, client: PollClient) -> None:
        async with self._pacer.line():
            turn = await self._pacer.turn()
        if turn is None or self._clock() < self._halted_until:
            return
        on_wire, asked_at = Wire(partial(self._pacer.leave, turn)), self._clock()
        outcome = await client.describe(check.task_id, check.vendor, on_wire)
        waited_s = self._clock() - asked_at
        effect = await self._judged(check, outcome)
        if effect is not None and effect is not Effect.CHECKED:
            self._on_event(ClaimChecked(check.task_id, effect))
        if isinstance(outcome, TaskReport):
            self._known_task = check.task_id, check.vendor
        await self._guard.observe(
            outcome,
            partial(_probe, client, *(self._known_task or (check.task_id, check.vendor))),
            about=check.id,
            name=f"task {check.task_id}",
            waited_s=waited_s,
            of_row=self._refused[check.id] > 1,
        )

    def _halt(self, reason: str) -> None:
        del reason  # the tracker beside it says so
        self._halted_until = self._clock() + HALTED_S

    async def _judged(self, check: Check, outcome: TaskReport | NotReported) -> Effect | None:
        """Record what the service says; None when it could not be asked."""
        if isinstance(outcome, TaskReport):
            return await self._reported(check, outcome)
        if isinstance(outcome, Answer) and kind_of(outcome.code) in (CodeKind.UNKNOWN, CodeKind.REJECT):
            return await self._ledger.deny(check)
        if outcome is not HELD_BACK:
            self._refused[check.id] += 1
            await self._ledger.put_off(check, _later_s(outcome, self._refused[check.id]))
        return None

    async def _reported(self, check: Check, report: TaskReport) -> Effect | None:
        """Hold what the service says of a task against the recording that the callback named."""
        if report.status == NO_TASK:
            return await self._ledger.deny(check)
        match evidence_of(report, check.file_id, check.vendor):
            case Evidence.AGAINST:
                return await self._ledger.disprove(check)
            case Evidence.LATER:
                await self._ledger.put_off(check, LATER_S)
                return None
        return await self._ledger.confirm(check)


async def _probe(
    client: PollClient, task_id: TaskId, vendor: Vendor, may_leave: MayLeave
) -> TaskReport | NotReported:
    return await client.describe(task_id, vendor, Wire(may_leave))


_DENIALS = (Finding.ACCOUNT, Finding.PERMISSION, Finding.CREDENTIALS)


def _later_s(outcome: NotReported, times: int) -> float:
    """How long until a task is asked about again that was refused so many times."""
    if classify(outcome) in _DENIALS:
        return HALTED_S
    asked_s: float = getattr(outcome, "retry_after_s", None) or 0.0
    return max(asked_s, min(LATER_S * 2.0 ** min(times - 1, 20), LATEST_S))


@asynccontextmanager
async def doubts_confirmed(
    ledger: CallbackLedger,
    client: PollClient,
    on_event: OnEvent = ignore_event,
    limit: SlidingWindow | None = None,
) -> AsyncIterator[None]:
    """Confirm what a listener without an account has left, before the block and while it goes on."""
    confirmer = Confirmer(ledger, client, on_event, limit)

    async def go_on() -> None:
        with contextlib.suppress(LedgerError):  # who follows tasks meets the same, and says so
            while True:
                await confirmer.confirm_due()
                await asyncio.sleep(LOOK_EVERY_S)

    with contextlib.suppress(LedgerError, TimeoutError):
        async with asyncio.timeout(FIRST_CHECKS_S):
            await confirmer.confirm_due()
    confirming = asyncio.create_task(go_on(), name="doubt-confirmer")
    try:
        yield
    finally:
        confirming.cancel()
        await asyncio.wait([confirming])


class Confirmation:
    """Confirms for as long as callbacks are listened to.

    Args:
        ledger: stays open.
        client: the service, stays open; None leaves what only it can say to ``batcher track``.
        rate_per_s: polls per second at most.
        limit: counts polls together with others'.
        on_event: told of outages and of doubts that were looked into.
        warn: told what hinders it.
    """

    def __init__(
        self,
        ledger: CallbackLedger,
        client: PollClient | None,
        rate_per_s: float,
        *,
        limit: SlidingWindow | None = None,
        on_event: OnEvent,
        warn: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._limit = limit
        self._rate_per_s = max(rate_per_s - CHECKS_PER_S, CHECKS_PER_S)
        self._on_event = on_event
        self._warn = warn
        self._came = asyncio.Event()

    def look(self) -> None:
        """A callback has come."""
        self._came.set()

    async def go_on(self) -> None:
        """Confirm until cancelled; a ledger or a service that does not do just now is tried again later."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_again(Confirmer(self._ledger, None)), name="callback-confirmer")
            if self._client is not None:
                # By itself: it waits for an endpoint that does not answer, and callbacks do not.
                checking = Confirmer(self._ledger, self._client, self._on_event)
                group.create_task(self._look_again(checking), name="doubt-confirmer")
                group.create_task(self._poll(self._client), name="callback-poller")

    async def _look_again(self, confirmer: Confirmer) -> None:
        while True:
            self._came.clear()
            try:
                await confirmer.confirm_due()
            except LedgerError as exc:
                self._warn(f"callbacks are not looked at for {LATER_S:.0f} s: {exc}")
                await asyncio.sleep(LATER_S)
            await _either(self._came.wait(), LOOK_EVERY_S)

    async def _poll(self, client: PollClient) -> None:
        settings = TrackSettings(self._rate_per_s, concurrency=8, follow=True)
        while True:
            pacer = Pacer(settings.rate_per_s, time.monotonic, window=self._limit)
            tracker = Tracker(
                ClaimedTasks(self._ledger), client, settings, pacer=pacer, on_event=self._on_event
            )
            ended = await tracker.run()
            pause_s = HALTED_S if ended.exit is ExitCode.HALTED else LATER_S
            self._warn(f"claims are not confirmed for {pause_s:.0f} s: {ended.reason}")
            await asyncio.sleep(pause_s)


async def _either(happening: Awaitable[object], seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await happening
