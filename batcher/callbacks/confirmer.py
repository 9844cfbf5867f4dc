"""Confirming callbacks: a claim counts once the service itself has confirmed it.

The ledger keeps the claims. The ``listen`` command runs :func:`confirm` for as long as it listens; the
commands that track tasks use :func:`doubts_confirmed`. A task that a callback names for a submission in doubt
is polled here; claimed tasks are polled by the function that the caller passes. A callback's own words must
never settle a submission: its signature does not cover them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

from batcher.errors import LedgerError
from batcher.exit_codes import ExitCode
from batcher.flowcontrol.cancellation import in_background
from batcher.flowcontrol.findings import Finding, classify
from batcher.flowcontrol.outage import Guard, MayLeave
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.retry_policy import CodeKind, kind_of
from batcher.flowcontrol.sliding_window import SlidingWindow
from batcher.ledger.callback_effects import PollVerdict
from batcher.ledger.callbacks import CallbackLedger, Check
from batcher.model.durations import duration
from batcher.model.events import ClaimChecked, OnEvent, ignore_event
from batcher.model.outcome import HELD_BACK, Answer, NotReported
from batcher.model.submission import FileId, TaskId, Vendor
from batcher.model.task import Effect, TaskReport
from batcher.zego.client import Wire
from batcher.zego.describe_task import NO_TASK
from batcher.zego.evidence import Evidence, evidence_of

CHECKS_PER_S = 1.0
"""The rate of polls for doubts. Doubts are few; the rest of the limit is for claimed tasks."""

CHECKED_AT_ONCE = 20
LOOK_EVERY_S = 1.0
FIRST_CHECKS_S = 10.0
"""Seconds that tracking waits for doubts when it starts: each settled doubt is one more task."""
LATER_S = 30.0
"""The first wait before a check that failed is repeated."""
LATEST_S = 3600.0
"""The longest such wait, for a task whose polls are refused every time."""
HALTED_S = 600.0
"""The pause after the service refused the account as a whole."""


class CheckClient(Protocol):
    """The client, as far as the confirmer uses it."""

    async def describe(
        self, task_id: TaskId, vendor: Vendor, on_wire: Wire | None = None
    ) -> TaskReport | NotReported:
        """Poll one task: one request."""


# -- judging one check ---------------------------------------------------------------------------------


_BY_EVIDENCE = {
    Evidence.FOR: PollVerdict.CONFIRMED,
    Evidence.NONE: PollVerdict.CONFIRMED,
    Evidence.AGAINST: PollVerdict.FOREIGN,
    Evidence.LATER: None,
}


def judge_check(outcome: TaskReport | NotReported, file_id: FileId, vendor: Vendor) -> PollVerdict | None:
    """Judge the outcome of one check; None if it says nothing yet, so that it is repeated later.

    Args:
        outcome: of the poll.
        file_id: the recording that the callback named.
        vendor: where the recording is kept.
    """
    if isinstance(outcome, TaskReport):
        if outcome.status == NO_TASK:
            return PollVerdict.UNKNOWN
        return _BY_EVIDENCE[evidence_of(outcome, file_id, vendor)]
    denied = isinstance(outcome, Answer) and kind_of(outcome.code) in (CodeKind.UNKNOWN, CodeKind.REJECT)
    return PollVerdict.UNKNOWN if denied else None


_DENIALS = (Finding.ACCOUNT, Finding.PERMISSION, Finding.CREDENTIALS)


def wait_before_check_s(outcome: TaskReport | NotReported, refusals: int) -> float:
    """Return how long to wait before a check is repeated.

    Args:
        outcome: of the last check; a report says that the task has not ended.
        refusals: how often the check was refused, the last time included.
    """
    if isinstance(outcome, TaskReport):
        return LATER_S
    if classify(outcome) in _DENIALS:
        return HALTED_S
    asked_s: float = getattr(outcome, "retry_after_s", None) or 0.0
    return max(asked_s, min(LATER_S * 2.0 ** min(refusals - 1, 20), LATEST_S))


# -- checking doubts -----------------------------------------------------------------------------------


class Confirmer:
    """Applies callbacks about tasks that became known since, and checks tasks that settle a doubt.

    Args:
        ledger: where the callbacks are; stays open.
        client: the service; None leaves the checks to another process.
        on_event: called for every doubt that was checked.
        limit: the window shared with other polls; a window of its own when not given.
    """

    def __init__(
        self,
        ledger: CallbackLedger,
        client: CheckClient | None,
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
        self._refusals: Counter[int] = Counter()
        self._known_task: tuple[TaskId, Vendor] | None = None

    async def confirm_due(self) -> int:
        """Process everything that is due, once; return how much that was.

        Raises:
            LedgerError: a result cannot be recorded.
        """
        processed = await self._ledger.look_again()
        if self._client is None or self._clock() < self._halted_until:
            return processed
        checks = await self._ledger.to_check(CHECKED_AT_ONCE)
        for check in checks:
            await self._check(check, self._client)
        return processed + len(checks)

    async def _check(self, check: Check, client: CheckClient) -> None:
        async with self._pacer.line():
            turn = await self._pacer.turn()
        if turn is None or self._clock() < self._halted_until:
            return
        on_wire, sent_at = Wire(partial(self._pacer.leave, turn)), self._clock()
        outcome = await client.describe(check.task_id, check.vendor, on_wire)
        waited_s = self._clock() - sent_at
        effect = await self._record(check, outcome)
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
            of_row=self._refusals[check.id] > 1,
        )

    async def run(
        self, waken: asyncio.Event | None = None, warn: Callable[[str], None] = lambda _: None
    ) -> None:
        """Confirm what is due until cancelled; after a fault of the ledger, try again later.

        Args:
            waken: set when something may be due already.
            warn: called with the reason when confirming pauses.
        """
        waken = waken or asyncio.Event()
        while True:
            waken.clear()
            try:
                await self.confirm_due()
            except LedgerError as exc:
                warn(f"callbacks are not checked for {LATER_S:.0f} s: {exc}")
                await asyncio.sleep(LATER_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await waken.wait()

    def _halt(self, reason: str) -> None:
        del reason  # the tracker polls the same service and reports it
        self._halted_until = self._clock() + HALTED_S

    async def _record(self, check: Check, outcome: TaskReport | NotReported) -> Effect | None:
        """Record what the service says; None when it said nothing of the task."""
        if (verdict := judge_check(outcome, check.file_id, check.vendor)) is not None:
            return await self._ledger.polled(check, verdict)
        if outcome is not HELD_BACK:  # otherwise nothing was asked
            self._refusals[check.id] += not isinstance(outcome, TaskReport)
            await self._ledger.put_off(check, wait_before_check_s(outcome, self._refusals[check.id]))
        return None


async def _probe(
    client: CheckClient, task_id: TaskId, vendor: Vendor, may_leave: MayLeave
) -> TaskReport | NotReported:
    return await client.describe(task_id, vendor, Wire(may_leave))


@asynccontextmanager
async def doubts_confirmed(
    ledger: CallbackLedger,
    client: CheckClient,
    on_event: OnEvent = ignore_event,
    limit: SlidingWindow | None = None,
) -> AsyncIterator[None]:
    """Check the doubts that a listener without an account has left, before the block and during it."""
    confirmer = Confirmer(ledger, client, on_event, limit)
    with contextlib.suppress(LedgerError, TimeoutError):  # the tracker meets the same fault, and reports it
        async with asyncio.timeout(FIRST_CHECKS_S):
            await confirmer.confirm_due()
    async with in_background(confirmer.run(), "doubt-confirmer"):
        yield


# -- while callbacks are received ----------------------------------------------------------------------


async def confirm(
    confirmers: Sequence[Confirmer],
    poll_claimed: Callable[[], Awaitable[tuple[ExitCode, str]]] | None,
    waken: asyncio.Event,
    warn: Callable[[str], None],
) -> None:
    """Confirm until cancelled; after a fault of the ledger or the service, try again later.

    Args:
        confirmers: each works by itself, since one waits while the endpoint does not answer.
        poll_claimed: polls claimed tasks until something prevents it; returns the exit code and the reason.
        waken: set when a callback was taken.
        warn: called with the reason when confirming pauses.
    """
    async with asyncio.TaskGroup() as group:
        for confirmer in confirmers:
            group.create_task(confirmer.run(waken, warn), name="callback-confirmer")
        while poll_claimed is not None:
            code, reason = await poll_claimed()
            pause_s = HALTED_S if code is ExitCode.HALTED else LATER_S
            warn(f"claims are not confirmed for {duration(pause_s)}: {reason}")
            await asyncio.sleep(pause_s)
