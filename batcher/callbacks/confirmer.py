"""Confirming: what callbacks have claimed counts once the service itself says so.

Between the ledger, which keeps the claims, and the service, which is asked about each. Tasks that are said
to have ended are polled as the tracker polls them, and nothing else is; a task that was named for a
submission in doubt is asked about here. It starts nothing, and whatever ends it leaves nothing to repair.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from batcher.errors import LedgerError
from batcher.exit_codes import ExitCode
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.pacer import SlidingWindow as SlidingWindow
from batcher.flowcontrol.retry_policy import CodeKind, kind_of
from batcher.ledger.callbacks import CallbackLedger, Check
from batcher.ledger.tasks import Followed, Polled, TaskCounts
from batcher.model.events import ClaimChecked, OnEvent, ignore_event
from batcher.model.outcome import HELD_BACK, Answer, HttpRefusal, NotReported
from batcher.model.task import Effect, TaskReport
from batcher.track.poll_policy import NO_TASK
from batcher.track.tracker import PollClient, Tracker, TrackSettings
from batcher.zego.client import Wire

CHECKS_PER_S = 1.0
"""Doubts are few; the rest of the Action's limit is for tasks that have ended."""

CHECKED_AT_ONCE = 20
LOOK_EVERY_S = 1.0
FIRST_CHECKS_S = 10.0
"""How long following tasks waits for doubts at its beginning: each that is settled is one more task."""
LATER_S = 30.0
"""How long until the service is asked again that could not be asked."""
HALTED_S = 600.0
"""How long until a service is asked again that refuses us as a whole."""


class ClaimedTasks:
    """Of a ledger's tasks those alone that a callback has called ended: the tracker's book of them."""

    def __init__(self, ledger: CallbackLedger) -> None:
        self._ledger = ledger

    async def take_up(self, longest_wait_ms: int) -> None:
        """Begin to follow tasks."""
        await self._ledger.take_up(longest_wait_ms)

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
        return await self._ledger.note(polled)


class Confirmer:
    """Looks again at callbacks about tasks that we did not know, and asks about those that settle a doubt.

    Args:
        ledger: where they are; stays open.
        client: the service; None leaves the asking to somebody else.
        tell: told of every doubt that was looked into.
        limit: counts polls together with others'; a limit of its own when not given.
    """

    def __init__(
        self,
        ledger: CallbackLedger,
        client: PollClient | None,
        tell: OnEvent = ignore_event,
        limit: SlidingWindow | None = None,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._tell = tell
        self._pacer = Pacer(CHECKS_PER_S, asyncio.get_running_loop().time, window=limit)

    async def confirm_due(self) -> int:
        """Look at everything that is due, once; returns at how much.

        Raises:
            LedgerError: it cannot be recorded.
        """
        looked = await self._ledger.look_again()
        checks = await self._ledger.to_check(CHECKED_AT_ONCE) if self._client is not None else []
        for check in checks:
            await self._check(check)
        return looked + len(checks)

    async def _check(self, check: Check) -> None:
        async with self._pacer.line():
            turn = await self._pacer.turn()
        if turn is None or self._client is None:
            return
        on_wire = Wire(partial(self._pacer.leave, turn))
        outcome = await self._client.describe(check.task_id, check.vendor, on_wire)
        effect = await self._judged(check, outcome)
        if effect is not None and effect is not Effect.CHECKED:
            self._tell(ClaimChecked(check.task_id, effect))

    async def _judged(self, check: Check, outcome: TaskReport | NotReported) -> Effect | None:
        """Record what the service says; None when it could not be asked."""
        if isinstance(outcome, TaskReport):
            known = outcome.status != NO_TASK
            return await (self._ledger.confirm(check) if known else self._ledger.deny(check))
        if isinstance(outcome, Answer) and kind_of(outcome.code) in (CodeKind.UNKNOWN, CodeKind.REJECT):
            return await self._ledger.deny(check)
        if outcome is not HELD_BACK:
            await self._ledger.put_off(check, self._later_s(outcome))
        return None

    def _later_s(self, outcome: NotReported) -> float:
        delay_s = getattr(outcome, "retry_after_s", None)
        if isinstance(outcome, HttpRefusal) or (
            isinstance(outcome, Answer) and kind_of(outcome.code) is CodeKind.SLOW_DOWN
        ):
            self._pacer.slow_down(delay_s)
        halts = isinstance(outcome, Answer) and kind_of(outcome.code) in (CodeKind.HALT, CodeKind.CREDENTIALS)
        return HALTED_S if halts else max(delay_s or 0.0, LATER_S)


@asynccontextmanager
async def doubts_confirmed(
    ledger: CallbackLedger,
    client: PollClient,
    tell: OnEvent = ignore_event,
    limit: SlidingWindow | None = None,
) -> AsyncIterator[None]:
    """Confirm what a listener without an account has left, before the block and while it goes on."""
    confirmer = Confirmer(ledger, client, tell, limit)

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
        tell: told of outages and of doubts that were looked into.
        warn: told what hinders it.
    """

    def __init__(
        self,
        ledger: CallbackLedger,
        client: PollClient | None,
        rate_per_s: float,
        *,
        limit: SlidingWindow | None = None,
        tell: OnEvent,
        warn: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._limit = limit
        self._rate_per_s = max(rate_per_s - CHECKS_PER_S, CHECKS_PER_S)
        self._tell = tell
        self._warn = warn
        self._came = asyncio.Event()

    def look(self) -> None:
        """A callback has come."""
        self._came.set()

    async def go_on(self) -> None:
        """Confirm until cancelled; a ledger or a service that does not do just now is tried again later."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_again(), name="callback-confirmer")
            if self._client is not None:
                group.create_task(self._poll(self._client), name="callback-poller")

    async def _look_again(self) -> None:
        confirmer = Confirmer(self._ledger, self._client, self._tell, self._limit)
        while True:
            self._came.clear()
            try:
                while await self._ledger.nameless_open() and await self._ledger.seed(0):
                    pass  # without a recording's name only the list of all tasks tells whose a task is
                await confirmer.confirm_due()
            except LedgerError as exc:
                self._warn(f"callbacks are not looked at for {LATER_S:.0f} s: {exc}")
                await asyncio.sleep(LATER_S)
            await _either(self._came.wait(), LOOK_EVERY_S)

    async def _poll(self, client: PollClient) -> None:
        settings = TrackSettings(self._rate_per_s, concurrency=8, follow=True)
        while True:
            pacer = Pacer(settings.rate_per_s, time.monotonic, window=self._limit)
            tracker = Tracker(ClaimedTasks(self._ledger), client, settings, pacer=pacer, tell=self._tell)
            ended = await tracker.run()
            pause_s = HALTED_S if ended.exit is ExitCode.HALTED else LATER_S
            self._warn(f"claims are not confirmed for {pause_s:.0f} s: {ended.reason}")
            await asyncio.sleep(pause_s)


async def _either(happening: Awaitable[object], seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await happening
