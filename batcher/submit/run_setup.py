"""Run set-up: the checks before a run, the objects that it needs, and its summary afterwards.

Called by ``batcher run`` and by :meth:`batcher.api.Ledger.run` with :func:`ready_run`. It prints nothing,
installs no signal handler and changes nothing of the process, since a library must not.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from batcher._version import __version__
from batcher.flowcontrol.deadline import Deadline
from batcher.flowcontrol.limit_key import Action
from batcher.flowcontrol.machine_limit import LimitKey, why_unshared, window_for
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.service_access import ServiceAccess
from batcher.flowcontrol.sliding_window import MARGIN
from batcher.ledger.run_ledger import RunLedger
from batcher.manifest.read_options import ReadOptions
from batcher.manifest.rounded_ids import HEAD_ROWS
from batcher.model.events import OnEvent, ignore_event
from batcher.model.outcome import Settlement
from batcher.model.records import AskedFor, RunRecord
from batcher.model.submission import State, source_name
from batcher.model.task import TaskState
from batcher.report.asked import FIRST_GROUPS, asked_text
from batcher.report.counts import figures, http_refusals, of_run, since, task_figures
from batcher.report.estimate import window_s
from batcher.report.formatting import count, one_line
from batcher.report.manifest_changes import changes_lines
from batcher.report.summary import FIRST_IN_DOUBT, FIRST_INVALID_ROWS, InvalidRows, RunSummary
from batcher.submit.ending import Ending
from batcher.submit.manifest_checks import Brought, LateManifests, refuse_resubmissions
from batcher.submit.prepared import Prepared
from batcher.submit.runner import Runner
from batcher.submit.settings import RunSettings
from batcher.zego.codes import meaning

SPARE_CONNECTIONS = 4
"""Connections for probes, in addition to one for each worker."""

FIRST_MANIFESTS = 5
"""The additions of this many manifests are named one by one."""


@dataclass(frozen=True, slots=True)
class ReadyRun:
    """A run that has passed all checks. Made by :func:`ready_run`."""

    runner: Runner
    warnings: tuple[str, ...]
    """Warnings for the user before the run begins."""
    _ledger: RunLedger
    _service: ServiceAccess
    _settings: RunSettings
    _prepared: tuple[Prepared, ...]
    _reported: RunRecord | None
    """The last run before this one that reported everything."""
    _newest_load: int
    """The newest load before this run."""

    async def summary(self, ending: Ending) -> RunSummary:
        """Read the closing summary from the ledger.

        Raises:
            LedgerError: it cannot be read.
        """
        ledger, reported = self._ledger, self._reported
        tallies, refused = await ledger.tallies(), await ledger.tallies_of_http_refusals()
        now = figures(tallies)
        tasks = task_figures(await ledger.tallies_of_tasks(), now.by_state[State.SUBMITTED])
        seen = (reported.invalid_rows_seen or 0) if reported else 0
        return RunSummary(
            exit_code=int(ending.exit),
            reason=ending.reason,
            ledger=str(ledger.name),
            app_id=self._service.account.app_id,
            run_id=ending.run_id,
            sent=ending.sent,
            seconds=ending.seconds,
            rate_per_s=self._settings.rate_per_s,
            window_s=window_s(
                self._settings.lasts_s,
                self._settings.until,
                datetime.now(UTC) - timedelta(seconds=ending.seconds),
            ),
            now=now,
            this_run=of_run(tallies, ending.run_id),
            new=since(tallies, reported),
            invalid_rows=InvalidRows(
                await ledger.count_invalid_rows(),
                await ledger.count_invalid_rows(after_id=seen),
                tuple(await ledger.invalid_rows(after_id=seen, limit=FIRST_INVALID_ROWS)),
            ),
            meanings={code: meaning(code) for code in now.codes},
            http_refusals=http_refusals(refused),
            new_http_refusals=http_refusals(refused, reported),
            open_tasks=tasks.open if tasks.followed else now.by_state[State.SUBMITTED],
            finished_tasks=tasks.by_state[TaskState.FINISHED],
            doubtful=await ledger.count_doubtful(),
            possibly_twice=await ledger.count_possibly_twice(),
            in_doubt=tuple(await ledger.records_in_doubt(FIRST_IN_DOUBT)),
            manifests=tuple(one.manifest.source for one in self._prepared),
            unfinished=tuple(dict.fromkeys([*await ledger.unfinished_sources(), *ending.cut_off])),
            changes=tuple(changes_lines(await ledger.own_loads(after_id=self._newest_load))),
            unrecorded=unrecorded(ending),
            outage=ending.outage,
            cut_off=ending.cut_off,
            unusable=ending.unusable,
            warnings=(*(text for one in self._prepared for text in one.warnings), *self.warnings),
        )


@asynccontextmanager
async def ready_run(
    ledger: RunLedger,
    service: ServiceAccess,
    settings: RunSettings,
    prepared: Sequence[Prepared] = (),
    how: ReadOptions | None = None,
    *,
    on_event: OnEvent = ignore_event,
    settled: Callable[[Settlement], None] | None = None,
    window: Deadline | None = None,
    cut_off: LateManifests | None = None,
) -> AsyncIterator[ReadyRun]:
    """Check and wire a run of a ledger's open work, and of what manifests add; nothing is sent yet.

    Args:
        ledger: opened for writing; stays open.
        service: the service to call.
        settings: how the run sends, and when it ends.
        prepared: the manifests to load while the workers send.
        how: how they are read.
        on_event: called with each event of the run.
        settled: called with each settlement once it is judged.
        window: when the run has to end, if its time counts from before the set-up.
        cut_off: the manifests had not arrived when the time limit was reached.

    Raises:
        ManifestError: a manifest's recordings are in the ledger under other parameters.
        BindingError: the ledger belongs to another AppId or kind of endpoint.
        LedgerError: the ledger cannot be used, or the disk has no room for it.
    """
    brought, warnings = await _checked(ledger, service, prepared, how or ReadOptions())
    reported, newest = await ledger.last_reported_run(), await ledger.newest_load()
    async with service.client(settings.concurrency + SPARE_CONNECTIONS) as client:
        runner = Runner(
            ledger,
            client,
            settings,
            prepared,
            version=__version__,
            pacer=_pacer(service.limit(Action.SUBMIT), settings, await ledger.last_run()),
            on_event=on_event,
            settled=settled,
            window=window,
            cut_off=cut_off,
            timeout_s=service.timeout_s,
            asked=asked_lines(await ledger.asked_for_open(FIRST_GROUPS), brought),
        )
        yield ReadyRun(runner, warnings, ledger, service, settings, tuple(prepared), reported, newest)


async def _checked(
    ledger: RunLedger, service: ServiceAccess, prepared: Sequence[Prepared], how: ReadOptions
) -> tuple[tuple[Brought, ...], tuple[str, ...]]:
    """Check manifests, account and disk against the ledger; return what manifests bring, and warnings."""
    brought = await refuse_resubmissions(ledger, prepared, how)
    await ledger.bind(service.account.app_id, service.endpoint_kind)
    known = (text for one in brought for text in one.warnings)
    of_ledger = ledger.prepare_run(figures(await ledger.tallies()).open)
    return brought, (*of_ledger, *_unshared(service.limit(Action.SUBMIT)), *known)


def _pacer(key: LimitKey, settings: RunSettings, last: RunRecord | None) -> Pacer:
    """Return the pacer of a run, which starts with the pace that the last run learned."""
    window = window_for(key, settings.rate_per_s)
    share, age_s = learned_from(last, datetime.now(UTC))
    return Pacer(settings.rate_per_s, time.monotonic, share, age_s=age_s, window=window)


def _unshared(key: LimitKey) -> Iterator[str]:
    """Warn where programs on this machine cannot share the limit of an AppId."""
    if why := why_unshared(key):
        yield (
            f"other programs on this machine that use AppId {key.app_id} cannot share its limit with this "
            f"run ({why}): run one program at a time"
        )


def learned_from(last: RunRecord | None, now: datetime) -> tuple[float | None, float]:
    """Return the share of its pace that the last run was slowed down to, if it was, and how many seconds ago.

    A killed run recorded its pace at an unknown time after its start, so that its pace counts from the start.
    """
    if last is None or last.pace_per_s is None or not last.why_slow:
        return None, 0.0
    ago_s = (now - (last.ended_at or last.started_at)).total_seconds()
    return last.pace_per_s * (1 + MARGIN) / last.rate_per_s, max(ago_s, 0.0)


def asked_lines(left: AskedFor, brought: Sequence[Brought]) -> tuple[str, ...]:
    """Say what a run will ask for: what is left in the ledger, and what manifests add."""
    lines = [asked_text("Left to send", left)]
    for one in brought[:FIRST_MANIFESTS]:
        first = "" if one.whole else f"the first {HEAD_ROWS:,} rows of "
        name = one_line(source_name(one.source))
        lines.append(asked_text(f"New in {first}{name}", one.asked))
    if len(others := brought[FIRST_MANIFESTS:]) > 0:
        lines.append(f"New in {count(len(others), 'other manifest')}: {sum(one.asked.n for one in others):,}")
    return tuple(line for line in lines if line)


def unrecorded(ending: Ending) -> tuple[str, ...]:
    """Name the attempts that the ledger could not record: their task ids must not be lost with the run."""
    return tuple(map(_unrecorded, ending.unrecorded))


def _unrecorded(settlement: Settlement) -> str:
    task_id = getattr(settlement.outcome, "task_id", None)
    ended = f"was submitted, task id {task_id}" if task_id else f"ended {settlement.disposition.decision}"
    return f"{settlement.claim.file_id} {ended}"
