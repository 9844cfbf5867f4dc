"""A run from its first check to its summary: what is looked at before it sends and told after it has.

Between whoever wants a run (the command line, a program that uses the library) and the runner. It prints
nothing, listens to no signal, and changes nothing of the process that others share.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from batcher._version import __version__
from batcher.config.endpoints import endpoint_of, place_of
from batcher.config.problems import shown_value
from batcher.config.secrets import SERVER_SECRET
from batcher.errors import SettingsError
from batcher.flowcontrol.deadline import Deadline
from batcher.flowcontrol.machine_limit import Action, LimitKey, why_unshared, window_for
from batcher.flowcontrol.pacer import MARGIN, Pacer
from batcher.ledger import RunLedger
from batcher.manifest import HEAD_ROWS
from batcher.manifest.read_options import ReadOptions
from batcher.model.events import OnEvent, ignore_event
from batcher.model.outcome import Settlement
from batcher.model.records import AskedFor, Run
from batcher.report.asked import FIRST_GROUPS, asked_text
from batcher.report.counts import figures, of_run, since
from batcher.report.estimate import window_s
from batcher.report.formatting import count, one_line
from batcher.report.manifest_changes import changes_lines
from batcher.report.summary import FIRST_IN_DOUBT, FIRST_INVALID_ROWS, InvalidRows, Summary
from batcher.submit.manifest_checks import Brought, CutOff, Prepared, refuse_resubmissions
from batcher.submit.runner import Ending, Runner, RunSettings
from batcher.zego.client import Account, ZegoClient
from batcher.zego.codes import meaning

SPARE_CONNECTIONS = 4
"""Beyond those of the requests under way: for probes."""

FIRST_MANIFESTS = 5
"""Of so many it is said what they bring."""

MAX_RATE_PER_S = 1_000_000
MAX_CONCURRENCY = 10_000


@dataclass(frozen=True, slots=True)
class ServiceAccess:
    """Whom a run calls, in whose name, and how long one call may take."""

    account: Account
    endpoint: str
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class ReadyRun:
    """A run that has passed all checks; made by :func:`ready_run`."""

    runner: Runner
    warnings: tuple[str, ...]
    """What a person should know before it begins."""
    _ledger: RunLedger
    _service: ServiceAccess
    _settings: RunSettings
    _prepared: tuple[Prepared, ...]
    _reported: Run | None
    """The last run before this one that could tell all."""
    _newest_load: int
    """The newest load before this run."""

    async def summary(self, ending: Ending) -> Summary:
        """Everything that the closing summary tells, read from the ledger.

        Raises:
            LedgerError: it cannot be read.
        """
        ledger, reported = self._ledger, self._reported
        tallies = await ledger.tallies()
        now = figures(tallies)
        seen = (reported.invalid_rows_seen or 0) if reported else 0
        return Summary(
            exit_code=int(ending.exit),
            reason=ending.reason,
            ledger=str(ledger.path),
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
            doubtful=await ledger.count_doubtful(),
            possibly_twice=await ledger.count_possibly_twice(),
            in_doubt=tuple(await ledger.records_in_doubt(FIRST_IN_DOUBT)),
            manifests=tuple(one.manifest.source for one in self._prepared),
            unfinished=tuple(dict.fromkeys([*await ledger.unfinished_sources(), *ending.cut_off])),
            changes=tuple(changes_lines(await ledger.loads(after_id=self._newest_load))),
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
    cut_off: CutOff | None = None,
) -> AsyncIterator[ReadyRun]:
    """Check and wire a run of a ledger's open work, and of what manifests bring; nothing is sent yet.

    Args:
        ledger: opened for writing; stays open.
        service: whom the run calls.
        settings: how the run goes.
        prepared: the manifests to load while sending goes on.
        how: how they are read.
        on_event: told of what happens as it happens.
        settled: called with every settlement once it is judged.
        window: when the run has to end, if that counts from before it.
        cut_off: the manifests had not come when the window was over.

    Raises:
        ManifestError: a manifest would buy again what is in the ledger under other parameters.
        BindingError: the ledger belongs to another AppId or kind of endpoint.
        LedgerError: it cannot be used, or there is no room beside it.
    """
    brought = await refuse_resubmissions(ledger, prepared, how or ReadOptions())
    await ledger.bind(service.account.app_id, place_of(service.endpoint))
    key = LimitKey.of(service.account.app_id, Action.SUBMIT, service.endpoint)
    warnings = [*ledger.prepare_run(figures(await ledger.tallies()).open), *_unshared(key)]
    left = await ledger.asked_for_open(FIRST_GROUPS)
    reported, last = await ledger.last_reported_run(), await ledger.last_run()
    newest_load = await ledger.newest_load()
    async with ZegoClient(
        service.endpoint,
        service.account,
        timeout_s=service.timeout_s,
        connections=settings.concurrency + SPARE_CONNECTIONS,
    ) as client:
        runner = Runner(
            ledger,
            client,
            settings,
            prepared,
            version=__version__,
            pacer=_pacer(key, settings, last),
            on_event=on_event,
            settled=settled,
            window=window,
            cut_off=cut_off,
            asked=tuple(asked_lines(left, brought)),
        )
        yield ReadyRun(
            runner, tuple(warnings), ledger, service, settings, tuple(prepared), reported, newest_load
        )


def _pacer(key: LimitKey, settings: RunSettings, last: Run | None) -> Pacer:
    """The pacer of a run, which begins with what the last one has learned of the service."""
    window = window_for(key, settings.rate_per_s)
    share, age_s = learned_from(last, datetime.now(UTC))
    return Pacer(settings.rate_per_s, time.monotonic, share, age_s=age_s, window=window)


def _unshared(key: LimitKey) -> Iterator[str]:
    if why := why_unshared(key):
        yield (
            f"other programs on this machine that use AppId {key.app_id} are not seen, and each counts its "
            f"calls alone ({why}): run one at a time"
        )


def learned_from(last: Run | None, now: datetime) -> tuple[float | None, float]:
    """The share of its pace that the last run was slowed down to, if it was, and how many seconds ago.

    A killed run has noted its pace at some time after its start.
    """
    if last is None or last.pace_per_s is None or not last.why_slow:
        return None, 0.0
    ago_s = (now - (last.ended_at or last.started_at)).total_seconds()
    return last.pace_per_s * (1 + MARGIN) / last.rate_per_s, max(ago_s, 0.0)


def asked_lines(left: AskedFor, brought: Sequence[Brought]) -> list[str]:
    """What a run will ask for, in words: what is left in the ledger, and what manifests bring."""
    lines = [asked_text("Left to send", left)]
    for one in brought[:FIRST_MANIFESTS]:
        first = "" if one.whole else f"the first {HEAD_ROWS:,} rows of "
        name = "stdin" if one.source == "-" else one_line(one.source)
        lines.append(asked_text(f"New in {first}{name}", one.asked))
    if len(others := brought[FIRST_MANIFESTS:]) > 0:
        lines.append(f"New in {count(len(others), 'other manifest')}: {sum(one.asked.n for one in others):,}")
    return [line for line in lines if line]


def usable_service(account: Account, endpoint: str, timeout_s: float, settings: RunSettings) -> ServiceAccess:
    """Whom a run calls, once everything about it and how it goes is found usable.

    Raises:
        SettingsError: with everything that is wrong.
    """
    secret, problems = account.server_secret, _problems(settings)
    if not _is_app_id(account.app_id):
        problems.append("app_id: give the number that the ZEGO console shows")
    try:
        secret = SERVER_SECRET.read(secret)
    except ValueError as exc:
        problems.append(f"server_secret: {exc}")
    try:
        endpoint = endpoint_of(endpoint)
    except ValueError as exc:
        problems.append(f"endpoint{shown_value(endpoint)}: {exc}")
    if not 0 < timeout_s < math.inf:
        problems.append(f"timeout_s {timeout_s}: give a number of seconds")
    if problems:
        raise SettingsError(*problems)
    return ServiceAccess(replace(account, server_secret=secret), endpoint, timeout_s)


def _is_app_id(value: object) -> bool:
    """Whether it is what the console shows, whatever a program took it from."""
    return type(value) is int and 0 < value < 2**32


def _problems(settings: RunSettings) -> list[str]:
    """What is wrong with the settings of a run, with the bounds of the command line's options."""
    until = settings.until
    wrong = {
        "rate_per_s": not 0 < settings.rate_per_s <= MAX_RATE_PER_S,
        "concurrency": not 1 <= settings.concurrency <= MAX_CONCURRENCY,
        "limit": settings.limit is not None and settings.limit < 1,
        "lasts_s": settings.lasts_s is not None and not 0 < settings.lasts_s < math.inf,
        "grace_s": not 0 <= settings.grace_s < math.inf,
        "until": until is not None and until.tzinfo is None,
    }
    expected = {
        "rate_per_s": f"more than 0 and at most {MAX_RATE_PER_S:,}",
        "concurrency": f"1 to {MAX_CONCURRENCY:,}",
        "limit": "1 or more",
        "lasts_s": "a number of seconds",
        "grace_s": "a number of seconds",
        "until": "a time with its zone",
    }
    return [
        f"{name} {getattr(settings, name)}: give {expected[name]}" for name, is_so in wrong.items() if is_so
    ]


def unrecorded(ending: Ending) -> tuple[str, ...]:
    """What the ledger could not take, in words: it must not be lost with the run."""
    return tuple(map(_unrecorded, ending.unrecorded))


def _unrecorded(settlement: Settlement) -> str:
    task_id = getattr(settlement.outcome, "task_id", None)
    ended = f"was submitted, task id {task_id}" if task_id else f"ended {settlement.disposition.decision}"
    return f"{settlement.claim.file_id} {ended}"
