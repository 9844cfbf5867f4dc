"""``run`` and ``retry``: what leads to requests."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta

from batcher import __version__
from batcher.cli.console import Console
from batcher.cli.display import watch
from batcher.cli.loading import prepare_manifests, refuse_resubmissions, tune_process
from batcher.cli.locking import lock_for
from batcher.cli.rows import how_to_read
from batcher.cli.window import until, window_s
from batcher.errors import LedgerMissing, SettingsError
from batcher.governor import MaxFailures
from batcher.ledger import Ledger, ledger_path, open_for_writing
from batcher.model import State
from batcher.records import Run
from batcher.report.changes import changes_lines
from batcher.report.figures import figures, of_run, since
from batcher.report.summary import (
    FIRST_IN_DOUBT,
    FIRST_INVALID_ROWS,
    InvalidRows,
    Summary,
    ledger_option,
    quoted,
    summary_json,
    summary_text,
)
from batcher.report.words import count
from batcher.runner import Ending, Exit, Runner, RunSettings
from batcher.settings import Settings, account_of
from batcher.zego.client import Account, ZegoClient
from batcher.zego.codes import meaning

SPARE_CONNECTIONS = 4


async def run_manifests(
    settings: Settings, manifests: Sequence[str], console: Console, *, as_json: bool
) -> int:
    """Load and submit, show how it goes, and close with a summary."""
    app_id, secret = account_of(settings)
    how, path = how_to_read(settings), ledger_path(settings.ledger)
    prepared = await prepare_manifests(manifests, how, console)
    if not prepared and not path.exists():
        raise LedgerMissing(f"{path}: there is no ledger to go on with; name a manifest to begin one")
    lock = await lock_for("run", path, settings, console)
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(await open_for_writing(path, lock))
        await refuse_resubmissions(ledger, prepared, how)
        await ledger.bind(app_id, settings.place)
        for warning in ledger.prepare_run(figures(await ledger.tallies()).open):
            console.problem(f"batcher: warning: {warning}")
        client = await stack.enter_async_context(_client(settings, app_id, secret))
        told, last = await ledger.last_told_run(), await ledger.last_run()
        before = {load.id for load in await ledger.loads()}
        runner = Runner(
            ledger,
            client,
            _run_settings(settings),
            prepared,
            version=__version__,
            learned_pace_per_s=last.pace_per_s if last and last.why_slow else None,
            tell=console.tell,
        )
        _listen_to_signals(runner, console)
        tune_process()
        async with watch(runner, ledger, console, settings.progress):
            ending = await runner.run()
        _tell_unrecorded(ending, console)
        sources = tuple(one.manifest.source for one in prepared)
        summary = await _summary(ledger, ending, settings, sources, told)
        loaded = [load for load in await ledger.loads() if load.id not in before]
        summary = replace(summary, changes=tuple(changes_lines(loaded)))
        text = summary_text(summary, width=console.width, problems_only=console.volume == 0)
        console.problem(text)
        if as_json:
            console.data(json.dumps(summary_json(summary), ensure_ascii=False))
    return int(ending.exit)


async def put_back(settings: Settings, states: Sequence[str], codes: Sequence[int], console: Console) -> int:
    """Put settled submissions back in the queue."""
    allowed = {State.FAILED.value, State.REJECTED.value, State.IN_DOUBT.value}
    if wrong := [state for state in states if state.replace("-", "_") not in allowed]:
        raise SettingsError(f"--state {wrong[0]}: give failed, rejected or in_doubt")
    chosen = [State(state.replace("-", "_")) for state in states] or [State.FAILED, State.REJECTED]
    path = ledger_path(settings.ledger)
    if not path.exists():
        raise LedgerMissing(f"{path}: there is no ledger here; --ledger names another place")
    lock = await lock_for("retry", path, settings, console)
    async with await open_for_writing(path, lock) as ledger:
        moved = await ledger.retry(chosen, codes)
    console.say(
        f"{count(moved, 'submission')} back in the queue"
        + (f": batcher run{ledger_option(settings.ledger)}" if moved else "")
    )
    return int(Exit.DONE)


def _client(settings: Settings, app_id: int, secret: str) -> ZegoClient:
    return ZegoClient(
        settings.endpoint,
        Account(app_id, secret, settings.is_test),
        timeout_s=settings.timeout,
        connections=settings.concurrency + SPARE_CONNECTIONS,
    )


def _run_settings(settings: Settings) -> RunSettings:
    return RunSettings(
        rate_per_s=settings.rate,
        concurrency=settings.concurrency,
        in_doubt=settings.in_doubt,
        limit=settings.limit,
        lasts_s=settings.max_duration,
        until=until(settings, datetime.now()),  # noqa: DTZ005 - what the clock on the wall shows
        max_failures=MaxFailures.parse(settings.max_failures),
        grace_s=settings.grace,
    )


def _listen_to_signals(runner: Runner, console: Console) -> None:
    """The first signal drains, the second ends at once; losing the terminal stops nothing."""
    loop = asyncio.get_running_loop()

    def stop(code: Exit) -> None:
        console.say("Stopping: waiting for what is on the wire. Once more to end at once.")
        runner.stop(code)

    loop.add_signal_handler(signal.SIGINT, stop, Exit.SIGINT)
    loop.add_signal_handler(signal.SIGTERM, stop, Exit.SIGTERM)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _tell_unrecorded(ending: Ending, console: Console) -> None:
    """What the ledger could not take must not be lost with the run."""
    for settlement in ending.unrecorded:
        task_id = getattr(settlement.outcome, "task_id", None)
        console.problem(
            f"batcher: not recorded: {settlement.claim.file_id} "
            + (f"was submitted, task id {task_id}" if task_id else f"ended {settlement.disposition.decision}")
        )


async def _summary(
    ledger: Ledger, ending: Ending, settings: Settings, manifests: tuple[str, ...], told: Run | None
) -> Summary:
    """Everything that the closing summary tells, read from the ledger.

    Args:
        told: the last run before this one that could tell all.
    """
    tallies = await ledger.tallies()
    now = figures(tallies)
    seen = (told.invalid_rows_seen or 0) if told else 0
    return Summary(
        exit_code=int(ending.exit),
        reason=ending.reason,
        ledger=str(ledger.path),
        app_id=settings.app_id,
        run_id=ending.run_id,
        sent=ending.sent,
        seconds=ending.seconds,
        rate_per_s=settings.rate,
        window_s=window_s(settings, datetime.now() - timedelta(seconds=ending.seconds)),  # noqa: DTZ005
        now=now,
        this_run=of_run(tallies, ending.run_id),
        new=since(tallies, told),
        invalid_rows=InvalidRows(
            await ledger.count_invalid_rows(),
            await ledger.count_invalid_rows(after_id=seen),
            tuple(await ledger.invalid_rows(after_id=seen, limit=FIRST_INVALID_ROWS)),
        ),
        meanings={code: meaning(code) for code in now.codes},
        doubtful=await ledger.count_doubtful(),
        in_doubt=tuple(await ledger.records_in_doubt(FIRST_IN_DOUBT)),
        manifests=manifests,
        row_options=_row_options(settings),
        unfinished=tuple(dict.fromkeys(load.source for load in await ledger.loads() if load.unfinished)),
    )


def _row_options(settings: Settings) -> str:
    """The options by which rows were read, as they stand on a command line."""
    given = [
        ("--vendor", settings.vendor),
        ("--type", settings.type),
        ("--definition", settings.definition),
        ("--interval", settings.interval),
        *(("--offset", offset) for offset in settings.offset),
        ("--encoding", settings.encoding),
        ("--manifest-format", settings.manifest_format),
        ("--sheet", settings.sheet),
    ]
    waved = [
        *((" --trust-ids",) if settings.trust_ids else ()),
        *((" --allow-resubmit",) if settings.allow_resubmit else ()),
    ]
    return "".join([*(f" {name} {quoted(value)}" for name, value in given if value), *waved])
